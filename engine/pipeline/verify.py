"""Does the copy hold the source's bytes? Pure: values in, verdict out.

| compared, in this order                                        | equal    | unequal     |
|-----------------------------------------------------------------|----------|-------------|
| sizes, when both are known                                      | go on    | differs     |
| a full-object checksum that both sides have (or we computed)    | checksum | differs     |
| the multipart or MD5 ETag we computed, against the copy's ETag  | etag     | differs     |
| two single-part MD5 ETags                                       | etag     | differs     |
| nothing comparable, sizes known and equal                       | (None)   |             |

``None`` is "nothing better was to be had": after our own write it counts as proof by size, before adopting somebody's
object it is no proof at all.
"""

from __future__ import annotations

from engine.model.facts import ObjectFacts, Proof

ALGORITHMS = ("sha256", "sha256-composite", "crc64nvme", "sha1", "crc32c", "crc32")


class Differs(Exception):
    """The copy is not the source. The message says in what."""


def prove(source: ObjectFacts, copy: ObjectFacts, computed: tuple[tuple[str, str], ...] = ()) -> Proof | None:
    """The proof that ``copy`` equals ``source``, None when only sizes agree. Raises Differs.

    ``computed`` holds checksums over the source bytes as we read them.
    """
    if source.size is not None and copy.size is not None and source.size != copy.size:
        msg = f"size: source {source.size} bytes, copy {copy.size} bytes"
        raise Differs(msg)
    ours = {**dict(source.checksums), **dict(computed)}
    theirs = dict(copy.checksums)
    for algorithm in ALGORITHMS if ours and theirs else ():
        expected, found = ours.get(algorithm), theirs.get(algorithm)
        if expected and found:
            if expected != found:
                msg = f"{algorithm}: source {expected[:16]}…, copy {found[:16]}…"
                raise Differs(msg)
            return Proof.CHECKSUM
    wanted_etag = ours.get("etag") or ours.get("md5")
    if wanted_etag and copy.etag and (copy.etag_is_md5 or "-" in wanted_etag):
        if wanted_etag != copy.etag:
            msg = f"ETag: computed {wanted_etag}, copy {copy.etag}"
            raise Differs(msg)
        return Proof.ETAG
    if source.etag and copy.etag and source.etag_is_md5 and copy.etag_is_md5:
        if source.etag != copy.etag:
            msg = f"ETag: source {source.etag}, copy {copy.etag}"
            raise Differs(msg)
        return Proof.ETAG
    if copy.size is None:
        msg = "the destination does not say how large the copy is"
        raise Differs(msg)
    return None

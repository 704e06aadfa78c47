"""Does the copy hold the source's bytes? Pure: values in, verdict out.

Three sides may have something to say of the bytes: the source's side (``stated``), we who read them (``computed``), and
the destination's side (``found``). All that two sides say alike is compared, and any disagreement is ``Mismatch``:

| they agree                                                                            | proof    |
|---------------------------------------------------------------------------------------|----------|
| stated and found, or stated and computed that the destination confirms: a checksum    | checksum |
| the same of an MD5 ETag, or of one made of parts                                      | etag     |
| computed and found: the destination holds what was read, of which the source is quiet | received |
| only the sizes                                                                        | (None)   |

``None`` is "nothing better was to be had": after our own write it counts as proof by size, before adopting somebody's
object it is no proof at all.
"""

from __future__ import annotations

from collections.abc import Mapping

from engine.model.facts import ObjectFacts, Proof

COMPOSITE = "sha256-composite"
PARTS, SOURCE_PARTS = "etag", "source-etag"
"""ETags made of parts: of those that the copy is stored in, and of those that the source was."""
_MD5 = "md5"
_ETAGS = frozenset({_MD5, PARTS, SOURCE_PARTS})
Sums = Mapping[str, str]


class Mismatch(Exception):
    """The copy is not the source. The message says in what."""


def prove(source: ObjectFacts, copy: ObjectFacts, computed: tuple[tuple[str, str], ...] = ()) -> Proof | None:
    """The proof that ``copy`` equals ``source``, None when only sizes agree. Raises Differs.

    ``computed`` holds checksums over the source bytes as we read them, to their proven end: ``sha256``, ``md5``, …;
    ``etag`` over the parts that were stored, ``source-etag`` over the source's own.
    """
    if source.size is not None and copy.size is not None and source.size != copy.size:
        msg = f"size: source {source.size} bytes, copy {copy.size} bytes"
        raise Mismatch(msg)
    only_etags = not (computed or source.checksums or copy.checksums)
    if only_etags and source.etag_is_md5 and copy.etag_is_md5 and source.etag == copy.etag != "":
        return Proof.ETAG  # what nearly every server-side copy comes to
    ours, theirs = dict(computed), _sums(copy)
    if copy.etag_parts:
        theirs[PARTS] = copy.etag
    stated = _sums(source)
    if stated.get(COMPOSITE) != theirs.get(COMPOSITE):
        stated.pop(COMPOSITE, None)  # like an ETag of parts: it may only be of other parts
    if source.etag_parts:
        stated[SOURCE_PARTS] = source.etag
    kept = _agree(stated, theirs, "source", "copy")
    if source.etag_parts and source.etag == copy.etag:
        kept |= {SOURCE_PARTS}  # other ETags of parts may only have been made of other parts
    read = _agree(stated, ours, "source", "read")
    confirmed = _agree(ours, theirs, "read", "copy")
    both = kept | (read if confirmed else set())
    if both - _ETAGS:
        return Proof.CHECKSUM
    if both:
        return Proof.ETAG
    if confirmed:
        return Proof.RECEIVED
    if copy.size is None:
        msg = "the destination does not say how large the copy is"
        raise Mismatch(msg)
    return None


def plain_proof(listed: ObjectFacts, found: ObjectFacts) -> Proof | None:
    """What a listing alone proves, if anything: it lacks checksums, and under SSE-KMS its ETags are no MD5."""
    try:
        return prove(listed, found)
    except Mismatch:
        return None


def _sums(facts: ObjectFacts) -> dict[str, str]:
    """What one side says of all the bytes, by algorithm."""
    sums = dict(facts.checksums)
    if facts.etag and facts.etag_is_md5:
        sums[_MD5] = facts.etag
    return sums


def _agree(one: Sums, other: Sums, named: str, against: str) -> set[str]:
    """What both sides say alike. Raises Differs where they contradict each other."""
    common = one.keys() & other.keys()
    for name in common:
        if one[name] != other[name]:
            msg = f"{name}: {named} {one[name][:16]}…, {against} {other[name][:16]}…"
            raise Mismatch(msg)
    return common

"""The table of proofs."""

from __future__ import annotations

import pytest

from engine.model.facts import ObjectFacts, Proof
from engine.pipeline.verify import Mismatch, prove

A = ObjectFacts(size=3, etag="aa")
PLAIN = ObjectFacts(size=3, etag="web", etag_is_md5=False)
MULTI = ObjectFacts(size=3, etag="aa-2", etag_is_md5=False, etag_parts=2)
SUMMED = ObjectFacts(size=3, etag="aa-2", etag_is_md5=False, etag_parts=2, checksums=(("crc64nvme", "07"),))
OPAQUE = ObjectFacts(size=3, etag="zz", etag_is_md5=False)


def held(etag: str = "", **sums: str) -> ObjectFacts:
    """A copy under SSE-KMS, where the ETag is no sum, that shows these checksums."""
    return ObjectFacts(size=3, etag=etag, etag_is_md5=False, checksums=tuple(sums.items()))


@pytest.mark.parametrize(
    ("source", "copy", "computed", "expected"),
    [
        # the source's side and the destination's say the same
        (A, ObjectFacts(size=3, etag="aa"), (), Proof.ETAG),
        (A, ObjectFacts(size=None, etag="aa"), (), Proof.ETAG),
        (MULTI, MULTI, (), Proof.ETAG),
        (SUMMED, held(crc64nvme="07"), (), Proof.CHECKSUM),
        # the source's side says what we computed, and the destination confirmed what we computed
        (SUMMED, held(sha256="01"), (("sha256", "01"), ("crc64nvme", "07")), Proof.CHECKSUM),
        (A, held(sha256="01"), (("sha256", "01"), ("md5", "aa")), Proof.ETAG),
        (MULTI, held(sha256="01"), (("sha256", "01"), ("source-etag", "aa-2")), Proof.ETAG),
        # the source is quiet, or was not understood; the destination has just what was read
        (PLAIN, held(sha256="01"), (("sha256", "01"),), Proof.RECEIVED),
        (PLAIN, ObjectFacts(size=3, etag="bb"), (("md5", "bb"),), Proof.RECEIVED),
        (MULTI, ObjectFacts(size=3, etag="bb"), (("md5", "bb"),), Proof.RECEIVED),
        (A, ObjectFacts(size=3, etag="cc-2", etag_is_md5=False, etag_parts=2), (("etag", "cc-2"),), Proof.RECEIVED),
        (A, held(sha256="01"), (("sha256", "01"),), Proof.RECEIVED),
        # nobody confirms what was read
        (SUMMED, OPAQUE, (("sha256", "01"), ("crc64nvme", "07")), None),
        (MULTI, ObjectFacts(size=3, etag="bb"), (), None),
        (A, OPAQUE, (), None),
    ],
)
def test_proof_is_what_was_seen_to_agree(
    source: ObjectFacts, copy: ObjectFacts, computed: tuple[tuple[str, str], ...], expected: Proof | None
) -> None:
    assert prove(source, copy, computed) is expected


@pytest.mark.parametrize(
    ("source", "copy", "computed"),
    [
        (A, ObjectFacts(size=4, etag="aa"), ()),
        (A, ObjectFacts(size=3, etag="ab"), ()),
        (MULTI, ObjectFacts(size=3, etag="bb"), (("md5", "bc"),)),
        (A, ObjectFacts(size=3, etag="cc-2", etag_is_md5=False, etag_parts=2), (("etag", "cd-2"),)),
        (A, ObjectFacts(size=3, etag="aa", checksums=(("sha256", "02"),)), (("sha256", "01"),)),
        (MULTI, ObjectFacts(size=None, etag="q", etag_is_md5=False), ()),
        # whatever else agrees
        (A, held(sha256="01"), (("sha256", "01"), ("md5", "ab"))),
        (A, ObjectFacts(size=3, etag="ab", checksums=(("sha256", "01"),)), (("sha256", "01"),)),
        (SUMMED, held(sha256="01"), (("sha256", "01"), ("crc64nvme", "08"))),
        (SUMMED, held(sha256="01", crc64nvme="08"), (("sha256", "01"),)),
        (MULTI, held(sha256="01"), (("sha256", "01"), ("source-etag", "ab-2"))),
    ],
)
def test_any_difference_is_named_and_never_passes(
    source: ObjectFacts, copy: ObjectFacts, computed: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(Mismatch):
        prove(source, copy, computed)

"""The table of proofs."""

from __future__ import annotations

import pytest

from engine.model.facts import ObjectFacts, Proof
from engine.pipeline.verify import Differs, prove

A = ObjectFacts(size=3, etag="aa")
MULTI = ObjectFacts(size=3, etag="aa-2", etag_is_md5=False)


@pytest.mark.parametrize(
    ("source", "copy", "computed", "expected"),
    [
        (A, ObjectFacts(size=3, etag="aa"), (), Proof.ETAG),
        (A, ObjectFacts(size=None, etag="aa"), (), Proof.ETAG),
        (MULTI, ObjectFacts(size=3, etag="bb"), (), None),
        (MULTI, ObjectFacts(size=3, etag="bb"), (("md5", "bb"),), Proof.ETAG),
        (A, ObjectFacts(size=3, etag="cc-2", etag_is_md5=False), (("etag", "cc-2"),), Proof.ETAG),
        (A, ObjectFacts(size=3, checksums=(("sha256", "01"),)), (("sha256", "01"),), Proof.CHECKSUM),
        (
            ObjectFacts(size=3, checksums=(("crc64nvme", "07"),)),
            ObjectFacts(size=3, checksums=(("crc64nvme", "07"),)),
            (),
            Proof.CHECKSUM,
        ),
        (A, ObjectFacts(size=3, etag="zz", etag_is_md5=False), (), None),
    ],
)
def test_proof_is_the_strongest_comparison_that_both_sides_allow(
    source: ObjectFacts, copy: ObjectFacts, computed: tuple[tuple[str, str], ...], expected: Proof | None
) -> None:
    assert prove(source, copy, computed) is expected


@pytest.mark.parametrize(
    ("source", "copy", "computed"),
    [
        (A, ObjectFacts(size=4, etag="aa"), ()),
        (A, ObjectFacts(size=3, etag="ab"), ()),
        (MULTI, ObjectFacts(size=3, etag="bb"), (("md5", "bc"),)),
        (A, ObjectFacts(size=3, etag="cc-2", etag_is_md5=False), (("etag", "cd-2"),)),
        (A, ObjectFacts(size=3, etag="aa", checksums=(("sha256", "02"),)), (("sha256", "01"),)),
        (MULTI, ObjectFacts(size=None, etag="q", etag_is_md5=False), ()),
    ],
)
def test_any_difference_is_named_and_never_passes(
    source: ObjectFacts, copy: ObjectFacts, computed: tuple[tuple[str, str], ...]
) -> None:
    with pytest.raises(Differs):
        prove(source, copy, computed)

"""What a source says of its bytes, held against what came. Pure."""

from __future__ import annotations

from engine.model.errors import Transient
from engine.model.facts import ObjectFacts
from engine.model.failures import FailureClass
from engine.model.object_headers import etag_is_md5


def check(facts: ObjectFacts, computed: tuple[tuple[str, str], ...], size: int, key: str) -> None:
    """All bytes have been read, nothing is stored yet. Raises Transient unless they are as many as the source promised,
    and have its sums. ``computed``: as (algorithm, hex)."""
    if facts.size is not None and size != facts.size:
        raise wrong_length(facts, key, str(size))
    promised = dict(facts.checksums)
    if names_md5(facts):
        promised["md5"] = facts.etag
    if facts.etag_parts:
        promised["source-etag"] = facts.etag
    for algorithm, digest in computed:
        if promised.get(algorithm, digest) != digest:
            message = f"the source's {algorithm} does not fit the bytes read for {key}"
            raise Transient(FailureClass.CHECKSUM_MISMATCH, message)


def names_md5(facts: ObjectFacts) -> bool:
    """Whether the source's ETag is the MD5 of its bytes."""
    return facts.etag_is_md5 and etag_is_md5(facts.etag, {})


def wrong_length(facts: ObjectFacts, key: str, came: str) -> Transient:
    """More or fewer bytes came than the source promised."""
    promised = "an unknown number" if facts.size is None else str(facts.size)
    return Transient(FailureClass.NETWORK, f"{came} of {promised} bytes came for {key}")

"""All the bytes of an object, read once more and summed: for comparing what no store has sums of."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from engine.model.facts import ObjectFacts
from engine.model.location import Location
from engine.model.ports import Source
from engine.model.sums import PartSums

Sums = tuple[tuple[str, str], ...]
ALWAYS = frozenset({"sha256", "md5"})
"""What ``digest`` computes of every object."""


async def digest(
    source: Source, location: Location, facts: ObjectFacts | None = None, parts: Sequence[int] = ()
) -> Sums:
    """SHA-256 and MD5 over the bytes to their proven end, as (algorithm, hex), and the ETag that they would have in
    ``parts`` of these sizes (``source-etag``). Raises Transient, Refused."""
    sums = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    of_parts = PartSums(parts) if parts else None
    async with source.open(location, facts) as stream:
        async for chunk in stream.chunks():
            for each in sums.values():
                each.update(chunk)
            if of_parts is not None:
                of_parts.update(chunk)
    made = () if of_parts is None else (("source-etag", of_parts.etag()),)
    return (*((name, each.hexdigest()) for name, each in sums.items()), *made)

"""All the bytes of an object, read once more and summed: for comparing what no store has sums of."""

from __future__ import annotations

import hashlib

from engine.model.facts import ObjectFacts
from engine.model.location import Location
from engine.pipeline.ports import Source

Sums = tuple[tuple[str, str], ...]


async def digest(source: Source, location: Location, facts: ObjectFacts | None = None) -> Sums:
    """SHA-256 and MD5 over the bytes to their proven end, as (algorithm, hex). Raises Transient, Refused."""
    sums = {"sha256": hashlib.sha256(), "md5": hashlib.md5(usedforsecurity=False)}
    async with source.open(location, facts) as stream:
        async for chunk in stream.chunks():
            for each in sums.values():
                each.update(chunk)
    return tuple((name, each.hexdigest()) for name, each in sums.items())

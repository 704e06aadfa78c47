"""Part sizes and ranges. Pure. Limits from S3's quotas: 10,000 parts of 5 MiB to 5 GiB, the last one of any size."""

from __future__ import annotations

from collections.abc import Iterator

from engine.model.byte_units import GIB, MIB

MAX_PARTS = 10_000
MIN_PART = 5 * MIB
MAX_PART = 5 * GIB
COPY_LIMIT = 5 * GIB
"""The most that one CopyObject moves; in bytes."""
PUT_LIMIT = 5 * GIB
"""The most that one PUT takes; in bytes."""


def part_size(total: int, wished: int) -> int:
    """The part size in bytes for an object of ``total`` bytes: the wish, or as much more as 10,000 parts need."""
    needed = -(-total // MAX_PARTS)
    if needed <= wished:
        return wished
    return -(-needed // MIB) * MIB


def growing(wished: int) -> Iterator[int]:
    """Part sizes for a stream of unknown length: doubling every 1,000 parts, up to 5 GiB.

    From 16 MiB the 10,000 parts so hold 13.8 TiB, while small streams stay cheap.
    """
    for number in range(MAX_PARTS):
        yield min(MAX_PART, wished << (number // 1000))


def ranges(total: int, size: int) -> list[tuple[int, int]]:
    """(first, last) byte of each part, both inclusive; ``total`` must be positive."""
    return [(first, min(first + size, total) - 1) for first in range(0, total, size)]

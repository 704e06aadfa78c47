"""At which sizes an object travels in parts, and in which. Pure.

S3's quotas: 10,000 parts of 5 MiB to 5 GiB, the last one of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.model.byte_units import GIB, MIB

MAX_PARTS = 10_000
MIN_PART = 5 * MIB
MAX_PART = 5 * GIB
COPY_LIMIT = 5 * GIB
"""The most that one CopyObject copies."""
COPY_PART = 256 * MIB
PUT_LIMIT = 5 * GIB
"""The most that one PUT takes."""
PARTS_AT_ONCE = 4
"""Parts of one stream under way at once."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Up to which sizes objects travel whole, and in which parts beyond. In bytes."""

    part: int
    """Of a stream that goes by parts."""
    put_limit: int
    """The largest stream of known size that goes by one PUT."""
    copy_limit: int = COPY_LIMIT
    """The largest object that goes by one CopyObject."""
    copy_part: int = COPY_PART

    @classmethod
    def of(cls, part: int) -> Sizes:
        """With parts of this size. One PUT takes as much as a file's parts hold in memory anyway: then each byte is
        hashed once, not twice, and the store shows the checksum of the whole."""
        return cls(part, min(PARTS_AT_ONCE * part, PUT_LIMIT))

    def in_parts(self, size: int | None) -> bool:
        """Whether a stream of this size goes by parts. None: it tells no size."""
        return size is None or size > self.put_limit

    def first(self, size: int | None) -> int:
        """How many bytes a stream of this size sends first: all of it, or its first part."""
        if size is not None and not self.in_parts(size):
            return size
        return self.part if size is None else part_size(size, self.part)


def part_size(total: int, wished: int) -> int:
    """The part size for an object of ``total`` bytes: the wish, or as much more as 10,000 parts need."""
    needed = -(-total // MAX_PARTS)
    if needed <= wished:
        return wished
    return -(-needed // MIB) * MIB


def growing(wished: int) -> Iterator[int]:
    """Part sizes for a stream of unknown length: doubled after every 1,000 parts, up to 5 GiB.

    From 16 MiB on, 10,000 such parts hold 13.8 TiB, while small streams stay cheap.
    """
    for number in range(MAX_PARTS):
        yield min(MAX_PART, wished << (number // 1000))


def ranges(total: int, size: int) -> list[tuple[int, int]]:
    """(first, last) byte of each part, both inclusive; ``total`` must be positive."""
    return [(first, min(first + size, total) - 1) for first in range(0, total, size)]

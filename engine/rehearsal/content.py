"""File contents that can be made again: the bytes follow from a seed, so a test need not keep what it loaded."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterator

BLOCK = 64 * 1024
_MARK = 40


@functools.cache
def _filler() -> bytes:
    """The part all files share: one block of pseudo-random bytes, less the room for a block's own mark."""
    return hashlib.shake_256(b"rehearsal").digest(BLOCK - _MARK)


def content_blocks(seed: str, size: int) -> Iterator[bytes]:
    """The ``size`` bytes of file ``seed`` in pieces of at most 64 KiB.

    Every block begins with 32 bytes drawn from the seed and its own number, so no two files are alike from the first
    byte on, and blocks that change places, or repeat, change the file.
    """
    if size < 0:
        raise ValueError(f"a file cannot have {size} bytes")
    name = hashlib.shake_256(seed.encode("utf-8", "surrogatepass")).digest(32)
    filler = _filler()
    for number in range(-(-size // BLOCK)):
        yield (name + number.to_bytes(8, "big") + filler)[: size - number * BLOCK]


def content_of(seed: str, size: int) -> bytes:
    """The ``size`` bytes of file ``seed``; the same on every machine and in every run."""
    return b"".join(content_blocks(seed, size))

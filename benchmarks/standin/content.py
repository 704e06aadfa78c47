"""The bytes of every prepared object: one random mebibyte, over and over, cut to size.

So nothing has to be stored, and whether an upload holds the same bytes is a comparison, not a hash: ETags are honest
all the same, for whatever differs from the pattern is hashed from its first byte on.
"""

from __future__ import annotations

import hashlib
import random
from functools import lru_cache

PERIOD = 1 << 20
PART = 8 << 20
"""Prepared objects beyond this size have the ETag of a multipart upload in parts of this size, as large ones do."""
_TWICE = random.Random("a mebibyte").randbytes(PERIOD) * 2
_VIEW = memoryview(_TWICE)


def view(start: int, size: int) -> memoryview:
    """At most ``PERIOD`` bytes of the pattern from offset ``start`` of an object."""
    phase = start % PERIOD
    return _VIEW[phase : phase + min(size, PERIOD)]


@lru_cache(maxsize=65_536)
def md5_of(start: int, size: int) -> str:
    """MD5 of ``size`` bytes of the pattern from phase ``start``, in hex."""
    return _digest(hashlib.md5(usedforsecurity=False), start, size).hex()


@lru_cache(maxsize=65_536)
def sha256_of(start: int, size: int) -> bytes:
    """SHA-256 of ``size`` bytes of the pattern from phase ``start``."""
    return _digest(hashlib.sha256(), start, size)


@lru_cache(maxsize=65_536)
def etag_of(size: int) -> str:
    """The ETag of a prepared object, without quotes."""
    if size <= PART:
        return md5_of(0, size)
    parts = [md5_of(0, min(PART, size - start)) for start in range(0, size, PART)]
    return composite(parts)


def composite(md5s: list[str]) -> str:
    """The ETag of a multipart upload."""
    whole = hashlib.md5(bytes.fromhex("".join(md5s)), usedforsecurity=False).hexdigest()
    return f"{whole}-{len(md5s)}"


class Upload:
    """Bytes as they come in. ``matches``: so far they are the pattern; the first ``keep`` bytes of others are kept."""

    def __init__(self, keep: int) -> None:
        self.size = 0
        self.matches = True
        self._keep = keep
        self._kept = bytearray()
        self._md5 = hashlib.md5(usedforsecurity=False)

    def add(self, data: bytes) -> None:
        if self.matches:
            phase = self.size % PERIOD
            if len(data) <= PERIOD and _TWICE[phase : phase + len(data)] == data:
                self.size += len(data)
                return
            self.matches = False
            for start in range(0, self.size, PERIOD):
                self._take(view(start, self.size - start))
        self.size += len(data)
        self._take(data)

    def _take(self, data: bytes | memoryview) -> None:
        self._md5.update(data)
        if len(self._kept) <= self._keep:
            self._kept += data

    @property
    def md5(self) -> str:
        return md5_of(0, self.size) if self.matches else self._md5.hexdigest()

    @property
    def sha256(self) -> bytes | None:
        """None where the bytes are gone."""
        if self.matches:
            return sha256_of(0, self.size)
        return None if self.body is None else hashlib.sha256(self.body).digest()

    @property
    def body(self) -> bytes | None:
        """The bytes themselves, None where they are the pattern or too many to keep."""
        return None if self.matches or self.size > self._keep else bytes(self._kept)


def _digest(digest: hashlib._Hash, start: int, size: int) -> bytes:
    for done in range(0, size, PERIOD):
        digest.update(view(start + done, size - done))
    return digest.digest()

"""Sums over the bytes that pass: inline while they are few, in a thread when they are many (hashlib frees the GIL)."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

from engine.model.errors import Blocked
from engine.s3.answers import Bytes

INLINE = 256 * 1024
"""Bytes up to which a thread costs more than it saves."""
T = TypeVar("T")


async def hashed(nbytes: int, work: Callable[[], T]) -> T:
    """Run hashing work over so many bytes, off the loop if they are many. One call at a time keeps the order."""
    return work() if nbytes <= INLINE else await asyncio.to_thread(work)


def crc64nvme(data: Bytes, start: int = 0) -> int:
    """The CRC-64/NVME of ``data`` behind bytes whose CRC is ``start``. Raises Blocked where awscrt is not installed."""
    try:
        from awscrt.checksums import crc64nvme as compute
    except ImportError:
        raise Blocked(
            "migration.checksum is crc64nvme, which needs the awscrt package",
            hint="pip install 'engine[crt]', or set migration.checksum: sha256",
        ) from None
    return int(compute(data, start))


class Sums:
    """SHA-256 over all the bytes, and beside it MD5 and CRC-64/NVME where they are wanted."""

    def __init__(self, *, md5: bool, crc: bool) -> None:
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._crc: int | None = 0 if crc else None
        self.size = 0

    def without_md5(self) -> None:
        """A multipart object's ETag is made of its parts' MD5s: unless the source has one to compare with, an MD5 over
        the whole would only cost (1.8 s a GB)."""
        self._md5 = None

    async def add(self, data: Bytes) -> None:
        """Take the next bytes; to be awaited before the next call."""
        await hashed(len(data), lambda: self._add(data))

    def _add(self, data: Bytes) -> None:
        self.size += len(data)
        self._sha256.update(data)
        if self._md5 is not None:
            self._md5.update(data)
        if self._crc is not None:
            self._crc = crc64nvme(data, self._crc)

    @property
    def sha256(self) -> bytes:
        return self._sha256.digest()

    @property
    def md5(self) -> bytes | None:
        return None if self._md5 is None else self._md5.digest()

    @property
    def crc(self) -> bytes | None:
        """Eight bytes, big-endian, as S3 writes it."""
        return None if self._crc is None else self._crc.to_bytes(8, "big")

    def computed(self) -> tuple[tuple[str, str], ...]:
        """As (algorithm, hex)."""
        named: Iterable[tuple[str, bytes | None]] = (
            ("sha256", self.sha256),
            ("md5", self.md5),
            ("crc64nvme", self.crc),
        )
        return tuple((name, digest.hex()) for name, digest in named if digest is not None)


def multipart_etag(md5s: Iterable[bytes]) -> str:
    """The ETag of a multipart object from its parts' MD5s, as S3, moto and Swift build it."""
    digests = list(md5s)
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def composite_sha256(digests: Iterable[bytes]) -> str:
    """The composite SHA-256 of a multipart object, hex with ``-N``, as ``facts_of(composites=True)`` shows it."""
    parts = list(digests)
    return f"{hashlib.sha256(b''.join(parts)).hexdigest()}-{len(parts)}"

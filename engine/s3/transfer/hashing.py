"""Checksums of bytes: inline while they are few, in a thread when they are many (hashlib releases the GIL)."""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib import util
from typing import Protocol, TypeVar

from engine.model.byte_units import KIB, MIB
from engine.model.errors import Blocked
from engine.model.sums import PartSums
from engine.s3.api.answers import Bytes

INLINE = 256 * KIB
"""Bytes up to which a thread costs more time than it saves."""
QUICK = 4 * MIB
"""The same of what the processor has instructions for: awscrt's CRCs take a tenth of a millisecond a MiB."""
T = TypeVar("T")


async def hashed(nbytes: int, work: Callable[[], T], *, inline: int = INLINE) -> T:
    """Run hashing work over so many bytes, in a thread if they are many. Awaiting each call keeps the order."""
    return work() if nbytes <= inline else await asyncio.to_thread(work)


def md5_of(data: Bytes) -> bytes:
    """The MD5 of the data."""
    return hashlib.md5(data, usedforsecurity=False).digest()


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


class Hash(Protocol):
    """An object of hashlib, as far as it is needed here."""

    def update(self, data: Bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class Sums:
    """The sums of ``names``, which must be computable, over all the bytes.

    ``parts``: sizes of the parts whose MD5s make the source's ETag; it is then computed as ``source-etag``.
    """

    def __init__(self, names: Iterable[str], parts: Sequence[int] = ()) -> None:
        self._hashes: dict[str, Hash] = {name: _HASHES[name]() for name in names}
        self._parts = PartSums(parts) if parts else None
        self._inline = QUICK if self._hashes.keys() <= _OF_CRT and not parts else INLINE
        self.size = 0

    async def add(self, data: Bytes) -> None:
        """Take the next bytes. Await it before the next call."""
        await hashed(len(data), lambda: self._add(data), inline=self._inline)

    def _add(self, data: Bytes) -> None:
        self.size += len(data)
        for each in self._hashes.values():
            each.update(data)
        if self._parts is not None:
            self._parts.update(data)

    def of(self, name: str) -> bytes | None:
        """One of them, big-endian as S3 writes it. None: it is not computed."""
        found = self._hashes.get(name)
        return None if found is None else found.digest()

    def computed(self) -> tuple[tuple[str, str], ...]:
        """As (algorithm, hex)."""
        sums = [(name, each.digest().hex()) for name, each in self._hashes.items()]
        if self._parts is not None:
            sums.append(("source-etag", self._parts.etag()))
        return tuple(sums)


def computable(names: Iterable[str]) -> list[str]:
    """Those of these checksums that can be computed: some CRCs only where awscrt is installed."""
    return [name for name in names if name in _HASHES and (name not in _OF_CRT or _with_crt())]


@cache
def _with_crt() -> bool:
    return util.find_spec("awscrt") is not None


class _Crc:
    """A CRC with the methods of hashlib's objects."""

    def __init__(self, compute: Callable[[Bytes, int], int], width: int) -> None:
        self._compute = compute
        self._width = width
        self._value = 0

    def update(self, data: Bytes) -> None:
        self._value = self._compute(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def _md5() -> Hash:
    return hashlib.md5(usedforsecurity=False)


def _crc32c(data: Bytes, start: int = 0) -> int:
    from awscrt.checksums import crc32c as compute

    return int(compute(data, start))


_OF_CRT = frozenset({"crc64nvme", "crc32c"})
_HASHES: dict[str, Callable[[], Hash]] = {
    "sha256": hashlib.sha256,
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "md5": _md5,
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": lambda: _Crc(_crc32c, 4),
    "crc64nvme": lambda: _Crc(crc64nvme, 8),
}


def composite_sha256(digests: Iterable[bytes]) -> str:
    """The composite SHA-256 of a multipart object, hex with ``-N``, as ``facts_of(composites=True)`` shows it."""
    parts = list(digests)
    return f"{hashlib.sha256(b''.join(parts)).hexdigest()}-{len(parts)}"

"""Checksums of a whole object in an answer's headers, and the ETag that is made of an object's parts. Pure."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Mapping, Sequence

HEADER = "x-amz-checksum-"
_MD5_HEX = 32
_NOT_SUMS = frozenset({"type", "algorithm", "mode"})


def stated_sums(fields: Mapping[str, str], *, composites: bool = False) -> tuple[tuple[str, str], ...]:
    """Full-object checksums as (algorithm, hex), from headers by lower-case name.

    A composite one (``…-N``) says nothing without the parts' sizes. Only with ``composites`` it is returned, as
    ``sha256-composite``, with ``-N`` behind the hex.
    """
    names = [name for name in fields if name.startswith(HEADER)]
    # in an answer with a part of the file it is the MD5 of that part (RFC 1864)
    whole_md5 = None if "content-range" in fields else fields.get("content-md5")
    if not names and not whole_md5:
        return ()
    whole = fields.get("x-amz-checksum-type", "").upper() != "COMPOSITE"
    sums = []
    for name in names:
        algorithm, value = name[len(HEADER) :], fields[name]
        if algorithm in _NOT_SUMS:
            continue
        plain, _, parts = value.partition("-")
        if (digest := hex_of(plain)) is None:
            continue
        if whole and not parts:
            sums.append((algorithm, digest))
        elif composites and parts.isdecimal():
            sums.append((f"{algorithm}-composite", f"{digest}-{parts}"))
    if whole_md5 and (digest := hex_of(whole_md5)) is not None and len(digest) == _MD5_HEX:
        sums.append(("md5", digest))
    return tuple(sorted(sums))


def hex_of(value: str) -> str | None:
    """A digest in base64 as hex; None where it is none."""
    try:
        return base64.b64decode(value, validate=True).hex()
    except (binascii.Error, ValueError):
        return None


def multipart_etag(md5s: Iterable[bytes]) -> str:
    """The ETag of a multipart object from its parts' MD5s, as S3, moto and Swift build it."""
    digests = list(md5s)
    return f"{hashlib.md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


class PartSums:
    """The ETag that S3 gives an object made of parts of these sizes."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self._sizes = iter(sizes)
        self._room = next(self._sizes)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._done: list[bytes] = []

    def update(self, data: bytes | memoryview) -> None:
        rest = memoryview(data)
        while len(rest):
            if not self._room:
                self._done.append(self._md5.digest())
                self._md5 = hashlib.md5(usedforsecurity=False)
                self._room = next(self._sizes, len(rest))  # more bytes than promised are found by their length
            self._md5.update(rest[: self._room])
            rest, self._room = rest[self._room :], max(0, self._room - len(rest))

    def etag(self) -> str:
        return multipart_etag([*self._done, self._md5.digest()])

"""Checksums as S3 names, types and computes them. Pure.

moto hides them: it looks at a checksum only where the request also names it in ``x-amz-sdk-checksum-algorithm``, which
an SDK sends and nobody must; it compares none with the bytes, is silent about parts and completions, and leaves the
type out of its answers to HEAD.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import md5

from moto.core.compat import HAS_CRT
from moto.s3.utils import compute_checksum

HEADER = "x-amz-checksum-"
ALGORITHMS = ("sha256", "sha1", "crc32", *(["crc64nvme"] if HAS_CRT else []))
"""Those that can be computed here. A checksum by any other is not looked at."""
DEFAULT = "crc64nvme" if HAS_CRT else ""
"""What S3 sums an object by where nobody asks for anything."""
_PART = re.compile(rb"<Part>(.*?)</Part>", re.DOTALL)
_LEAF = re.compile(rb"<(\w+)>\s*([^<]*?)\s*</\1>")


@dataclass(frozen=True, slots=True)
class Sum:
    """A checksum: ``value`` is base64, with ``-N`` behind it where it is one of N parts' checksums. ``kind`` is empty
    where it is that of a part."""

    algorithm: str
    value: str
    kind: str = "FULL_OBJECT"

    @property
    def headers(self) -> tuple[tuple[str, str], ...]:
        kind = [(HEADER + "type", self.kind)] if self.kind else []
        return (HEADER + self.algorithm, self.value), *kind

    @property
    def elements(self) -> bytes:
        """The same in a document."""
        name = f"Checksum{self.algorithm.upper()}"
        kind = f"<ChecksumType>{self.kind}</ChecksumType>" if self.kind else ""
        return f"<{name}>{self.value}</{name}>{kind}".encode()


def value_of(algorithm: str, body: bytes) -> str:
    """The checksum of ``body``, base64."""
    return compute_checksum(body, algorithm.upper()).decode()


def of_parts(algorithm: str, parts: Iterable[bytes]) -> Sum:
    """The composite checksum of an object made of these parts."""
    digests = [compute_checksum(part, algorithm.upper(), encode_base64=False) for part in parts]
    return Sum(algorithm, f"{value_of(algorithm, b''.join(digests))}-{len(digests)}", "COMPOSITE")


def etag_of_parts(parts: Iterable[bytes]) -> str:
    """The ETag of an object made of these parts, without quotes."""
    digests = [md5(part, usedforsecurity=False).digest() for part in parts]
    return f"{md5(b''.join(digests), usedforsecurity=False).hexdigest()}-{len(digests)}"


def stated(headers: Mapping[str, str]) -> dict[str, str]:
    """The checksums that a request's headers, or the elements of a document, state; by algorithm."""
    found = {name: headers.get(HEADER + name) or headers.get(f"Checksum{name.upper()}") for name in ALGORITHMS}
    return {name: value for name, value in found.items() if value}


def asked_for(headers: Mapping[str, str]) -> str:
    """By what a new object is to be summed."""
    trailing = headers.get("x-amz-trailer", "").removeprefix(HEADER)
    named = headers.get(HEADER + "algorithm", "").lower()
    return next((name for name in (*stated(headers), named, trailing) if name in ALGORITHMS), DEFAULT)


def parts_in(document: bytes) -> list[dict[str, str]]:
    """The parts that a CompleteMultipartUpload names, each as its leaves."""
    return [{name.decode(): text.decode() for name, text in _LEAF.findall(part)} for part in _PART.findall(document)]

"""Buckets: a prepared one that holds no more than its recipe, and ordinary ones that hold no bodies."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, overload

from benchmarks.standin.content import etag_of


class Entry(NamedTuple):
    """One object. ``body`` None: ``size`` bytes of the pattern, or, where ``lost``, bytes that were not kept."""

    size: int
    etag: str
    content_type: str
    body: bytes | None = None
    lost: bool = False


class Bucket(Protocol):
    """What both kinds have in common."""

    def __len__(self) -> int: ...

    def get(self, key: str) -> Entry | None: ...

    @property
    def keys(self) -> Sequence[str]:
        """In order."""
        ...

    @property
    def size(self) -> int:
        """Bytes of all objects."""
        ...


class Prepared:
    """So many objects under computed keys, read only. Sizes vary by ``spread`` bytes, so that mix-ups show."""

    def __init__(self, count: int, size: int, spread: int = 100) -> None:
        self._size = size
        self._spread = min(spread, max(1, size))
        self._entries = [Entry(size + n, etag_of(size + n), "application/pdf") for n in range(min(count, self._spread))]
        self.keys: Sequence[str] = Names(count)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def size(self) -> int:
        whole, rest = divmod(len(self.keys), self._spread)
        return whole * sum(each.size for each in self._entries) + sum(each.size for each in self._entries[:rest])

    def get(self, key: str) -> Entry | None:
        digits = key[5:13]
        if not digits.isdecimal():
            return None
        number = int(digits)
        if number >= len(self.keys) or name_of(number) != key:
            return None
        return self._entries[number % self._spread]


def name_of(number: int) -> str:
    """The key of a prepared object."""
    return f"docs/{number:08d}/file-{number}.pdf"


class Names(Sequence[str]):
    """All keys of a prepared bucket, none of them in memory."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [name_of(number) for number in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        return name_of(index)


class Ordinary:
    """A dict; sorted when it is first listed after a change."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._sorted: list[str] | None = None
        self.size = 0

    @property
    def keys(self) -> Sequence[str]:
        if self._sorted is None:
            self._sorted = sorted(self._entries)
        return self._sorted

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        return self._entries.get(key)

    def put(self, key: str, entry: Entry) -> None:
        before = self._entries.get(key)
        self.size += entry.size - (before.size if before else 0)
        self._entries[key] = entry
        self._sorted = None

    def delete(self, key: str) -> None:
        before = self._entries.pop(key, None)
        if before is not None:
            self.size -= before.size
            self._sorted = None


@dataclass(slots=True)
class PartEntry:
    size: int
    md5: str
    matches: bool
    sha256: str = ""
    """Base64, where the client sent one."""


@dataclass(slots=True)
class OpenUpload:
    bucket: str
    key: str
    content_type: str
    parts: dict[int, PartEntry] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listing:
    """``last`` is what the next page begins behind; empty at the end."""

    keys: list[str]
    prefixes: list[str]
    last: str


def listing(keys: Sequence[str], prefix: str, delimiter: str, after: str, limit: int) -> Listing:
    """One page of a listing, in key order. ``after`` may be a key or a common prefix that was already shown."""
    found: list[str] = []
    prefixes: list[str] = []
    at = bisect_left(keys, max(prefix, after))
    if after and at < len(keys) and keys[at] == after:
        at += 1
    if delimiter and after.endswith(delimiter):
        at = max(at, _behind(keys, after))
    if not delimiter:
        stop = min(_behind(keys, prefix) if prefix else len(keys), at + limit)
        found = list(keys[at:stop])
        more = stop < len(keys) and keys[stop].startswith(prefix) and bool(found)
        return Listing(found, [], found[-1] if more else "")
    last = ""
    while at < len(keys) and keys[at].startswith(prefix):
        if len(found) + len(prefixes) == limit:
            return Listing(found, prefixes, last)
        key = keys[at]
        end = key.find(delimiter, len(prefix))
        if end < 0:
            found.append(key)
            last = key
            at += 1
        else:
            last = key[: end + len(delimiter)]
            prefixes.append(last)
            at = _behind(keys, last)
    return Listing(found, prefixes, "")


def _behind(keys: Sequence[str], prefix: str) -> int:
    """The index of the first key behind all those with this prefix."""
    return bisect_left(keys, prefix + "\U0010ffff")

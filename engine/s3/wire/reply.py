"""What comes back: headers, an answer read whole, an answer read as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Framing = Literal["none", "length", "chunked", "close"]
"""How the end of the body was known. ``close`` means that nothing proves it complete."""


class Headers(Mapping[str, str]):
    """Answer headers by name, whatever the case; repeated ones are joined by ``", "``. Values are read as Latin-1."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[bytes, bytes]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower().encode("latin-1", "replace")].strip().decode("latin-1")

    @property
    def raw(self) -> Mapping[bytes, bytes]:
        """The fields as they came: lower-case names, values unstripped."""
        return self._fields

    def __iter__(self) -> Iterator[str]:
        return (name.decode("latin-1") for name in self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"Headers({', '.join(self)})"


@dataclass(slots=True, eq=False)
class Reply:
    """An answer read whole."""

    status: int
    headers: Headers
    body: bytes
    framing: Framing

    def __repr__(self) -> str:
        return f"Reply({self.status}, {len(self.body)} bytes)"


@dataclass(slots=True, eq=False)
class StreamedReply:
    """An answer whose body is read as it comes."""

    status: int
    headers: Headers
    framing: Framing
    chunks: Callable[[], AsyncIterator[bytes | memoryview]]
    """The body, piece by piece, at the reader's pace. To be read once; raises the WireError that cut it short."""
    fill: Callable[[memoryview], Awaitable[int]]
    """Puts the next bytes of the body into memory; returns how many: fewer than there is room only at the end. May be
    used in turn with ``chunks``, not beside it; raises the same."""

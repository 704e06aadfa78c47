"""What comes back: an answer read whole, or read as it comes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Literal

Framing = Literal["none", "length", "chunked", "close"]
"""How the end of the body was known. ``close`` means that nothing proves it complete."""


Fields = Mapping[bytes, bytes]
"""Answer headers: lower-case names, values as they came; repeated ones are joined by ``", "``."""


@dataclass(slots=True, eq=False)
class Reply:
    """An answer read whole."""

    status: int
    fields: Fields
    body: bytes
    framing: Framing
    landed: int = 0
    """Bytes of the body that lie in the caller's memory; then there are no others."""

    def __repr__(self) -> str:
        return f"Reply({self.status}, {len(self.body)} bytes)"


@dataclass(slots=True, eq=False, repr=False)
class StreamedReply:
    """An answer whose body is read as it comes."""

    status: int
    fields: Fields
    framing: Framing
    chunks: Callable[[], AsyncIterator[bytes | memoryview]]
    """The body, piece by piece, at the reader's pace. To be read once; raises the WireError that cut it short."""
    fill: Callable[[memoryview], Awaitable[int]]
    """Puts the next bytes of the body into memory; returns how many: fewer than there is room only at the end. May be
    used in turn with ``chunks``, not beside it; raises the same."""

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
    """An answer read whole. ``resent``: the first connection was stale and the request went out a second time, so the
    server may have acted twice (a 412 to a conditional write may then speak of our own first write)."""

    status: int
    reason: str
    headers: Headers
    body: bytes
    framing: Framing
    resent: bool = False

    def __repr__(self) -> str:
        return f"Reply({self.status}, {len(self.body)} bytes)"


class StreamedReply:
    """An answer whose body is read as it comes."""

    __slots__ = ("_fill", "_pieces", "framing", "headers", "reason", "resent", "status")

    def __init__(
        self, head: Reply, pieces: AsyncIterator[bytes | memoryview], fill: Callable[[memoryview], Awaitable[int]]
    ) -> None:
        self.status = head.status
        self.reason = head.reason
        self.headers = head.headers
        self.framing = head.framing
        self.resent = head.resent
        self._pieces = pieces
        self._fill = fill

    def chunks(self) -> AsyncIterator[bytes | memoryview]:
        """The body, piece by piece, at the reader's pace. To be read once; raises the WireError that cut it short."""
        return self._pieces

    def fill(self, memory: memoryview) -> Awaitable[int]:
        """Put the next bytes of the body into ``memory``; comes to how many: fewer than there is room only at the end.
        May be used in turn with ``chunks``, not beside it; raises the same."""
        return self._fill(memory)

    def __repr__(self) -> str:
        return f"StreamedReply({self.status})"

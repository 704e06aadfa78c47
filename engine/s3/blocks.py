"""A byte stream cut into blocks, under a bandwidth cap and a memory claim."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from engine.model.facts import ObjectFacts
from engine.pacing.bytes_gate import BytesInFlight

Spend = Callable[[int], Awaitable[None]]
"""Waits until so many bytes may pass: the bandwidth cap."""


_PIECE = 1 << 20


class Blocks:
    """A stream cut into blocks of the size asked for."""

    def __init__(self, chunks: AsyncIterator[bytes | memoryview], spend: Spend | None) -> None:
        self._chunks = chunks
        self._spend = spend
        self._rest = b""
        self._ended = False

    async def take(self, nbytes: int) -> bytes:
        """The next ``nbytes`` bytes; fewer only at the end."""
        pieces: list[bytes] = []  # put together once: a buffer that grows is moved time and again
        wanted = nbytes
        while wanted and (self._rest or await self._more()):
            piece, self._rest = self._rest[:wanted], self._rest[wanted:]
            pieces.append(piece)
            wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def at_end(self) -> bool:
        """Whether nothing follows. Reads on to know: when it is true, the stream's own checks at its end have run."""
        return not self._rest and not await self._more()

    async def close(self) -> None:
        """Let go of the stream, read or not."""
        aclose = getattr(self._chunks, "aclose", None)
        if aclose is not None:
            await aclose()

    async def _more(self) -> bool:
        while not self._ended:
            chunk = await anext(self._chunks, None)
            if chunk is None:
                self._ended = True
            elif len(chunk):
                self._rest = bytes(chunk)  # the chunk is valid only until the next one is asked for
                if self._spend is not None:
                    await self._spend(len(self._rest))
                return True
        return False


class InMemory:
    """Fits ``pipeline/ports.py``'s ByteStream: bytes that are here already."""

    def __init__(self, facts: ObjectFacts, content: bytes) -> None:
        self.facts = facts
        self.whole: bytes | None = content
        self._content = content

    async def chunks(self) -> AsyncIterator[bytes | memoryview]:
        for start in range(0, len(self._content), _PIECE):
            yield self._content[start : start + _PIECE]


class Claim:
    """Bytes of the budget, held until released; releasing twice is harmless."""

    def __init__(self, budget: BytesInFlight, taken: int) -> None:
        self._budget = budget
        self._taken = taken

    @classmethod
    async def of(cls, budget: BytesInFlight, nbytes: int) -> Claim:
        return cls(budget, await budget.claim(nbytes))

    def release(self) -> None:
        taken, self._taken = self._taken, 0
        if taken:
            self._budget.release(taken)

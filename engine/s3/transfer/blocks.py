"""A byte stream cut into blocks of the size asked for, under a bandwidth cap."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from engine.model.byte_units import MIB
from engine.model.facts import ContentHeaders, ObjectFacts
from engine.model.ports import Fill
from engine.s3.api.answers import Bytes

Spend = Callable[[int], Awaitable[None]]
"""Waits until so many bytes may pass: the bandwidth cap."""
AskParts = Callable[[], Coroutine[Any, Any, Sequence[int]]]
"""Sizes of the parts that the object was made of; see ``ports.ByteStream``."""
_PIECE = MIB


class Blocks:
    """A stream cut into blocks of the size asked for."""

    def __init__(self, chunks: AsyncIterator[Bytes], spend: Spend | None, fill: Fill | None = None) -> None:
        """``fill`` puts the stream's bytes right where they are wanted, if it can."""
        self._chunks = chunks
        self._spend = spend
        self._put = fill
        self._rest = b""
        self._ended = False

    async def fill(self, memory: memoryview) -> memoryview:
        """Put the next bytes into ``memory``; returns the part that is filled: all of it, except at the end."""
        at = 0
        while at < len(memory):
            if self._rest:
                piece, self._rest = self._rest[: len(memory) - at], self._rest[len(memory) - at :]
                memory[at : at + len(piece)] = piece
                at += len(piece)
            elif self._put is not None:
                room = memory[at:] if self._spend is None else memory[at : at + _PIECE]
                came = await self._put(room)
                at += came
                if self._spend is not None and came:
                    await self._spend(came)
                if came < len(room):
                    break
            elif not await self._more():
                break
        return memory[:at]

    async def at_end(self) -> bool:
        """Whether nothing follows. It reads on to find out: if True, the stream's own checks at its end have run."""
        return not self._rest and not await self._more()

    async def close(self) -> None:
        """Close the stream, read or not."""
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
    """Fits ``ports.ByteStream``: bytes that are in memory already."""

    fill: Fill | None = None

    def __init__(self, facts: ObjectFacts, content: bytes, parts: AskParts | None = None) -> None:
        self.facts = facts
        self._parts = parts
        self.whole: bytes | None = content
        self._content = content

    async def parts(self) -> Sequence[int]:
        return () if self._parts is None else await self._parts()

    async def chunks(self) -> AsyncIterator[Bytes]:
        for start in range(0, len(self._content), _PIECE):
            yield self._content[start : start + _PIECE]


class OnDisk:
    """Fits ``ports.ByteStream``: a file that nobody writes to any more, read a piece at a time."""

    fill: Fill | None = None
    whole: bytes | None = None

    def __init__(self, path: Path, headers: ContentHeaders) -> None:
        """Raises OSError."""
        self.facts = ObjectFacts(path.stat().st_size, headers=headers)
        self._path = path

    async def parts(self) -> Sequence[int]:
        return ()

    async def chunks(self) -> AsyncIterator[Bytes]:
        with self._path.open("rb") as file:
            while piece := await asyncio.to_thread(file.read, _PIECE):
                yield piece

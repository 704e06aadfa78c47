"""A byte stream cut into blocks, under a bandwidth cap and a memory claim."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any

from engine.limiting.byte_budget import BytesInFlight
from engine.model.byte_units import MIB
from engine.model.facts import ObjectFacts
from engine.s3.api.answers import Bytes, Fill
from engine.s3.api.client import WHOLE

Spend = Callable[[int], Awaitable[None]]
"""Waits until so many bytes may pass: the bandwidth cap."""
AskParts = Callable[[], Coroutine[Any, Any, Sequence[int]]]
"""Sizes of the parts that the object was made of; see ``model/ports.py``."""


_PIECE = MIB
_LAZY = 8 * MIB
"""Bytes from which memory comes straight from the kernel, which clears each page when it is first written to: clearing
64 MiB at once stopped the loop for up to 200 ms."""


_OURS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Blocks:
    """A stream cut into blocks of the size asked for."""

    def __init__(self, chunks: AsyncIterator[Bytes], spend: Spend | None, fill: Fill | None = None) -> None:
        """``fill``: the stream's way of putting bytes where they are to be, if it has one."""
        self._chunks = chunks
        self._spend = spend
        self._put = fill
        self._rest = b""
        self._ended = False

    async def fill(self, memory: memoryview) -> memoryview:
        """The next bytes, put into ``memory``: returns what of it is filled, all but at the end."""
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
    """Fits ``model/ports.py``'s ByteStream: bytes that are here already."""

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


class Buffers:
    """Memory for blocks, used again and again: of fresh pages the kernel makes as much work as of copying into them.

    ``least`` bytes and more are worth it; up to ``idle`` bytes are kept for the next.
    """

    def __init__(self, least: int, idle: int) -> None:
        self._least = least
        self._room = idle
        self._idle: dict[int, list[bytearray | mmap.mmap]] = {}

    def size(self, nbytes: int) -> int:
        """How much memory is taken for so many bytes: whole units of ``least``, so that it fits the next as well."""
        return nbytes if nbytes < self._least else -(-nbytes // self._least) * self._least

    def take(self, nbytes: int) -> memoryview:
        """Memory of just so many bytes, whatever is in it."""
        size = self.size(nbytes)
        idle = self._idle.get(size)
        if idle:
            self._room += size
            return memoryview(idle.pop())[:nbytes]
        return memoryview(bytearray(size) if size < _LAZY else mmap.mmap(-1, size, flags=_OURS))[:nbytes]

    def give(self, memory: memoryview) -> None:
        """It is used no more."""
        whole = memory.obj
        if isinstance(whole, bytearray | mmap.mmap) and self._least <= len(whole) <= self._room:
            self._room -= len(whole)
            self._idle.setdefault(len(whole), []).append(whole)


class Room:
    """Memory for the first block of a stream, claimed before the stream is opened: no open body waits for memory.

    ``first`` tells how much a stream of so many bytes (None: it tells no length) begins with, ``by_parts`` whether more
    will follow. Of those only as many are under way at once as there are ``lanes``.
    """

    def __init__(
        self,
        budget: BytesInFlight,
        buffers: Buffers,
        lanes: asyncio.Semaphore,
        first: Callable[[int | None], int],
        by_parts: Callable[[int | None], bool],
    ) -> None:
        self._budget = budget
        self._buffers = buffers
        self._lanes = lanes
        self._first = first
        self._by_parts = by_parts
        self._taken = 0
        self._in_lane = False

    async def guess(self) -> None:
        """Claim a little, for a stream of which nothing is known yet."""
        self._taken = await self._budget.claim(WHOLE)

    async def wait_for(self, size: int | None) -> None:
        """Claim what a stream of this size begins with. Nothing may be open meanwhile."""
        self.release()
        if self._by_parts(size):
            self._in_lane = await self._lanes.acquire()
        self._taken = await self._budget.claim(self._wanted(size))

    async def fits(self, size: int | None) -> bool:
        """Claim just that in place of what was claimed, without waiting; False where there is no room for it now."""
        enters = self._by_parts(size) and not self._in_lane
        if enters and self._lanes.locked():
            return False
        taken = self._budget.trade(self._taken, self._wanted(size))
        if taken is None:
            return False
        self._taken = taken
        if enters:
            self._in_lane = await self._lanes.acquire()  # at once: it is not locked
        return True

    def memory(self, size: int | None) -> MemoryClaim:
        """What was claimed, to be filled."""
        taken, self._taken = self._taken, 0
        return MemoryClaim(self._budget, taken, self._buffers, self._first(size))

    def release(self) -> None:
        """Give back what is left of it; releasing twice is harmless."""
        if self._in_lane:
            self._in_lane = False
            self._lanes.release()
        taken, self._taken = self._taken, 0
        if taken:
            self._budget.release(taken)

    def _wanted(self, size: int | None) -> int:
        return self._buffers.size(self._first(size))


class MemoryClaim:
    """Memory for the next ``nbytes`` bytes, and as much of the budget. Held until released; releasing twice is
    harmless."""

    def __init__(self, budget: BytesInFlight, taken: int, buffers: Buffers, nbytes: int) -> None:
        self._budget = budget
        self._taken = taken
        self._buffers = buffers
        self._memory: memoryview | None = buffers.take(nbytes)

    @classmethod
    async def more(cls, budget: BytesInFlight, nbytes: int, buffers: Buffers) -> MemoryClaim:
        """The next one of a stream that has begun."""
        return cls(budget, await budget.claim(buffers.size(nbytes), more=True), buffers, nbytes)

    def narrow(self, nbytes: int) -> None:
        """Take no more than so many bytes into it."""
        assert self._memory is not None
        self._memory = self._memory[:nbytes]

    async def fill(self, blocks: Blocks) -> memoryview:
        """The next bytes, to be used until the release; fewer than claimed only at the end."""
        assert self._memory is not None
        return await blocks.fill(self._memory)

    def release(self) -> None:
        taken, self._taken = self._taken, 0
        if taken:
            self._budget.release(taken)
        memory, self._memory = self._memory, None
        if memory is not None:
            self._buffers.give(memory)

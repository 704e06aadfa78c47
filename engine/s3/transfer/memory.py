"""Memory for streams, within the byte budget: room for the first block before a stream is opened, then for the next.

No open body ever waits for memory. Whoever holds a claim needs no other one to finish, so streams cannot lock each
other out. At most as many streams go by parts at once as may have two parts each in memory.
"""

from __future__ import annotations

import asyncio
import mmap
from collections import OrderedDict

from engine.limiting.byte_budget import BytesInFlight
from engine.model.byte_units import MIB
from engine.s3.api.client import WHOLE
from engine.s3.transfer.blocks import Blocks
from engine.s3.transfer.parts import Sizes

_LAZY = 8 * MIB
"""Bytes from which memory comes straight from the kernel, which clears each page when it is first written to: clearing
64 MiB at once stopped the loop for up to 200 ms."""
_OURS = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS


class Buffers:
    """Memory for blocks, used again and again: fresh pages cost as much work as copying into them, and small memory is
    cleared before it is filled.

    Up to ``idle`` bytes are kept for later; what has been idle longest makes room.
    """

    def __init__(self, idle: int) -> None:
        self._room = idle
        self._idle: OrderedDict[int, list[bytearray | mmap.mmap]] = OrderedDict()

    def size(self, nbytes: int) -> int:
        """How much memory is taken for so many bytes: an eighth more at most, so that it fits others as well."""
        step = 1 << max(nbytes.bit_length() - 4, 0)
        return -(-nbytes // step) * step

    def take(self, nbytes: int) -> memoryview:
        """Memory of just so many bytes, whatever is in it."""
        size = self.size(nbytes)
        idle = self._idle.get(size)
        if idle:
            self._room += size
            self._idle.move_to_end(size)
            return memoryview(idle.pop())[:nbytes]
        return memoryview(bytearray(size) if size < _LAZY else mmap.mmap(-1, size, flags=_OURS))[:nbytes]

    def give(self, memory: memoryview) -> None:
        """Take back what ``take`` gave."""
        whole = memory.obj
        assert isinstance(whole, bytearray | mmap.mmap)
        size = len(whole)
        while size > self._room and (oldest := next(iter(self._idle), size)) != size:
            self._room += oldest * len(self._idle.pop(oldest))
        if 0 < size <= self._room:
            self._room -= size
            self._idle.setdefault(size, []).append(whole)
            self._idle.move_to_end(size)


class Memory:
    """What all streams into one bucket share: the byte budget, buffers, and lanes for those that go by parts.

    Beyond the budget at most a quarter as much is kept to be used again.
    """

    def __init__(self, budget: BytesInFlight, sizes: Sizes) -> None:
        self.budget = budget
        self.sizes = sizes
        self.buffers = Buffers(budget.capacity // 4)
        self.lanes = asyncio.Semaphore(max(1, budget.capacity // (2 * sizes.part)))

    def at_once(self, nbytes: int) -> MemoryClaim | None:
        """For a stream that is sent as one block, if there is room for it now."""
        taken = self.budget.trade(0, self.buffers.size(nbytes))
        return None if taken is None else MemoryClaim(self, taken, nbytes)

    async def more(self, nbytes: int) -> MemoryClaim:
        """For the next block of a stream that has begun."""
        return MemoryClaim(self, await self.budget.claim(self.buffers.size(nbytes), more=True), nbytes)


class Room:
    """Room for one stream to come: memory for its first block, and a lane where it goes by parts."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._taken = 0
        self._in_lane = False

    async def guess(self) -> None:
        """Claim a little, for a stream of which nothing is known yet."""
        self._taken = await self._memory.budget.claim(WHOLE)

    async def wait_for(self, size: int | None) -> None:
        """Claim what a stream of this size sends first. Nothing may be open meanwhile."""
        self.release()
        if self._memory.sizes.in_parts(size):
            self._in_lane = await self._memory.lanes.acquire()
        self._taken = await self._memory.budget.claim(self._wanted(size))

    async def fits(self, size: int | None) -> bool:
        """Claim just that in place of what was claimed, without waiting; False where there is no room for it now."""
        enters = self._memory.sizes.in_parts(size) and not self._in_lane
        if enters and self._memory.lanes.locked():
            return False
        taken = self._memory.budget.trade(self._taken, self._wanted(size))
        if taken is None:
            return False
        self._taken = taken
        if enters:
            self._in_lane = await self._memory.lanes.acquire()  # at once: it is not locked
        return True

    def first(self, size: int | None) -> MemoryClaim:
        """The memory that was claimed, for the first block."""
        taken, self._taken = self._taken, 0
        return MemoryClaim(self._memory, taken, self._memory.sizes.first(size))

    def release(self) -> None:
        """Give back what is left of it; releasing twice is harmless."""
        if self._in_lane:
            self._in_lane = False
            self._memory.lanes.release()
        taken, self._taken = self._taken, 0
        if taken:
            self._memory.budget.release(taken)

    def _wanted(self, size: int | None) -> int:
        return self._memory.buffers.size(self._memory.sizes.first(size))


class MemoryClaim:
    """Memory for the next ``nbytes`` bytes, and its share of the budget. Held until released; releasing twice is
    harmless."""

    def __init__(self, memory: Memory, taken: int, nbytes: int) -> None:
        self._memory = memory
        self._taken = taken
        self._view: memoryview | None = memory.buffers.take(nbytes)

    @property
    def memory(self) -> memoryview:
        """All of it. Not to be used behind the release."""
        assert self._view is not None
        return self._view

    def narrow(self, nbytes: int) -> None:
        """Take no more than so many bytes into it."""
        self._view = self.memory[:nbytes]

    async def fill(self, blocks: Blocks) -> memoryview:
        """The next bytes, to be used until the release; fewer than claimed only at the end."""
        return await blocks.fill(self.memory)

    def release(self) -> None:
        taken, self._taken = self._taken, 0
        if taken:
            self._memory.budget.release(taken)
        view, self._view = self._view, None
        if view is not None:
            self._memory.buffers.give(view)

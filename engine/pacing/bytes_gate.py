"""The byte budget: how much file content may be in memory at once, whoever holds it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class BytesInFlight:
    """A semaphore that counts bytes and serves strictly in order, so that a large claim is never starved by small ones.

    A claim above the whole capacity is served as if it were the capacity: it waits until it is alone.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("capacity must be at least one byte")
        self.capacity = capacity
        self.held = 0
        """Bytes claimed now."""
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    async def claim(self, nbytes: int) -> int:
        """Wait for room; returns what was really taken, to be given to ``release``. Cancelling it takes nothing."""
        wanted = min(nbytes, self.capacity)
        if not self._queue and self.held + wanted <= self.capacity:
            self.held += wanted
            return wanted
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (wanted, turn)
        self._queue.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(wanted)  # the room was given in the very tick of the cancellation
            else:
                self._queue.remove(entry)
                self._serve()
            raise
        return wanted

    def release(self, taken: int) -> None:
        """Give back what ``claim`` returned."""
        self.held -= taken
        self._serve()

    @asynccontextmanager
    async def holding(self, nbytes: int) -> AsyncIterator[None]:
        """Claim for the length of a block."""
        taken = await self.claim(nbytes)
        try:
            yield
        finally:
            self.release(taken)

    def _serve(self) -> None:
        while self._queue:
            wanted, turn = self._queue[0]
            if self.held + wanted > self.capacity:
                return
            self._queue.popleft()
            if not turn.done():
                self.held += wanted
                turn.set_result(None)

"""The byte budget: how much file content may be in memory at once, whoever holds it."""

from __future__ import annotations

import asyncio
from collections import deque

SMALL = 64
"""Claims of at most this part of the capacity are small."""
RESERVE = 8
"""This part of the capacity is never given to large claims."""


class BytesInFlight:
    """A semaphore that counts bytes and serves in order, so that small claims never starve a large one.

    Nor do large ones starve small ones: they leave an eighth of the capacity free, and within it small claims need not
    wait behind them. A claim for more than large ones may hold counts as exactly that much: it waits until it is alone.
    Claims for ``more``, of a file that has begun, wait in a line of their own: both lines are served in turns.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("capacity must be at least one byte")
        self.capacity = capacity
        self.held = 0
        """Bytes claimed now."""
        self._small = capacity // SMALL
        self._reserve = capacity // RESERVE if self._small else 0
        self._small_held = 0
        self._more: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._small_queue: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._turn_of_more = True

    async def claim(self, nbytes: int, *, more: bool = False) -> int:
        """Wait for room; returns how much was taken, for ``release``. Cancelled, it takes nothing."""
        wanted = self._most(nbytes)
        queue = self._small_queue if wanted <= self._small else self._more if more else self._queue
        if self._at_once(wanted):
            self._take(wanted)
            return wanted
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (wanted, turn)
        queue.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(wanted)  # it was granted in the very tick of the cancellation
            elif entry in queue:  # else it was skipped when it was cancelled already
                queue.remove(entry)
                self._serve()
            raise
        return wanted

    def release(self, taken: int) -> None:
        """Give back what ``claim`` returned."""
        self._drop(taken)
        self._serve()

    def trade(self, taken: int, nbytes: int) -> int | None:
        """Claim ``nbytes`` in place of what was taken, without waiting. None where there is no room now: what was taken
        is still held."""
        wanted = self._most(nbytes)
        self._drop(taken)
        done = wanted <= taken or self._at_once(wanted)
        self._take(wanted if done else taken)
        self._serve()
        return wanted if done else None

    def _most(self, nbytes: int) -> int:
        return min(nbytes, self.capacity - self._reserve)

    def _at_once(self, wanted: int) -> bool:
        waiting = self._small_queue if wanted <= self._small else self._queue or self._more
        return not waiting and self._fits(wanted)

    def _fits(self, wanted: int) -> bool:
        if self.held + wanted > self.capacity:
            return False
        if wanted <= self._small:
            return not (self._queue or self._more) or self._small_held + wanted <= self._reserve
        return self.held - self._small_held + wanted <= self.capacity - self._reserve

    def _take(self, wanted: int) -> None:
        self.held += wanted
        if wanted <= self._small:
            self._small_held += wanted

    def _drop(self, taken: int) -> None:
        self.held -= taken
        if taken <= self._small:
            self._small_held -= taken

    def _serve(self) -> None:
        while (queue := self._next()) is not None:
            wanted, turn = queue.popleft()
            if not turn.done():
                self._take(wanted)
                turn.set_result(None)
            if queue is not self._small_queue:
                self._turn_of_more = queue is self._queue

    def _next(self) -> deque[tuple[int, asyncio.Future[None]]] | None:
        """The queue whose first claim is next and has room; None where there is none."""
        first, second = (self._more, self._queue) if self._turn_of_more else (self._queue, self._more)
        for queue in (first or second, self._small_queue):
            if queue and self._fits(queue[0][0]):
                return queue
        return None

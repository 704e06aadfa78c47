"""A bounded hand-over that can end. ``close()`` never waits, so it is safe in a cancelled task.

``asyncio.Queue.shutdown`` does this from Python 3.13 on; we run on 3.11.
"""

from __future__ import annotations

import asyncio
from typing import Final, Generic, TypeVar

T = TypeVar("T")


class Ended(Exception):
    """The channel is closed and everything in it has been taken."""


class _End:
    pass


_END: Final = _End()


class Channel(Generic[T]):
    """``size`` items at most. The owner calls ``close()`` once all senders are done; readers drain it to its end."""

    def __init__(self, size: int) -> None:
        self._queue: asyncio.Queue[T | _End] = asyncio.Queue(size)
        self._closed = False

    def __len__(self) -> int:
        return self._queue.qsize()

    @property
    def full(self) -> bool:
        """Whether a sender would have to wait."""
        return self._queue.full()

    async def put(self, item: T) -> None:
        """Wait for room and hand over. Raises Ended when the channel was closed meanwhile."""
        if self._closed:
            raise Ended
        await self._queue.put(item)

    async def get(self) -> T:
        """The next item, in order. Raises Ended when there will be none."""
        if self._closed and self._queue.empty():
            raise Ended
        item = await self._queue.get()
        if self._closed and self._queue.empty():
            self._queue.put_nowait(_END)  # the last item taken: wake the next waiting reader
        if isinstance(item, _End):
            raise Ended
        return item

    def close(self) -> None:
        """No more items will come."""
        if not self._closed:
            self._closed = True
            if self._queue.empty():
                self._queue.put_nowait(_END)

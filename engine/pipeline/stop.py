"""Stop: the one way to ask a run to end early. Work in flight then finishes, or is cut at the drain limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Stop:
    """A request to stop, with its reason for the person and the exit code it will lead to. The first one wins."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason = ""
        self.exit_code = 0

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def request(self, reason: str, exit_code: int) -> None:
        if not self._event.is_set():
            self.reason, self.exit_code = reason, exit_code
            self._event.set()

    async def or_ended(self, work: asyncio.Future[Any]) -> None:
        """Wait until a stop is asked for, or the work has ended. The work goes on, whatever happens here."""
        stopped = asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()


class CutShort(Exception):
    """A stop was asked for, and the work did not end in time."""


async def unless_cut(work: Coroutine[Any, Any, T], stop: Stop, drain: Callable[[], Awaitable[None]] | None = None) -> T:
    """What the work comes to. Once a stop is asked for, the work is cancelled when ``drain`` has ended, or at once.

    Raises CutShort where that cut it, and what the work raises. When this returns, the work has ended.
    """
    task = asyncio.ensure_future(work)
    try:
        await stop.or_ended(task)
        if drain is not None and not task.done():
            limit = asyncio.ensure_future(drain())
            try:
                await asyncio.wait({task, limit}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                limit.cancel()
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    if task.cancelled():
        raise CutShort
    return task.result()

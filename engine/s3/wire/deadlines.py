"""Deadlines by the Clock port for the rare, slow steps. A sweep enforces them all: no timer for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Deadlines:
    """Blocks that must end in time, to the resolution of the caller's sweeps."""

    __slots__ = ("_running",)

    def __init__(self) -> None:
        self._running: dict[asyncio.Timeout, float] = {}

    def __bool__(self) -> bool:
        return bool(self._running)

    @asynccontextmanager
    async def until(self, due: float) -> AsyncIterator[None]:
        """Raise TimeoutError inside the block at the first sweep after ``due`` (monotonic seconds)."""
        async with asyncio.timeout(None) as scope:
            self._running[scope] = due
            try:
                yield
            finally:
                self._running.pop(scope, None)

    def sweep(self, now: float) -> None:
        """End the blocks whose deadline has passed."""
        for scope in [scope for scope, due in self._running.items() if now >= due]:
            del self._running[scope]
            scope.reschedule(asyncio.get_running_loop().time())

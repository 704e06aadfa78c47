"""Clocks for tests: time moves only when the test, or the driver, says so."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta


class ManualClock:
    """Sleepers wait until ``advance`` carries time past their due moment."""

    def __init__(self, start: float = 1000.0, seed: int = 1) -> None:
        self._now = start
        self._random = random.Random(seed)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 11, 22, 10, 0, tzinfo=UTC) + timedelta(seconds=self._now - 1000.0)

    def monotonic(self) -> float:
        return self._now

    def random(self) -> float:
        return self._random.random()

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._order), future))
        await future

    def advance(self, seconds: float) -> None:
        """Move time and wake everyone who is due."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, future = heapq.heappop(self._sleepers)
            if not future.done():
                future.set_result(None)

    def next_due(self) -> float | None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)
        return self._sleepers[0][0] if self._sleepers else None

    @asynccontextmanager
    async def running(self, patience: int = 30, quiet: Callable[[], bool] = lambda: True) -> AsyncIterator[ManualClock]:
        """Time flies by itself: whenever the loop has turned ``patience`` times, jump to the next sleeper.

        Not before it is ``quiet``: what goes by real sockets and threads has arrived.
        """

        async def drive() -> None:
            while True:
                for _ in range(patience):
                    await asyncio.sleep(0)
                due = self.next_due()
                if due is not None and quiet():
                    self.advance(max(0.0, due - self._now))

        driver = asyncio.create_task(drive())
        try:
            yield self
        finally:
            driver.cancel()

"""The Clock port: the only door to time, sleep and chance, so that the whole engine can run in a simulated world."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the engine may know of time and chance."""

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC. May jump; never use it for deadlines."""
        ...

    def monotonic(self) -> float:
        """Seconds that only ever grow, from an arbitrary start."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds; cancellable."""
        ...

    def random(self) -> float:
        """A number in [0, 1): jitter and sampling draw from here."""
        ...


class SystemClock:
    """The real clock."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed)

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        from asyncio import sleep  # status reads the clock too, and need not wait for the event loop's modules

        await sleep(seconds)

    def random(self) -> float:
        return self._random.random()


def iso(moment: datetime) -> str:
    """UTC ISO-8601 with milliseconds and ``Z``: ``2026-11-22T10:00:00.000Z``. The form of every timestamp we store."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"

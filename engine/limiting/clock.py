"""The Clock port: the only way to time, sleep and chance, so that the whole engine can run in a simulated world."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Time and chance, for the engine."""

    def now(self) -> datetime:
        """Wall-clock time, aware, UTC. May jump; never use it for deadlines."""
        ...

    def monotonic(self) -> float:
        """Seconds since an arbitrary start; they never go back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so many seconds; cancellable."""
        ...

    def random(self) -> float:
        """A number in [0, 1), for jitter and samples."""
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
        from asyncio import sleep  # `engine status` needs a clock, but should not wait for asyncio

        await sleep(seconds)

    def random(self) -> float:
        return self._random.random()


DAY_AND_TIME, MINUTE, TIME = "%Y-%m-%d %H:%M:%S %Z", "%Y-%m-%d %H:%M %Z", "%H:%M:%S %Z"


def for_people(moment: datetime | str, form: str = DAY_AND_TIME) -> str:
    """In this machine's zone, with its name; files hold UTC.

    ``moment``: aware, or as ``iso`` writes it. What is no time stays as it is.
    """
    try:
        aware = datetime.fromisoformat(moment) if isinstance(moment, str) else moment
    except ValueError:
        return str(moment)
    return aware.astimezone().strftime(form)


def iso(moment: datetime) -> str:
    """UTC ISO-8601 with milliseconds and ``Z``: ``2026-11-22T10:00:00.000Z``. Every timestamp that we store."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:23] + "Z"

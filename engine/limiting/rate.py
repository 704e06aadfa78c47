"""When the next request may go: so many a second, with small bursts, and none during a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import inf

from engine.limiting.clock import Clock

BURST_S = 0.01
"""How much unused rate may be made up for at once, in seconds."""
TICK_S = 0.002
"""The shortest sleep before the next request."""


class Rate:
    """``serve`` is called when a request may go that ``admits`` has held back."""

    __slots__ = ("_clock", "_due", "_held_back", "_per_second", "_serve", "_timer", "active")

    def __init__(self, clock: Clock, serve: Callable[[], None]) -> None:
        self._clock = clock
        self._serve = serve
        self._per_second = inf
        self._due = 0.0
        """When the next request may go."""
        self.active = False
        """Whether ``admits`` must be asked: while this is False, a request costs no look at the clock."""
        self._held_back = False
        self._timer: asyncio.Task[None] | None = None

    def limit(self, per_second: float) -> None:
        self._per_second = per_second
        self.active = self.active or per_second < inf

    def pause(self, seconds: float) -> None:
        """Let nobody through for so long."""
        self._due = max(self._due, self._clock.monotonic() + seconds)
        self.active = True

    def admits(self) -> bool:
        """Take one request's worth of the rate, if it is there."""
        now = self._clock.monotonic()
        if self._due > now:
            return False
        if self._per_second == inf:
            self.active = False  # it was a pause, and it is over
        else:
            self._due = max(self._due, now - BURST_S) + 1 / self._per_second
        return True

    def hold_back(self) -> None:
        """Somebody waits for the rate: call ``serve`` in time."""
        self._held_back = True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().create_task(self._in_time(), name="limiter")

    def nobody_waits(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _in_time(self) -> None:
        """Ends when nobody waits for the rate."""
        try:
            while self._held_back:
                self._held_back = False
                await self._clock.sleep(max(TICK_S, self._due - self._clock.monotonic()))
                self._serve()
        finally:
            if self._timer is asyncio.current_task():
                self._timer = None

"""A bandwidth cap: a token bucket that hands out waiting times."""

from __future__ import annotations

from engine.limiting.clock import Clock


class Bandwidth:
    """At most ``bytes_per_s`` on average, with bursts of up to a quarter of a second.

    A spender takes its bytes at once and sleeps off the debt: no queue, no lock, fair by arrival. ``None``: no cap.
    """

    BURST_S = 0.25

    def __init__(self, bytes_per_s: float | None, clock: Clock) -> None:
        self._rate = bytes_per_s
        self._clock = clock
        self._free_at = clock.monotonic()

    def debt_s(self, count: int) -> float:
        """Book ``count`` bytes; return how long the spender has to wait, in seconds."""
        if self._rate is None:
            return 0.0
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now - self.BURST_S) + count / self._rate
        return max(0.0, self._free_at - now)

    async def spend(self, count: int) -> None:
        """Wait until ``count`` more bytes may pass."""
        wait = self.debt_s(count)
        if wait > 0:
            await self._clock.sleep(wait)

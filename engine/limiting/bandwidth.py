"""A bandwidth limit: a token bucket that says how long to wait."""

from __future__ import annotations

from engine.limiting.clock import Clock


class Bandwidth:
    """At most ``bytes_per_s`` on average, with bursts of up to a quarter of a second.

    Whoever sends takes its bytes at once and sleeps until they are paid: no queue, no lock, in order of arrival.
    ``None``: no limit.
    """

    BURST_S = 0.25

    def __init__(self, bytes_per_s: float | None, clock: Clock) -> None:
        self._whole = self._rate = bytes_per_s
        self._clock = clock
        self._free_at = clock.monotonic()

    def share(self, workers: int) -> None:
        """From now on no more than one part of ``workers`` equal ones."""
        self._rate = None if self._whole is None else self._whole / workers

    def debt_s(self, count: int) -> float:
        """Take ``count`` bytes; returns how long to wait before they are sent, in seconds."""
        if self._rate is None:
            return 0.0
        now = self._clock.monotonic()
        self._free_at = max(self._free_at, now - self.BURST_S) + count / self._rate
        return max(0.0, self._free_at - now)

    async def spend(self, count: int) -> None:
        """Wait until ``count`` more bytes may be sent."""
        wait = self.debt_s(count)
        if wait > 0:
            await self._clock.sleep(wait)

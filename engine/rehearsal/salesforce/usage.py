"""What an org allows: calls per rolling day, and long calls at the same time."""

from __future__ import annotations

from collections import deque

from engine.rehearsal.salesforce.clock import OrgClock
from engine.rehearsal.salesforce.wire import ApiError

_DAY_S = 86_400.0
_GRAIN_S = 60.0
LONG_CALL_S = 20.0


class Usage:
    """API calls of the last 24 hours of the org's clock, counted in minutes."""

    def __init__(self, clock: OrgClock, daily_max: int) -> None:
        self._clock = clock
        self.daily_max = daily_max
        self._minutes: deque[tuple[float, int]] = deque()
        self._used = 0

    def used(self) -> int:
        """Calls in the last day."""
        now = self._clock.now().timestamp()
        while self._minutes and self._minutes[0][0] + _GRAIN_S <= now - _DAY_S:
            self._used -= self._minutes.popleft()[1]
        return self._used

    def spend(self, calls: int = 1) -> None:
        """Count calls; raises ApiError 403 when the day's allowance is gone."""
        if self.used() >= self.daily_max:
            raise daily_limit()
        minute = self._clock.now().timestamp() // _GRAIN_S * _GRAIN_S
        calls_before = self._minutes.pop()[1] if self._minutes and self._minutes[-1][0] == minute else 0
        self._minutes.append((minute, calls_before + calls))
        self._used += calls

    def set_used(self, calls: int) -> None:
        """Pretend that so many calls were made just now."""
        self._minutes = deque([(self._clock.now().timestamp() // _GRAIN_S * _GRAIN_S, calls)])
        self._used = calls

    def header(self, *, exhausted: bool = False) -> str:
        """``Sforce-Limit-Info``."""
        used = max(self.used(), self.daily_max) if exhausted else self.used()
        return f"api-usage={used}/{self.daily_max}"


def daily_limit() -> ApiError:
    """The day's calls are used up."""
    return ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")


def concurrent_limit() -> ApiError:
    """Too many calls of twenty seconds and more at the same time."""
    return ApiError(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.")

"""Salesforce's clock, by the Date of its answers. Between answers it goes on by this machine's monotonic clock, which
never jumps; what the machine's wall clock says may be wrong by hours.

A Date has whole seconds, and an answer takes its time: so the org's time is only known to lie between two bounds.
"""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

from engine.limiting.clock import Clock

_GRAIN_S = 1.0
_GOOD_FOR_S = 600.0
"""How long a bound is kept when later answers give wider ones: clocks do not run at quite the same speed."""


class _Bound(NamedTuple):
    """The org's time, less the monotonic clock, in seconds. Learned at ``at`` of that, ``wall`` of the wall clock."""

    ahead: float
    at: float
    wall: float


class ServerTime:
    """Without any Date it is the wall clock of this machine: there is nothing better."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.date: datetime | None = None
        """The last Date."""
        self._low = self._high = _Bound(0.0, 0.0, 0.0)

    def note(self, date: str, asked: float) -> None:
        """An answer carries this Date; its request was sent at ``asked``, of the monotonic clock."""
        try:
            parsed = parsedate_to_datetime(date)
        except ValueError:
            return
        told = (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp()
        heard, wall, first = self._clock.monotonic(), self._clock.now().timestamp(), self.date is None
        self.date = datetime.fromtimestamp(told, UTC)
        low, high = (_Bound(told - heard, heard, wall), _Bound(told + _GRAIN_S - asked, heard, wall))
        if first or low.ahead > self._low.ahead or heard - self._low.at > _GOOD_FOR_S:
            self._low = low
        if first or high.ahead < self._high.ahead or heard - self._high.at > _GOOD_FOR_S:
            self._high = high

    def earliest(self) -> datetime:
        """The org's time, or up to some seconds before it; never later."""
        if self.date is None:
            return self._clock.now()
        return datetime.fromtimestamp(self._clock.monotonic() + self._low.ahead, UTC)

    def stamp(self) -> datetime:
        """What to write down as now: what the wall clock says, as far as the org's answers allow it. Less than two
        seconds before the org's time, if at all."""
        now = self._clock.now()
        if self.date is None:
            return now
        wall, monotonic = now.timestamp(), self._clock.monotonic()
        # the wall clock goes on while a machine sleeps, the monotonic one does not
        asleep = max(0.0, (wall - self._high.wall) - (monotonic - self._high.at))
        latest = monotonic + self._high.ahead + asleep
        return datetime.fromtimestamp(min(max(wall, latest - 2 * _GRAIN_S), latest), UTC)

    def here(self, moment: datetime) -> datetime:
        """A moment of the org's clock, by the wall clock of this machine."""
        return self._clock.now() + (moment - self.earliest())

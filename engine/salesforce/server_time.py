"""Salesforce's clock, by the Date of its answers. Between answers it goes on by this machine's monotonic clock, which
never jumps; what the machine's wall clock says may be wrong by hours.

A Date has whole seconds, and an answer takes its time: so the org's time is only known to lie between two bounds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from engine.limiting.clock import Clock

GRAIN = timedelta(seconds=1)


class ServerTime:
    """Without any Date it is the wall clock of this machine: there is nothing better."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.date: datetime | None = None
        """The last Date."""
        self._asked = self._heard = 0.0
        self._wall = clock.now()

    def note(self, date: str, asked: float) -> None:
        """An answer carries this Date; its request was sent at ``asked``, of the monotonic clock."""
        try:
            self.date = parsedate_to_datetime(date).astimezone(UTC)
        except ValueError:
            return
        self._asked, self._heard, self._wall = asked, self._clock.monotonic(), self._clock.now()

    def earliest(self) -> datetime:
        """The org's time, or up to some seconds before it; never later."""
        if self.date is None:
            return self._clock.now()
        return self.date + timedelta(seconds=self._clock.monotonic() - self._heard)

    def stamp(self) -> datetime:
        """What to write down as now: what the wall clock says, as far as the org's answers allow it. Less than two
        seconds before the org's time, if at all."""
        wall = self._clock.now()
        if self.date is None:
            return wall
        # the wall clock goes on while a machine sleeps, the monotonic one does not
        passed = max(timedelta(seconds=self._clock.monotonic() - self._asked), wall - self._wall)
        latest = self.date + GRAIN + passed
        return min(max(wall, latest - 2 * GRAIN), latest)

    def here(self, moment: datetime) -> datetime:
        """A moment of the org's clock, by the wall clock of this machine."""
        return self._clock.now() + (moment - self.earliest())

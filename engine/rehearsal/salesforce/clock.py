"""The org's own time: the real clock plus whatever a rehearsal has skipped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from engine.limiting.clock import Clock


class OrgClock:
    """``now()`` can be pushed ahead; waiting and chance come from the clock below."""

    def __init__(self, below: Clock) -> None:
        self._below = below
        self._skipped = timedelta()

    def now(self) -> datetime:
        """Aware, UTC, including what was skipped."""
        return self._below.now() + self._skipped

    def advance(self, seconds: float) -> None:
        """Skip ahead so many seconds."""
        self._skipped += timedelta(seconds=seconds)

    def monotonic(self) -> float:
        """Seconds of real running time; skipping does not move it."""
        return self._below.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait so many real seconds."""
        await self._below.sleep(seconds)

    def random(self) -> float:
        """A number in [0, 1)."""
        return self._below.random()


def stamp(moment: datetime) -> str:
    """The form of every dateTime in REST answers, whole seconds: ``2013-05-07T22:07:19.000+0000``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def from_stamp(text: str) -> datetime:
    """Aware UTC moment of an ISO text with any offset; one without an offset counts as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)

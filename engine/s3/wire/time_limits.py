"""The time limits of the exchange in flight: when its answer must be whole, and how long nothing may move."""

from __future__ import annotations

import math

from engine.s3.wire.errors import TimedOut
from engine.s3.wire.exchange import Exchange

REFUSAL_S = 60.0
"""Seconds within which an answer of status 300 or more must be whole, whatever the request itself may take."""


class TimeLimits:
    """Enforced by looking at them a few times a second, with no timer for each request.

    The answer is due later by a second for every ``pace`` bytes of it that came and, given a pace, by the time in which
    nobody here takes them.
    """

    __slots__ = ("_checked", "_due", "_pace", "_quiet_since", "_seen", "began")

    def __init__(self) -> None:
        self.begin(0.0, math.inf, math.inf)

    def begin(self, now: float, due: float, pace: float) -> None:
        """For the next exchange."""
        self.began = self._checked = self._quiet_since = now
        self._due = due
        self._pace = pace
        self._seen = (0, 0)

    def passed(self, exchange: Exchange, now: float, *, read_s: float, unsent: int, ours: bool) -> TimedOut | None:
        """The error, if a limit has passed. ``unsent``: bytes that wait to be sent. ``ours``: we have stopped reading,
        and that is no silence of the peer's."""
        if ours and self._pace != math.inf:
            self._due += now - self._checked
        self._checked = now
        due = self._due + exchange.received / self._pace
        if exchange.refuses:
            self._due = due = min(due, now + REFUSAL_S)
            self._pace = math.inf
        if now >= due:
            return TimedOut(f"no whole answer within {due - self.began:.1f} s")
        seen = (exchange.received, unsent)
        if seen != self._seen or ours:
            self._seen = seen
            self._quiet_since = now
        elif now - self._quiet_since >= read_s:
            return TimedOut(f"no byte moved for {read_s:.1f} s")
        return None

"""The limiter of one host: every request passes through it, one by one, in order; refusals narrow it, calm widens it.

What to allow is decided in ``pace.py``; here is the queue. While nobody has to wait, passing costs a few counters.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

from engine.limiting.aimd import Aimd, Window, eased, measured, measuring_s, timed_out, widened
from engine.limiting.clock import Clock

START = 32
"""Requests in flight to begin with."""
BURST_S = 0.01
"""How much unused rate may be made up for at once, in seconds."""
TICK_S = 0.002
"""The shortest nap of whoever lets requests through on time."""
MANY = 20
"""Accepted requests that are enough to tell a rate from, in less than a second."""
STRAY = 0.04
"""Refusals beside accepted requests that need no further cut right after one."""
STALE_S = 2.0
"""A window that took longer had too little in it."""
REVIEW = 16
"""Answers between two looks at the pace, at most."""
LARGE_SHARE = 4
"""Parts of large files hold at most one slot in so many while small files wait."""


class Limiter:
    """Bounds the requests to one host. ``most``: requests in flight at most, whatever the host would take.

    Each request: ``enter`` (or ``await turn`` where that gives 0), then exactly one of ``passed``, ``refused``,
    ``timed_out`` and ``left``, with the ticket. ``large`` marks parts of large files: at most a quarter of the slots
    while others wait, so that neither kind starves.
    """

    def __init__(self, clock: Clock, *, most: int, start: int = START) -> None:
        self._clock = clock
        self.most = most
        self.pace = Aimd(limit=float(min(start, most)))
        self.in_flight = 0
        self.reading = 0
        """Bodies being read of requests that have been answered: they bind nobody else, but take time at the host."""
        self.large = 0
        """How many of those in flight are large."""
        self.refusals = 0
        self.timeouts = 0
        self._slots = self.pace.slots
        self._last = 0  # tickets given
        self._arrivals = 0
        self._metered = False  # a rate or a pause must be heeded: passing needs a look at the clock
        self._due = 0.0  # when the next request may go
        self._line: deque[_Waiter] = deque()
        self._large_line: deque[_Waiter] = deque()
        self._pump: asyncio.Task[None] | None = None
        self._waits_for_rate = False
        self._timed = 1  # the ticket whose round trip is measured
        self._timed_from = inf
        self._latency = 0.0
        self._enough = 1  # answers until the next review
        self._accepted = 0  # in the present window, as the next three
        self._refused = 0
        self._crowded = False
        self._paced = False
        self._since = clock.monotonic()
        self._cut_ticket = 0  # refusals of requests up to this one have been answered
        self._troubled = False  # refused again since the cut: measuring
        self._pause_s = 0.0

    @property
    def limit(self) -> int:
        """Requests in flight that are allowed now."""
        return self._slots

    @property
    def rate(self) -> float | None:
        """Requests a second that are allowed now; None: any."""
        return None if self.pace.rate == inf else self.pace.rate

    @property
    def waiting(self) -> int:
        return len(self._line) + len(self._large_line)

    # passing

    def enter(self) -> int:
        """A ticket, if a small request may go at once; 0: ``await turn()``."""
        if (
            self.in_flight < self._slots
            and not self._line
            and not self._large_line
            and (not self._metered or self._may_go())
        ):
            self.in_flight += 1
            self._last = ticket = self._last + 1
            if ticket == self._timed:
                self._timed_from = self._clock.monotonic()
            return ticket
        return 0

    async def turn(self, *, large: bool = False) -> int:
        """Wait for a ticket, in order. Cancelling it takes nothing."""
        waiter = _Waiter(asyncio.get_running_loop().create_future(), large)
        self._arrivals = waiter.arrival = self._arrivals + 1
        (self._large_line if large else self._line).append(waiter)
        self._serve()
        try:
            return await waiter.turn
        except asyncio.CancelledError:
            if waiter.turn.done() and not waiter.turn.cancelled():
                self.left(waiter.turn.result(), large=large)  # it was let in in the very tick of the cancellation
            else:
                (self._large_line if large else self._line).remove(waiter)
                self._serve()
            if self._pump is not None and not self.waiting:
                self._pump.cancel()
                self._pump = None
            raise

    def passed(self, ticket: int, *, large: bool = False) -> None:
        """The host did as asked, or said no for reasons of its own."""
        self._accepted += 1
        if ticket == self._timed:
            self._time(large)
        self._out(large)
        if self._accepted >= self._enough:
            self._review()

    def refused(self, ticket: int, *, retry_after_s: float | None = None, large: bool = False) -> None:
        """The host said that this is too much (503, 429). ``retry_after_s`` shuts the limiter for everybody so long."""
        self.refusals += 1
        if retry_after_s:
            self._due = max(self._due, self._clock.monotonic() + retry_after_s)
            self._pause_s = retry_after_s
            self._metered = True
        if ticket > self._cut_ticket:
            self._refused += 1
            self._trouble()
        self._out(large)

    def timed_out(self, ticket: int, *, large: bool = False) -> None:
        """No answer came in time: narrower at once, but once per round trip."""
        self.timeouts += 1
        if ticket > self._cut_ticket:
            self._cut(timed_out(self.pace))
        self._out(large)

    def left(self, ticket: int, *, large: bool = False) -> None:
        """It ended in a way that says nothing of the host."""
        del ticket
        self._out(large)

    def _out(self, large: bool) -> None:
        self.in_flight -= 1
        if large:
            self.large -= 1
        if self._line or self._large_line:
            self._serve()

    # letting in

    def _serve(self) -> None:
        """Let in whoever may go now; see to it that the next one is let in when its time comes."""
        while self._line or self._large_line:
            if self.in_flight >= self._slots:
                self._crowded = True
                return
            line = self._next_line()
            if line is None:
                self._crowded = True
                return
            if self._metered and not self._may_go():
                self._paced = self._waits_for_rate = True
                if self._pump is None:
                    self._pump = asyncio.get_running_loop().create_task(self._in_time(), name="limiter")
                return
            waiter = line.popleft()
            if waiter.turn.done():
                continue  # cancelled in this very tick
            self.in_flight += 1
            if waiter.large:
                self.large += 1
            self._last = ticket = self._last + 1
            if ticket == self._timed:
                self._timed_from = self._clock.monotonic()
            waiter.turn.set_result(ticket)

    def _next_line(self) -> deque[_Waiter] | None:
        """Whose turn it is: the longer wait, unless large files have their share."""
        if not self._large_line:
            return self._line
        if not self._line:
            return self._large_line
        if self.large >= max(1, self._slots // LARGE_SHARE):
            return self._line
        return self._line if self._line[0].arrival < self._large_line[0].arrival else self._large_line

    def _may_go(self) -> bool:
        """Take one request's worth of the rate, if it is there."""
        now = self._clock.monotonic()
        if self._due > now:
            return False
        if self.pace.rate == inf:
            self._metered = False  # it was a pause, and it is over
        else:
            self._due = max(self._due, now - BURST_S) + 1 / self.pace.rate
        return True

    async def _in_time(self) -> None:
        """Lets in whoever waits for the rate; ends when nobody does."""
        try:
            while self._waits_for_rate:
                self._waits_for_rate = False
                await self._clock.sleep(max(TICK_S, self._due - self._clock.monotonic()))
                self._serve()
        finally:
            if self._pump is asyncio.current_task():
                self._pump = None

    # learning

    def _time(self, large: bool) -> None:
        took = self._clock.monotonic() - self._timed_from
        if not large:
            self._latency = took if self._latency == 0 else self._latency * 0.75 + took * 0.25
        self._timed, self._timed_from = self._last + 1, inf

    def _trouble(self) -> None:
        if not self._troubled:
            now = self._clock.monotonic()
            if self.pace.rate < inf and (self._pause_s or self.pace.hold_s <= 0):
                self._cut(eased(self.pace, self._seen(now), pause_s=self._pause_s))
                return
            if now - self._since > self._wanted():
                self._begin(now)  # what was accepted before the first refusal tells of the host's reserves
                self._refused = 1
        self._troubled = True
        self._review()

    def _review(self) -> None:
        if not (self._crowded or self._paced or self._troubled) and self.pace.fresh:
            self._accepted = 0  # nobody waits: nothing to learn
            return
        now = self._clock.monotonic()
        seen = self._seen(now)
        if self._troubled:
            if seen.seconds > max(STALE_S, 3 * self._wanted()) + self._pause_s:
                self._calm(now)  # hardly anybody asked meanwhile
            elif seen.seconds >= self._wanted() and (
                seen.seconds >= 1 or (seen.accepted or seen.refused) >= MANY  # enough accepted, or a storm
            ):
                if seen.refused > max(1, STRAY * seen.accepted) or not seen.accepted:
                    self._cut(measured(self.pace, seen))
                else:
                    self._calm(now)
            return
        if now - self._timed_from > STALE_S:
            self._timed, self._timed_from = self._last + 1, inf
        self._begin(now)
        self._apply(widened(self.pace, seen, self.most))

    def _wanted(self) -> float:
        return measuring_s(self.pace, self._latency)

    def _calm(self, now: float) -> None:
        """The refusals since the cut were strays."""
        self._troubled = False
        self._pause_s = 0.0
        self._begin(now)

    def _seen(self, now: float) -> Window:
        return Window(now - self._since, self._accepted, self._refused, self._latency, self._crowded, self._paced)

    def _cut(self, pace: Aimd) -> None:
        now = self._clock.monotonic()
        self._cut_ticket = self._last
        if self._timed <= self._last:
            self._timed, self._timed_from = self._last + 1, inf
        self._troubled = False
        self._pause_s = 0.0
        self._apply(pace)
        self._begin(now)
        self._metered = self._metered or pace.rate < inf

    def _begin(self, now: float) -> None:
        """A new window."""
        self._since = now
        self._accepted = self._refused = 0
        self._crowded = self._paced = False
        self._enough = max(1, min(REVIEW, self._slots // 4))

    def _apply(self, pace: Aimd) -> None:
        self.pace = pace
        wider, self._slots = pace.slots > self._slots, pace.slots
        if wider and (self._line or self._large_line):
            self._serve()


class _Waiter:
    __slots__ = ("arrival", "large", "turn")

    def __init__(self, turn: asyncio.Future[int], large: bool) -> None:
        self.turn = turn
        self.large = large
        self.arrival = 0

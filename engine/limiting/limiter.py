"""The adaptive limiter of one host: every request passes through it, in order; refusals narrow it, calm widens it.

| file          | its part                                                            |
|---------------|---------------------------------------------------------------------|
| `limiter.py`  | the queue: who may go now, who waits                                |
| `rate.py`     | when the next request may go: requests a second, pauses             |
| `feedback.py` | what the answers say, window by window                              |
| `aimd.py`     | the policy: from a window to what is allowed next                   |

While nobody has to wait, passing costs a few counters.
"""

from __future__ import annotations

import asyncio
from collections import deque
from math import inf

from engine.limiting.clock import Clock
from engine.limiting.feedback import Feedback, Tickets
from engine.limiting.rate import Rate
from engine.model.errors import Refused, Transient
from engine.model.failures import FailureClass

START = 32
"""Requests in flight to begin with."""
LARGE_SHARE = 4
"""Parts of large files hold at most one slot in so many while small files wait."""


class Limiter:
    """Bounds the requests to one host. ``most``: requests in flight at most, whatever the host would take. ``of``: how
    many limiters, in as many processes, share that host: each begins with its part, and judges from fewer answers.

    Each request: ``enter`` (or ``await turn`` where that gives 0), then exactly one of ``passed``, ``refused``,
    ``timed_out`` and ``left``, with the ticket. ``large`` marks parts of large files: at most a quarter of the slots
    while others wait, so that neither kind starves.
    """

    def __init__(self, clock: Clock, *, most: int, start: int = START, of: int = 1) -> None:
        self._queue = _Queue()
        self._rate = Rate(clock, self._serve)
        self._tickets = Tickets(clock)
        self._feedback = Feedback(clock, self._tickets, most=most, start=max(1, start // of), of=of)
        self._slots = self._feedback.policy.slots
        self.in_flight = 0
        self.large = 0
        """How many of those in flight are large."""
        self.reading = 0
        """Bodies being read of requests that have been answered: they hold no slot, but take time at the host."""
        self.refusals = 0
        self.timeouts = 0

    @property
    def limit(self) -> int:
        """Requests in flight that are allowed now."""
        return self._slots

    @property
    def most(self) -> int:
        """Requests in flight at most, as the settings say."""
        return self._feedback.most

    def share(self, most: int) -> None:
        """From now on so many requests in flight at most: others use the rest."""
        if most != self._feedback.most:
            self._feedback.bound(most)
            self._follow()

    @property
    def rate(self) -> float | None:
        """Requests a second that are allowed now; None: any."""
        rate = self._feedback.policy.rate
        return None if rate == inf else rate

    @property
    def waiting(self) -> int:
        return self._queue.length

    def enter(self) -> int:
        """A ticket, if a small request may go at once; 0: ``await turn()``."""
        if self.in_flight < self._slots and not self._queue.length and (not self._rate.active or self._rate.admits()):
            self.in_flight += 1
            tickets = self._tickets
            tickets.last = ticket = tickets.last + 1  # ``Tickets.next`` without its call: this is the hot path
            if ticket == tickets.timed:
                tickets.begin()
            return ticket
        return 0

    async def turn(self, *, large: bool = False) -> int:
        """Wait for a ticket, in order. Cancelling it takes nothing."""
        waiter = self._queue.join(large=large)
        self._serve()
        try:
            return await waiter.ticket
        except asyncio.CancelledError:
            if waiter.ticket.done() and not waiter.ticket.cancelled():
                self.left(waiter.ticket.result(), large=large)  # it came in the very tick of the cancellation
            else:
                self._queue.leave(waiter)
                self._serve()
            if not self._queue.length:
                self._rate.nobody_waits()
            raise

    def passed(self, ticket: int, *, large: bool = False) -> None:
        """The host did as asked, or refused for reasons of its own."""
        feedback = self._feedback
        window = feedback.window
        window.accepted += 1
        if ticket == self._tickets.timed:
            self._tickets.end(large=large)
        self.in_flight -= 1
        if large:
            self.large -= 1
        if self._queue.length:
            self._serve()
        if window.accepted >= feedback.enough:
            feedback.review()
            self._follow()

    def refused(self, ticket: int, *, retry_after_s: float | None = None, large: bool = False) -> None:
        """The host said that this is too much (503, 429). ``retry_after_s`` shuts the limiter for everybody so long."""
        self.refusals += 1
        if retry_after_s:
            self._rate.pause(retry_after_s)
        self._feedback.refused(ticket, retry_after_s)
        self._follow()
        self.left(ticket, large=large)

    def timed_out(self, ticket: int, *, large: bool = False) -> None:
        """No answer came in time: narrower at once, but once per round trip."""
        self.timeouts += 1
        self._feedback.timed_out(ticket)
        self._follow()
        self.left(ticket, large=large)

    def left(self, ticket: int, *, large: bool = False) -> None:
        """It ended in a way that says nothing of the host."""
        del ticket
        self.in_flight -= 1
        if large:
            self.large -= 1
        if self._queue.length:
            self._serve()

    def failed(self, ticket: int, error: BaseException) -> None:
        """It ended with this error."""
        if isinstance(error, Transient) and error.failure is FailureClass.THROTTLED:
            self.refused(ticket, retry_after_s=error.retry_after_s)
        elif isinstance(error, Refused):
            self.passed(ticket)
        else:
            self.left(ticket)

    def _serve(self) -> None:
        """Give tickets to whoever may go now; see to it that the next waiter gets one in time."""
        queue, feedback = self._queue, self._feedback
        while queue.length:
            if self.in_flight >= self._slots:
                feedback.window.short_of_slots = True
                return
            if self._rate.active and not self._rate.admits():
                feedback.window.short_of_rate = True
                self._rate.hold_back()
                return
            waiter = queue.next(self.large < max(1, self._slots // LARGE_SHARE))
            if waiter.ticket.done():
                continue  # cancelled in this very tick
            self.in_flight += 1
            self.large += waiter.large
            waiter.ticket.set_result(self._tickets.next())

    def _follow(self) -> None:
        """Allow what the policy allows now."""
        policy = self._feedback.policy
        self._rate.limit(policy.rate)
        wider, self._slots = policy.slots > self._slots, policy.slots
        if wider and self._queue.length:
            self._serve()


class _Waiter:
    __slots__ = ("arrival", "large", "ticket")

    def __init__(self, arrival: int, *, large: bool) -> None:
        self.arrival = arrival
        self.large = large
        self.ticket: asyncio.Future[int] = asyncio.get_running_loop().create_future()


class _Queue:
    """Those who wait for a ticket: small requests, and parts of large files."""

    __slots__ = ("_arrivals", "_large", "_small", "length")

    def __init__(self) -> None:
        self._small: deque[_Waiter] = deque()
        self._large: deque[_Waiter] = deque()
        self._arrivals = 0
        self.length = 0

    def join(self, *, large: bool) -> _Waiter:
        self._arrivals += 1
        waiter = _Waiter(self._arrivals, large=large)
        (self._large if large else self._small).append(waiter)
        self.length += 1
        return waiter

    def next(self, large_too: bool) -> _Waiter:
        """Whoever has waited longest; without ``large_too`` a small one, if any waits."""
        self.length -= 1
        small, large = self._small, self._large
        if not large or (small and not (large_too and large[0].arrival < small[0].arrival)):
            return small.popleft()
        return large.popleft()

    def leave(self, waiter: _Waiter) -> None:
        line = self._large if waiter.large else self._small
        if waiter in line:  # else ``next`` took it out when it was cancelled already
            line.remove(waiter)
            self.length -= 1

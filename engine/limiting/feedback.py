"""What the answers of one host say: counted in windows, from which the AIMD policy decides what to allow next."""

from __future__ import annotations

from dataclasses import replace
from math import inf

from engine.limiting.aimd import AimdPolicy, Window, eased, measured, measuring_s, timed_out, widened
from engine.limiting.clock import Clock

MANY = 20
"""Accepted requests that are enough to tell a rate from, in less than a second."""
FEW = 4
"""The same for one of many limiters of a host: while each waits for as many as one alone, all of them are refused."""
STRAY = 0.04
"""The share of refusals beside accepted requests that needs no second cut right after the first."""
STALE_S = 2.0
"""A window that took longer had too little in it."""
REVIEW = 16
"""Answers between two reviews, at most."""


class Tickets:
    """Numbers the requests, and times one of them at a time: how long an accepted one takes."""

    __slots__ = ("_began", "_clock", "last", "latency_s", "timed")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.last = 0
        self.timed = 1
        """The ticket that is timed, or will be once it is given."""
        self._began = inf
        self.latency_s = 0.0

    def next(self) -> int:
        """The ticket of a request that is sent now."""
        self.last = ticket = self.last + 1
        if ticket == self.timed:
            self.begin()
        return ticket

    def begin(self) -> None:
        """The ticket to be timed is given now."""
        self._began = self._clock.monotonic()

    def end(self, *, large: bool) -> None:
        """The timed one was accepted. Large files take their own time, which says nothing about the host."""
        if not large:
            took = self._clock.monotonic() - self._began
            self.latency_s = took if self.latency_s == 0 else self.latency_s * 0.75 + took * 0.25
        self.time_the_next()

    def time_the_next(self) -> None:
        self.timed, self._began = self.last + 1, inf

    def lost(self, now: float) -> bool:
        """Whether the ticket that is timed has been away for too long to be waited for."""
        return now - self._began > STALE_S


class Feedback:
    """``policy`` is what is allowed now. ``accepted`` of the window is counted by the limiter itself.

    A cut is answered by the requests sent after it: refusals of tickets given before it say nothing new. When those
    go on after it (``troubled``), a window without growth measures what the host really takes.
    """

    def __init__(self, clock: Clock, tickets: Tickets, *, most: int, start: int, of: int = 1) -> None:
        self._clock = clock
        self._tickets = tickets
        self.most = most
        self._many = max(FEW, MANY // of)
        self.policy = AimdPolicy(limit=float(min(start, most)))
        self.window = Window()
        self._began = clock.monotonic()
        self.enough = 1
        """Accepted requests until the next review."""
        self._cut_at = 0
        self._troubled = False
        self._pause_s = 0.0

    def bound(self, most: int) -> None:
        """Another bound on the requests in flight."""
        self.most = most
        self.policy = replace(self.policy, limit=min(self.policy.limit, float(most)))

    def refused(self, ticket: int, retry_after_s: float | None) -> None:
        if retry_after_s:
            self._pause_s = retry_after_s
        if ticket <= self._cut_at:
            return
        self.window.refused += 1
        if not self._troubled:
            now = self._clock.monotonic()
            if self.policy.rate < inf and (self._pause_s or self.policy.hold_s <= 0):
                self._cut(eased(self.policy, self._seen(now), pause_s=self._pause_s))
                return
            if now - self._began > self._wanted_s():
                self._begin(now)  # what was accepted before the first refusal tells of the host's reserves
                self.window.refused = 1
            self._troubled = True
        self.review()

    def timed_out(self, ticket: int) -> None:
        if ticket > self._cut_at:
            self._cut(timed_out(self.policy))

    def review(self) -> None:
        """Ask the policy anew, where the window has enough in it."""
        window = self.window
        if self.policy.fresh and not (window.short_of_slots or window.short_of_rate or self._troubled):
            window.accepted = 0  # nobody waits: nothing to learn
            self.enough = self._reviewed_after()
            return
        now = self._clock.monotonic()
        seen = self._seen(now)
        if self._troubled:
            self._review_trouble(seen, now)
            return
        if self._tickets.lost(now):
            self._tickets.time_the_next()
        self._begin(now)
        self.policy = widened(self.policy, seen, self.most)

    def _review_trouble(self, seen: Window, now: float) -> None:
        wanted_s = self._wanted_s()
        if seen.seconds > max(STALE_S, 3 * wanted_s) + self._pause_s:
            self._calm(now)  # hardly anybody asked meanwhile
        elif seen.seconds >= wanted_s and (
            seen.seconds >= 1 or (seen.accepted or seen.refused) >= self._many  # enough accepted, or a storm
        ):
            if seen.refused > max(1, STRAY * seen.accepted) or not seen.accepted:
                self._cut(measured(self.policy, seen))
            else:
                self._calm(now)

    def _wanted_s(self) -> float:
        return measuring_s(self.policy, self._tickets.latency_s)

    def _calm(self, now: float) -> None:
        """The refusals since the cut were strays."""
        self._troubled = False
        self._pause_s = 0.0
        self._begin(now)

    def _cut(self, policy: AimdPolicy) -> None:
        self._cut_at = self._tickets.last
        self._tickets.time_the_next()
        self.policy = policy
        self._calm(self._clock.monotonic())

    def _seen(self, now: float) -> Window:
        """The window as it is now."""
        self.window.seconds, self.window.latency_s = now - self._began, self._tickets.latency_s
        return self.window

    def _begin(self, now: float) -> None:
        self._began = now
        self.window = Window()
        self.enough = self._reviewed_after()

    def _reviewed_after(self) -> int:
        return max(1, min(REVIEW, self.policy.slots // 4))

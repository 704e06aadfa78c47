"""How hard to press a host: pure decisions, from what it answered in a while to what to allow next.

Two bounds, because hosts refuse for two reasons: ``limit`` requests in flight, and ``rate`` requests a second.

| what happened                                  | limit                           | rate                             |
|------------------------------------------------|---------------------------------|----------------------------------|
| never refused, slots short                     | + 1 per answer: doubles per RTT | none                             |
| refused after a calm while                     | x 0.95                          | x 0.95; the old one: the ceiling |
| refused still, or for the first time: measured | 1.25 x what was really in use   | 0.95 x what was really accepted  |
| nothing was accepted at all                    | x 0.5                           | x 0.5                            |
| an answer timed out                            | x 0.7                           | as it is                         |
| calm, well below the ceiling                   | as below                        | doubles in half a second         |
| calm, near the ceiling or above it             | + 1 % a second, faster and      | + 1 % a second, faster and       |
|                                                | faster while nothing is refused | faster while nothing is refused  |

An accepted rate is the best measure of a hidden one: whatever was sent too much, was refused. Growth only where the
bound was felt: what nobody asked for proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import TypedDict

EASE = 0.95
PLUNGE = 0.5
TIMEOUT = 0.7
SPARE = 1.25
CRAWL = 0.01
"""Growth near the ceiling, share per second, right after the hold."""
HASTE = 1.25
"""By how much that growth itself grows, per second without a refusal."""
SEARCH = 0.25
"""Growth after a cut so deep that nobody knows where the bound is now."""
FASTEST = 1.0
NEAR = 0.85
"""Below this share of the ceiling the way up is known to be free."""
HOLD_S = 2.0
HOLD_ANSWERS = 200
"""After a refusal nothing grows for so long and so many answers: probing must stay rare beside the work."""
SLOWEST = 1.0
"""Requests a second that are tried even where everything is refused."""
ENOUGH = 3
"""Fewer accepted requests say nothing about a rate."""


@dataclass(frozen=True, slots=True)
class Aimd:
    """What is allowed now. ``rate`` is per second; ``ceiling`` the rate at which the host last refused."""

    limit: float
    rate: float = inf
    ceiling: float = inf
    speed: float = CRAWL
    hold_s: float = 0.0
    hold_answers: int = 0
    fresh: bool = True
    """Never refused yet: slow start."""

    @property
    def slots(self) -> int:
        return max(1, int(self.limit))


@dataclass(frozen=True, slots=True)
class Window:
    """What a host answered in ``seconds``; ``latency_s`` is how long one accepted request takes.

    ``crowded``: somebody waited for a slot; ``paced``: somebody waited for the rate.
    """

    seconds: float
    accepted: int
    refused: int = 0
    latency_s: float = 0.0
    crowded: bool = False
    paced: bool = False


def measuring_s(pace: Aimd, latency_s: float) -> float:
    """How long to look before the accepted rate can be told: more than one round trip, and some twenty answers."""
    return min(1.0, max(0.02, 1.5 * latency_s, 0.25 if pace.rate == inf else 20 / pace.rate))


def eased(pace: Aimd, seen: Window, *, pause_s: float = 0.0) -> Aimd:
    """After the first refusal in a calm while: a little less of what was felt, and a hold.

    In the hold of an earlier cut, that one was too little: twice as much.
    ``pause_s`` is what the host asks for (Retry-After): where a refusal costs a pause, the next probe is far off.
    """
    ease = EASE**2 if pace.hold_s > 0 else EASE
    limit, rate = max(1.0, pace.limit * ease), max(SLOWEST, pace.rate * ease)
    if seen.crowded and not seen.paced:
        return replace(pace, limit=limit, **_held(pause_s))
    return replace(pace, limit=limit if seen.crowded else pace.limit, rate=rate, ceiling=pace.rate, **_held(pause_s))


def measured(pace: Aimd, seen: Window) -> Aimd:
    """After a window in which refusals went on: down to what the host really took."""
    if seen.accepted < ENOUGH or seen.seconds <= 0:
        rate = pace.rate if pace.rate < inf else pace.limit / max(seen.latency_s, 0.05)
        ceiling = rate if pace.fresh else pace.ceiling
        return replace(
            pace,
            limit=max(1.0, pace.limit * PLUNGE),
            rate=max(SLOWEST, rate * PLUNGE),
            ceiling=ceiling,
            **_held(0.0, deep=True),
        )
    goodput = seen.accepted / seen.seconds
    rate = goodput * EASE if pace.rate == inf else min(pace.rate * EASE, max(goodput * EASE, pace.rate * PLUNGE))
    used = goodput * seen.latency_s * SPARE
    return replace(
        pace,
        limit=max(1.0, min(pace.limit * EASE, max(used, pace.limit * PLUNGE))),
        rate=max(SLOWEST, rate),
        ceiling=max(SLOWEST, rate / EASE),
        **_held(0.0, deep=pace.fresh),
    )


def timed_out(pace: Aimd) -> Aimd:
    """After an answer that never came: fewer at once. Says nothing of a rate."""
    return replace(pace, limit=max(1.0, pace.limit * TIMEOUT), **_held(0.0))


def widened(pace: Aimd, seen: Window, most: int) -> Aimd:
    """After a calm window: a little more, where it was felt. ``most`` bounds the limit."""
    if pace.fresh:
        return replace(pace, limit=min(float(most), pace.limit + seen.accepted)) if seen.crowded else pace
    hold_s = max(0.0, pace.hold_s - seen.seconds)
    hold_answers = max(0, pace.hold_answers - seen.accepted)
    pace = replace(pace, hold_s=hold_s, hold_answers=hold_answers)
    felt = seen.crowded or seen.paced
    if not felt or seen.accepted == 0:
        return pace
    known = NEAR * pace.ceiling if pace.ceiling < inf else 0.0
    if pace.rate < known:
        rate = min(known, pace.rate * 2 ** min(4.0, seen.seconds / 0.5)) if seen.paced else pace.rate
        limit = min(float(most), pace.limit * 2 ** min(4.0, seen.seconds / 0.5)) if seen.crowded else pace.limit
        return replace(pace, rate=rate, limit=limit)
    if hold_s or hold_answers:
        return pace
    growth = 1 + pace.speed * min(seen.seconds, 1.0)
    return replace(
        pace,
        limit=min(float(most), pace.limit * growth) if seen.crowded else pace.limit,
        rate=pace.rate * growth if seen.paced else pace.rate,
        speed=min(FASTEST, pace.speed * HASTE ** min(seen.seconds, 1.0)),
    )


class _Hold(TypedDict):
    speed: float
    hold_s: float
    hold_answers: int
    fresh: bool


def _held(pause_s: float, *, deep: bool = False) -> _Hold:
    return {
        "speed": SEARCH if deep else CRAWL,
        "hold_s": HOLD_S / 8 if deep else max(HOLD_S, 20 * pause_s),
        "hold_answers": HOLD_ANSWERS // 8 if deep else HOLD_ANSWERS,
        "fresh": False,
    }

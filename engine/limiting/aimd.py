"""The AIMD policy: from what a host answered in a while to what to allow it next. Pure.

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

The accepted rate is the best measure of a hidden one: what was sent above it was refused. A bound grows only where
somebody waited for it: where nobody did, nothing is known of a higher one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf
from typing import Any, Self

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
"""Below this share of the ceiling the host is known to accept more."""
HOLD_S = 2.0
HOLD_ANSWERS = 200
"""After a refusal nothing grows for this long and for so many answers: probes must stay rare beside the work."""
SLOWEST = 1.0
"""Requests a second that are tried even where everything is refused."""
ENOUGH = 3
"""Fewer accepted requests say nothing about a rate."""


@dataclass(frozen=True, slots=True)
class AimdPolicy:
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

    def cut(self, *, deep: bool = False, pause_s: float = 0.0, **bounds: Any) -> Self:
        """With lower bounds, and a hold before they grow again: short after a ``deep`` cut, long after a pause."""
        return replace(
            self,
            speed=SEARCH if deep else CRAWL,
            hold_s=HOLD_S / 8 if deep else max(HOLD_S, 20 * pause_s),
            hold_answers=HOLD_ANSWERS // 8 if deep else HOLD_ANSWERS,
            fresh=False,
            **bounds,
        )


@dataclass(slots=True)
class Window:
    """What a host answered in ``seconds``; ``latency_s`` is how long one accepted request takes.

    ``short_of_slots``: a request waited for a slot; ``short_of_rate``: a request waited for the rate.
    """

    seconds: float = 0.0
    accepted: int = 0
    refused: int = 0
    latency_s: float = 0.0
    short_of_slots: bool = False
    short_of_rate: bool = False


def measuring_s(policy: AimdPolicy, latency_s: float) -> float:
    """How long a window must be to tell the accepted rate: more than one round trip, and some twenty answers."""
    return min(1.0, max(0.02, 1.5 * latency_s, 0.25 if policy.rate == inf else 20 / policy.rate))


def eased(policy: AimdPolicy, seen: Window, *, pause_s: float = 0.0) -> AimdPolicy:
    """After the first refusal in a calm while: a little less of the bound that was felt, and a hold.

    In the hold of an earlier cut, that cut was too small: twice as much.
    ``pause_s`` is what the host asks for (Retry-After): where a refusal costs a pause, the next probe is far off.
    """
    ease = EASE**2 if policy.hold_s > 0 else EASE
    limit, rate = max(1.0, policy.limit * ease), max(SLOWEST, policy.rate * ease)
    if seen.short_of_slots and not seen.short_of_rate:
        return policy.cut(pause_s=pause_s, limit=limit)
    limit = limit if seen.short_of_slots else policy.limit
    return policy.cut(pause_s=pause_s, limit=limit, rate=rate, ceiling=policy.rate)


def measured(policy: AimdPolicy, seen: Window) -> AimdPolicy:
    """After a window in which refusals went on: down to what the host really took."""
    if seen.accepted < ENOUGH or seen.seconds <= 0:
        rate = policy.rate if policy.rate < inf else policy.limit / max(seen.latency_s, 0.05)
        ceiling = rate if policy.fresh else policy.ceiling
        limit = max(1.0, policy.limit * PLUNGE)
        return policy.cut(deep=True, limit=limit, rate=max(SLOWEST, rate * PLUNGE), ceiling=ceiling)
    goodput = seen.accepted / seen.seconds
    rate = goodput * EASE if policy.rate == inf else min(policy.rate * EASE, max(goodput * EASE, policy.rate * PLUNGE))
    used = goodput * seen.latency_s * SPARE
    limit = max(1.0, min(policy.limit * EASE, max(used, policy.limit * PLUNGE)))
    return policy.cut(deep=policy.fresh, limit=limit, rate=max(SLOWEST, rate), ceiling=max(SLOWEST, rate / EASE))


def timed_out(policy: AimdPolicy) -> AimdPolicy:
    """After an answer that never came: fewer at once. It says nothing about a rate."""
    return policy.cut(limit=max(1.0, policy.limit * TIMEOUT))


def widened(policy: AimdPolicy, seen: Window, most: int) -> AimdPolicy:
    """After a calm window: a little more of each bound that was felt. ``most`` bounds the limit."""
    if policy.fresh:
        grown = min(float(most), policy.limit + seen.accepted)
        return replace(policy, limit=grown) if seen.short_of_slots else policy
    hold_s = max(0.0, policy.hold_s - seen.seconds)
    hold_answers = max(0, policy.hold_answers - seen.accepted)
    policy = replace(policy, hold_s=hold_s, hold_answers=hold_answers)
    felt = seen.short_of_slots or seen.short_of_rate
    if not felt or seen.accepted == 0:
        return policy
    known = NEAR * policy.ceiling if policy.ceiling < inf else 0.0
    if policy.rate < known:
        factor = 2 ** min(4.0, seen.seconds / 0.5)
        rate = min(known, policy.rate * factor) if seen.short_of_rate else policy.rate
        limit = min(float(most), policy.limit * factor) if seen.short_of_slots else policy.limit
        return replace(policy, rate=rate, limit=limit)
    if hold_s or hold_answers:
        return policy
    growth = 1 + policy.speed * min(seen.seconds, 1.0)
    return replace(
        policy,
        limit=min(float(most), policy.limit * growth) if seen.short_of_slots else policy.limit,
        rate=policy.rate * growth if seen.short_of_rate else policy.rate,
        speed=min(FASTEST, policy.speed * HASTE ** min(seen.seconds, 1.0)),
    )

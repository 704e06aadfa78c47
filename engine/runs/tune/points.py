"""Which of several measured settings is enough. Pure.

Every setting is measured in several rounds. A setting is slower than another one only if its fastest round is slower
than the other's slowest round, and its median by more than 5 %. What differs less may be noise, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

ROUNDS = 5
"""Rounds of one setting. Two settings that are alike are told apart by chance in 1 of 250 cases."""
GOOD_ENOUGH = 0.95
"""Of the best rate: a larger setting is not worth a smaller gain."""
_REFUSED = 0.01
"""Of all requests: a setting that is refused more often asks for too much."""


@dataclass(frozen=True, slots=True)
class Round:
    """One measurement: things per second, and the seconds that each took, where they were timed one by one."""

    rate: float
    done: int
    refused: int = 0
    latencies: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Point:
    """One setting, as it was measured."""

    value: int
    rounds: tuple[Round, ...]

    @property
    def rate(self) -> float:
        """The median of the rounds."""
        return median(each.rate for each in self.rounds)

    @property
    def slowest(self) -> float:
        return min(each.rate for each in self.rounds)

    @property
    def fastest(self) -> float:
        return max(each.rate for each in self.rounds)

    @property
    def refused(self) -> int:
        return sum(each.refused for each in self.rounds)

    @property
    def done(self) -> int:
        return sum(each.done for each in self.rounds)

    def latency_ms(self, share: float) -> float | None:
        """What this share of all took at most; None: they were not timed one by one."""
        timed = sorted(seconds for each in self.rounds for seconds in each.latencies)
        return 1000 * timed[min(len(timed) - 1, int(share * len(timed)))] if timed else None

    def slower_than(self, other: Point) -> bool:
        """Whether it clearly is."""
        return self.fastest < other.slowest and self.rate < GOOD_ENOUGH * other.rate

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        middle, slow = self.latency_ms(0.5), self.latency_ms(0.95)
        return {
            "value": self.value,
            "per_second": round(self.rate, 1),
            "slowest_per_second": round(self.slowest, 1),
            "fastest_per_second": round(self.fastest, 1),
            "median_ms": None if middle is None else round(middle, 1),
            "p95_ms": None if slow is None else round(slow, 1),
            "refused": self.refused,
            "done": self.done,
        }


@dataclass(frozen=True, slots=True)
class Recommendation:
    """``use``: the setting to use. ``worse``: settings that are clearly slower, or refused too often."""

    use: int
    worse: frozenset[int]

    @property
    def difference_seen(self) -> bool:
        return bool(self.worse)

    def of(self, value: int) -> str:
        """What it says of one setting, in a word; nothing where no difference was seen."""
        if value in self.worse:
            return "worse"
        return "enough" if self.worse and value == self.use else ""


def recommend(points: Sequence[Point], keep: int | None = None) -> Recommendation:
    """The smallest setting that is not slower than the fastest one.

    ``keep``: the setting as it is. If it was measured and is not slower either, it stays.
    """
    calm = [point for point in points if point.refused <= _REFUSED * point.done] or list(points)
    best = max(calm, key=lambda point: point.rate)
    enough = [point.value for point in calm if not point.slower_than(best)]
    worse = frozenset(point.value for point in points) - set(enough)
    return Recommendation(keep if keep in enough else min(enough), worse)

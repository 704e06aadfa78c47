"""From a sample to a total: a stratified estimate and its 95 % confidence interval. Pure.

Files are sampled without replacement, by stratum. With ``f`` a stratum's sampled share, the estimate is the sum of
``N * mean``, its variance the sum of ``N² (1 - f) s² / n``: a stratum looked at as a whole adds none.

File sizes have heavy tails, for which the normal interval is too short on the upper side: a sample that happens to miss
the giants looks small and certain at once. So the interval is corrected for skewness by Hall's transformation (P. Hall,
"On the removal of skewness by transformation", J. R. Statist. Soc. B 54, 1992), with the skewness of the estimate taken
from the sample. ``tests/model/test_estimate.py`` simulates what it covers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Z95 = 1.959964
FEWEST = 5
"""Of each stratum so many are looked at, or all."""
METHOD = "stratified sample without replacement, finite-population and skewness correction (Hall 1992)"


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate; with ``low == high`` it is exact."""

    estimate: float
    low: float
    high: float

    @property
    def exact(self) -> bool:
        return self.low == self.high

    def as_json(self, digits: int = 0) -> dict[str, Any]:
        """Plain values, whole ones where ``digits`` is 0."""
        middle, low, high = (
            round(each, digits) if digits else round(each) for each in (self.estimate, self.low, self.high)
        )
        return {"estimate": middle, "low": low, "high": high, "exact": self.exact}

    def __add__(self, fixed: float) -> Interval:
        return Interval(self.estimate + fixed, self.low + fixed, self.high + fixed)


@dataclass(slots=True)
class Stratum:
    """Sums over what was looked at of ``population`` files, for the moments of their values."""

    population: int
    count: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0

    def add(self, value: float) -> None:
        """Take in one value (Welford's update, third moment after Terriberry)."""
        before, self.count = self.count, self.count + 1
        delta = value - self.mean
        step = delta / self.count
        term = delta * step * before
        self.mean += step
        self.m3 += term * step * (self.count - 2) - 3 * step * self.m2
        self.m2 += term


def total(strata: Sequence[Stratum]) -> Interval | None:
    """The sum of the values over all strata. None where a stratum has files and none of them was looked at.

    The interval never goes below what was seen. A stratum of which one file was looked at counts as varying as much
    as all others together do.
    """
    used = [each for each in strata if each.population]
    if any(each.count == 0 for each in used):
        return None
    estimate = math.fsum(each.population * each.mean for each in used)
    seen = math.fsum(each.count * each.mean for each in used)
    if all(each.count >= each.population for each in used):
        return Interval(estimate, estimate, estimate)
    spread = _pooled_variance(used)
    variance = third = 0.0
    for each in used:
        open_share = 1 - each.count / each.population
        if open_share <= 0:
            continue
        deviation = each.m2 / (each.count - 1) if each.count > 1 else spread
        variance += each.population**2 * open_share * deviation / each.count
        if each.count > 2:
            skew = each.m3 / each.count
            third += (
                each.population**3
                * open_share
                * max(0.0, 1 - 2 * each.count / each.population)
                * (skew / each.count**2)
            )
    error = math.sqrt(variance)
    if error == 0:
        return Interval(estimate, estimate, estimate)
    upper, lower = _limits(third / error**3)
    return Interval(estimate, max(seen, estimate - error * upper), estimate + error * lower)


def share(population: int, looked_at: int, hits: int) -> Interval:
    """How many of ``population`` files have a trait that ``hits`` of ``looked_at`` had: Wilson's interval, corrected
    for the finite population."""
    if looked_at == 0:
        return Interval(0.0, 0.0, float(population))
    if looked_at >= population:
        return Interval(float(hits), float(hits), float(hits))
    p = hits / looked_at
    n = looked_at * (population - 1) / (population - looked_at)
    z2 = Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    unseen = population - (looked_at - hits)
    low, high = population * (middle - half), population * (middle + half)
    return Interval(population * p, max(float(hits), low), min(float(unseen), high))


def allocate(populations: Mapping[str, int], sample: int) -> dict[str, int]:
    """How many to look at per stratum: in proportion, and at least ``FEWEST`` (or all) of each.

    The smallest strata come first, so that the sum is at most ``sample`` wherever that leaves ``FEWEST`` for each.
    """
    left, files = sample, sum(populations.values())
    if files <= sample:
        return dict(populations)
    chosen: dict[str, int] = {}
    for name, population in sorted(populations.items(), key=lambda item: (item[1], item[0])):
        fair = round(left * population / files) if files else 0
        chosen[name] = min(population, max(FEWEST, fair))
        left, files = max(0, left - chosen[name]), files - population
    return chosen


def _pooled_variance(strata: Sequence[Stratum]) -> float:
    count = sum(each.count for each in strata)
    mean = math.fsum(each.count * each.mean for each in strata) / count
    spread = math.fsum(each.m2 + each.count * (each.mean - mean) ** 2 for each in strata)
    return spread / (count - 1) if count > 1 else mean**2


def _limits(skewness: float) -> tuple[float, float]:
    """How many standard errors the interval reaches down and up: the quantiles of the studentized estimate, whose
    distribution a skewed population bends the other way. ``skewness`` is that of the estimate."""
    if abs(skewness) < 1e-6:
        return Z95, Z95
    return _inverse(Z95, skewness), -_inverse(-Z95, skewness)


def _inverse(quantile: float, skewness: float) -> float:
    """Hall's cubic, undone: the studentized value whose transform is that normal quantile."""
    root = math.cbrt(1 + skewness * (quantile - skewness / 6))
    return 3 / skewness * (root - 1)

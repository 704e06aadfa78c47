"""From a sample to a total: a stratified estimate and its 95 % confidence interval. Pure.

Files are sampled without replacement, by stratum. With ``f`` for the sampled share of a stratum, the estimate is the
sum of ``N * mean``, and its variance the sum of ``N² (1 - f) s² / n``: a stratum that was sampled as a whole adds none.

File sizes have heavy tails. For them the normal interval is too short on the upper side: a sample without any of the
giants looks both small and certain. So the interval is corrected for skewness by Hall's transformation (P. Hall, "On
the removal of skewness by transformation", J. R. Statist. Soc. B 54, 1992), with the skewness of the estimate taken
from the sample. Its quantiles are Student's, with Satterthwaite's degrees of freedom, which use the kurtosis of the
sample. ``tests/model/test_estimate.py`` simulates how often the interval covers the truth.

The sample is drawn in two halves: the first in proportion, with some files of each stratum. The second goes where the
first has shown that it helps most (Neyman's allocation): to strata with many files, or with files of differing sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Z95 = 1.959964
FEWEST = 5
"""Files of each stratum that are sampled at least, or all."""
PILOT = 0.5
"""The share of a sample that is drawn in proportion."""
_LEAST_SHARE = 25
"""Each stratum gets at least one in so many of the first half."""
_LEAST_SPREAD = 3.0
"""The ratio of deviation to mean that is assumed at least: a first half without giants does not prove that there are
none."""
METHOD = "stratified sample in two phases, with finite-population and skewness correction (Hall 1992)"


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

    @classmethod
    def exactly(cls, value: float) -> Interval:
        return cls(value, value, value)

    def __add__(self, other: Interval | float) -> Interval:
        """Sums of intervals are wider than they need to be: as if all were off on the same side."""
        if isinstance(other, Interval):
            return Interval(self.estimate + other.estimate, self.low + other.low, self.high + other.high)
        return Interval(self.estimate + other, self.low + other, self.high + other)

    def __mul__(self, factor: float) -> Interval:
        return Interval(self.estimate * factor, self.low * factor, self.high * factor)

    def __truediv__(self, divisor: float) -> Interval:
        return Interval(self.estimate / divisor, self.low / divisor, self.high / divisor)

    def at_least(self, floor: float) -> Interval:
        return Interval(max(floor, self.estimate), max(floor, self.low), max(floor, self.high))


def added(values: Iterable[Interval | None]) -> Interval | None:
    """The sum of them all. None where one is unknown."""
    found = Interval.exactly(0)
    for value in values:
        if value is None:
            return None
        found += value
    return found


@dataclass(slots=True)
class Stratum:
    """The moments of the values that were sampled from ``population`` files."""

    population: int
    count: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0

    def add(self, value: float) -> None:
        """Take in one value (Welford's update, higher moments after Terriberry)."""
        before, self.count = self.count, self.count + 1
        n = self.count
        delta = value - self.mean
        step = delta / n
        term = delta * step * before
        self.mean += step
        self.m4 += term * step**2 * (n * n - 3 * n + 3) + 6 * step**2 * self.m2 - 4 * step * self.m3
        self.m3 += term * step * (self.count - 2) - 3 * step * self.m2
        self.m2 += term

    @property
    def deviation(self) -> float:
        """The standard deviation of the values; 0 where there is one or none."""
        return math.sqrt(max(0.0, self.m2) / (self.count - 1)) if self.count > 1 else 0.0

    @property
    def excess(self) -> float:
        """How much heavier the tails are than a normal one's (excess kurtosis); never below 0."""
        return max(0.0, self.count * self.m4 / self.m2**2 - 3) if self.m2 > 0 else 0.0


def total(strata: Sequence[Stratum]) -> Interval | None:
    """The sum of the values over all strata. None where a stratum has files but none was sampled.

    The interval never goes below what was seen. A stratum with a single sampled file is assumed to vary as much as all
    strata together.
    """
    used = [each for each in strata if each.population]
    if any(each.count == 0 for each in used):
        return None
    estimate = math.fsum(each.population * each.mean for each in used)
    seen = math.fsum(each.count * each.mean for each in used)
    if all(each.count >= each.population for each in used):
        return Interval.exactly(estimate)
    spread = _pooled_variance(used)
    variance = third = doubt = 0.0
    for each in used:
        open_share = 1 - each.count / each.population
        if open_share <= 0:
            continue
        within = each.deviation**2 if each.count > 1 else spread
        part = each.population**2 * open_share * within / each.count
        variance += part
        doubt += part**2 * (2 / max(1, each.count - 1) + each.excess / each.count)
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
        return Interval.exactly(estimate)
    down, up = _reach(third / error**3, _student(2 * variance**2 / doubt))
    return Interval(estimate, max(seen, estimate - error * down), estimate + error * up)


def share(population: int, looked_at: int, hits: int) -> Interval:
    """How many of ``population`` files have a trait that ``hits`` of ``looked_at`` files had: Wilson's interval,
    corrected for the finite population."""
    if looked_at == 0:
        return Interval(0.0, 0.0, float(population))
    if looked_at >= population:
        return Interval.exactly(hits)
    p = hits / looked_at
    n = looked_at * (population - 1) / (population - looked_at)
    z2 = Z95**2
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    unseen = population - (looked_at - hits)
    low, high = population * (middle - half), population * (middle + half)
    return Interval(population * p, max(float(hits), low), min(float(unseen), high))


def allocate(populations: Mapping[str, int], sample: int) -> dict[str, int]:
    """How many to sample per stratum: in proportion, but of each at least ``FEWEST``, one in 25 of the sample, or all.

    The smallest strata come first, so that the sum is at most ``sample`` where that leaves enough for each.
    """
    left, files = sample, sum(populations.values())
    if files <= sample:
        return dict(populations)
    fewest = max(FEWEST, min(sample // _LEAST_SHARE, sample // (2 * len(populations))))
    chosen: dict[str, int] = {}
    for name, population in sorted(populations.items(), key=lambda item: (item[1], item[0])):
        fair = round(left * population / files) if files else 0
        chosen[name] = min(population, max(fewest, fair))
        left, files = max(0, left - chosen[name]), files - population
    return chosen


def refine(strata: Mapping[str, Stratum], drawn: Mapping[str, int], sample: int) -> dict[str, int]:
    """How many more to sample per stratum, once a first part of the sample has given means and deviations.

    A fair share is in proportion to population times deviation. Each stratum gets what it lacks of it, as far as
    ``sample`` goes.
    """
    weights = {name: each.population * max(each.deviation, _LEAST_SPREAD * each.mean) for name, each in strata.items()}
    whole, left = math.fsum(weights.values()), max(0, sample - sum(drawn.values()))
    if not whole or not left:
        return {}
    lacks = {
        name: min(strata[name].population - drawn[name], max(0.0, sample * weight / whole - drawn[name]))
        for name, weight in weights.items()
    }
    share_of = min(1.0, left / total_lack) if (total_lack := math.fsum(lacks.values())) else 0.0
    return {name: int(lack * share_of) for name, lack in lacks.items() if int(lack * share_of)}


def _pooled_variance(strata: Sequence[Stratum]) -> float:
    count = sum(each.count for each in strata)
    mean = math.fsum(each.count * each.mean for each in strata) / count
    spread = math.fsum(each.m2 + each.count * (each.mean - mean) ** 2 for each in strata)
    return spread / (count - 1) if count > 1 else mean**2


def _student(freedom: float) -> float:
    """The 97.5 % quantile of Student's distribution (Cornish and Fisher's expansion; good from two degrees on)."""
    df, z = max(2.0, freedom), Z95
    return z + (z**3 + z) / (4 * df) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * df**2)


def _reach(skewness: float, quantile: float) -> tuple[float, float]:
    """How many standard errors the interval reaches down and up: the quantiles of the studentized estimate, which is
    skewed the other way than the population. ``skewness`` is that of the estimate."""
    if abs(skewness) < 1e-6:
        return quantile, quantile
    return _inverse(quantile, skewness), -_inverse(-quantile, skewness)


def _inverse(quantile: float, skewness: float) -> float:
    """Hall's cubic, undone: the studentized value whose transform is that quantile."""
    root = math.cbrt(1 + skewness * (quantile - skewness / 6))
    return 3 / skewness * (root - 1)

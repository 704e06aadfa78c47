"""Which of several measured settings to use, and how they look side by side. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

GOOD_ENOUGH = 0.95
"""Of the best rate: more of anything for less than that is not worth it."""
_WIDTH = 40


@dataclass(frozen=True, slots=True)
class Point:
    """One setting as it was measured: things per second; latencies in seconds, None where nobody timed single ones."""

    value: int
    rate: float
    median_s: float | None = None
    slow_s: float | None = None
    """19 of 20 were faster."""
    refused: int = 0
    done: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "value": self.value,
            "per_second": round(self.rate, 1),
            "median_ms": None if self.median_s is None else round(1000 * self.median_s, 1),
            "p95_ms": None if self.slow_s is None else round(1000 * self.slow_s, 1),
            "refused": self.refused,
            "done": self.done,
        }


def choice(points: Sequence[Point], keep: int | None = None) -> Point:
    """The smallest setting that is about as fast as the fastest, among those with few refusals if there are any.

    ``keep``: a setting that stays if it is about as fast, too: nothing speaks for a change.
    """
    calm = [point for point in points if point.refused <= 0.01 * point.done] or list(points)
    best = max(point.rate for point in calm)
    enough = [point for point in calm if point.rate >= GOOD_ENOUGH * best]
    return min(enough, key=lambda point: (point.value != keep, point.value))


def point(value: int, seconds: float, latencies: Sequence[float], refused: int) -> Point:
    """What was measured, as a point."""
    ordered = sorted(latencies)
    if not ordered or seconds <= 0:
        return Point(value, 0.0, refused=refused)
    return Point(
        value,
        len(ordered) / seconds,
        ordered[len(ordered) // 2],
        ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))],
        refused,
        len(ordered),
    )


def bars(points: Sequence[Point], keep: int | None = None) -> list[str]:
    """A plot in text: a bar per setting, the longest for the fastest, a mark on the choice."""
    if not points:
        return []
    most, chosen = max(point.rate for point in points) or 1.0, choice(points, keep)
    return [
        f"{point.value:>7,} |{'#' * max(1, round(_WIDTH * point.rate / most)):<{_WIDTH}}| {point.rate:>10,.0f}/s"
        + ("  <- enough" if point is chosen else "")
        for point in points
    ]

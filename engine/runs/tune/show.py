"""A tuning for a person: tables, and the settings to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.runs.shared.tables import line, table
from engine.runs.tune.points import ROUNDS
from engine.runs.tune.tune import Tuning

if TYPE_CHECKING:
    from rich.console import Console

_HEADS = ("value", "per second", "slowest", "fastest", "median ms", "p95 ms", "refused", "")


def show_tuning(found: Tuning, console: Console) -> None:
    """Everything, ending with YAML that can be pasted into the settings, set apart by empty lines."""
    recommendations = found.recommendations
    line(console, f"measured: {found.what}, {ROUNDS} rounds of each setting")
    for name, points in found.points.items():
        rows = [
            (
                *(f"{number:,.0f}" for number in (point.value, point.rate, point.slowest, point.fastest)),
                _ms(point.latency_ms(0.5)),
                _ms(point.latency_ms(0.95)),
                f"{point.refused:,}",
                recommendations[name].of(point.value),
            )
            for point in points
        ]
        table(console, name, _HEADS, rows, range(len(_HEADS) - 1))
        if len(points) > 1 and not recommendations[name].difference_seen:
            line(console, f"no difference seen: the rounds of one {name} differ as much as those of another")
    for note in found.notes:
        line(console, f"note: {note}")
    line(console, "\nmigration:")
    for name, value in found.use.items():
        line(console, f"  {name}: {value}{_remark(found, name)}")
    line(console, "")


def _remark(found: Tuning, name: str) -> str:
    if name in found.derived:
        return "  # not measured"
    if len(found.points[name]) == 1:
        return "  # the only one measured"
    return "" if found.recommendations[name].difference_seen else "  # no difference seen"


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:,.1f}"

"""A sweep for a person: tables, plots, and the settings to use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.pipeline.tuning import bars
from engine.runs.shared.tables import line, table
from engine.runs.tune.tune import Sweep

if TYPE_CHECKING:
    from rich.console import Console


def show_sweep(found: Sweep, console: Console) -> None:
    """Everything, ending with YAML that can be pasted into the settings."""
    line(console, f"measured: {found.what}")
    for name, points in found.points.items():
        rows = [
            (f"{each.value:,}", f"{each.rate:,.0f}", _ms(each.median_s), _ms(each.slow_s), f"{each.refused:,}")
            for each in points
        ]
        table(console, name, ("value", "per second", "median ms", "p95 ms", "refused"), rows, range(5))
        for bar in bars(points, found.keep.get(name)):
            line(console, bar)
    for note in found.notes:
        line(console, f"note: {note}")
    line(console, "\nmigration:")
    for name, value in found.chosen.items():
        line(console, f"  {name}: {value}" + ("  # not measured" if name in found.derived else ""))


def _ms(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:,.1f}"

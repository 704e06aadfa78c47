"""The charts of ``status --watch`` show what they are made of."""

from __future__ import annotations

from engine.runs.status.watch import BARS, charts, sparkline


def sample(rate: float) -> dict[str, float]:
    return {"files_per_s": rate, "mb_per_s": 0.0, "in_flight": 3, "refusals": 0, "lag_ms": 1, "cpu": rate / 200}


def test_a_chart_is_highest_where_the_value_is() -> None:
    assert sparkline([0, 50, 100], BARS) == "▁▅█"
    assert sparkline([0, 0], BARS) == "▁▁"


def test_a_row_names_the_latest_value_and_the_highest() -> None:
    rows = charts([sample(100), sample(60)], BARS)

    assert rows[0] == ("files/s", "█▅", "60", "100")
    assert rows[-1] == ("% CPU", "█▅", "30", "50")

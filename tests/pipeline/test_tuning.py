"""Which setting to use, from measured points."""

from __future__ import annotations

import pytest

from engine.pipeline.tuning import Point, bars, choice, point


def points(*rates: float) -> list[Point]:
    return [Point(10 * 2**n, rate, done=100) for n, rate in enumerate(rates)]


def test_the_smallest_that_is_about_as_fast_is_enough() -> None:
    assert choice(points(100, 191, 199, 200)).value == 20


def test_a_setting_stays_where_nothing_speaks_for_a_change() -> None:
    assert choice(points(100, 191, 199, 200), keep=40).value == 40
    assert choice(points(100, 191, 199, 200), keep=10).value == 20


def test_a_setting_that_is_refused_is_no_choice_unless_all_are() -> None:
    calm, hasty = Point(10, 100, done=100), Point(20, 500, refused=30, done=100)

    assert choice([calm, hasty]) is calm
    assert choice([hasty]) is hasty


def test_a_point_knows_its_rate_and_latencies() -> None:
    made = point(4, 2.0, [0.01 * n for n in range(1, 101)], 3)

    assert (made.rate, made.refused, made.done) == (50.0, 3, 100)
    assert made.median_s == pytest.approx(0.51)
    assert made.slow_s == pytest.approx(0.96)


def test_nothing_answered_is_a_rate_of_nought() -> None:
    assert point(4, 2.0, [], 9).rate == 0.0


def test_bars_are_as_long_as_rates_and_mark_the_choice() -> None:
    low, high = bars(points(100, 200))

    assert low.count("#") * 2 == high.count("#")
    assert high.endswith("<- enough")
    assert "enough" not in low

"""What ``engine tune`` makes of measurements: nothing is decided inside the noise. All of them are scripted here."""

from __future__ import annotations

import io
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest
from rich.console import Console

from engine.model.errors import Usage
from engine.runs.tune.points import ROUNDS, Point, Round, recommend
from engine.runs.tune.real import within_requests
from engine.runs.tune.show import show_tuning
from engine.runs.tune.tune import DEFAULTS, TuneOptions, Tuning, compare, in_rounds, told_apart

STEADY = (0.98, 0.99, 1.0, 1.01, 1.02)
"""Rounds of a quiet machine, as shares of their median."""
NOISY = (0.8, 0.9, 1.0, 1.15, 1.3)


def point(value: int, rate: float, spread: Sequence[float] = STEADY, refused: int = 0) -> Point:
    return Point(value, tuple(Round(rate * share, 100, refused) for share in spread))


def points(*rates: float, spread: Sequence[float] = STEADY) -> list[Point]:
    return [point(10 * 2**n, rate, spread) for n, rate in enumerate(rates)]


Backup = Callable[[str, dict[str, int]], Awaitable[Round]]


def scripted(rates: Mapping[str, Mapping[int, float]], spread: Sequence[float] = STEADY) -> tuple[list[str], Backup]:
    """Backups that are as fast as the last of their settings says. Also the tags that they were given."""
    tags: list[str] = []

    async def backup(tag: str, wanted: dict[str, int]) -> Round:
        tags.append(tag)
        name, value = list(wanted.items())[-1]
        return Round(rates.get(name, {}).get(value, 300.0) * spread[int(tag.rpartition("-")[2]) - 1], 100)

    return tags, backup


async def tuned(options: TuneOptions, rates: Mapping[str, Mapping[int, float]], spread: Sequence[float]) -> Tuning:
    _, backup = scripted(rates, spread)
    return await compare(Tuning("backups", dict(DEFAULTS)), options, backup, lambda _: None)


def shown(found: Tuning) -> list[str]:
    out = io.StringIO()
    show_tuning(found, Console(file=out, width=140))
    return out.getvalue().splitlines()


# what is recommended


def test_the_smallest_that_is_not_slower_is_enough() -> None:
    found = recommend(points(100, 198, 199, 200))

    assert (found.use, found.worse, found.difference_seen) == (20, {10}, True)


def test_what_differs_less_than_its_own_rounds_is_no_difference() -> None:
    found = recommend(points(100, 110, 90, 120, spread=NOISY))

    assert (found.worse, found.difference_seen) == (frozenset(), False)


def test_a_setting_that_is_slower_in_most_rounds_but_not_all_is_not_called_slower() -> None:
    slow = Point(10, tuple(Round(rate, 100) for rate in (100, 101, 102, 103, 150)))

    assert recommend([slow, point(20, 140)]).worse == frozenset()


def test_a_difference_of_a_few_per_cent_decides_nothing_however_steady_it_is() -> None:
    assert recommend(points(97, 100, spread=(1.0,) * ROUNDS)).worse == frozenset()


def test_a_setting_stays_where_nothing_speaks_for_a_change() -> None:
    assert recommend(points(100, 198, 199, 200), keep=40).use == 40
    assert recommend(points(100, 101, 100, 100, spread=NOISY), keep=40).use == 40
    assert recommend(points(100, 198, 199, 200), keep=10).use == 20
    assert recommend(points(100, 198, 199, 200), keep=4711).use == 20


def test_a_setting_that_is_refused_is_no_choice_unless_all_are() -> None:
    calm, hasty = point(10, 100), point(20, 500, refused=30)

    assert recommend([calm, hasty]).use == 10
    assert recommend([calm, hasty]).worse == {20}
    assert recommend([hasty]).use == 20


def test_a_point_knows_its_median_its_spread_and_its_latencies() -> None:
    latencies = tuple(0.01 * n for n in range(1, 101))
    made = Point(4, tuple(Round(rate, 20, 1, latencies[at::5]) for at, rate in enumerate((5, 1, 2, 4, 3))))

    assert made.as_json() == {
        "value": 4,
        "per_second": 3,
        "slowest_per_second": 1,
        "fastest_per_second": 5,
        "median_ms": pytest.approx(510),
        "p95_ms": pytest.approx(960),
        "refused": 5,
        "done": 100,
    }


def test_nothing_answered_is_a_rate_of_nought() -> None:
    found = [Point(4, (Round(0.0, 0, 9),) * ROUNDS)]

    assert (found[0].rate, found[0].latency_ms(0.5)) == (0.0, None)
    assert recommend(found).use == 4


def test_the_recommendation_says_a_word_of_each_setting() -> None:
    found = recommend(points(100, 200, 200))

    assert [found.of(value) for value in (10, 20, 40)] == ["worse", "enough", ""]


# the rounds


async def test_the_rounds_of_all_settings_take_turns() -> None:
    order: list[tuple[int, int]] = []

    async def measure(_: str, value: int, number: int) -> Round:
        order.append((number, value))
        return Round(value, 1)

    found = await in_rounds("concurrency", [8, 32], measure, lambda _: None)

    assert order == [(number, value) for number in range(1, ROUNDS + 1) for value in (8, 32)]
    assert [(each.value, each.rate, len(each.rounds)) for each in found] == [(8, 8, ROUNDS), (32, 32, ROUNDS)]


@pytest.mark.parametrize(
    ("records", "expected"), [(30, [2000]), (200, [50, 2000]), (1000, [50, 200, 2000]), (5000, [50, 200, 2000, 8000])]
)
def test_only_sizes_that_the_records_can_tell_apart_are_tried(records: int, expected: list[int]) -> None:
    assert told_apart([50, 200, 2000, 8000], records, keep=2000) == expected


async def test_what_one_setting_showed_holds_for_the_next() -> None:
    tags, backup = scripted({"concurrency": {8: 100.0, 32: 300.0}})
    wanted: list[dict[str, int]] = []

    async def noted(tag: str, settings: dict[str, int]) -> Round:
        wanted.append(settings)
        return await backup(tag, settings)

    found = await compare(Tuning("", dict(DEFAULTS)), TuneOptions(concurrency=(8, 32)), noted, lambda _: None)

    assert {each["concurrency"] for each in wanted if "queue_size" in each} == {32}
    assert len(set(tags)) == len(tags) == ROUNDS * (2 + 3 + 4)
    assert found.use == {"concurrency": 32, "queue_size": 2000, "batch_size": 500}


# what is said


async def test_noise_ends_in_no_difference_seen_and_the_settings_as_they_are() -> None:
    rates: dict[str, dict[int, Any]] = {"concurrency": {8: 290, 400: 330}, "queue_size": {50: 280, 2000: 320}}
    found = await tuned(TuneOptions(), rates, NOISY)
    said = shown(found)

    assert found.as_json()["use"] == {"migration": DEFAULTS}
    assert found.as_json()["no_difference_seen"] == ["batch_size", "concurrency", "queue_size"]
    assert [line for line in said if "no difference seen: the rounds of one" in line] != []
    assert said[-4:-1] == [f"  {name}: {value}  # no difference seen" for name, value in DEFAULTS.items()]
    assert not [line for line in said if line.rstrip().endswith(("worse", "enough"))]


async def test_a_difference_beyond_the_noise_is_named() -> None:
    found = await tuned(TuneOptions(), {"concurrency": {8: 100}, "queue_size": {50: 150, 200: 290}}, STEADY)
    said = shown(found)

    assert found.as_json()["no_difference_seen"] == ["batch_size"]
    assert said[-4:-1] == ["  concurrency: 200", "  queue_size: 2000", "  batch_size: 500  # no difference seen"]
    assert [line.split()[0] for line in said if line.rstrip().endswith("worse")] == ["8", "50"]


async def test_sizes_that_cannot_be_told_apart_are_not_measured() -> None:
    found = await tuned(TuneOptions(records=50, concurrency=(4,)), {}, STEADY)

    assert list(found.points) == ["concurrency"]
    assert shown(found)[-4:-1] == [
        "  concurrency: 4  # the only one measured",
        "  queue_size: 2000  # not measured",
        "  batch_size: 500  # not measured",
    ]


# real endpoints


def test_concurrencies_that_the_requests_cannot_measure_are_left_out_and_named() -> None:
    notes: list[str] = []

    assert within_requests(TuneOptions(requests=2400), notes) == [8, 32, 100, 200]
    assert notes == ["not measured: concurrency 400 (it takes --requests 4400)"]


def test_requests_that_are_too_few_for_all_are_refused() -> None:
    with pytest.raises(Usage, match=r"too few for any --concurrency: 100 \(it takes --requests 1100\)"):
        within_requests(TuneOptions(requests=100, concurrency=(100,)), [])

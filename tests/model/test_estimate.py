"""Totals from samples: exact where all was looked at, honest intervals where not."""

from __future__ import annotations

import random
from statistics import fmean, variance

import pytest

from engine.model.estimate import FEWEST, PILOT, Stratum, allocate, refine, share, total


def looked_at(population: int, values: list[float]) -> Stratum:
    stratum = Stratum(population)
    for value in values:
        stratum.add(value)
    return stratum


def test_moments_are_those_of_the_values() -> None:
    values = [1.0, 5.0, 5.0, 9.0, 40.0]
    stratum = looked_at(9, values)
    mean = fmean(values)

    assert stratum.mean == pytest.approx(mean)
    assert stratum.m2 / 4 == pytest.approx(variance(values))
    assert stratum.m3 == pytest.approx(sum((value - mean) ** 3 for value in values))
    assert stratum.m4 == pytest.approx(sum((value - mean) ** 4 for value in values))


def test_a_stratum_looked_at_as_a_whole_is_exact() -> None:
    found = total([looked_at(3, [1, 2, 30]), looked_at(2, [5, 5])])

    assert found is not None
    assert (found.estimate, found.low, found.high, found.exact) == (43, 43, 43, True)


def test_nothing_is_said_of_a_stratum_that_nobody_looked_at() -> None:
    assert total([looked_at(3, [1, 2, 30]), Stratum(1)]) is None


def test_one_look_is_not_taken_for_certainty() -> None:
    found = total([looked_at(100, [7.0])])

    assert found is not None
    assert found.low < 700 < found.high


def test_no_less_than_what_was_seen() -> None:
    found = total([looked_at(1000, [0.0] * 50 + [1e9])])

    assert found is not None
    assert found.low >= 1e9


def test_a_right_tail_stretches_the_interval_upwards() -> None:
    chance = random.Random(2)
    found = total([looked_at(50_000, [chance.lognormvariate(12, 2) for _ in range(500)])])

    assert found is not None
    assert found.high - found.estimate > 1.5 * (found.estimate - found.low)


@pytest.mark.parametrize(
    ("sigma", "sample", "at_least"), [(0.5, 300, 0.92), (1.0, 300, 0.92), (1.5, 1000, 0.91), (2.0, 2000, 0.90)]
)
def test_the_interval_covers_the_truth_about_as_often_as_it_says(sigma: float, sample: int, at_least: float) -> None:
    """File sizes are about lognormal; with sigma 2 the mean is seven times the median, as in a real bucket."""
    chance = random.Random(7)
    population = [chance.lognormvariate(12, sigma) for _ in range(30_000)]
    truth, rounds = sum(population), 200
    hits = 0
    for _ in range(rounds):
        found = total([looked_at(len(population), chance.sample(population, sample))])
        assert found is not None
        hits += found.low <= truth <= found.high

    assert hits / rounds >= at_least


def test_the_interval_holds_for_a_mix_of_types_some_of_them_rare_and_huge() -> None:
    """Shares, log means and log deviations of seven types, a fiftieth of the files missing; a mean of 1.1 MB."""
    chance, rounds, sample = random.Random(11), 120, 2000
    mix = [
        (62, 12.3, 1.6),
        (14, 13.4, 1.1),
        (10, 11, 1.3),
        (7, 10.8, 1.7),
        (5, 11.8, 2),
        (0.4, 17, 1.2),
        (1.6, 14.5, 2),
    ]
    files = {
        str(n): [0.0 if chance.random() < 0.02 else chance.lognormvariate(m, s) for _ in range(int(500 * share_of))]
        for n, (share_of, m, s) in enumerate(mix)
    }
    truth, populations = sum(map(sum, files.values())), {name: len(sizes) for name, sizes in files.items()}
    hits, width = 0, 0.0
    for _ in range(rounds):
        for sizes in files.values():
            chance.shuffle(sizes)
        first = allocate(populations, round(PILOT * sample))
        strata = {name: looked_at(len(files[name]), files[name][:count]) for name, count in first.items()}
        for name, more in refine(strata, first, sample).items():
            for size in files[name][first[name] : first[name] + more]:
                strata[name].add(size)
        found = total(list(strata.values()))
        assert found is not None
        assert sum(each.count for each in strata.values()) <= sample
        hits += found.low <= truth <= found.high
        width += (found.high - found.low) / truth / rounds

    assert hits / rounds >= 0.88
    assert width < 0.5


def test_the_second_half_goes_where_sizes_differ() -> None:
    even, odd = looked_at(1000, [5.0, 5.0, 5.0, 5.0]), looked_at(1000, [1.0, 2.0, 3.0, 1e6])
    more = refine({"even": even, "odd": odd}, {"even": 4, "odd": 4}, 100)

    assert sum(more.values()) <= 92
    assert more["odd"] > 80


def test_strata_that_differ_make_the_interval_shorter() -> None:
    chance = random.Random(3)
    small = [chance.uniform(900, 1100) for _ in range(5000)]
    large = [chance.uniform(90_000, 110_000) for _ in range(5000)]
    apart = total([looked_at(5000, small[:100]), looked_at(5000, large[:100])])
    together = total([looked_at(10_000, small[:100] + large[:100])])

    assert apart is not None
    assert together is not None
    assert apart.low < sum(small) + sum(large) < apart.high
    assert (apart.high - apart.low) * 5 < together.high - together.low


def test_a_trait_that_was_not_met_may_exist_all_the_same() -> None:
    found = share(100_000, 2000, 0)

    assert (found.estimate, found.low) == (0, 0)
    assert 100 < found.high < 300


def test_a_trait_is_counted_exactly_where_all_were_looked_at() -> None:
    assert share(50, 50, 3).exact


def test_a_share_is_at_least_what_was_met_and_at_most_what_is_left() -> None:
    found = share(100, 90, 4)

    assert found.low >= 4
    assert found.high <= 14


@pytest.mark.parametrize("sample", [50, 400, 2000])
def test_a_sample_goes_to_strata_in_proportion_and_to_each_a_few(sample: int) -> None:
    populations = {"pdf": 90_000, "docx": 9_000, "msg": 990, "odd": 3, "rare": 7}
    chosen = allocate(populations, sample)

    assert sum(chosen.values()) <= sample
    assert chosen["odd"] == 3
    assert all(chosen[name] >= min(FEWEST, count) for name, count in populations.items())
    assert chosen["pdf"] >= 0.6 * sample


def test_a_sample_larger_than_everything_is_everything() -> None:
    assert allocate({"a": 10, "b": 2}, 12) == {"a": 10, "b": 2}

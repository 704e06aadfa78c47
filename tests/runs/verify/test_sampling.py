"""Samples are exactly as large as asked for, and every row has the same chance."""

from __future__ import annotations

from collections import Counter

import pytest

from engine.model.errors import Usage
from engine.runs.verify.report import confidence
from engine.runs.verify.sampling import Draw, First, Sample, sample_of
from tests.support.fakes.clock import ManualClock


@pytest.mark.parametrize(
    ("text", "expected"),
    [(None, None), ("200", Sample(count=200)), ("2.5%", Sample(share=0.025)), (" 100% ", Sample(share=1.0))],
)
def test_a_sample_is_a_number_or_a_share(text: str | None, expected: Sample | None) -> None:
    assert sample_of(text) == expected


@pytest.mark.parametrize("text", ["0", "0%", "101%", "-3", "many", "5 %%", ""])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="--sample"):
        sample_of(text)


@pytest.mark.parametrize(("chosen", "total", "size"), [("3", 10, 3), ("30", 10, 10), ("1%", 10, 1), ("50%", 10, 5)])
def test_it_is_never_larger_than_the_whole_nor_empty(chosen: str, total: int, size: int) -> None:
    wanted = sample_of(chosen)
    assert wanted is not None
    assert wanted.of(total) == size


def test_a_draw_takes_exactly_as_many_evenly_over_all_chunks() -> None:
    clock = ManualClock(seed=3)
    taken: Counter[int] = Counter()
    for _ in range(400):
        draw = Draw(5, 50, clock)
        rows = [row for start in range(0, 50, 7) for row in draw.take(range(start, min(start + 7, 50)))]
        assert len(rows) == len(set(rows)) == 5
        assert draw.done
        taken.update(rows)
    assert set(taken) == set(range(50))
    assert max(taken.values()) < 3 * min(taken.values())


def test_the_first_come_first() -> None:
    first = First(3)
    assert [first.take([1, 2]), first.take([3, 4]), first.take([5])] == [[1, 2], [3], []]
    assert first.done
    assert First(None).take([1, 2]) == [1, 2]


def test_confidence_follows_the_rule_of_three() -> None:
    assert "fewer than 0.30% of 1,000,000" in confidence(1000, 1_000_000)

"""How links move, decided: tables."""

from __future__ import annotations

import random

import pytest

from engine.model.change import Held, Link, LinkState
from engine.model.copy import ProvedCopy
from engine.pipeline.switching import (
    LANES,
    SLICE,
    WINDOW,
    Counts,
    DriftLimits,
    Wave,
    calls,
    lanes,
    link_state,
    slices,
    waves,
)

OLD, NEW = "https://vendor.test/a.pdf", "https://ours.test/a.pdf"


def held(url: str) -> Held:
    return Held(url, "2026-11-22T10:00:00.000+0000")


@pytest.mark.parametrize(
    ("now", "stands"),
    [
        (held(OLD), LinkState.ORIGINAL),
        (held(NEW), LinkState.OURS),
        (held("https://users.test/b.pdf"), LinkState.EDITED),
        (held(""), LinkState.EDITED),
        (held(OLD + " "), LinkState.EDITED),
        (held(OLD.upper()), LinkState.EDITED),
        (None, LinkState.GONE),
    ],
)
def test_a_link_is_the_original_or_ours_only_where_it_is_exactly_that(now: Held | None, stands: LinkState) -> None:
    assert link_state(now, OLD, NEW) is stands


DEFAULT: list[int | str] = [1, 100, "1%", "10%", "100%"]


@pytest.mark.parametrize(
    ("targets", "count", "expected"),
    [
        (DEFAULT, 0, []),
        (DEFAULT, 1, [(1, 0, 1)]),
        (DEFAULT, 50, [(1, 0, 1), (2, 1, 50)]),
        (DEFAULT, 576, [(1, 0, 1), (2, 1, 100), (5, 100, 576)]),
        (DEFAULT, 20_000, [(1, 0, 1), (2, 1, 100), (3, 100, 200), (4, 200, 2_000), (5, 2_000, 20_000)]),
        (["10%", "50%"], 10, [(1, 0, 1), (2, 1, 5)]),
        (["0.1%"], 7, [(1, 0, 1)]),
        (["33.3%", "100%"], 1000, [(1, 0, 333), (2, 333, 1000)]),
        ([500, 100, "100%"], 600, [(1, 0, 500), (3, 500, 600)]),
    ],
)
def test_waves(targets: list[int | str], count: int, expected: list[tuple[int, int, int]]) -> None:
    assert waves(targets, count) == [Wave(*each) for each in expected]


def a_link(number: int, account: str) -> Link:
    return Link(f"a0X{number:015}", account, OLD, NEW, ProvedCopy("k", 1, "e", "", "etag"))


def test_no_account_is_ever_in_two_lanes_and_nothing_is_lost() -> None:
    chance = random.Random(1)
    links = [a_link(n, chance.choice(["", *(f"acc{i}" for i in range(30))])) for n in range(3_000)]
    shared = lanes(links, lambda link: link.account)
    assert len(shared) <= LANES
    assert sorted(link for lane in shared for link in lane) == sorted(links)
    homes: dict[str, set[int]] = {}
    for number, lane in enumerate(shared):
        for link in lane:
            homes.setdefault(link.account, set()).add(number)
    assert all(len(found) == 1 for account, found in homes.items() if account)


def test_records_without_an_account_fill_the_lanes_evenly() -> None:
    shared = lanes([a_link(n, "") for n in range(100)], lambda link: link.account)
    assert [len(lane) for lane in shared] == [25] * 4


def test_slices_hold_what_a_write_takes() -> None:
    assert [len(part) for part in slices(range(450))] == [SLICE, SLICE, 50]
    assert list(slices([])) == []


def test_calls_count_a_read_and_a_write_per_slice_and_a_last_look() -> None:
    assert calls([]) == 0
    assert calls([a_link(1, "one")]) == 3
    assert calls(a_link(n, "one") for n in range(400)) == 5
    assert calls(a_link(n, "one") for n in range(WINDOW + 1)) == (2 * WINDOW // SLICE + 1) + 3


@pytest.mark.parametrize(
    ("counts", "over", "code"),
    [
        (Counts(), True, None),
        (Counts(done=49), True, None),
        (Counts(done=48, edited=1), False, None),  # fewer than fifty are not judged
        (Counts(done=48, edited=2), False, 6),
        (Counts(done=49, edited=1), False, None),  # exactly two in a hundred are within the limit
        (Counts(done=99, gone=3), False, 6),
        (Counts(done=0, failed=1), False, None),  # the canary's wave is judged when it is over
        (Counts(done=0, failed=1), True, 5),
        (Counts(done=0, missing=1), True, 5),
        (Counts(done=40, failed=10), False, None),
        (Counts(done=40, failed=11), False, 5),
        (Counts(done=90, stale=50), True, None),
    ],
)
def test_drift_and_failures_stop_a_wave(counts: Counts, over: bool, code: int | None) -> None:
    verdict = DriftLimits(0.02, 0.2).verdict(counts, over=over)
    assert (verdict[1] if verdict else None) == code
    assert verdict is None or "of" in verdict[0]


@pytest.mark.parametrize(
    ("counts", "waiting", "code"),
    [
        (Counts(), 49, None),
        (Counts(), 50, 5),
        (Counts(done=80), 20, None),
        (Counts(done=80), 21, 5),
        (Counts(done=75, failed=15), 10, 5),
    ],
)
def test_links_that_stay_locked_count_while_they_wait(counts: Counts, waiting: int, code: int | None) -> None:
    verdict = DriftLimits(0.02, 0.2).verdict(counts, over=False, waiting=waiting)
    assert (verdict[1] if verdict else None) == code

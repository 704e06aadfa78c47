"""What to allow next, as a table."""

from __future__ import annotations

from math import inf

import pytest

from engine.limiting.aimd import SLOWEST, AimdPolicy, Window, eased, measured, measuring_s, timed_out, widened

SETTLED = AimdPolicy(limit=100, rate=1000, ceiling=1000, fresh=False)


@pytest.mark.parametrize(
    ("before", "seen", "limit"),
    [
        (AimdPolicy(limit=32), Window(0.02, accepted=32, short_of_slots=True), 64),
        (AimdPolicy(limit=190), Window(0.02, accepted=190, short_of_slots=True), 200),
        (AimdPolicy(limit=32), Window(0.02, accepted=32), 32),
    ],
    ids=["a round trip doubles it", "never above the most", "nobody waited: nothing to gain"],
)
def test_slow_start(before: AimdPolicy, seen: Window, limit: float) -> None:
    after = widened(before, seen, 200)

    assert (after.limit, after.rate) == (limit, inf)


@pytest.mark.parametrize(
    ("seen", "limit", "rate"),
    [
        (Window(1, 1000, 1, short_of_rate=True), 100, 950),
        (Window(1, 1000, 1, short_of_slots=True), 95, 1000),
        (Window(1, 1000, 1, short_of_slots=True, short_of_rate=True), 95, 950),
    ],
    ids=["of the rate", "of the slots", "of both"],
)
def test_the_first_refusal_takes_a_twentieth_of_what_was_felt(seen: Window, limit: float, rate: float) -> None:
    after = eased(SETTLED, seen)

    assert (after.limit, after.rate, after.ceiling) == (limit, rate, 1000)
    assert after.hold_s > 0


def test_a_refusal_in_the_hold_takes_twice_as_much() -> None:
    seen = Window(1, 1000, 1, short_of_rate=True)

    assert eased(eased(SETTLED, seen), seen).rate == pytest.approx(1000 * 0.95**3)


@pytest.mark.parametrize(
    ("before", "seen", "rate"),
    [
        (AimdPolicy(limit=200), Window(0.5, accepted=50, refused=500, latency_s=0.1), 95),
        (SETTLED, Window(0.5, accepted=300, refused=200, latency_s=0.1), 570),
        (SETTLED, Window(0.5, accepted=20, refused=500, latency_s=0.1), 500),
        (SETTLED, Window(0.5, accepted=499, refused=30, latency_s=0.1), 948.1),
        (SETTLED, Window(0.5, accepted=0, refused=500, latency_s=0.1), 500),
        (AimdPolicy(limit=10, rate=1.2, fresh=False), Window(1, accepted=0, refused=3), SLOWEST),
    ],
    ids=["the first time", "what was accepted", "halved at most", "a little less at least", "a storm", "the floor"],
)
def test_refusals_that_go_on_bring_the_rate_down_to_what_was_accepted(
    before: AimdPolicy, seen: Window, rate: float
) -> None:
    assert measured(before, seen).rate == pytest.approx(rate, rel=0.01)


def test_the_limit_comes_down_to_what_was_in_use() -> None:
    seen = Window(1, accepted=500, refused=500, latency_s=0.1)  # fifty in flight

    assert measured(SETTLED, seen).limit == pytest.approx(62.5)


def test_a_timeout_narrows_the_limit_and_says_nothing_of_a_rate() -> None:
    after = timed_out(AimdPolicy(limit=100))

    assert (after.limit, after.rate, after.fresh) == (70, inf, False)


def test_a_storm_leaves_the_ceiling_known_and_the_way_back_is_short() -> None:
    policy = SETTLED
    for _ in range(20):
        policy = measured(policy, Window(1, accepted=0, refused=10))
    assert (policy.rate, policy.limit) == (SLOWEST, 1)

    seconds = 0.0
    while policy.rate < 800:
        policy = widened(policy, Window(0.5, accepted=10, short_of_slots=True, short_of_rate=True), 200)
        seconds += 0.5
    assert seconds < 10


def test_near_the_ceiling_growth_waits_then_crawls_then_hastens() -> None:
    policy = eased(SETTLED, Window(1, 1000, 1, short_of_rate=True))
    rates = []
    for _ in range(200):
        policy = widened(policy, Window(0.1, accepted=100, short_of_rate=True), 200)
        rates.append(policy.rate)

    assert rates[18] == 950, "the hold"
    assert rates[29] == pytest.approx(960, rel=0.005), "one per cent in the first second"
    assert rates[99] > 1100, "and on, where nothing refuses"


def test_nothing_grows_that_nobody_felt() -> None:
    calm = AimdPolicy(limit=10, rate=100, ceiling=100, fresh=False)

    assert widened(calm, Window(10, accepted=1000), 200).rate == 100
    assert widened(calm, Window(10, accepted=1000, short_of_rate=True), 200).limit == 10


@pytest.mark.parametrize(
    ("policy", "latency_s", "seconds"),
    [
        (AimdPolicy(limit=1), 0.0, 0.25),
        (SETTLED, 0.1, 0.15),
        (AimdPolicy(1, rate=40), 0.1, 0.5),
        (AimdPolicy(1, rate=2), 5.0, 1.0),
    ],
)
def test_a_measurement_takes_more_than_a_round_trip_and_some_answers(
    policy: AimdPolicy, latency_s: float, seconds: float
) -> None:
    assert measuring_s(policy, latency_s) == pytest.approx(seconds)

"""The limiter before simulated services: it finds hidden bounds, stays just below them, and follows when they move."""

from __future__ import annotations

import pytest

from engine.limiting.limiter import Limiter
from tests.support.fakes.clock import ManualClock
from tests.support.service import Service, contend

WARM_S = 10.0


@pytest.mark.parametrize(
    ("rate", "latency_s", "burst_s"),
    [
        (50, 0.005, 0.2), (50, 0.1, 0.05), (50, 0.1, 1.0), (50, 0.3, 0.2), (400, 0.02, 0.05), (400, 0.3, 1.0),
        (1000, 0.005, 0.2), (1000, 0.1, 0.05), (1000, 0.1, 1.0), (3500, 0.005, 0.2), (3500, 0.02, 1.0),
    ],
)  # fmt: skip
async def test_against_a_hidden_rate_goodput_is_above_nine_tenths_and_refusals_below_three_per_cent(
    rate: float, latency_s: float, burst_s: float
) -> None:
    clock = ManualClock()
    hidden = Service(clock, rate=rate, latency_s=latency_s, burst_s=burst_s)
    await contend(Limiter(clock, most=200), hidden, clients=200, seconds=30)

    assert hidden.goodput(WARM_S, 30) >= 0.9 * rate
    assert hidden.refused_share(WARM_S, 30) < 0.03


@pytest.mark.parametrize("jitter", [0.3, 0.8])
async def test_answers_of_uneven_length_do_not_confuse_it(jitter: float) -> None:
    clock = ManualClock()
    hidden = Service(clock, rate=800, latency_s=0.05, jitter=jitter, refusal_s=0.004)
    await contend(Limiter(clock, most=200), hidden, clients=200, seconds=30)

    assert hidden.goodput(WARM_S, 30) >= 0.9 * 800
    assert hidden.refused_share(WARM_S, 30) < 0.03


@pytest.mark.parametrize(("factor", "settled_s"), [(0.2, 15), (0.5, 15), (2.0, 15), (3.0, 20)])
async def test_when_the_hidden_rate_changes_it_follows(factor: float, settled_s: float) -> None:
    clock = ManualClock()
    hidden = Service(clock, rate=500, latency_s=0.02)

    def change() -> None:
        hidden.rate = 500 * factor

    await contend(Limiter(clock, most=200), hidden, clients=200, seconds=60, events={20.0: change})

    assert hidden.goodput(20 + settled_s, 60) >= 0.9 * 500 * factor
    assert hidden.refused_share(20 + settled_s, 60) < 0.03


@pytest.mark.parametrize(("room", "latency_s", "share"), [(20, 0.02, 0.85), (20, 0.3, 0.85), (100, 0.1, 0.85)])
@pytest.mark.parametrize("refusal_s", [None, 0.002])
async def test_a_service_that_bounds_concurrency_is_kept_busy_too(
    room: int, latency_s: float, share: float, refusal_s: float | None
) -> None:
    clock = ManualClock()
    hidden = Service(clock, room=room, latency_s=latency_s, refusal_s=refusal_s)
    await contend(Limiter(clock, most=200), hidden, clients=200, seconds=40)

    assert hidden.goodput(20, 40) >= share * room / latency_s
    assert hidden.refused_share(20, 40) < 0.03


async def test_a_service_without_bounds_gets_all_there_is() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, most=100)
    free = Service(clock, latency_s=0.1)
    await contend(limiter, free, clients=200, seconds=5)

    assert (limiter.limit, limiter.rate) == (100, None)
    assert free.goodput(1, 5) == pytest.approx(1000, rel=0.03)


async def test_where_each_refusal_costs_a_pause_probes_are_rare() -> None:
    clock = ManualClock()
    hidden = Service(clock, rate=1000, latency_s=0.02, retry_after_s=1.0)
    await contend(Limiter(clock, most=200), hidden, clients=200, seconds=90)

    assert hidden.goodput(20, 90) >= 0.9 * 1000
    assert hidden.refused_share(20, 90) < 0.01


async def test_a_storm_of_refusals_costs_few_requests_and_ends_quickly() -> None:
    clock = ManualClock()
    hidden = Service(clock, rate=1000, latency_s=0.02)

    def storm() -> None:
        hidden.rate = 1e-9

    def calm() -> None:
        hidden.rate = 1000

    await contend(Limiter(clock, most=200), hidden, clients=200, seconds=360, events={20.0: storm, 320.0: calm})
    refused = sum(not ok for at, ok in hidden.answers if 1020 <= at < 1320)

    assert refused < 1000, "in five minutes, by two hundred clients"
    assert hidden.goodput(335, 360) >= 0.9 * 1000


@pytest.mark.parametrize(("workers", "most"), [(2, 1.5), (4, 1.5), (8, 1.8)])
@pytest.mark.parametrize("latency_s", [0.02, 0.1])
async def test_limiters_of_several_workers_share_a_hidden_rate_nearly_as_well_as_one(
    workers: int, most: float, latency_s: float
) -> None:
    seen = {}
    for count in (1, workers):
        clock = ManualClock()
        hidden = Service(clock, rate=150, latency_s=latency_s)
        await contend(
            [Limiter(clock, most=200 // count, of=count) for _ in range(count)],
            hidden,
            clients=200,
            seconds=60,
        )
        seen[count] = hidden.goodput(0, 60), hidden.refused_share(0, 60)

    (alone, refused_alone), (together, refused_together) = seen[1], seen[workers]
    assert together >= 0.9 * alone
    assert refused_together <= most * refused_alone

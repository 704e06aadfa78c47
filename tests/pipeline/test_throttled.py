"""A host that is too busy does not use up a file's tries, and web hosts have limiters like stores."""

from __future__ import annotations

import pytest

from engine.limiting.limiters import Limiters
from engine.model.errors import Refused, Transient
from engine.model.failures import FailureClass
from engine.model.outcome import Status
from engine.pipeline.limited import LimitedSource
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.stores import FakeObject, FakeSource
from tests.support.pipeline import World, location, plan


def busy(seconds: float | None = None) -> Transient:
    return Transient(FailureClass.THROTTLED, "slow down", retry_after_s=seconds)


async def test_refusals_for_being_too_busy_are_counted_apart_from_failures() -> None:
    world = World(max_attempts=2)
    world.fill(1)
    reset = Transient(FailureClass.NETWORK, "connection reset")
    world.source.faults.order("get", "src/1.pdf", *[busy()] * 9, reset, *[busy()] * 9)
    [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.attempts) == (Status.BACKED_UP, 20)


async def test_but_not_for_ever() -> None:
    world = World(max_attempts=2)
    world.fill(1)
    world.source.faults.order("get", "src/1.pdf", *[busy()] * 50)
    [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.failure, outcome.attempts) == (Status.FAILED, FailureClass.THROTTLED, 20)


async def test_a_refused_file_is_soon_back_in_line() -> None:
    world = World()
    world.fill(1)
    world.source.faults.order("get", "src/1.pdf", busy(), busy())
    await world.run(plan(1))

    assert sum(world.clock.slept) < 0.2


@pytest.mark.parametrize(
    ("error", "refusals"),
    [
        (busy(), 1),
        (Transient(FailureClass.NETWORK, "reset"), 0),
        (Refused(FailureClass.SOURCE_MISSING, "none"), 0),
    ],
)
async def test_the_limiter_of_a_web_host_hears_of_its_refusals(error: Transient | Refused, refusals: int) -> None:
    limiters = Limiters(ManualClock(), 10)
    source = FakeSource(objects={"a": FakeObject(b"x")})
    source.faults.order("get", "a", error)
    source.faults.order("head", "a", error)
    limited = LimitedSource(source, limiters)
    with pytest.raises(type(error)):
        async with limited.open(location("a"), None):
            pass
    with pytest.raises(type(error)):
        await limited.facts(location("a"))
    limiter = limiters.host(str(location("a").origin))

    assert (limiter.refusals, limiter.in_flight) == (2 * refusals, 0)


async def test_what_the_destination_refuses_is_not_laid_at_the_sources_door() -> None:
    limiters = Limiters(ManualClock(), 10)
    limited = LimitedSource(FakeSource(objects={"a": FakeObject(b"x")}), limiters)
    with pytest.raises(Transient):
        async with limited.open(location("a"), None):
            raise busy(9.0)
    limiter = limiters.host(str(location("a").origin))

    assert (limiter.refusals, limiter.in_flight) == (0, 0)
    assert limiter.enter()

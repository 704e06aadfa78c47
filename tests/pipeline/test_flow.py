"""The whole flow on fakes: it always ends, and everything copied is recorded, however it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from engine.model.errors import Blocked, Fatal, Transient
from engine.model.failures import FailureClass
from engine.model.outcome import Status
from engine.pipeline.crew import Crew
from engine.pipeline.flow import flow
from engine.pipeline.stop import Stop
from engine.pipeline.work_queue import WorkQueue
from tests.support.pipeline import World, plan


class Ride:
    """One flow over a world: ``count`` plans, four workers."""

    def __init__(self, world: World, count: int) -> None:
        self.world = world
        self.stop = Stop()
        self.queue = WorkQueue(10, 8)
        self.plans = [plan(n) for n in range(count)]
        world.fill(*range(count))
        self.crew = Crew(
            self.queue,
            world.transfer,
            world.recorder,
            self.stop,
            concurrency=4,
            on_outcome=self.saw,
        )
        self.copied = 0
        self.on_outcome: Callable[[int], None] = lambda _n: None

    def saw(self, _plan: object, _outcome: object) -> None:
        self.copied += 1
        self.on_outcome(self.copied)

    async def feed(self) -> None:
        await self.world.routes.learn(p.source for p in self.plans)
        for start in range(0, len(self.plans), 5):
            await self.queue.put(self.plans[start : start + 5])

    async def run(self, feed: Callable[[], Awaitable[None]] | None = None, drain_s: float = 30) -> None:
        async with asyncio.timeout(5), self.world.clock.running():
            await flow(
                feed or self.feed,
                self.queue,
                self.crew,
                self.world.recorder,
                stop=self.stop,
                clock=self.world.clock,
                drain_s=drain_s,
            )

    @property
    def recorded(self) -> int:
        return len(self.world.ledger.outcomes)


async def test_everything_fed_is_copied_and_recorded() -> None:
    ride = Ride(World(), 137)
    await ride.run()

    assert ride.recorded == ride.copied == 137
    assert {o.status for o in ride.world.ledger.outcomes.values()} == {Status.BACKED_UP}


async def test_an_empty_feed_ends_at_once() -> None:
    ride = Ride(World(), 0)
    await ride.run()

    assert ride.recorded == 0


@pytest.mark.parametrize("at", [1, 7, 60])
async def test_a_stop_request_drains_and_records_all_that_was_copied(at: int) -> None:
    ride = Ride(World(), 200)
    ride.on_outcome = lambda n: ride.stop.request("enough", 5) if n == at else None
    await ride.run()

    assert at <= ride.copied < 200
    assert ride.recorded == ride.copied


async def test_work_that_outlasts_the_drain_is_cut_and_the_rest_is_recorded() -> None:
    ride = Ride(World(), 50)
    ride.on_outcome = lambda n: hang(n)

    def hang(n: int) -> None:
        if n == 10:
            ride.world.source.barrier = asyncio.Event()  # from now on every GET hangs
            ride.stop.request("enough", 5)

    await ride.run(drain_s=30)

    assert 10 <= ride.recorded == ride.copied < 50
    assert 30 in ride.world.clock.slept


@pytest.mark.parametrize("victim", [0, 99])
async def test_a_fatal_error_of_one_worker_ends_the_run_and_keeps_what_was_copied(victim: int) -> None:
    ride = Ride(World(), 100)
    ride.world.destination.faults.order("put", f"up/{victim}.pdf", Blocked("bucket gone"))
    with pytest.raises(ExceptionGroup) as caught:
        await ride.run()

    assert caught.group_contains(Blocked, match="bucket gone")
    assert ride.recorded == ride.copied


async def test_a_failing_feed_ends_the_run_and_keeps_what_was_copied() -> None:
    ride = Ride(World(), 40)

    async def feed() -> None:
        await ride.feed()
        raise Fatal("the org is gone")

    with pytest.raises(ExceptionGroup) as caught:
        await ride.run(feed)

    assert caught.group_contains(Fatal, match="org is gone")
    assert ride.recorded == ride.copied


async def test_a_failing_ledger_stops_the_copying() -> None:
    ride = Ride(World(), 500)
    ride.world.ledger.error = Fatal("disk full")
    with pytest.raises(ExceptionGroup) as caught:
        await ride.run()

    assert caught.group_contains(Fatal, match="disk full")
    assert ride.copied < 500


async def test_a_cancelled_run_still_records_what_was_copied() -> None:
    ride = Ride(World(), 100)
    reached = asyncio.Event()
    ride.on_outcome = lambda n: reached.set() if n == 30 else None
    running = asyncio.create_task(ride.run())
    await reached.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert 30 <= ride.recorded == ride.copied


async def test_a_full_queue_does_not_hang_when_the_crew_dies() -> None:
    ride = Ride(World(), 100)

    async def endless() -> None:
        await ride.feed()
        while True:
            await ride.queue.put(ride.plans[:5])

    ride.world.destination.faults.order("put", "up/3.pdf", Blocked("bucket gone"))
    with pytest.raises(ExceptionGroup):
        await ride.run(endless)

    assert ride.recorded == ride.copied


async def test_records_that_wait_for_a_failing_source_do_not_hold_the_crew() -> None:
    """More of them than there are workers, and the time of the retries does not pass before the others are done."""
    world = World()
    ride = Ride(world, 40)
    ride.plans = [*(plan(n, source_key="src/gone.pdf") for n in range(100, 120)), *ride.plans]
    world.source.faults.order("get", "src/gone.pdf", *[Transient(FailureClass.NETWORK, "reset") for _ in range(99)])
    others = asyncio.Event()
    ride.on_outcome = lambda n: others.set() if n == 40 else None
    async with asyncio.timeout(5):
        riding = asyncio.create_task(
            flow(ride.feed, ride.queue, ride.crew, world.recorder, stop=ride.stop, clock=world.clock, drain_s=30)
        )
        await others.wait()
        assert world.tally.in_flight == 1
        async with world.clock.running():
            await riding

    assert ride.recorded == ride.copied == 60
    assert world.source.calls["get", "src/gone.pdf"] == 5


async def test_a_stop_ends_records_that_wait_for_another() -> None:
    world = World()
    ride = Ride(world, 10)
    ride.plans = [plan(n, source_key="src/0.pdf") for n in range(10)]
    world.source.barrier = asyncio.Event()
    async with asyncio.timeout(5):
        riding = asyncio.create_task(
            flow(ride.feed, ride.queue, ride.crew, world.recorder, stop=ride.stop, clock=world.clock, drain_s=30)
        )
        for _ in range(50):
            await asyncio.sleep(0)
        ride.stop.request("enough", 5)
        world.source.barrier.set()
        await riding

    assert ride.recorded == ride.copied == 1

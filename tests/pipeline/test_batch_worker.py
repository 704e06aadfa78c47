"""The worker's side of batches: what it brings back, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from engine.limiting.limiters import Limiters
from engine.limiting.retry import Retries
from engine.model.errors import Blocked, Paused, Refused, Transient
from engine.model.facts import Method
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.outcome import Attempt, Looked, Outcome, Status
from engine.model.plan import Look, Plan, Work
from engine.pipeline.allowance import Allowance
from engine.pipeline.batch_worker import BatchWorker, Gathered
from engine.pipeline.crew import Worker
from engine.pipeline.duplicates import DuplicateSources, Failing
from engine.pipeline.routes import Route, Routes
from engine.pipeline.transfer import Transfer
from engine.pipeline.work_batches import Share, WorkBatch, WorkResult
from tests.support.pipeline import PLANNER, World, known, pinned, plan

SLOW = Transient(FailureClass.THROTTLED, "slow down")


class Bench:
    """A worker over fake stores."""

    def __init__(self, world: World, *, concurrency: int = 4) -> None:
        self.world = world
        self.limiters = Limiters(world.clock, 16)
        self.probe_error: Exception | None = None
        self.routes = Routes(self._probe, reader=lambda _method: world.source)
        self.worker = BatchWorker(self._transfer, self.routes, self.limiters, world.clock, concurrency=concurrency)
        self._number = 0

    async def _probe(self, _bucket: str, _samples: Sequence[Location]) -> Route:
        if self.probe_error is not None:
            raise self.probe_error
        return Route(Method.STREAM, self.world.source, "test")

    def _transfer(self, ends: Gathered, duplicates: DuplicateSources, allowance: Allowance) -> Worker:
        copying, retries = self.world.copying, Retries(self.world.clock, 5)
        return Transfer(copying, PLANNER, self.routes, ends, retries, allowance=allowance, duplicates=duplicates)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        async with asyncio.timeout(5), self.world.clock.running():
            task = asyncio.create_task(self.worker.run())
            try:
                yield
            finally:
                self.worker.close()
                await asyncio.wait({task})
                task.exception()

    def batch(self, *works: Work, allowance: int | None = None) -> WorkBatch:
        self._number += 1
        return WorkBatch(self._number, list(works), Share(4), [], [], allowance)

    async def do(self, *works: Work, allowance: int | None = None) -> WorkResult:
        return await self.worker.do(self.batch(*works, allowance=allowance))


def plans(world: World, *numbers: int) -> list[Plan]:
    world.fill(*numbers)
    return [replace(plan(number), source_id=number) for number in numbers]


def ends(result: WorkResult) -> dict[int, Status | None]:
    return {place: each.status if isinstance(each, Outcome) else None for place, each in result.ends}


async def test_a_batch_comes_back_whole_each_end_at_its_place() -> None:
    bench = Bench(World())
    works = plans(bench.world, *range(1, 30))
    del bench.world.source.objects["src/7.pdf"]
    async with bench.open():
        result = await bench.do(*works)

    assert sorted(ends(result)) == list(range(29))
    assert all(outcome.record == works[place].record for place, outcome in result.ends)
    assert {place for place, status in ends(result).items() if status is Status.FAILED} == {6}
    assert result.fatal is None
    assert result.routes == [("vendor", Method.STREAM, "test")]


async def test_batches_side_by_side_share_the_crew_and_keep_their_ends_apart() -> None:
    bench = Bench(World(), concurrency=3)
    works = plans(bench.world, *range(1, 61))
    async with bench.open():
        results = await asyncio.gather(*(bench.do(*works[at : at + 20]) for at in (0, 20, 40)))

    for at, result in zip((0, 20, 40), results, strict=True):
        assert [works[at + place].record.id for place, _ in sorted(result.ends, key=lambda end: end[0])] == [
            work.record.id for work in works[at : at + 20]
        ]


async def test_an_empty_batch_and_one_plan_in_it_twice_end() -> None:
    bench = Bench(World())
    (work,) = plans(bench.world, 1)
    async with bench.open():
        assert (await bench.do()).ends == []
        assert len((await bench.do(work, replace(work))).ends) == 2


async def test_failed_tries_travel_once_by_a_sign_of_life_or_with_the_batch() -> None:
    bench = Bench(World())
    works = plans(bench.world, 1, 2)
    hold = bench.world.source.barrier = asyncio.Event()
    bench.world.destination.faults.order("put", "up/1.pdf", SLOW, SLOW, SLOW)
    told: list[Attempt] = []
    async with bench.open():
        batch = asyncio.create_task(bench.do(*works))
        hold.set()
        while not told:
            await asyncio.sleep(0)
            told += bench.worker.beat().attempts
        result = await batch
        assert bench.worker.beat().attempts == []

    assert [each.number for each in told + result.attempts] == [1, 2, 3]
    assert ends(result) == {0: Status.BACKED_UP, 1: Status.BACKED_UP}


async def test_what_was_found_of_a_source_comes_back_and_is_taken_over() -> None:
    first, second = Bench(World()), Bench(World())
    works = [plan(1, source_key="src/1.pdf"), plan(2, source_key="src/1.pdf")]
    first.world.fill(1)
    async with first.open():
        result = await first.do(works[0])
    assert [source_id for source_id, _ in result.findings] == [works[0].source_id]

    second.world.destination.objects |= first.world.destination.objects
    batch = replace(second.batch(works[1]), findings=result.findings)
    async with second.open():
        followed = await second.worker.do(batch)
    (end,) = followed.ends
    assert isinstance(end[1], Outcome)
    assert (end[1].status, end[1].method) == (Status.BACKED_UP, Method.DUPLICATE)
    assert second.world.source.objects == {}, "the source was never needed"


async def test_a_source_that_lost_its_workers_is_not_asked_again() -> None:
    bench = Bench(World())
    (work,) = plans(bench.world, 1)
    failing = Failing("a0X", Refused(FailureClass.INTERNAL, "each worker was lost"), shared=True)
    async with bench.open():
        result = await bench.worker.do(replace(bench.batch(work), findings=[(work.source_id, failing)]))

    assert [end.failure for _, end in result.ends if isinstance(end, Outcome)] == [FailureClass.INTERNAL]
    assert bench.world.destination.objects == {}


async def test_a_file_that_is_there_already_is_not_read_again_after_a_loss() -> None:
    bench = Bench(World())
    (work,) = plans(bench.world, 1)
    async with bench.open():
        await bench.do(work)
        result = await bench.do(replace(work, repeated=True))

    assert ends(result) == {0: Status.BACKED_UP}
    assert bench.world.source.calls["get", "src/1.pdf"] == 1


# limits


def looks(world: World, *numbers: int) -> list[Look]:
    """Copies whose sources have changed since."""
    made = []
    for work in plans(world, *numbers):
        row = known(
            Outcome(work.record, Status.BACKED_UP, key=work.key, url=work.url, source_etag="old", destination_etag="x")
        )
        there = replace(work.record, url=f"https://vendor.s3.us-west-2.amazonaws.com/{work.source.key}")
        made.append(Look(there, work.source, work.source_id, row))
    return made


async def test_an_allowance_bounds_the_copies_and_what_is_left_comes_back() -> None:
    bench = Bench(World())
    async with bench.open():
        result = await bench.do(*looks(bench.world, *range(1, 9)), allowance=3)
        statuses = list(ends(result).values())
        assert statuses.count(Status.PENDING) == 5
        assert result.unspent == 0
        none = await bench.do(*plans(bench.world, 20), allowance=2)
        assert none.unspent == 2


async def test_allowances_of_batches_side_by_side_add_up() -> None:
    bench = Bench(World())
    works = looks(bench.world, *range(1, 9))
    async with bench.open():
        one, two = await asyncio.gather(bench.do(*works[:2], allowance=5), bench.do(*works[2:], allowance=2))

    copies = sum(status is not Status.PENDING for each in (one, two) for status in ends(each).values())
    assert copies + one.unspent + two.unspent == 7


async def test_the_share_of_the_run_bounds_every_limiter() -> None:
    bench = Bench(World())
    async with bench.open():
        await bench.do(*plans(bench.world, 1))

    assert {limiter.most for limiter in bench.limiters.all} == {4}


# stop, and worse


async def in_flight(bench: Bench, count: int) -> None:
    for _ in range(1_000):
        if bench.worker.beat().seen.in_flight == count:
            return
        await asyncio.sleep(0)
    raise AssertionError(bench.worker.beat())


async def test_a_stop_while_nothing_is_in_hand_waits_for_no_drain() -> None:
    bench = Bench(World())
    async with bench.open():
        await bench.do()
        begun = bench.world.clock.monotonic()
        bench.worker.ask_to_stop("enough", 3600)
        result = await bench.do(*plans(bench.world, 1))
        assert result.ends == []
    assert bench.world.clock.monotonic() - begun < 3600


async def test_a_stop_lets_files_in_hand_finish_and_begins_no_other() -> None:
    bench = Bench(World(), concurrency=4)
    works = plans(bench.world, *range(1, 41))
    hold = bench.world.source.barrier = asyncio.Event()
    async with bench.open():
        batch = asyncio.create_task(bench.do(*works))
        await in_flight(bench, 4)
        begun = bench.world.clock.monotonic()
        bench.worker.ask_to_stop("enough", 3600)
        hold.set()
        result = await batch

    assert set(ends(result).values()) == {Status.BACKED_UP}
    assert 4 <= len(result.ends) <= 8
    assert len(bench.world.destination.objects) == len(result.ends)
    assert bench.world.clock.monotonic() - begun < 3600


async def test_the_drain_limit_cuts_and_the_batch_comes_back_as_it_is() -> None:
    bench = Bench(World(), concurrency=2)
    works = plans(bench.world, 1, 2, 3)
    bench.world.source.barrier = asyncio.Event()
    async with bench.open():
        batch = asyncio.create_task(bench.do(*works))
        await in_flight(bench, 2)
        bench.worker.ask_to_stop("enough", 3)
        result = await batch

    assert result.ends == []
    assert result.fatal is None
    assert bench.worker.beat().seen.in_flight == 0


async def test_what_must_end_the_run_comes_back_with_what_was_done_before() -> None:
    bench = Bench(World(), concurrency=1)
    works = plans(bench.world, 1, 2, 3)
    bench.world.destination.faults.order("put", "up/2.pdf", Blocked("bucket gone"))
    async with bench.open():
        result = await bench.do(*works)
        later = await bench.do(*plans(bench.world, 9))

    assert ends(result) == {0: Status.BACKED_UP}
    assert isinstance(result.fatal, Blocked)
    assert (later.ends, str(later.fatal)) == ([], "bucket gone")


async def test_a_source_that_cannot_be_asked_for_long_pauses_the_run() -> None:
    """As where the run itself asks: it is not the worker's fault, and another worker fares no better."""
    bench = Bench(World())
    bench.probe_error = Transient(FailureClass.NETWORK, "503")
    async with bench.open():
        result = await bench.do(*plans(bench.world, 1), allowance=4)

    assert result.ends == []
    assert isinstance(result.fatal, Paused)
    assert result.unspent == 4


async def test_an_error_nobody_foresaw_ends_its_file_only() -> None:
    bench = Bench(World())
    works = plans(bench.world, 1, 2)
    bench.world.destination.faults.order("put", "up/1.pdf", ZeroDivisionError("odd"))  # type: ignore[arg-type]
    async with bench.open():
        result = await bench.do(*works)

    assert ends(result) == {0: Status.FAILED, 1: Status.BACKED_UP}


async def test_nothing_is_kept_of_batches_that_are_back() -> None:
    bench = Bench(World())
    async with bench.open():
        for start in range(1, 200, 20):
            await bench.do(*plans(bench.world, *range(start, start + 20)))
        assert bench.worker.beat().seen.in_hand == 0
        assert not bench.worker._of
        assert not bench.worker._news


async def test_a_look_comes_back_as_what_it_is() -> None:
    bench = Bench(World())
    (look,) = looks(bench.world, 1)
    facts = bench.world.source.objects["src/1.pdf"].facts
    same = replace(look, known=look.known._replace(source_etag=facts.etag, size=facts.size))
    async with bench.open():
        result = await bench.do(same)

    assert [type(end) for _, end in result.ends] == [Looked]


@pytest.mark.parametrize("fast_path", [False, True])
async def test_a_pinned_file_needs_no_look(fast_path: bool) -> None:
    bench = Bench(World(fast_path=fast_path))
    bench.world.fill(1)
    async with bench.open():
        result = await bench.do(pinned(bench.world))

    assert ends(result) == {0: Status.BACKED_UP}

"""The dispatcher: whatever the workers do, each record ends once, and a source is read once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from engine.model.errors import Blocked, Fatal, Paused
from engine.model.facts import Method, ObjectFacts
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.outcome import Attempt, Batch, Checkpoint, Looked, Outcome, Status
from engine.model.plan import Look, Plan, Work
from engine.pipeline.allowance import Allowance
from engine.pipeline.dispatch import Dispatcher, Terms
from engine.pipeline.flow import flow
from engine.pipeline.lots import TRIES, BatchSize
from engine.pipeline.recorder import Recorder
from engine.pipeline.routes import Route, Routes
from engine.pipeline.seen import Seen
from engine.pipeline.stop import Stop
from engine.pipeline.tally import Tally
from engine.pipeline.work_batches import Beat, Lost, WorkBatch, WorkResult
from engine.pipeline.work_queue import WorkQueue
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.stores import FakeSource
from tests.support.fakes.workers import FakePool, all_copied, copied
from tests.support.pipeline import MemoryLedger, known, plan, record

KB = 1 << 10


async def probe(_bucket: str, _samples: Sequence[Location]) -> Route:
    return Route(Method.STREAM, FakeSource(), "test")


class Office:
    """A dispatcher between a feed of plans and a recorder."""

    def __init__(
        self,
        works: Sequence[Work],
        answer: Callable[[WorkBatch], Awaitable[WorkResult]],
        *,
        files: int = 10,
        nbytes: int = 1 << 30,
        workers: int = 2,
        in_hand: int = 2,
        limit: int | None = None,
    ) -> None:
        self.works = list(works)
        self.stop = Stop()
        self.ledger, self.tally, self.clock = MemoryLedger(), Tally(), ManualClock()
        self.recorder = Recorder(self.ledger, self.tally, 10)
        self.queue = WorkQueue(400, 1)
        self.pool = FakePool(answer, workers=workers, in_hand=in_hand)
        self.ended: Counter[str] = Counter()
        self.on_outcome: Callable[[Outcome | Looked], None] = lambda _outcome: None
        self.allowance = Allowance(limit, self.stop)
        self.dispatcher = Dispatcher(
            self.queue,
            self.pool,
            self.recorder,
            Routes(probe, reader=lambda _method: FakeSource()),
            self.allowance,
            self.clock,
            Terms(BatchSize(files, nbytes), 16),
            on_outcome=self._saw,
        )

    def _saw(self, work: Work, outcome: Outcome | Looked) -> None:
        assert work.record is outcome.record or work.record == outcome.record
        self.ended[outcome.record.id] += 1
        self.on_outcome(outcome)

    async def feed(self) -> None:
        await self.queue.put(self.works)

    async def run(self, feed: Callable[[], Awaitable[None]] | None = None, drain_s: float = 30) -> None:
        async with asyncio.timeout(5), self.clock.running():
            await flow(
                feed or self.feed,
                self.queue,
                self.dispatcher,
                self.recorder,
                stop=self.stop,
                clock=self.clock,
                drain_s=drain_s,
            )

    @property
    def sizes(self) -> list[int]:
        return [len(batch.works) for batch in self.pool.given]

    def whole(self) -> None:
        """Each record has ended, once."""
        assert self.ended == Counter({work.record.id: 1 for work in self.works})
        assert len([each for batch in self.ledger.batches for each in (*batch.outcomes, *batch.looks)]) == len(
            self.works
        )


async def well(batch: WorkBatch) -> WorkResult:
    await asyncio.sleep(0)
    return all_copied(batch)


def plans(count: int, size: int | None = None) -> list[Plan]:
    made = [replace(plan(number), source_id=number) for number in range(count)]
    return made if size is None else [replace(each, pinned=ObjectFacts(size, "e")) for each in made]


# how batches are cut


async def test_batches_hold_so_many_files_at_most() -> None:
    office = Office(plans(35), well)
    await office.run()

    office.whole()
    assert office.sizes == [10, 10, 10, 5]


async def test_batches_hold_so_many_bytes_at_most_and_one_file_at_least() -> None:
    office = Office(plans(6, size=60), well, nbytes=100)
    await office.run()
    assert office.sizes == [2, 2, 2]
    alone = Office(plans(3, size=10_000), well, nbytes=100)
    await alone.run()
    assert alone.sizes == [1, 1, 1]


async def test_files_of_unknown_size_fill_a_batch_by_number() -> None:
    office = Office(plans(20), well, nbytes=100)
    await office.run()

    assert office.sizes == [10, 10]


async def test_no_worker_has_more_batches_than_it_may_have_in_hand() -> None:
    most: Counter[str] = Counter()

    async def watched(batch: WorkBatch) -> WorkResult:
        for worker, has in Counter(office.pool.out.values()).items():
            most[worker] = max(most[worker], has)
        return await well(batch)

    office = Office(plans(200), watched, workers=3)
    await office.run()

    office.whole()
    assert set(most.values()) == {2}
    assert len(most) == 3


async def test_the_share_of_a_worker_is_told_with_each_batch() -> None:
    office = Office(plans(3), well, workers=3)
    await office.run()

    assert {batch.share.most for batch in office.pool.given} == {5}, "together never more than the setting, of 16"


async def test_idle_seats_and_a_slow_feed_turn_no_loop() -> None:
    """While nothing moves, nothing is ready to run."""
    office, all_back, awake = Office(plans(5), well), asyncio.Event(), list[int]()
    office.on_outcome = lambda _: all_back.set() if sum(office.ended.values()) == 5 else None
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        group.create_task(office.dispatcher.run())
        await office.feed()
        await all_back.wait()
        for _ in range(50):
            await asyncio.sleep(0)
            awake.append(len(ready))
        office.queue.close()
    assert set(awake[20:]) == {0}


# one source, several records


def twins(number: int, count: int, start: int = 0) -> list[Plan]:
    return [plan(start + each, source_key=f"src/twin-{number}.pdf") for each in range(count)]


async def test_a_source_is_in_one_batch_at_a_time_and_followers_are_told_what_was_found() -> None:
    at_work: Counter[int] = Counter()

    async def watched(batch: WorkBatch) -> WorkResult:
        sources = {work.source_id for work in batch.works}
        for each in sources:
            at_work[each] += 1
            assert at_work[each] == 1, "a source in two batches"
        for _ in range(5):
            await asyncio.sleep(0)
        result = all_copied(batch)
        result.findings = [(outcome.source_id, outcome) for _, outcome in result.ends if isinstance(outcome, Outcome)]
        for each in sources:
            at_work[each] -= 1
        return result

    follower = twins(1, 1, start=900)[0]
    office = Office([*twins(1, 4), *plans(40)[4:], follower], watched, files=4)
    await office.run()

    office.whole()
    last = next(batch for batch in office.pool.given if follower in batch.works)
    assert [source_id for source_id, _ in last.findings] == [follower.source_id]


async def test_followers_wait_for_a_batch_that_was_lost_until_it_is_back() -> None:
    leader, follower = twins(1, 2)
    met: list[list[str]] = []

    async def once_lost(batch: WorkBatch) -> WorkResult:
        met.append([work.record.id for work in batch.works])
        if len(met) == 1:
            for _ in range(20):
                await asyncio.sleep(0)
            raise Lost("gone")
        return await well(batch)

    office = Office([leader, *plans(30)[10:], follower], once_lost, files=1, workers=4)
    await office.run()

    office.whole()
    order = [records for records in met if leader.record.id in records or follower.record.id in records]
    assert order == [[leader.record.id], [leader.record.id], [follower.record.id]]


async def test_thousands_that_wait_for_one_source_hold_up_nobody_else() -> None:
    hold = asyncio.Event()

    async def slow_leader(batch: WorkBatch) -> WorkResult:
        if batch.number == 1:
            await hold.wait()
        if others[-1] in batch.works:
            hold.set()
        return await well(batch)

    others = plans(300)[100:]
    office = Office([*twins(1, 10), *twins(1, 2_000, start=10_000), *others], slow_leader)
    await office.run()

    office.whole()


# losses


class Unlucky:
    """Does well, but loses the worker that has ``victim`` in hand, so many times."""

    def __init__(self, victim: Work, times: int = 1_000) -> None:
        self.victim = victim.record.id
        self.times = times

    async def __call__(self, batch: WorkBatch) -> WorkResult:
        await asyncio.sleep(0)
        if self.times and any(work.record.id == self.victim for work in batch.works):
            self.times -= 1
            raise Lost("gone")
        for _ in range(3):
            await asyncio.sleep(0)
        return all_copied(batch)


@pytest.mark.parametrize("times", [1, 2, 3])
async def test_what_a_lost_worker_had_goes_out_again(times: int) -> None:
    works = plans(45)
    office = Office(works, Unlucky(works[12], times))
    await office.run()

    office.whole()
    assert office.tally.backed_up == 45
    assert office.dispatcher.losses >= times
    again = [work for batch in office.pool.given for work in batch.works if isinstance(work, Plan) and work.repeated]
    assert {work.record.id for work in again} >= {work.record.id for work in works[10:20]}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("victim", [0, 12, 44])
async def test_a_file_that_loses_every_worker_fails_alone(victim: int, workers: int) -> None:
    works = plans(45)
    office = Office(works, Unlucky(works[victim]), workers=workers)
    await office.run()

    office.whole()
    bad = [each for each in office.ledger.outcomes.values() if each.status is not Status.BACKED_UP]
    assert [(each.record.id, each.failure) for each in bad] == [(works[victim].record.id, FailureClass.INTERNAL)]
    assert bad[0].attempts == TRIES + 1
    assert (bad[0].key, bad[0].is_new) == (works[victim].key, True)


async def test_a_file_that_goes_out_alone_has_its_worker_to_itself() -> None:
    works = plans(20)

    async def watched(batch: WorkBatch) -> WorkResult:
        beside = Counter(office.pool.out.values())[office.pool.out[batch.number]] - 1
        if len(batch.works) == 1:
            assert not beside
        return await unlucky(batch)

    unlucky = Unlucky(works[3])
    office = Office(works, watched)
    await office.run()

    office.whole()
    assert 1 in office.sizes


async def test_a_source_that_loses_every_worker_is_given_up_once_for_all_its_records() -> None:
    same = twins(1, 40)

    async def deadly(batch: WorkBatch) -> WorkResult:
        await asyncio.sleep(0)
        if any(work.source_id == same[0].source_id for work in batch.works):
            failing = [found for source_id, found in batch.findings if source_id == same[0].source_id]
            if not failing:
                raise Lost("gone")
            return WorkResult(
                [
                    (place, Outcome(work.record, Status.FAILED, failing[0].error.failure))
                    for place, work in enumerate(batch.works)
                ]  # type: ignore[union-attr]
            )
        return all_copied(batch)

    office = Office(same, deadly)
    await office.run()

    office.whole()
    assert {each.failure for each in office.ledger.outcomes.values()} == {FailureClass.INTERNAL}
    assert office.dispatcher.losses <= 4 * (TRIES + 1), "each batch that was out then, and no further one"


async def test_a_look_that_loses_every_worker_leaves_the_copy_as_it_stands() -> None:
    look = a_look(1)
    office = Office([look], Unlucky(look))
    await office.run()

    found = [each for batch in office.ledger.batches for each in batch.looks]
    assert [(each.record.id, each.unseen) for each in found] == [(look.record.id, "internal")]


async def test_a_loss_while_the_feed_waits_for_what_it_gave_is_made_good() -> None:
    works = plans(20)
    office = Office(works, Unlucky(works[5], 2))

    async def feed() -> None:
        await office.queue.put(works[:10])
        await office.recorder.reached(10)
        await office.queue.put(works[10:])

    await office.run(feed)

    office.whole()


async def test_a_lost_batch_goes_out_while_the_queue_gives_nothing() -> None:
    works = plans(20)
    office, gone_out = Office(works, Unlucky(works[5], 1)), asyncio.Event()
    office.on_outcome = lambda _: gone_out.set() if sum(office.ended.values()) == 20 else None

    async def feed() -> None:
        await office.feed()
        await gone_out.wait()

    await office.run(feed)

    office.whole()


async def test_the_workers_of_the_end_stay_until_no_batch_is_out() -> None:
    """The last batch is lost with its worker while all others have nothing to do."""
    works = plans(10)
    office = Office(works, Unlucky(works[9], 2), in_hand=1)
    await office.run()

    office.whole()


# what comes back is not all


async def test_a_worker_that_gives_up_without_being_asked_gets_no_more_and_the_rest_goes_out_again() -> None:
    works = plans(30)
    gave_up: set[str] = set()

    async def tired(batch: WorkBatch) -> WorkResult:
        await asyncio.sleep(0)
        worker = office.pool.out[batch.number]
        assert worker not in gave_up
        if batch.number == 1:
            gave_up.add(worker)
            return WorkResult([(0, copied(batch.works[0])), (3, copied(batch.works[3]))])
        return all_copied(batch)

    office = Office(works, tired, in_hand=1)
    await office.run()

    office.whole()
    again = next(batch for batch in office.pool.given if len(batch.works) == 8)
    assert all(isinstance(work, Plan) and work.repeated for work in again.works)


async def test_workers_that_bring_nothing_back_again_and_again_do_not_keep_the_run_for_ever() -> None:
    async def nothing(batch: WorkBatch) -> WorkResult:
        await asyncio.sleep(0)
        office.pool.lose(office.pool.out[batch.number])
        return WorkResult()

    office = Office(plans(10), nothing)
    await office.run()

    office.whole()
    assert office.tally.failed == 10


# a stop


async def test_a_stop_is_told_and_what_was_not_begun_is_dropped() -> None:
    async def half(batch: WorkBatch) -> WorkResult:
        if batch.number < 4:
            return await well(batch)
        office.stop.request("enough", 5)
        await office.pool.stopped.wait()
        return WorkResult([(place, copied(work)) for place, work in enumerate(batch.works[:4])])

    office = Office(plans(400), half)
    await office.run()

    assert office.stop.exit_code == 5
    assert len(office.ledger.outcomes) == sum(office.ended.values()) < 100
    assert len(office.ledger.outcomes) % 10, "batches that came back in part"
    assert set(office.ended.values()) == {1}


async def test_a_stop_with_batches_out_that_do_not_come_back_is_cut_by_the_drain_limit() -> None:
    async def hangs(batch: WorkBatch) -> WorkResult:
        if batch.number == 3:
            office.stop.request("enough", 5)
        await asyncio.Event().wait()
        raise AssertionError

    office = Office(plans(100), hangs)
    await office.run(drain_s=30)

    assert 30 in office.clock.slept
    assert not office.ended


async def test_a_worker_that_is_lost_after_a_stop_is_not_made_good() -> None:
    async def lost_after(batch: WorkBatch) -> WorkResult:
        office.stop.request("enough", 5)
        await office.pool.stopped.wait()
        raise Lost("gone")

    office = Office(plans(100), lost_after)
    await office.run()

    assert not office.ended
    assert len(office.pool.given) <= 4


async def test_a_stop_while_nothing_is_out_ends_at_once() -> None:
    office = Office([], well)

    async def feed() -> None:
        office.stop.request("enough", 5)
        await asyncio.Event().wait()

    await office.run(feed)

    assert office.clock.monotonic() < 1_030


# fatal errors


@pytest.mark.parametrize("error", [Blocked("bucket gone"), Paused("come back later")])
async def test_what_ends_the_run_at_one_worker_lets_the_others_bring_back_what_they_have(
    error: Fatal,
) -> None:
    async def one_fails(batch: WorkBatch) -> WorkResult:
        if batch.number == 3:
            ends = [(0, copied(batch.works[0]))]
            return WorkResult(ends, fatal=error)
        await office.pool.stopped.wait()
        return WorkResult([(place, copied(work)) for place, work in enumerate(batch.works[:5])])

    office = Office(plans(100), one_fails)
    with pytest.raises(ExceptionGroup) as caught:
        await office.run()

    assert caught.group_contains(type(error), match=str(error))
    assert len(office.ledger.outcomes) == 1 + 3 * 5
    assert len(office.pool.given) == 4, "nothing new goes out"


async def test_workers_that_will_never_come_end_the_run() -> None:
    class Hopeless(FakePool):
        async def seats(self, told: object):  # type: ignore[no-untyped-def,override]
            raise Paused("workers end before they have done anything")
            yield

    office = Office(plans(10), well)
    office.dispatcher._executor = Hopeless(well)
    with pytest.raises(ExceptionGroup) as caught:
        await office.run()

    assert caught.group_contains(Paused)


# limit, attempts, checkpoints


def a_look(number: int) -> Look:
    made = replace(plan(number), source_id=number)
    row = known(Outcome(made.record, Status.BACKED_UP))
    return Look(made.record, made.source, made.source_id, row, made.page)


async def test_the_allowance_is_shared_out_and_what_was_not_needed_comes_back() -> None:
    async def counted(batch: WorkBatch) -> WorkResult:
        result = await well(batch)
        result.unspent = (batch.allowance or 0) - 1
        return result

    office = Office([a_look(number) for number in range(40)], counted, limit=25)
    await office.run()

    office.whole()
    assert all(batch.allowance is not None and batch.allowance <= 10 for batch in office.pool.given)
    assert office.allowance.lend(100) == 25 - 4


async def test_the_allowance_of_a_lost_worker_comes_back_whole() -> None:
    looks = [a_look(number) for number in range(10)]
    unlucky = Unlucky(looks[2], 2)

    async def counted(batch: WorkBatch) -> WorkResult:
        result = await unlucky(batch)
        result.unspent = batch.allowance or 0
        return result

    office = Office(looks, counted, limit=7)
    await office.run()

    office.whole()
    assert office.allowance.lend(100) == 7


async def test_without_a_limit_no_batch_has_one() -> None:
    office = Office([a_look(number) for number in range(15)], well)
    await office.run()

    assert {batch.allowance for batch in office.pool.given} == {None}


def attempt(work: Work, number: int) -> Attempt:
    return Attempt(work.record.id, FailureClass.THROTTLED, "slow down", "url", number, "now")


async def test_each_failed_try_is_recorded_once_and_not_after_the_outcome_it_belongs_to() -> None:
    async def tries(batch: WorkBatch) -> WorkResult:
        first, last = batch.works[0], batch.works[-1]
        assert office.pool.told is not None
        office.pool.told.beat("worker 1", Beat(Seen(in_hand=1, in_flight=3), [attempt(first, 1)]))
        await asyncio.sleep(0)
        result = all_copied(batch)
        result.attempts = [attempt(first, 2), attempt(last, 1)]
        result.retries = 2
        return result

    office = Office(plans(40), tries)
    await office.run()

    office.whole()
    kept = [(each.record_id, each.number) for batch in office.ledger.batches for each in batch.attempts]
    assert len(kept) == len(set(kept)) == 3 * 4
    assert office.tally.retries == (3 + 2) * 4
    place = {outcome.record.id: at for at, batch in enumerate(office.ledger.batches) for outcome in batch.outcomes}
    for at, batch in enumerate(office.ledger.batches):
        assert all(at <= place[each.record_id] for each in batch.attempts)


async def test_pages_whose_batches_come_back_in_another_order_are_checked_off_in_theirs() -> None:
    hold = asyncio.Event()

    async def first_last(batch: WorkBatch) -> WorkResult:
        if batch.number == 1:
            await hold.wait()
        return await well(batch)

    works = [replace(each, page=1 + number // 8) for number, each in enumerate(plans(40))]
    office = Office(works, first_last)
    for page in range(1, 6):
        office.recorder.book.open(page, Checkpoint(f"page {page}"), 8)
    office.on_outcome = lambda _: hold.set() if sum(office.ended.values()) == 30 else None
    await office.run()

    office.whole()
    before: list[Batch] = []
    for batch in office.ledger.batches:
        before.append(batch)
        for reached in batch.checkpoints:
            done = {each.record.id for each in before for each in each.outcomes}  # type: ignore[attr-defined]
            page = int(reached.last_id.split()[1])
            assert {work.record.id for work in works if work.page <= page} <= done
    assert office.ledger.batches[-1].checkpoints == [Checkpoint("page 5")]


async def test_what_a_worker_found_out_is_told_once_at_the_end() -> None:
    async def tells(batch: WorkBatch) -> WorkResult:
        result = await well(batch)
        result.remarks = ["the store has no checksums"]
        return result

    office = Office(plans(50), tells)
    await office.run()

    assert office.dispatcher.remarks() == ["the store has no checksums"]


async def test_a_stop_by_what_comes_back_counts_every_outcome_of_the_batch() -> None:
    """The error budget asks for a stop in the middle of a batch's outcomes: the others are recorded all the same."""
    office = Office(plans(300), well)
    office.on_outcome = lambda _: office.stop.request("error budget", 5) if sum(office.ended.values()) == 5 else None
    await office.run()

    assert len(office.ledger.outcomes) == sum(office.ended.values())
    assert sum(office.ended.values()) % 10 == 0


async def test_a_route_that_a_worker_settled_is_told_to_the_next() -> None:
    async def settles(batch: WorkBatch) -> WorkResult:
        result = await well(batch)
        result.routes = [("vendor", Method.STREAM, "read")]
        return result

    office = Office(plans(60), settles, workers=1, in_hand=1)
    await office.run()

    assert office.pool.given[0].routes == []
    assert office.pool.given[-1].routes == [("vendor", Method.STREAM, "read")]


async def test_in_flight_is_what_the_workers_that_are_there_tell() -> None:
    office = Office([], well)
    office.dispatcher.beat("worker 1", Beat(Seen(in_flight=3)))
    office.dispatcher.beat("worker 2", Beat(Seen(in_flight=4)))
    assert office.tally.in_flight == 7
    office.dispatcher.gone("worker 1")
    office.dispatcher.gone("worker 9")
    assert office.tally.in_flight == 4
    assert record(1).id

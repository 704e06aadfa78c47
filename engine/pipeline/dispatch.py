"""The dispatcher: plans go out to workers in batches, and outcomes come back. It takes the place of the crew.

| what happens                        | what follows                                                              |
|-------------------------------------|---------------------------------------------------------------------------|
| a seat is free                      | it gets the next lot of files, as a batch of work                         |
| a worker is lost                    | its lots go out again, see ``lots.py``                                    |
| a file alone is lost with a worker  | it failed, with class ``internal``, for all records that name its source  |
| a batch comes back in part          | its worker has given up: the rest is as if it were lost                   |
| a stop is asked for                 | the workers are told; what they did not begin comes back, and is dropped  |
| something must end the run          | the same, and then it is raised                                           |
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from engine.limiting.clock import Clock
from engine.model.errors import Fatal, Refused
from engine.model.failures import FailureClass
from engine.model.outcome import Looked, Outcome, Status
from engine.model.plan import Look, Work
from engine.model.value import value
from engine.pipeline.allowance import Allowance
from engine.pipeline.duplicates import DuplicateSources, Failing
from engine.pipeline.ends import Ends
from engine.pipeline.lots import TRIES, BatchSize, Lot, Lots
from engine.pipeline.routes import Routes
from engine.pipeline.seen import Roster
from engine.pipeline.work_batches import Beat, Executor, Lost, NotBegun, Seat, Share, WorkBatch, WorkResult
from engine.pipeline.work_queue import WorkQueue

LOST = "each worker that had this file in hand was lost; see the log of that machine"

log = structlog.get_logger()


@value
class Terms:
    """How much goes out."""

    size: BatchSize
    concurrency: int
    """Files in flight, of all workers together."""


class Dispatcher:
    """Keeps every seat of the executor busy until the queue has ended and all is back, or a stop was asked for."""

    def __init__(
        self,
        queue: WorkQueue,
        executor: Executor,
        ends: Ends,
        routes: Routes,
        allowance: Allowance,
        clock: Clock,
        terms: Terms,
        *,
        on_outcome: Callable[[Work, Outcome | Looked], None] = lambda _work, _outcome: None,
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._ends = ends
        self._routes = routes
        self._stop = allowance.stop
        self._concurrency = terms.concurrency
        self._allowance = allowance
        self._on_outcome = on_outcome
        self._duplicates = DuplicateSources()
        self._lots = Lots(terms.size)
        self._number = 0
        self._ended = False
        """The queue has ended."""
        self._fatal: asyncio.Future[Fatal] = asyncio.get_running_loop().create_future()
        """What must end the run."""
        self._moved = asyncio.Condition()
        self.roster = Roster(clock)
        self.losses = 0
        """Batches that were lost with their workers."""
        self._remarks: dict[str, list[str]] = {}
        """By worker, the latest."""

    async def run(self) -> None:
        """Raises the first Fatal of any part, in groups; by then everything is back that will come back."""
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self._read(), name="reader"),
                group.create_task(self._seat(group), name="seats"),
                group.create_task(self._pass_on_stop(), name="stop"),
            ]
            async with self._moved:
                await self._moved.wait_for(lambda: self._over and not self._lots.out)
            for task in beside:
                task.cancel()
            if self._fatal.done():
                raise self._fatal.result()

    def remarks(self) -> list[str]:
        """What the workers found out about the store, for the end of a run."""
        return list(dict.fromkeys(each for told in self._remarks.values() for each in told))

    @property
    def _stopping(self) -> bool:
        """Nothing more goes out."""
        return self._stop.requested or self._fatal.done()

    @property
    def _over(self) -> bool:
        """No batch will go out any more, unless one is lost."""
        return self._stopping or (self._ended and not self._lots)

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _read(self) -> None:
        """Plans from the queue to hand, so that nobody waits for the queue while a lost batch wants to go out again."""
        queue = self._queue
        while await queue.refill():
            self._lots.add(reversed(queue.in_hand))
            queue.in_hand.clear()
            async with self._moved:
                self._moved.notify_all()
                await self._moved.wait_for(lambda: self._lots.has_room)
        self._ended = True
        await self._tell()

    async def _pass_on_stop(self) -> None:
        await self._stop.or_ended(self._fatal)
        await self._tell()
        await self._executor.stop()

    async def _seat(self, group: asyncio.TaskGroup) -> None:
        try:
            async for seat in self._executor.seats(self):
                group.create_task(self._serve(seat), name=f"seat of {seat.worker}")
        except Fatal as error:
            await self._end_run(error)

    async def _end_run(self, error: Fatal) -> None:
        if not self._fatal.done():
            self._fatal.set_result(error)
        await self._tell()

    async def _serve(self, seat: Seat) -> None:
        """Batch after batch, until there are no more or the worker is lost."""
        while (lot := await self._next(seat.worker)) is not None:
            batch = self._batch(lot)
            try:
                result = await seat.do(batch)
            except Lost as lost:
                self._allowance.returned(batch.allowance, batch.allowance or 0)
                self._lost(lot, seat.worker, lost)
                await self._tell()
                return
            except Fatal as error:
                result = WorkResult(unspent=batch.allowance or 0, fatal=error)
            self._remarks[seat.worker] = result.remarks
            self._allowance.returned(batch.allowance, result.unspent)
            rest = self._take(lot, result)
            if result.fatal is not None:
                await self._end_run(result.fatal)
            self._back(lot, seat.worker, () if self._stopping else rest)
            await self._tell()
            if rest:
                return
            await self._ends.room()

    async def _next(self, worker: str) -> Lot | None:
        """The next to go out to this worker; None: there will be none."""
        lots = self._lots
        async with self._moved:
            while True:
                await self._moved.wait_for(lambda: lots.any_for(worker) or (self._over and not lots.out))
                if self._stopping or not lots.any_for(worker):
                    return None
                lot = lots.next(worker)
                self._moved.notify_all()
                if lot is not None:
                    return lot

    def _batch(self, lot: Lot) -> WorkBatch:
        self._number += 1
        looks = sum(isinstance(work, Look) for work in lot.works)
        sources = dict.fromkeys(work.source_id for work in lot.works)
        workers = max(1, self._executor.count)
        return WorkBatch(
            self._number,
            list(lot.works),
            Share(max(1, self._concurrency // workers), workers),
            [(each, found) for each in sources if (found := self._duplicates.found(each)) is not None],
            self._routes.known(),
            self._allowance.lend(looks),
        )

    def _take(self, lot: Lot, result: WorkResult) -> Sequence[Work]:
        """What came back goes on: failed tries before the outcomes they belong to. What did not come back."""
        self._attempts(result)
        self._ends.tally.retries += result.retries
        for place, outcome in result.ends:
            self._end(lot.works[place], outcome)
        for source_id, found in result.findings:
            self._duplicates.learn(source_id, found)
        self._routes.adopt(result.routes)
        ended = {place for place, _ in result.ends}
        return () if len(ended) == len(lot.works) else [w for at, w in enumerate(lot.works) if at not in ended]

    def _end(self, work: Work, outcome: Outcome | Looked) -> None:
        self._on_outcome(work, outcome)
        self._ends.add(outcome)

    def _attempts(self, told: WorkResult | Beat) -> None:
        for attempt in told.attempts:
            self._ends.attempt(attempt)

    def _lost(self, lot: Lot, worker: str, lost: Lost) -> None:
        if isinstance(lost, NotBegun):
            self._lots.return_unused(lot, worker)
        else:
            log.warning("worker_lost", worker=worker, files=len(lot.works), why=str(lost))
            self._back(lot, worker, lot.works)

    def _back(self, lot: Lot, worker: str, lost: Sequence[Work]) -> None:
        """``lost`` goes out again: what was copied of it is found there."""
        self.losses += bool(lost)
        given_up = self._lots.back(lot, worker, lost)
        if given_up is not None:
            error = Refused(FailureClass.INTERNAL, LOST)
            self._duplicates.learn(given_up.source_id, Failing(given_up.record.id, error, shared=True))
            self._end(given_up, _given_up(given_up))

    def beat(self, worker: str, beat: Beat) -> None:
        """A sign of life."""
        self.roster.beat(worker, beat.seen)
        self._attempts(beat)
        for event in beat.logs:
            log.warning("worker", worker=worker, told=event)
        self._ends.tally.in_flight = self.roster.in_flight

    def gone(self, worker: str) -> None:
        """It has left, or was lost."""
        self.roster.gone(worker)
        self._ends.tally.in_flight = self.roster.in_flight


def _given_up(work: Work) -> Outcome | Looked:
    if isinstance(work, Look):
        return work.stands(FailureClass.INTERNAL.value, LOST)
    return Outcome(
        work.record,
        Status.FAILED,
        FailureClass.INTERNAL,
        LOST,
        key=work.key,
        url=work.url,
        file_name=work.file_name,
        source_id=work.source_id,
        attempts=TRIES + 1,
        is_new=work.known is None,
        page=work.page,
    )

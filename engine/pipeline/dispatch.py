"""The dispatcher: plans go out to workers in batches, and outcomes come back. It takes the place of the crew.

| what happens                        | what follows                                                              |
|-------------------------------------|---------------------------------------------------------------------------|
| a seat is free                      | it gets the next batch: at most so many files, and so many bytes           |
| a source is in another batch now    | the plan waits until that batch is back: one source is read once          |
| a worker is lost                    | its batches go out again, at most three times; then file by file          |
| a file alone is lost with a worker  | it failed, with class ``internal``                                        |
| a stop is asked for                 | the workers are told; what they did not begin comes back, and is dropped  |
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from engine.limiting.clock import Clock
from engine.model.byte_units import MIB
from engine.model.failures import FailureClass
from engine.model.outcome import Looked, Outcome, Status
from engine.model.plan import Look, Plan, Work
from engine.pipeline.allowance import Allowance
from engine.pipeline.crew import MOST_WAITING
from engine.pipeline.duplicates import DuplicateSources
from engine.pipeline.ends import Ends
from engine.pipeline.routes import Routes
from engine.pipeline.seen import Roster
from engine.pipeline.stop import Stop
from engine.pipeline.work_batches import Beat, Executor, Lost, NotBegun, Seat, Share, WorkBatch, WorkResult
from engine.pipeline.work_queue import WorkQueue

TRIES = 3
"""How often a batch is handed out whole."""
LOST = "each worker that had this file in hand was lost; see the log of that machine"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BatchSize:
    """What one batch holds at most."""

    files: int
    nbytes: int

    def of(self, work: Work) -> int:
        """Bytes to reckon with. Where nobody knows, as many as fill both limits together."""
        told = work.known if isinstance(work, Look) else work.pinned
        return self.nbytes // self.files if told is None or told.size is None else told.size

    @classmethod
    def read(cls, files: int, mib: int) -> BatchSize:
        """``executor.lease_files`` and ``executor.lease_mb``."""
        return cls(files, mib * MIB)


@dataclass(slots=True)
class _Lot:
    """Files that go out together."""

    works: list[Work]
    lost: int = 0
    """How often it went out and was lost."""


class Dispatcher:
    """Keeps every seat of the executor busy until the queue has ended and all is back, or a stop was asked for."""

    def __init__(
        self,
        queue: WorkQueue,
        executor: Executor,
        ends: Ends,
        routes: Routes,
        stop: Stop,
        *,
        size: BatchSize,
        concurrency: int,
        allowance: Allowance,
        clock: Clock,
        on_outcome: Callable[[Work, Outcome | Looked], None] = lambda _work, _outcome: None,
    ) -> None:
        self._queue = queue
        self._executor = executor
        self._ends = ends
        self._routes = routes
        self._stop = stop
        self._size = size
        self._concurrency = concurrency
        self._allowance = allowance
        self._on_outcome = on_outcome
        self._duplicates = DuplicateSources()
        self._ready: deque[Work] = deque()
        self._again: deque[_Lot] = deque()
        self._held: dict[int, list[Work]] = {}
        """By source: plans that wait for a batch with the same source."""
        self._waiting = 0
        """How many these are."""
        self._asked: set[int] = set()
        """Sources in the batches that are out."""
        self._out = 0
        self._number = 0
        self._ended = False
        """The queue has ended."""
        self._moved = asyncio.Condition()
        self.roster = Roster(clock)
        self.losses = 0
        """Batches that were lost with their workers."""
        self._remarks: dict[str, list[str]] = {}
        """By worker, the latest."""

    async def run(self) -> None:
        """Raises the first Fatal of any part, in groups."""
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(self._read(), name="reader"),
                group.create_task(self._seat(group), name="seats"),
                group.create_task(self._pass_on_stop(), name="stop"),
            ]
            async with self._moved:
                await self._moved.wait_for(lambda: self._over and not self._out)
            for task in beside:
                task.cancel()

    def remarks(self) -> list[str]:
        """What the workers found out about the store, for the end of a run."""
        return list(dict.fromkeys(each for told in self._remarks.values() for each in told))

    @property
    def _over(self) -> bool:
        """No batch will go out any more, unless one is lost."""
        return self._stop.requested or (self._ended and not (self._ready or self._again or self._held))

    async def _tell(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _read(self) -> None:
        """Plans from the queue to hand, so that nobody waits for the queue while a lost batch wants to go out again."""
        queue, most = self._queue, 2 * self._size.files
        while await queue.refill():
            self._ready.extend(reversed(queue.in_hand))
            queue.in_hand.clear()
            async with self._moved:
                self._moved.notify_all()
                await self._moved.wait_for(lambda: len(self._ready) < most and self._waiting < MOST_WAITING)
        self._ended = True
        await self._tell()

    async def _pass_on_stop(self) -> None:
        await self._stop.or_ended(asyncio.get_running_loop().create_future())
        await self._tell()
        await self._executor.stop()

    async def _seat(self, group: asyncio.TaskGroup) -> None:
        async for seat in self._executor.seats(self):
            group.create_task(self._serve(seat), name=f"seat of {seat.worker}")

    async def _serve(self, seat: Seat) -> None:
        """Batch after batch, until there are no more or the worker is lost."""
        while (lot := await self._next()) is not None:
            batch = self._batch(lot)
            try:
                result = await seat.do(batch)
            except Lost as lost:
                log.warning("worker_lost", worker=seat.worker, files=len(lot.works), why=str(lost))
                self._lost(lot, begun=not isinstance(lost, NotBegun))
                self._allowance.grant_back(batch.allowance or 0)
                await self._back(lot)
                return
            self._take(lot, result)
            if left := self._left(lot, result):
                self._lost(left)
            self._remarks[seat.worker] = result.remarks
            await self._back(lot)
            await self._ends.room()

    async def _next(self) -> _Lot | None:
        """The next to go out; None: there will be none."""
        async with self._moved:
            while True:
                await self._moved.wait_for(lambda: self._again or self._ready or (self._over and not self._out))
                if self._stop.requested:
                    return None
                if self._again:
                    lot = self._again.popleft()
                elif self._ready:
                    lot = self._cut()
                else:
                    return None
                self._moved.notify_all()
                if lot.works:
                    self._out += 1
                    return lot

    def _cut(self) -> _Lot:
        """A new batch from what is at hand."""
        lot, here, size, most = _Lot([]), set[int](), 0, self._size
        while self._ready and len(lot.works) < most.files and (not lot.works or size < most.nbytes):
            work = self._ready.popleft()
            if work.source_id in self._asked and work.source_id not in here:
                self._held.setdefault(work.source_id, []).append(work)
                self._waiting += 1
                continue
            size += most.of(work)
            here.add(work.source_id)
            self._asked.add(work.source_id)
            lot.works.append(work)
        return lot

    def _batch(self, lot: _Lot) -> WorkBatch:
        self._number += 1
        looks = sum(isinstance(work, Look) for work in lot.works)
        sources = dict.fromkeys(work.source_id for work in lot.works)
        return WorkBatch(
            self._number,
            lot.works,
            Share(-(-self._concurrency // max(1, self._executor.count))),
            [(each, found) for each in sources if (found := self._duplicates.found(each)) is not None],
            self._routes.known(),
            self._allowance.take(looks),
        )

    def _take(self, lot: _Lot, result: WorkResult) -> None:
        """What came back goes on: failed tries before the outcomes they belong to."""
        self._attempts(result)
        self._ends.tally.retries += result.retries
        for place, outcome in result.ends:
            self._end(lot.works[place], outcome)
        for source_id, found in result.findings:
            self._duplicates.learn(source_id, found)
        self._routes.adopt(result.routes)
        self._allowance.grant_back(result.unspent)

    def _left(self, lot: _Lot, result: WorkResult) -> _Lot | None:
        """What came back undone though nobody had asked for a stop."""
        if self._stop.requested or len(result.ends) == len(lot.works):
            return None
        done = {place for place, _ in result.ends}
        return _Lot([work for place, work in enumerate(lot.works) if place not in done], lot.lost)

    def _end(self, work: Work, outcome: Outcome | Looked) -> None:
        self._on_outcome(work, outcome)
        self._ends.add(outcome)

    def _attempts(self, told: WorkResult | Beat) -> None:
        for attempt in told.attempts:
            self._ends.attempt(attempt)

    def _lost(self, lot: _Lot, *, begun: bool = True) -> None:
        """Its files go out again: none was lost, and what was copied is found there."""
        if not begun:
            self._again.append(lot)
            return
        self.losses += 1
        works = [replace(work, repeated=True) if isinstance(work, Plan) else work for work in lot.works]
        if lot.lost + 1 < TRIES:
            self._again.append(_Lot(works, lot.lost + 1))
        elif len(works) > 1:
            self._again.extend(_Lot([work], TRIES - 1) for work in works)
        else:
            self._end(works[0], _given_up(works[0]))

    async def _back(self, lot: _Lot) -> None:
        """A batch is no longer out: who waited for its sources may go, unless it goes out again."""
        self._out -= 1
        again = {work.source_id for waiting in self._again for work in waiting.works}
        for source_id in {work.source_id for work in lot.works} - again:
            self._asked.discard(source_id)
            freed = self._held.pop(source_id, [])
            self._waiting -= len(freed)
            self._ready.extendleft(reversed(freed))
        await self._tell()

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
        attempts=TRIES,
        is_new=work.known is None,
        page=work.page,
    )

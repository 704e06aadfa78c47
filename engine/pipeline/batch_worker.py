"""The worker's side of batches of work: the same crew, but its ends go back to the run, not into the tracking DB."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engine.limiting.clock import Clock
from engine.limiting.limiters import Limiters
from engine.model.errors import Fatal, Paused, Transient, leaves
from engine.model.outcome import Attempt, Looked, Outcome
from engine.model.plan import Work
from engine.pipeline.allowance import Allowance
from engine.pipeline.crew import Crew, Worker
from engine.pipeline.duplicates import DuplicateSources, Found
from engine.pipeline.routes import Routes
from engine.pipeline.seen import seen
from engine.pipeline.stop import CutShort, Stop, unless_cut
from engine.pipeline.tally import Tally
from engine.pipeline.work_batches import Beat, WorkBatch, WorkResult
from engine.pipeline.work_queue import WorkQueue

ROOM = 1_000_000
"""Plans in the queue at most: how many batches a worker holds is up to the run."""


@dataclass(slots=True)
class Gathered:
    """Fits ``Ends``: keeps failed tries until they travel."""

    tally: Tally = field(default_factory=Tally)
    attempts: list[Attempt] = field(default_factory=list)
    full: bool = False

    def add(self, outcome: Outcome | Looked) -> None:
        self.tally.count(outcome)

    def attempt(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    async def room(self) -> None:
        """Never waits."""


@dataclass(slots=True)
class _Held:
    """A batch in hand."""

    left: int
    ended: asyncio.Event
    result: WorkResult = field(default_factory=WorkResult)


class BatchWorker:
    """Works on batches side by side, with one crew of ``concurrency``, until a stop is asked for or it is closed.

    ``transfer`` makes the worker of the crew, which puts its failed tries into ``Gathered`` and its findings into
    ``DuplicateSources``.
    """

    def __init__(
        self,
        transfer: Callable[[Gathered, DuplicateSources, Allowance], Worker],
        routes: Routes,
        limiters: Limiters,
        clock: Clock,
        *,
        concurrency: int,
        remarks: Callable[[], list[str]] = list,
    ) -> None:
        self.stop = Stop()
        self._gathered = Gathered()
        self._duplicates = DuplicateSources(on_news=self._learnt)
        self._routes = routes
        self._limiters = limiters
        self._clock = clock
        self._remarks = remarks
        self._allowance = Allowance(None, self.stop)
        self._queue = WorkQueue(ROOM, concurrency)
        worker = transfer(self._gathered, self._duplicates, self._allowance)
        self._crew = Crew(
            self._queue, worker, self._gathered, self.stop, concurrency=concurrency, on_outcome=self._on_outcome
        )
        self._of: dict[int, tuple[_Held, int]] = {}
        """By identity of the work: its batch, and its place there."""
        self._news: dict[int, Found] = {}
        self._retries_told = 0
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._drain_s = 0.0

    async def run(self) -> None:
        """Work until closed, or until a stop and its drain are over. Raises Fatal, in groups; every batch then
        comes back with it."""
        try:
            await unless_cut(self._crew.run(), self.stop, lambda: self._clock.sleep(self._drain_s))
        except CutShort:
            pass
        except Exception as error:
            self._ended.set_exception(error)
            self._ended.exception()  # seen here, whether or not a batch is in hand
            raise
        finally:
            if not self._ended.done():
                self._ended.set_result(None)

    def close(self) -> None:
        """No more batches will come."""
        self._queue.close()

    def ask_to_stop(self, reason: str, drain_s: float) -> None:
        """Files in hand may finish for so many seconds; then every batch comes back as it is."""
        self._drain_s = drain_s
        self.stop.request(reason, 0)
        self.close()

    async def do(self, batch: WorkBatch) -> WorkResult:
        """Bring a batch to its end, or as far as it gets before a stop, or before what must end the run."""
        held = _Held(len(batch.works), asyncio.Event())
        try:
            await self._work(batch, held)
        except Fatal as error:
            held.result.fatal = error
        except Transient as error:  # of a probe, which was patient: as where the run itself asks
            held.result.fatal = Paused(str(error))
        return self._finished(held.result, batch)

    async def _work(self, batch: WorkBatch, held: _Held) -> None:
        """Raises Fatal, Transient."""
        self._allowance.grant(batch.allowance)
        for limiter in self._limiters.all:
            limiter.share(batch.share.most)
        for source_id, found in batch.findings:
            self._duplicates.learn(source_id, found)
        self._routes.adopt(batch.routes)
        await self._routes.learn([work.source for work in batch.works])
        for place, work in enumerate(batch.works):
            self._of[id(work)] = held, place
        await self._queue.put(batch.works)
        try:
            if held.left:
                await self._until(held)
        finally:
            for work in batch.works:
                self._of.pop(id(work), None)
        if held.left and (error := self._ended.done() and self._ended.exception()):
            raise next((each for each in leaves(error) if isinstance(each, Fatal)), error)

    async def _until(self, held: _Held) -> None:
        """The batch has ended, or the crew has."""
        ended: asyncio.Future[Any] = asyncio.ensure_future(held.ended.wait())
        try:
            await asyncio.wait({ended, self._ended}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()

    def _finished(self, result: WorkResult, batch: WorkBatch) -> WorkResult:
        self._news, news = {}, self._news
        result.attempts, result.findings = self._take_attempts(), list(news.items())
        result.routes = self._routes.known()
        retries = self._gathered.tally.retries
        result.retries, self._retries_told = retries - self._retries_told, retries
        result.unspent = self._allowance.give_back(batch.allowance)
        result.remarks = self._remarks()
        return result

    def beat(self) -> Beat:
        """A sign of life, with the tries that failed since the last one."""
        now = seen(self._limiters, self._gathered.tally, len(self._of))
        return Beat(now, self._take_attempts())

    def _take_attempts(self) -> list[Attempt]:
        attempts, self._gathered.attempts = self._gathered.attempts, []
        return attempts

    def _on_outcome(self, work: Work, outcome: Outcome | Looked) -> None:
        if (entry := self._of.pop(id(work), None)) is None:
            return
        held, place = entry
        held.result.ends.append((place, outcome))
        held.left -= 1
        if not held.left:
            held.ended.set()

    def _learnt(self, source_id: int, found: Found) -> None:
        self._news[source_id] = found

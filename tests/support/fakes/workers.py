"""Fake workers of a run: what they do with a batch is up to the test, which may lose them at any moment."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

from engine.model.outcome import Looked, Outcome, Status
from engine.model.plan import Plan, Work
from engine.pipeline.work_batches import Lost, NotBegun, Seat, Told, WorkBatch, WorkResult


def copied(work: Work) -> Outcome | Looked:
    """A file that went well."""
    if not isinstance(work, Plan):
        return work.stands()
    return Outcome(
        work.record, Status.BACKED_UP, key=work.key, source_id=work.source_id, attempts=1, is_new=True, page=work.page
    )


def all_copied(batch: WorkBatch) -> WorkResult:
    """A batch that went well."""
    return WorkResult([(place, copied(work)) for place, work in enumerate(batch.works)])


class FakeSeat:
    """Fits ``Seat``."""

    def __init__(self, pool: FakePool, worker: str) -> None:
        self.worker = worker
        self._pool = pool

    async def do(self, batch: WorkBatch) -> WorkResult:
        lost = self._pool.workers[self.worker]
        if lost.done():
            raise NotBegun("the test took it")
        self._pool.given.append(batch)
        self._pool.out[batch.number] = self.worker
        work = asyncio.ensure_future(self._pool.answer(batch))
        try:
            await asyncio.wait({work, lost}, return_when=asyncio.FIRST_COMPLETED)
            if work.done() and not work.cancelled():
                return work.result()
            raise Lost("the test took it")
        except Lost:
            self._pool.lose(self.worker)
            raise
        finally:
            work.cancel()
            self._pool.out.pop(batch.number, None)


class FakePool:
    """Fits ``Executor``. ``answer`` does a batch, or raises Lost: then the worker's other batches are lost too, and
    another worker comes up."""

    def __init__(
        self, answer: Callable[[WorkBatch], Awaitable[WorkResult]], *, workers: int = 2, in_hand: int = 2
    ) -> None:
        self.count = workers
        self.answer = answer
        self.given: list[WorkBatch] = []
        """In the order in which they went out."""
        self.out: dict[int, str] = {}
        """Who has which batch now."""
        self.workers: dict[str, asyncio.Future[None]] = {}
        self.stopped = asyncio.Event()
        self.told: Told | None = None
        self._in_hand = in_hand
        self._names = count(1)
        self._came: asyncio.Queue[str] = asyncio.Queue()

    def _another(self) -> None:
        name = f"worker {next(self._names)}"
        self.workers[name] = asyncio.get_running_loop().create_future()
        self._came.put_nowait(name)

    async def seats(self, told: Told) -> AsyncIterator[Seat]:
        self.told = told
        for _ in range(self.count):
            self._another()
        while True:
            name = await self._came.get()
            for _ in range(self._in_hand):
                yield FakeSeat(self, name)

    def lose(self, worker: str) -> None:
        """Once each."""
        if not self.workers[worker].done():
            self.workers[worker].set_result(None)
            self._another()

    async def stop(self) -> None:
        self.stopped.set()

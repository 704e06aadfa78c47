"""The crew: so many workers, each with one plan in hand. Plans come from the work queue, outcomes go to a sink: the
recorder, or what a worker of another process gives back.

A plan that can only wait for another, which asks the same source, takes no worker's time: it waits on its own, and is
brought on beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from engine.model.outcome import Looked, Outcome
from engine.model.plan import Work
from engine.pipeline.ends import Ends
from engine.pipeline.stop import Stop
from engine.pipeline.work_queue import WorkQueue

MOST_WAITING = 5_000
"""Plans that wait beside the workers; further ones keep a worker waiting."""


class Worker(Protocol):
    """Brings a record to its end; ``Transfer`` fits."""

    def run(self, work: Work, /) -> Awaitable[Outcome | Looked]: ...

    def leader(self, work: Work, /) -> asyncio.Future[None] | None:
        """Ends when the record that is asking the same source has done; None: nobody is, this one may be brought on."""
        ...


class Crew:
    """``concurrency`` workers that end when the queue does, or, once a stop is asked for, after the plan in hand."""

    def __init__(
        self,
        queue: WorkQueue,
        worker: Worker,
        ends: Ends,
        stop: Stop,
        *,
        concurrency: int,
        on_outcome: Callable[[Work, Outcome | Looked], None] = lambda _work, _outcome: None,
    ) -> None:
        self._queue = queue
        self._transfer = worker.run
        self._leader = worker.leader
        self._ends = ends
        self._stop = stop
        self._concurrency = concurrency
        self._on_outcome = on_outcome
        self._waiting = 0
        self._beside = asyncio.Semaphore(concurrency)

    async def run(self) -> None:
        """Work until there is nothing more to do. A Fatal of one worker ends them all."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._concurrency):
                group.create_task(self._work(group), name=f"worker-{number}")

    async def _work(self, group: asyncio.TaskGroup) -> None:
        queue, tally = self._queue, self._ends.tally
        in_hand = queue.in_hand
        while not self._stop.requested and (in_hand or await queue.refill()):
            work = in_hand.pop()
            if self._leader(work) is not None and self._waiting < MOST_WAITING:
                self._waiting += 1
                group.create_task(self._wait(work))
                continue
            tally.in_flight += 1  # as _bring_on, without one coroutine more for each of a million files
            try:
                outcome = await self._transfer(work)
            finally:
                tally.in_flight -= 1
            if self._ended(work, outcome):
                await self._ends.room()

    async def _wait(self, work: Work) -> None:
        try:
            while not self._stop.requested:
                if (leader := self._leader(work)) is not None:
                    await asyncio.wait([leader])
                    continue
                async with self._beside:
                    if self._leader(work) is None:
                        return await self._bring_on(work)
        finally:
            self._waiting -= 1

    async def _bring_on(self, work: Work) -> None:
        tally = self._ends.tally
        tally.in_flight += 1
        try:
            outcome = await self._transfer(work)
        finally:
            tally.in_flight -= 1
        if self._ended(work, outcome):
            await self._ends.room()

    def _ended(self, work: Work, outcome: Outcome | Looked) -> bool:
        """Take an end into account; whether the sink is full now."""
        self._on_outcome(work, outcome)
        self._ends.add(outcome)
        return self._ends.full

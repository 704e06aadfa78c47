"""The crew: so many workers, each with one plan in hand. Plans arrive in work_batches, outcomes go to the recorder.

A plan that can only wait for another, which asks the same source, takes no worker's time: it waits on its own, and is
brought on beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from engine.model.outcome import Looked, Outcome
from engine.model.plan import Work
from engine.pipeline.channel import Channel, Ended
from engine.pipeline.recorder import Recorder
from engine.pipeline.stop import Stop
from engine.pipeline.tally import Tally

MOST_WAITING = 5_000
"""Plans that wait beside the workers; further ones keep a worker waiting."""


class Crew:
    """``concurrency`` workers that end when the channel does, or, once a stop is asked for, after the plan in hand."""

    def __init__(
        self,
        work_batches: Channel[list[Work]],
        transfer: Callable[[Work], Awaitable[Outcome | Looked]],
        recorder: Recorder,
        tally: Tally,
        stop: Stop,
        *,
        concurrency: int,
        leader: Callable[[Work], asyncio.Future[None] | None] = lambda _work: None,
        on_outcome: Callable[[Work, Outcome | Looked], None] = lambda _work, _outcome: None,
    ) -> None:
        self._work_batches = work_batches
        self._transfer = transfer
        self._recorder = recorder
        self._tally = tally
        self._stop = stop
        self._concurrency = concurrency
        self._leader = leader
        self._on_outcome = on_outcome
        self._waiting = 0
        self._beside = asyncio.Semaphore(concurrency)
        self._work_batch: list[Work] = []
        self._refill = asyncio.Lock()

    async def run(self) -> None:
        """Work until there is nothing more to do. A Fatal of one worker ends them all."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._concurrency):
                group.create_task(self._worker(group), name=f"worker-{number}")

    async def _worker(self, group: asyncio.TaskGroup) -> None:
        tally = self._tally
        while not self._stop.requested and (self._work_batch or await self._more()):
            work = self._work_batch.pop()
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
                await self._recorder.room()

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
        self._tally.in_flight += 1
        try:
            outcome = await self._transfer(work)
        finally:
            self._tally.in_flight -= 1
        if self._ended(work, outcome):
            await self._recorder.room()

    def _ended(self, work: Work, outcome: Outcome | Looked) -> bool:
        """Take an end into account; whether the recorder is full now."""
        self._tally.count(outcome)
        self._on_outcome(work, outcome)
        self._recorder.add(outcome)
        return self._recorder.full

    async def _more(self) -> bool:
        """Wait until there is a plan in hand; False when there will be none."""
        while not self._stop.requested:
            async with self._refill:
                if not self._work_batch:
                    try:
                        work_batch = await self._work_batches.get()
                    except Ended:
                        return False
                    work_batch.reverse()  # taken from the end, in the order of the scan
                    self._work_batch = work_batch
            if self._work_batch:
                return True
        return False

"""The crew: so many workers, each with one plan in hand. Plans arrive in leases, outcomes go to the recorder."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from engine.model.outcome import Looked, Outcome
from engine.model.plan import Work
from engine.pipeline.channel import Channel, Ended
from engine.pipeline.recorder import Recorder
from engine.pipeline.stop import Stop
from engine.pipeline.tally import Tally


class Crew:
    """``concurrency`` workers that end when the channel does, or, once a stop is asked for, after the plan in hand."""

    def __init__(
        self,
        leases: Channel[list[Work]],
        transfer: Callable[[Work], Awaitable[Outcome | Looked]],
        recorder: Recorder,
        tally: Tally,
        stop: Stop,
        *,
        concurrency: int,
        on_outcome: Callable[[Work, Outcome | Looked], None] = lambda _work, _outcome: None,
    ) -> None:
        self._leases = leases
        self._transfer = transfer
        self._recorder = recorder
        self._tally = tally
        self._stop = stop
        self._concurrency = concurrency
        self._on_outcome = on_outcome
        self._lease: list[Work] = []
        self._refill = asyncio.Lock()

    async def run(self) -> None:
        """Work until there is nothing more to do. A Fatal of one worker ends them all."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._concurrency):
                group.create_task(self._worker(), name=f"worker-{number}")

    async def _worker(self) -> None:
        tally, recorder, stop = self._tally, self._recorder, self._stop
        while not stop.requested and (self._lease or await self._more()):
            plan = self._lease.pop()
            tally.in_flight += 1
            try:
                outcome = await self._transfer(plan)
            finally:
                tally.in_flight -= 1
            tally.count(outcome)
            self._on_outcome(plan, outcome)
            recorder.add(outcome)
            if recorder.full:
                await recorder.room()

    async def _more(self) -> bool:
        """Wait until there is a plan in hand; False when there will be none."""
        while not self._stop.requested:
            async with self._refill:
                if not self._lease:
                    try:
                        lease = await self._leases.get()
                    except Ended:
                        return False
                    lease.reverse()  # taken from the end, in the order of the scan
                    self._lease = lease
            if self._lease:
                return True
        return False

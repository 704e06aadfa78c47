"""The way of a record. The file to read first.

    feed (pages → intake) → work queue → crew (planning done; transfer → copying) → recorder → ledger

Two task groups: the recorder's encloses the crew's, so that a failing ledger stops the copying, and whatever the crew
ended with is still recorded. Stopping has two steps: a stop request ends the intake and lets the work in hand finish;
after ``drain_s`` seconds the rest is cut.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from engine.limiting.clock import Clock
from engine.pipeline.recorder import Recorder
from engine.pipeline.stop import CutShort, Stop, unless_cut
from engine.pipeline.work_queue import WorkQueue

PULSE_S = 0.5


class Crew(Protocol):
    """Takes plans from the queue and gives outcomes to the recorder: the crew of this process, or a dispatcher."""

    async def run(self) -> None:
        """Until the queue has ended and all is given to the recorder."""


async def flow(
    feed: Callable[[], Awaitable[None]],
    queue: WorkQueue,
    crew: Crew,
    recorder: Recorder,
    *,
    stop: Stop,
    clock: Clock,
    drain_s: float,
    pulse: Callable[[], None] = lambda: None,
) -> None:
    """Run until the feed has ended and all its work is recorded, or a stop was asked for and the drain is over.

    Raises the first Fatal of any part, inside ExceptionGroups.
    """
    async with asyncio.TaskGroup() as run:
        writing = run.create_task(recorder.run(), name="recorder")
        beating = run.create_task(_beat(recorder, clock, pulse), name="pulse")
        try:
            await _work(feed, queue, crew, stop=stop, clock=clock, drain_s=drain_s)
        finally:
            recorder.close()  # never waits
            await asyncio.wait([writing])  # drain, however the crew ended
            beating.cancel()


async def _work(
    feed: Callable[[], Awaitable[None]],
    queue: WorkQueue,
    crew: Crew,
    *,
    stop: Stop,
    clock: Clock,
    drain_s: float,
) -> None:
    async def feeding() -> None:
        try:
            await feed()
        finally:
            queue.close()

    async def working() -> None:
        async with asyncio.TaskGroup() as group:
            intake = group.create_task(feeding(), name="intake")
            copying = group.create_task(crew.run(), name="crew")
            await stop.or_ended(copying)
            intake.cancel()  # no new work; a no-op when it has ended

    with suppress(CutShort):
        await unless_cut(working(), stop, lambda: clock.sleep(drain_s))


async def _beat(recorder: Recorder, clock: Clock, pulse: Callable[[], None]) -> None:
    while True:
        await clock.sleep(PULSE_S)
        recorder.nudge()
        pulse()

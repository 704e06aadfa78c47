"""What a switch and a rollback have in common: a stop that is heeded, a time limit, signs of life, an honest end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from engine.model.errors import Paused
from engine.pacing.clock import Clock
from engine.pipeline.stop import Stop
from engine.runs.report import duration

T = TypeVar("T")
BEAT_S = 0.5
SAY_EVERY_S = 15.0


class CutShort(Exception):
    """A stop was asked for, and what was in flight did not end in time. What is open, the journal knows."""


async def to_its_end(work: Coroutine[Any, Any, T], stop: Stop, clock: Clock, drain_s: float) -> T:
    """Await the work; after a stop, no longer than ``drain_s``. Raises CutShort then, and what the work raises."""
    task = asyncio.ensure_future(work)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            timer = asyncio.ensure_future(clock.sleep(drain_s))
            await asyncio.wait({task, timer}, return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            raise CutShort
        return task.result()
    finally:
        stopped.cancel()
        if not task.done():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@asynccontextmanager
async def beating(
    clock: Clock,
    stop: Stop,
    *,
    max_duration_s: float | None,
    line: Callable[[], str],
    say: Callable[[str], None] | None,
) -> AsyncIterator[None]:
    """Watch the time limit, and say a line now and then."""
    started = said = clock.monotonic()

    async def beat() -> None:
        nonlocal said
        while True:
            await clock.sleep(BEAT_S)
            now = clock.monotonic()
            if max_duration_s is not None and now - started >= max_duration_s:
                stop.request(f"--max-duration of {duration(max_duration_s)} reached", Paused.exit_code)
            if say is not None and now - said >= SAY_EVERY_S:
                said = now
                say(line())

    task = asyncio.ensure_future(beat())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

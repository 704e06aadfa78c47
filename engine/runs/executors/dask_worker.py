"""The worker's side on a Dask cluster. Everything here runs on the event loop of a Dask worker.

One session for each run that has greeted this worker. It ends with the run, or when the run is not heard of any more.
Nothing here raises: what Dask logs of an error holds its arguments, and these hold URLs.
"""

from __future__ import annotations

import asyncio
import pickle
from contextlib import suppress
from typing import Any

import structlog

from engine.limiting.clock import Clock, SystemClock
from engine.limiting.side_by_side import beside
from engine.model.errors import Fatal
from engine.pipeline.work_batches import Beat, Lost, WorkBatch
from engine.runs.executors.hello import Hello
from engine.runs.executors.kept_logs import KeptLogs
from engine.runs.executors.session import BEAT_S, Session, open_session

TOPIC = "engine"
"""Of Dask's events, for signs of life. The scheduler keeps the latest thousand of a topic: so one is for all runs."""

log = structlog.get_logger()


class _OneRun:
    """A session, and the task that holds it open."""

    def __init__(self, hello: Hello, silent_s: float, dask_worker: Any, clock: Clock) -> None:
        self.heard = clock.monotonic()
        self._hello = hello
        self._silent_s = silent_s
        self._dask_worker = dask_worker
        self._clock = clock
        self._logs = KeptLogs()
        self._ended = asyncio.Event()
        self.ready: asyncio.Future[Session] = asyncio.get_running_loop().create_future()
        self._life = asyncio.ensure_future(self._live())

    async def _live(self) -> None:
        try:
            async with open_session(self._hello, self._clock, silent_s=self._silent_s) as session:
                self.ready.set_result(session)
                async with beside(session.beat(self._tell)):
                    await self._until_over(session)
        except Exception as error:
            if self.ready.done():
                log.error("the session did not end well", exc_info=error)
            else:
                self.ready.set_exception(error)
        finally:
            if _RUNS.get(self._hello.run) is self:
                del _RUNS[self._hello.run]

    async def _until_over(self, session: Session) -> None:
        while not session.over:
            with suppress(TimeoutError):
                async with asyncio.timeout(BEAT_S):
                    await self._ended.wait()
                session.over = True
            if self._clock.monotonic() - self.heard > self._silent_s:
                session.give_up()

    def _tell(self, beat: Beat) -> None:
        beat.logs = self._logs.take()
        told = self._hello.run, self._dask_worker.address, beat
        self._dask_worker.log_event(TOPIC, pickle.dumps(told, pickle.HIGHEST_PROTOCOL))

    async def end(self) -> None:
        """Now: what is in hand is cut, and its uploads are aborted."""
        self._ended.set()
        await asyncio.wait({self._life})


_RUNS: dict[str, _OneRun] = {}
"""By ``Hello.run``."""


async def begin(greeting: bytes, dask_worker: Any) -> bytes:
    """Open a session: ``Hello``, and after how many seconds without a word its run is gone. The answer: None, or why
    not."""
    hello, silent_s = pickle.loads(greeting)  # noqa: S301 - whoever reaches a Dask worker may run code there anyway
    await end(hello.run)
    one = _RUNS[hello.run] = _OneRun(hello, silent_s, dask_worker, SystemClock())
    try:
        await one.ready
    except Exception as error:  # noqa: BLE001 - it goes to the run
        return _answer(error)
    return _answer(None)


async def do(run: str, packed: bytes) -> bytes:
    """A task of the cluster: a ``WorkBatch``. The answer: a ``WorkResult``, or the error to raise."""
    one = _RUNS.get(run)
    if one is None:
        return _answer(Lost("the worker does not know this run any more"))
    batch: WorkBatch = pickle.loads(packed)  # noqa: S301 - as above
    try:
        return _answer(await one.ready.result().do(batch))
    except Exception as error:  # noqa: BLE001 - it goes to the run
        return _answer(error)


async def stop(run: str, drain_s: float) -> None:
    """Files in hand may finish for so many seconds; then every batch of this run comes back."""
    one = _RUNS.get(run)
    if one is not None and one.ready.done() and not one.ready.exception():
        one.ready.result().stop(drain_s)


async def heard(run: str) -> None:
    """The run is alive."""
    if (one := _RUNS.get(run)) is not None:
        one.heard = SystemClock().monotonic()


async def end(run: str) -> None:
    """The run is over: close what it had here."""
    if (one := _RUNS.pop(run, None)) is not None:
        await one.end()


def _answer(found: object) -> bytes:
    if isinstance(found, Exception) and not isinstance(found, Fatal | Lost):
        log.error("worker failed", exc_info=found)
        found = Lost(f"{type(found).__name__}: {found}")
    return pickle.dumps(found, pickle.HIGHEST_PROTOCOL)

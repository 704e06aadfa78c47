"""One run on one worker: its own settings and adapters, a crew, and signs of life."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from engine import __version__
from engine.limiting.bandwidth import Bandwidth
from engine.limiting.clock import Clock
from engine.limiting.side_by_side import beside
from engine.model.errors import Blocked
from engine.pipeline.batch_worker import BatchWorker
from engine.pipeline.routes import Routes
from engine.pipeline.work_batches import Beat, Lost, WorkBatch, WorkResult
from engine.reading.load import load_settings
from engine.runs.executors.hello import Hello, differences
from engine.runs.executors.rights import check_rights
from engine.runs.shared.assembly import open_stores

BEAT_S = 1.0
SILENT_S = 60.0
"""A worker that was not heard of for so long is given up, and one that was stopped for so long gives up by itself."""

log = structlog.get_logger()


class Session:
    """A worker's work for one run."""

    def __init__(
        self, worker: BatchWorker, routes: Routes, bandwidth: Bandwidth, clock: Clock, silent_s: float
    ) -> None:
        self._worker = worker
        self._routes = routes
        self._bandwidth = bandwidth
        self._fit: asyncio.Future[None] | None = None
        """Whether its rights suffice, once somebody has asked."""
        self._clock = clock
        self._silent_s = silent_s
        self.over = False
        """Its batches are others' by now."""

    async def do(self, batch: WorkBatch) -> WorkResult:
        """Bring a batch to its end, or as far as it gets. Raises Lost where this worker has given up, Blocked where it
        may not read what the run reads."""
        self._bandwidth.share(batch.share.workers)
        if self._fit is None:
            self._routes.adopt(batch.routes)
            self._fit = asyncio.ensure_future(check_rights(batch, self._routes))
        await asyncio.shield(self._fit)
        result = await self._worker.do(batch)
        if self.over:
            raise Lost("the worker was stopped for too long, or the run was not heard of")
        return result

    def stop(self, drain_s: float) -> None:
        """Files in hand may finish for so many seconds; then every batch comes back as it is."""
        self._worker.ask_to_stop("the run was asked to stop", drain_s)

    def give_up(self) -> None:
        """Its batches are others' by now."""
        self.over = True
        self.stop(0)

    async def beat(self, tell: Callable[[Beat], None]) -> None:
        """Say about once a second that all is well, until cancelled."""
        heard = self._clock.monotonic()
        while True:
            tell(self._worker.beat())
            await self._clock.sleep(BEAT_S)
            now = self._clock.monotonic()
            if now - heard > self._silent_s:
                log.warning("this worker was stopped for too long: its files are others' by now", seconds=now - heard)
                self.give_up()
            heard = now


@asynccontextmanager
async def open_session(hello: Hello, clock: Clock, *, silent_s: float = SILENT_S) -> AsyncIterator[Session]:
    """Open what copying takes, by the settings of this place. Raises Fatal where they are not those of the run."""
    file = Path(hello.file or os.environ.get("ENGINE_CONFIG") or "settings.yaml")
    settings = load_settings(file, environ=os.environ, overrides=hello.flags)
    if faults := list(differences(hello, __version__, settings, clock.now())):
        raise Blocked("; ".join(faults), hint="workers need the same engine and the same settings as the run")
    async with open_stores(settings, clock, transport=hello.transport, workers=hello.workers) as stores:
        routes = Routes(stores.probe, reader=stores.reader)
        planner = stores.planner(hello.shape, hello.account_id, routes)
        worker = BatchWorker(
            lambda ends, duplicates, allowance: stores.transfer(planner, routes, ends, allowance, duplicates),
            routes,
            stores.limiters,
            clock,
            concurrency=stores.limiters.most,
            remarks=stores.s3.destination.remarks,
        )
        async with beside(worker.run()):  # what ends it is told by every batch
            try:
                yield Session(worker, routes, stores.bandwidth, clock, silent_s)
            finally:
                worker.close()

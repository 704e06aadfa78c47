"""The flow of a backup: feeds, intake, crew and recorder, joined; and what watches them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import structlog

from engine.model.errors import Paused, Transient
from engine.model.failures import FailureClass
from engine.model.outcome import Batch, Looked, Outcome, Status
from engine.model.plan import Plan, Work
from engine.pipeline.allowance import Allowance
from engine.pipeline.budget import ErrorBudget
from engine.pipeline.crew import Crew
from engine.pipeline.dispatch import Dispatcher, Terms
from engine.pipeline.flow import flow
from engine.pipeline.intake import Intake, MetRows
from engine.pipeline.lots import BatchSize
from engine.pipeline.planning import Planner
from engine.pipeline.recorder import Recorder
from engine.pipeline.routes import Routes
from engine.pipeline.tally import Tally
from engine.pipeline.watch import TimedSink, Watch, Watched, watching
from engine.pipeline.work_batches import Executor
from engine.pipeline.work_queue import WorkQueue
from engine.runs.backup.feeds import Feeds
from engine.runs.shared.lifecycle import Run
from engine.runs.shared.progress import Figures
from engine.runs.shared.report import first_fatal
from engine.settings import Settings

log = structlog.get_logger()


class BackupFlow:
    """Of one run."""

    def __init__(self, run: Run, settings: Settings, planner: Planner, routes: Routes, tally: Tally) -> None:
        self._run = run
        self._planner = planner
        self._routes = routes
        self._tally = tally
        self._wanted = settings.migration
        self._executor = settings.executor
        self._budget = ErrorBudget(self._wanted.error_budget)
        self._dispatched: Dispatcher | None = None

    async def run(self, feeds: Feeds, met: MetRows, executor: Executor | None = None) -> None:
        """Until the feeds have ended and all is recorded, or a stop was asked for and the drain is over. Without an
        ``executor`` this process makes the copies. Raises Fatal, in groups."""
        run, services, wanted, clock = self._run, self._run.services, self._wanted, self._run.services.clock
        sink = TimedSink(_Nowhere() if run.id is None else services.ledger, clock)
        recorder = Recorder(sink, self._tally, wanted.batch_size)
        concurrency = services.limiters.most
        queue = WorkQueue(wanted.queue_size, concurrency)
        allowance = Allowance(run.bounds.limit, run.stop)
        intake = Intake(services.ledger, self._planner, self._routes, queue, recorder, clock, allowance, met)
        crew = (
            self._crew(queue, recorder, allowance)
            if executor is None
            else self._dispatcher(queue, recorder, allowance, executor)
        )
        roster = None if self._dispatched is None else self._dispatched.roster
        watched = Watched(queue, recorder, services.salesforce, services.limiters, sink, concurrency, roster)
        watch = Watch(clock, watched, self._keep)
        title = "dry run" if run.id is None else "backup"
        figures = Figures(self._tally, clock, title=title, concurrency=concurrency, pressure=watched.pressure)
        with run.screen.progress(figures, clock) as progress:
            try:
                async with watching(watch):
                    await flow(
                        lambda: self._feed(feeds, intake),
                        queue,
                        crew,
                        recorder,
                        stop=run.stop,
                        clock=clock,
                        drain_s=wanted.drain_seconds,
                        pulse=progress.beat,
                    )
            except BaseExceptionGroup as group:
                if not isinstance(paused := first_fatal(group), Paused):
                    raise
                self._pause(paused)
        await self._keep(watch.sample())
        await self._keep(watch.shares())

    def _crew(self, queue: WorkQueue, recorder: Recorder, allowance: Allowance) -> Crew:
        run, services = self._run, self._run.services
        worker = (
            _Pretending() if run.id is None else services.transfer(self._planner, self._routes, recorder, allowance)
        )
        concurrency = services.limiters.most
        return Crew(queue, worker, recorder, run.stop, concurrency=concurrency, on_outcome=self._on_outcome)

    def _dispatcher(self, queue: WorkQueue, recorder: Recorder, allowance: Allowance, executor: Executor) -> Dispatcher:
        wanted = self._executor
        self._dispatched = Dispatcher(
            queue,
            executor,
            recorder,
            self._routes,
            allowance,
            self._run.services.clock,
            Terms(BatchSize.read(wanted.lease_files, wanted.lease_mb), self._wanted.concurrency),
            on_outcome=self._on_outcome,
        )
        return self._dispatched

    @property
    def losses(self) -> int:
        """Batches that were lost with their workers."""
        return 0 if self._dispatched is None else self._dispatched.losses

    @property
    def remarks(self) -> list[str]:
        """What the workers found out about the store."""
        return [] if self._dispatched is None else self._dispatched.remarks()

    async def _feed(self, feeds: Feeds, intake: Intake) -> None:
        """What keeps the feed from going on now, but not for ever, ends the run early: work in hand is finished."""
        try:
            await feeds.run(intake)
        except (Paused, Transient) as error:
            self._pause(error)

    def _pause(self, error: Paused | Transient) -> None:
        if isinstance(error, Paused) and error.hint:
            self._run.note(error.hint)
        self._run.stop.request(str(error), Paused.exit_code)

    def _on_outcome(self, work: Work, outcome: Outcome | Looked) -> None:
        record = outcome.record.id
        if isinstance(outcome, Looked):
            if outcome.unseen:
                log.info("source_not_seen", record=record, reason=outcome.unseen, why=outcome.message)
        elif outcome.status is Status.FAILED:
            why, attempts = outcome.message, outcome.attempts
            log.info("file_failed", record=record, failure=outcome.failure, why=why, attempts=attempts)
        self._budget.count(work, outcome)
        if self._budget.spent:
            self._run.stop.request(f"error budget spent: {self._budget}", Paused.exit_code)

    async def _keep(self, sample: Mapping[str, Any]) -> None:
        log.info("sample", **sample)
        if self._run.id is not None:
            await self._run.services.ledger.sample(sample)


class _Nowhere:
    """Takes what a dry run would have recorded, and forgets it."""

    async def write(self, batch: Batch) -> None:
        del batch


class _Pretending:
    """What a dry run has in place of the transfer: says what would be done."""

    async def run(self, work: Work) -> Outcome | Looked:
        if not isinstance(work, Plan):
            return work.stands("dry_run")
        row, page = work.known, work.page
        if row is not None and row.failure and row.url == work.record.url and row.status is not Status.PENDING:
            return Outcome(work.record, Status.PENDING, FailureClass(row.failure), page=page)
        return Outcome(work.record, Status.BACKED_UP, key=work.key, url=work.url, is_new=row is None, page=page)

    def leader(self, _work: Work) -> asyncio.Future[None] | None:
        return None

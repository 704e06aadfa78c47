"""Phase 1: copy every file, prove each copy, remember it. Salesforce is only read, the source is only read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from engine import __version__
from engine.limiting.clock import Clock, SystemClock, iso
from engine.limiting.retry import retry
from engine.model.command import Advice, Command, in_words
from engine.model.errors import EngineError, Fatal, Paused, Refused, Transient, Usage
from engine.model.failures import FailureClass
from engine.model.outcome import Batch, Looked, Outcome, Status
from engine.model.plan import Plan, Work
from engine.model.record import Scope
from engine.pipeline.budget import ErrorBudget
from engine.pipeline.channel import Channel
from engine.pipeline.copying import Copying
from engine.pipeline.crew import Crew
from engine.pipeline.flow import flow
from engine.pipeline.intake import WORK_BATCH, Intake
from engine.pipeline.planning import Planner
from engine.pipeline.recorder import Recorder
from engine.pipeline.routes import Route, Routes
from engine.pipeline.stop import Stop
from engine.pipeline.tally import Tally
from engine.pipeline.transfer import Transfer
from engine.pipeline.watch import TimedSink, Watch, watching
from engine.runs.backup.feeds import Feeds, scope_hash
from engine.runs.backup.stages import FlowStages, pressure
from engine.runs.journal.evidence import settle_first
from engine.runs.shared.assembly import Services, fitting_link, max_bytes
from engine.runs.shared.at_work import at_work
from engine.runs.shared.bounds import Bounds, bounds_of
from engine.runs.shared.preflight import Halted, check_org, check_stores, unless_stopped
from engine.runs.shared.report import RunReport, duration, first_fatal
from engine.runs.shared.screen import Screen
from engine.s3.transport import Transport
from engine.settings import Settings
from engine.tracking.write import links
from engine.tracking.write.runs import Ending

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BackupOptions:
    """What the command line asks for; None: not given."""

    full: bool
    account: str | None = None
    limit: int | None = None
    dry_run: bool | None = None
    max_duration_s: float | None = None
    retry_classes: frozenset[FailureClass] = frozenset()
    transport: Transport = "fast"
    new_database: bool = False
    flags: str = ""
    """As ``shell.flags`` has them: what the command that resumes must repeat."""

    def again(self, bounds: Bounds) -> Command:
        """The command that resumes. A full scan that is restricted leaves no mark: nothing could take it up."""
        kind = "--full" if self.full and not bounds.whole else "--incremental"
        return Command(f"run backup {kind}{self.flags}")


async def backup(settings: Settings, options: BackupOptions, screen: Screen, clock: Clock | None = None) -> RunReport:
    """Run a backup to its end and report. Raises Fatal when it cannot start."""
    clock = clock or SystemClock()
    migration = settings.migration
    bounds = bounds_of(migration, account=options.account, limit=options.limit, dry_run=options.dry_run)
    stop = Stop()
    command = Command(f"run backup {'--full' if options.full else '--incremental'}")
    may_create = options.full or options.new_database
    if options.new_database and (options.full or settings.tracking.database.exists()):
        why = "--full may always begin one" if options.full else f"there is one: {settings.tracking.database}"
        raise Usage("--new-database goes with --incremental where there is no tracking database yet; " + why)
    async with at_work(
        settings, clock, command, screen, stop, transport=options.transport, may_create=may_create
    ) as services:
        return await _Backup(services, options, bounds, screen, stop).run()


class Unwritten:
    """Takes what a dry run would have recorded, and forgets it."""

    async def write(self, batch: Batch) -> None:
        del batch


class _Backup:
    def __init__(self, services: Services, options: BackupOptions, bounds: Bounds, screen: Screen, stop: Stop) -> None:
        self._services = services
        self._options = options
        self._bounds = bounds
        self._again = options.again(bounds)
        self._screen = screen
        self._stop = stop
        self._clock = services.clock
        self._settings = services.settings
        self._tally = Tally(services.clock.monotonic())
        self._budget = ErrorBudget(services.settings.migration.error_budget)
        self._notes: list[Advice] = []
        self._watch: Watch | None = None

    async def run(self) -> RunReport:
        services = self._services
        scope = Scope(account_id=self._bounds.account_id)
        organization, shape = await unless_stopped(check_org(services.salesforce, scope), self._stop)
        await unless_stopped(check_stores(services), self._stop)
        await services.ledger.check_org(organization.id)
        run_id = None
        if not self._bounds.dry_run:
            snapshot = self._settings.snapshot() | {"org_id": organization.id, "again": str(self._again)}
            run_id = await services.ledger.begin_run("backup", snapshot, version=__version__)
            structlog.contextvars.bind_contextvars(run_id=run_id)
        log.info(
            "run_started", version=__version__, full=self._options.full, org=organization.id, dry_run=run_id is None
        )
        started = self._clock.monotonic()
        routes = Routes(services.probe, self._on_route)
        planner = services.planner(shape, self._bounds.account_id, routes)
        try:
            if run_id is not None:
                await unless_stopped(self._prepare(run_id, planner), self._stop, safe="nothing was copied", hint="")
            feeds = Feeds(
                services,
                self._options,
                self._bounds,
                scope_hash(self._settings, organization.id),
                self._tally,
                self._note,
            )
            await self._flow(feeds, planner, routes, dry_run=run_id is None)
        except BaseException as error:
            await self._failed(run_id, error)
            raise
        return await self._ended(run_id, started)

    async def _flow(self, feeds: Feeds, planner: Planner, routes: Routes, *, dry_run: bool) -> None:
        services, migration = self._services, self._settings.migration
        sink = TimedSink(Unwritten() if dry_run else services.ledger, self._clock)
        recorder = Recorder(sink, migration.batch_size, self._on_batch)
        work_batch = min(WORK_BATCH, migration.queue_size, max(1, migration.queue_size // migration.concurrency) * 4)
        work_batches: Channel[list[Work]] = Channel(max(1, migration.queue_size // work_batch))
        intake = Intake(
            services.ledger,
            planner,
            routes,
            work_batches,
            recorder,
            self._tally,
            self._clock,
            self._stop,
            run_id=-1 if services.ledger.run_id is None else services.ledger.run_id,
            limit=self._bounds.limit,
            work_batch=work_batch,
            seen=feeds.seen,
            on_page=lambda records, plans, done: log.info("page", records=records, plans=plans, settled=done),
        )
        transfer = Transfer(
            Copying(
                services.s3.destination,
                services.through_destination,
                services.locate,
                max_bytes=max_bytes(self._settings),
                fast_path=services.s3.fast_path,
            ),
            routes,
            recorder,
            self._tally,
            self._clock,
            link=lambda key: fitting_link(planner, key),
            max_attempts=migration.max_attempts,
            looked=planner.looked,
            take_one=intake.take_one,
            links=services.links,
            on_bug=lambda work, trace: log.error("internal_error", told=True, record=work.record.id, trace=trace),
        )
        crew = Crew(
            work_batches,
            self._pretend if dry_run else transfer.run,
            recorder,
            self._tally,
            self._stop,
            concurrency=migration.concurrency,
            leader=transfer.leader,
            on_outcome=self._on_outcome,
        )
        stages = FlowStages(work_batches, recorder, services.salesforce)
        watch = Watch(
            self._clock,
            self._tally,
            services.limiters,
            sink,
            stages,
            concurrency=migration.concurrency,
            keep=self._keep,
            on_late=lambda seconds: log.debug("loop_late", milliseconds=round(seconds * 1000)),
        )
        self._watch = watch
        title = "dry run" if dry_run else "backup"
        with self._screen.progress(
            self._tally,
            self._clock,
            title=title,
            concurrency=migration.concurrency,
            pressure=lambda: pressure(services.limiters, stages),
        ) as progress:

            def pulse() -> None:
                progress.beat()
                self._watch_time()

            try:
                async with watching(watch):
                    await flow(
                        lambda: self._feed(feeds, intake),
                        work_batches,
                        crew,
                        recorder,
                        stop=self._stop,
                        clock=self._clock,
                        drain_s=migration.drain_seconds,
                        pulse=pulse,
                    )
            except BaseExceptionGroup as group:
                fatal = first_fatal(group)
                if not isinstance(fatal, Paused):
                    raise (fatal or group) from group
                self._pause(fatal)

    async def _keep(self, sample: Mapping[str, Any]) -> None:
        log.info("sample", **sample)
        if self._services.ledger.run_id is not None:
            await self._services.ledger.sample(sample)

    async def _prepare(self, run_id: int, planner: Planner) -> None:
        """What earlier runs have left, before anything new."""
        await self._sweep()
        await settle_first(self._services, run_id, self._note)
        await self._renew_links(planner)

    async def _sweep(self) -> None:
        attempts = self._settings.migration.max_attempts
        try:
            swept, _ = await retry(self._services.s3.sweep, clock=self._clock, attempts=attempts)
        except (Refused, Transient) as error:
            self._note(f"could not look for multipart uploads of killed runs, the next run will try: {error}")
        else:
            if swept:
                self._note(f"{swept} multipart upload{'s' if swept > 1 else ''} of a killed run aborted")

    async def _renew_links(self, planner: Planner) -> None:
        form = self._settings.destination.form
        database = self._services.ledger.database
        renewed, strange = await links.renew(
            database, form, planner.fits, look=self._options.full, stopped=lambda: self._stop.requested
        )
        if renewed:
            self._note(f"{renewed:,} links to copies were formed anew, as destination.url_template and region say now")
        if strange.count:
            self._note(f"{strange}; they were formed anew")

    async def _feed(self, feeds: Feeds, intake: Intake) -> None:
        """What keeps the feed from going on now, but not for ever, ends the run early: work in hand is finished."""
        try:
            await feeds.run(intake)
        except (Paused, Transient) as error:
            self._pause(error)

    def _pause(self, error: Paused | Transient) -> None:
        if isinstance(error, Paused) and error.hint:
            self._note(error.hint)
        self._stop.request(str(error), Paused.exit_code)

    def _watch_time(self) -> None:
        limit = self._options.max_duration_s
        if limit is not None and self._clock.monotonic() - self._tally.started_s >= limit:
            self._stop.request(f"--max-duration of {duration(limit)} reached", Paused.exit_code)

    def _on_outcome(self, work: Work, outcome: Outcome | Looked) -> None:
        if isinstance(outcome, Looked):
            if outcome.unseen:
                log.info("source_not_seen", record=outcome.record.id, reason=outcome.unseen, why=outcome.message)
        elif outcome.status is Status.FAILED:
            log.info(
                "file_failed",
                record=outcome.record.id,
                failure=outcome.failure,
                why=outcome.message,
                attempts=outcome.attempts,
            )
        self._budget.count(work, outcome)
        if self._budget.spent:
            self._stop.request(f"error budget spent: {self._budget}", Paused.exit_code)

    def _on_batch(self, batch: Batch) -> None:
        reached = {each.range: each.last_id for each in batch.checkpoints}
        log.info("batch", outcomes=len(batch.outcomes), retries=len(batch.attempts), checkpoints=reached)

    def _on_route(self, bucket: str, route: Route) -> None:
        where = f"s3://{bucket}" if bucket else "plain http"
        log.info("route", source=where, method=route.method.value, why=route.why)
        so_far = "" if route.settled else "; nothing was read yet, so each file is looked at first"
        self._screen.say(f"{where}: {route.method.value} ({route.why}{so_far})")

    async def _pretend(self, work: Work) -> Outcome | Looked:
        if not isinstance(work, Plan):
            return work.stands("dry_run")
        row = work.known
        if row is not None and row.failure and row.url == work.record.url and row.status is not Status.PENDING:
            return Outcome(work.record, Status.PENDING, FailureClass(row.failure), page=work.page)
        return Outcome(
            work.record, Status.BACKED_UP, key=work.key, url=work.url, is_new=work.known is None, page=work.page
        )

    def _note(self, text: Advice) -> None:
        self._notes.append(text)
        log.info("note", text=in_words(text))

    async def _failed(self, run_id: int | None, error: BaseException) -> None:
        """Close the run row where that can still be done; where not, the next start marks it as crashed."""
        message = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: see logs"
        log.error("run_failed", told=True, why=message)
        if run_id is not None:
            if isinstance(error, Fatal):
                safe = f"What was copied and recorded is safe in {self._settings.tracking.database}."
                error.add_hint(safe, (self._again, "   resumes"))
            try:
                ending: Ending = "stopped" if isinstance(error, Halted) else "failed"
                await self._services.ledger.end_run(run_id, ending, message)
            except Fatal as second:
                log.error("run_not_closed", why=str(second))

    async def _ended(self, run_id: int | None, started: float) -> RunReport:
        tally, stop = self._tally, self._stop
        status: Ending
        if stop.requested:
            status, code = "stopped", stop.exit_code
        else:
            status, code = ("completed_with_failures", 3) if tally.failed else ("completed", 0)
            if run_id is None:
                code = 0  # it has shown what it was asked to show
            if self._options.full and not tally.done:
                self._note("no record is in scope: check salesforce.where, and --account where it was given")
        if run_id is not None:
            if self._watch is not None:
                await self._keep(self._watch.sample())
                await self._keep(self._watch.shares())
            await self._services.ledger.end_run(run_id, status, stop.reason or None)
        for remark in self._services.s3.destination.remarks():
            self._note(remark)
        report = RunReport(
            run_type="backup",
            run_id=run_id,
            status=status,
            exit_code=code,
            reason=stop.reason,
            seconds=self._clock.monotonic() - started,
            tally=tally,
            database=str(self._settings.tracking.database),
            dry_run=run_id is None,
            next_steps=self._next_steps(code),
            notes=[*self._notes, *self._safe(run_id)],
        )
        log.info("run_ended", at=iso(self._clock.now()), **report.as_json())
        return report

    def _safe(self, run_id: int | None) -> list[str]:
        if run_id is None:
            return [
                "dry run: nothing was copied, nothing was recorded",
                "no file was looked at: only copying tells which are there and may be read, and which were replaced",
            ]
        return [f"all of it is recorded in {self._settings.tracking.database}; Salesforce was only read"]

    def _next_steps(self, code: int) -> list[Advice]:
        if self._bounds.dry_run:
            return ["the same command without --dry-run copies"]
        if code in {5, 130, 143}:
            return [(self._again, "   resumes")]
        return [(Command("status --errors"), "   says why files failed")] if code == 3 else []

"""Phase 1: copy every file, prove each copy, remember it. Salesforce is only read, the source is only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from engine.limiting.clock import Clock, SystemClock
from engine.limiting.retry import retry
from engine.model.command import Advice, Command
from engine.model.errors import Paused, Refused, Transient, Usage
from engine.model.failures import FailureClass
from engine.model.outcome import Batch, Looked, Outcome, Status
from engine.model.plan import Plan, Work
from engine.model.record import ObjectShape, Scope
from engine.pipeline.budget import ErrorBudget
from engine.pipeline.channel import Channel
from engine.pipeline.copying import Copying
from engine.pipeline.crew import Crew
from engine.pipeline.flow import flow
from engine.pipeline.intake import WORK_BATCH, Intake
from engine.pipeline.recorder import Recorder
from engine.pipeline.routes import Route, Routes
from engine.pipeline.tally import Tally
from engine.pipeline.transfer import Transfer
from engine.pipeline.watch import TimedSink, Watch, watching
from engine.runs.backup.feeds import Feeds, scope_hash
from engine.runs.backup.stages import FlowStages, pressure
from engine.runs.journal.evidence import settle_first
from engine.runs.shared.assembly import fitting_link, max_bytes
from engine.runs.shared.bounds import Bounds, RunFlags, bounds_of
from engine.runs.shared.lifecycle import Run, Start, live
from engine.runs.shared.preflight import check_own_org, check_stores, unless_stopped
from engine.runs.shared.report import Ended, RunReport, first_fatal
from engine.runs.shared.screen import Screen
from engine.s3.transport import Transport
from engine.settings import Settings
from engine.tracking.write import links
from engine.tracking.write.runs import Ending

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupOptions:
    """What the command line asks for."""

    flags: RunFlags
    full: bool
    retry_classes: frozenset[FailureClass] = frozenset()
    transport: Transport = "fast"
    new_database: bool = False

    def again(self, bounds: Bounds) -> Command:
        """The command that resumes. A full scan that is restricted leaves no mark: nothing could take it up."""
        kind = "--full" if self.full and not bounds.whole else "--incremental"
        return Command(f"run backup {kind}{self.flags.repeated}")


async def backup(settings: Settings, options: BackupOptions, screen: Screen, clock: Clock | None = None) -> RunReport:
    """Run a backup to its end and report. Raises Fatal when it cannot start."""
    flags, database = options.flags, settings.tracking.database
    bounds = bounds_of(settings.migration, account=flags.account, limit=flags.limit, dry_run=flags.dry_run)
    if options.new_database and (options.full or database.exists()):
        why = "--full may always begin one" if options.full else f"there is one: {database}"
        raise Usage("--new-database goes with --incremental where there is no tracking database yet; " + why)
    start = Start(
        kind="backup",
        settings=settings,
        screen=screen,
        clock=clock or SystemClock(),
        command=Command(f"run backup {'--full' if options.full else '--incremental'}"),
        bounds=bounds,
        max_duration_s=flags.max_duration_s,
        transport=options.transport,
        may_create=options.full or options.new_database,
    )
    return await live(start, partial(_checked, options=options))


async def _checked(run: Run, options: BackupOptions) -> _Backup:
    organization, shape = await check_own_org(run.services, Scope(account_id=run.bounds.account_id))
    await check_stores(run.services)
    return _Backup(run, options, organization.id, shape)


class Unwritten:
    """Takes what a dry run would have recorded, and forgets it."""

    async def write(self, batch: Batch) -> None:
        del batch


class _Backup:
    def __init__(self, run: Run, options: BackupOptions, org_id: str, shape: ObjectShape) -> None:
        services = run.services
        self._run = run
        self._options = options
        self._again = options.again(run.bounds)
        self._org_id = org_id
        self._services = services
        self._clock = services.clock
        self._settings = services.settings
        self._tally = Tally(services.clock.monotonic())
        self._budget = ErrorBudget(services.settings.migration.error_budget)
        self._routes = Routes(services.probe, self._on_route)
        self._planner = services.planner(shape, run.bounds.account_id, self._routes)
        self._watch: Watch | None = None

    @property
    def facts(self) -> Mapping[str, object]:
        return {"org_id": self._org_id, "again": str(self._again)}

    async def work(self) -> None:
        run, services = self._run, self._services
        if run.id is not None:
            await unless_stopped(self._prepare(run.id), run.stop, safe="nothing was copied", hint="")
        scope = scope_hash(self._settings, self._org_id)
        feeds = Feeds(services, self._options, run.bounds, scope, self._tally, run.note)
        await self._flow(feeds, dry_run=run.id is None)
        if run.id is not None and self._watch is not None:
            await self._keep(self._watch.sample())
            await self._keep(self._watch.shares())
        for remark in services.s3.destination.remarks():
            run.note(remark)

    async def _flow(self, feeds: Feeds, *, dry_run: bool) -> None:
        services, migration = self._services, self._settings.migration
        planner, routes, stop = self._planner, self._routes, self._run.stop
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
            stop,
            run_id=-1 if services.ledger.run_id is None else services.ledger.run_id,
            limit=self._run.bounds.limit,
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
            stop,
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
        with self._run.screen.progress(
            self._tally,
            self._clock,
            title=title,
            concurrency=migration.concurrency,
            pressure=lambda: pressure(services.limiters, stages),
        ) as progress:
            try:
                async with watching(watch):
                    await flow(
                        lambda: self._feed(feeds, intake),
                        work_batches,
                        crew,
                        recorder,
                        stop=stop,
                        clock=self._clock,
                        drain_s=migration.drain_seconds,
                        pulse=progress.beat,
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

    async def _prepare(self, run_id: int) -> None:
        """What earlier runs have left, before anything new."""
        await self._sweep()
        await settle_first(self._services, run_id, self._run.note)
        await self._renew_links()

    async def _sweep(self) -> None:
        attempts = self._settings.migration.max_attempts
        try:
            swept, _ = await retry(self._services.s3.sweep, clock=self._clock, attempts=attempts)
        except (Refused, Transient) as error:
            self._run.note(f"could not look for multipart uploads of killed runs, the next run will try: {error}")
        else:
            if swept:
                self._run.note(f"{swept} multipart upload{'s' if swept > 1 else ''} of a killed run aborted")

    async def _renew_links(self) -> None:
        form = self._settings.destination.form
        database = self._services.ledger.database
        renewed, strange = await links.renew(
            database, form, self._planner.fits, look=self._options.full, stopped=lambda: self._run.stop.requested
        )
        if renewed:
            self._run.note(
                f"{renewed:,} links to copies were formed anew, as destination.url_template and region say now"
            )
        if strange.count:
            self._run.note(f"{strange}; they were formed anew")

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
            self._run.stop.request(f"error budget spent: {self._budget}", Paused.exit_code)

    def _on_batch(self, batch: Batch) -> None:
        reached = {each.range: each.last_id for each in batch.checkpoints}
        log.info("batch", outcomes=len(batch.outcomes), retries=len(batch.attempts), checkpoints=reached)

    def _on_route(self, bucket: str, route: Route) -> None:
        where = f"s3://{bucket}" if bucket else "plain http"
        log.info("route", source=where, method=route.method.value, why=route.why)
        so_far = "" if route.settled else "; nothing was read yet, so each file is looked at first"
        self._run.screen.say(f"{where}: {route.method.value} ({route.why}{so_far})")

    async def _pretend(self, work: Work) -> Outcome | Looked:
        if not isinstance(work, Plan):
            return work.stands("dry_run")
        row = work.known
        if row is not None and row.failure and row.url == work.record.url and row.status is not Status.PENDING:
            return Outcome(work.record, Status.PENDING, FailureClass(row.failure), page=work.page)
        return Outcome(
            work.record, Status.BACKED_UP, key=work.key, url=work.url, is_new=work.known is None, page=work.page
        )

    def after_failure(self) -> Sequence[Advice]:
        safe = f"What was copied and recorded is safe in {self._settings.tracking.database}."
        return [safe, (self._again, "   resumes")]

    def verdict(self) -> tuple[Ending, int]:
        if not self._tally.failed:
            return "completed", 0
        return "completed_with_failures", 0 if self._run.id is None else 3  # a dry run has shown what it was to show

    def report(self, ended: Ended) -> RunReport:
        if self._options.full and not ended.stopped and not self._tally.done:
            self._run.note("no record is in scope: check salesforce.where, and --account where it was given")
        if ended.dry_run:
            notes = [
                "dry run: nothing was copied, nothing was recorded",
                "no file was looked at: only copying tells which are there and may be read, and which were replaced",
            ]
        else:
            notes = [f"all of it is recorded in {ended.database}; Salesforce was only read"]
        ended.notes.extend(notes)
        return RunReport(ended, self._tally, self._next_steps(ended))

    def _next_steps(self, ended: Ended) -> list[Advice]:
        if ended.dry_run:
            return ["the same command without --dry-run copies"]
        if ended.exit_code in {5, 130, 143}:
            return [(self._again, "   resumes")]
        return [(Command("status --errors"), "   says why files failed")] if ended.exit_code == 3 else []

"""Phase 1: copy every file, prove each copy, remember it. Salesforce is only read, the source is only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

import structlog

from engine.limiting.clock import Clock, SystemClock
from engine.model.command import Advice, Command
from engine.model.errors import Refused, Transient, Usage
from engine.model.failures import FailureClass
from engine.model.record import ObjectShape, Scope
from engine.pipeline.intake import MetRows
from engine.pipeline.routes import Route, Routes
from engine.pipeline.tally import Tally
from engine.runs.backup.feeds import Feeds, scope_hash
from engine.runs.backup.flow import BackupFlow
from engine.runs.backup.inventory import Inventory
from engine.runs.executors.open import Given, open_executor
from engine.runs.journal.evidence import settle_first
from engine.runs.shared.bounds import Bounds, RunFlags, bounds_of
from engine.runs.shared.command import as_flags
from engine.runs.shared.lifecycle import Run, Start, live
from engine.runs.shared.preflight import check_own_org, check_stores, unless_stopped
from engine.runs.shared.report import Ended, RunReport
from engine.runs.shared.screen import Screen
from engine.s3.transport import Transport
from engine.settings import Settings
from engine.tracking.read import waived
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
    given: Given = field(default_factory=Given)

    def again(self, bounds: Bounds) -> Command:
        """The command that resumes. A full scan that is restricted leaves no mark: nothing could take it up."""
        kind = "--full" if self.full and not bounds.whole else "--incremental"
        return Command(f"run backup {kind}{self.flags.repeated}")

    @property
    def for_real(self) -> Command:
        """What a dry run has shown."""
        return Command(f"run backup {'--full' if self.full else '--incremental'}{self.flags.repeated}")


async def backup(settings: Settings, options: BackupOptions, screen: Screen, clock: Clock | None = None) -> RunReport:
    """Run a backup to its end and report. Raises Fatal when it cannot start."""
    flags, database = options.flags, settings.tracking.database
    bounds = bounds_of(settings.migration, account=flags.account, limit=flags.limit, dry_run=flags.dry_run)
    if options.new_database and (options.full or database.exists()):
        why = "--full always may create one" if options.full else f"there is one: {database}"
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
        looks=bounds.dry_run,
    )
    return await live(start, partial(_checked, settings=settings, options=options))


async def _checked(run: Run, settings: Settings, options: BackupOptions) -> _Backup:
    organization, shape = await check_own_org(run.services, Scope(account_id=run.bounds.account_id))
    await check_stores(run.services)
    return _Backup(run, settings, options, organization.id, shape)


class _Backup:
    def __init__(self, run: Run, settings: Settings, options: BackupOptions, org_id: str, shape: ObjectShape) -> None:
        self._run = run
        self._settings = settings
        self._options = options
        self._again = options.again(run.bounds)
        self._org_id = org_id
        self._tally = Tally()
        self._waived = 0
        """Of the failures, those of waived records."""
        self._shape = shape
        self._routes = Routes(run.services.probe, self._on_route, run.services.reader)
        self._planner = run.services.planner(shape, run.bounds.account_id, self._routes)

    @property
    def facts(self) -> Mapping[str, object]:
        return {"org_id": self._org_id, "again": str(self._again)}

    async def work(self) -> None:
        run = self._run
        if run.id is not None:
            await unless_stopped(self._prepare(run.id), run.stop, safe="nothing was copied", hint="")
        settings, tally, met = self._settings, self._tally, MetRows(-1 if run.id is None else run.id)
        inventory = Inventory(run.services, settings.source, tally, run.note)
        feeds = Feeds(run, self._options, scope_hash(settings.salesforce, self._org_id), tally, met, inventory)
        flow = BackupFlow(run, settings, self._planner, self._routes, tally)
        options = self._options
        async with open_executor(
            settings,
            options.given,
            self._shape,
            run.bounds.account_id,
            options.transport,
            run.services.clock,
            run.screen.say,
        ) as executor:
            await flow.run(feeds, met, executor if run.id is not None else None)
        if flow.losses:
            await self._sweep(run.services.clock.now())
        for remark in dict.fromkeys([*run.services.s3.destination.remarks(), *flow.remarks]):
            run.note(remark)
        if tally.failed and run.id is not None:
            self._waived = await run.services.ledger.database.read(partial(waived.failed, run_id=run.id))
            if self._waived:
                run.note(waived.note(self._waived))

    async def _prepare(self, run_id: int) -> None:
        """What earlier runs have left, before anything new."""
        await self._sweep()
        await settle_first(self._run.services, run_id, self._org_id, self._run.note)
        await self._renew_links()

    async def _sweep(self, before: datetime | None = None) -> None:
        """Abort the uploads of killed runs, or of workers that were lost ``before`` now: none has a batch any more."""
        services = self._run.services
        try:
            swept = await services.retries.of(partial(services.s3.sweep, before))
        except (Refused, Transient) as error:
            self._run.note(f"could not look for multipart uploads of killed runs; the next run will: {error}")
        else:
            if swept:
                whose = "run" if before is None else "worker"
                self._run.note(f"{swept} multipart upload{'s' if swept > 1 else ''} of a killed {whose} aborted")

    async def _renew_links(self) -> None:
        services = self._run.services
        template, database = services.ours.link_template, services.ledger.database
        renewed, strange = await links.renew(
            database,
            template,
            self._planner.places.fits,
            look=self._options.full,
            stopped=lambda: self._run.stop.requested,
        )
        if renewed:
            self._run.note(
                f"{renewed:,} links to copies were formed anew, as destination.url_template and region say now"
            )
        if strange.count:
            self._run.note(f"{strange}; they were formed anew")

    def _on_route(self, bucket: str, route: Route) -> None:
        where = f"s3://{bucket}" if bucket else "plain http"
        log.info("route", source=where, method=route.method.value, why=route.why)
        so_far = "" if route.settled else "; no file could be read yet, so each is checked first"
        self._run.screen.say(f"{where}: {route.method.value} ({route.why}{so_far})")

    def after_failure(self) -> Sequence[Advice]:
        safe = f"What was copied and recorded is safe in {self._run.services.ledger.database.path}."
        return [safe, (self._again, "   resumes")]

    def verdict(self) -> tuple[Ending, int]:
        if self._tally.failed <= self._waived:
            return "completed", 0
        return "completed_with_failures", 0 if self._run.id is None else 3  # a dry run has shown what it was to show

    def report(self, ended: Ended) -> RunReport:
        if self._options.full and not ended.stopped and not self._tally.done:
            self._run.note("no record is in scope: check salesforce.where and --account")
        if ended.dry_run:
            notes = [
                "dry run: nothing was copied, nothing was recorded",
                "no file was looked at: only a real run finds out which exist, may be read, or were replaced",
            ]
        else:
            notes = [f"everything is recorded in {ended.database}; Salesforce was only read"]
        ended.notes.extend(notes)
        return RunReport(ended, self._tally, self._next_steps(ended))

    def _next_steps(self, ended: Ended) -> list[Advice]:
        if ended.dry_run and self._settings.migration.dry_run:
            return [("set migration.dry_run to false, then: ", self._options.for_real)]
        if ended.dry_run:
            return [(self._options.for_real, "   copies them")]
        if ended.exit_code in {5, 130, 143}:
            return [(self._again, "   resumes")]
        if ended.exit_code == 3:
            return [
                (Command("status --errors"), "   says why files failed"),
                (
                    Command(f"run backup --incremental{self._options.flags.repeated}"),
                    "   tries again what failed for a passing reason",
                ),
            ]
        account = as_flags(account=self._options.flags.account)
        return [
            (Command(f"verify{account}"), "   proves that the copies are there and hold what was copied"),
            (Command("report go-no-go.html"), "   writes a page for the change board, with a verdict"),
            (Command(f"run switch --dry-run{account}"), "   writes a plan: every old and new link"),
        ]

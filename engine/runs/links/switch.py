"""Phase 2: move the links of proved files, wave by wave, each change journalled before it is sent.

A dry run makes a plan file and writes nothing else. ``--execute`` applies a plan exactly, its own or a given one: only
records that still hold the planned link, only copies that are still where they were proved. What cannot be known is
read again; what somebody has edited stays.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import structlog

from engine import __version__
from engine.limiting.clock import Clock, SystemClock, iso
from engine.model.command import Advice, Command
from engine.model.errors import Differs, Paused, Usage
from engine.model.failures import FailureClass
from engine.model.record import ObjectShape, Scope
from engine.pipeline.stop import Stop
from engine.pipeline.switching import Counts, waves
from engine.runs.journal.evidence import UNSETTLED, Evidence, gather_evidence
from engine.runs.links.change_report import ChangeReport, after_a_switch, undo_of
from engine.runs.links.link_run import (
    SECONDS_A_CALL,
    beating,
    before_the_first_write,
    check_updateable,
    close_failed,
    may_execute,
)
from engine.runs.links.plan import Plans
from engine.runs.links.plan_file import PlanFile
from engine.runs.links.rollback_file import Recorded, RollbackFile, begun, keep_in_bucket
from engine.runs.links.waves import WaveProgress, Waves, beyond, said_counts
from engine.runs.shared.assembly import Services
from engine.runs.shared.at_work import at_work
from engine.runs.shared.bounds import Bounds, bounds_of
from engine.runs.shared.command import flags
from engine.runs.shared.confirmation import Ask, Consent, Terminal
from engine.runs.shared.preflight import check_own_org, check_stores, unless_stopped
from engine.runs.shared.screen import Screen
from engine.salesforce.shape import Organization
from engine.settings import Settings
from engine.tracking.read.journal import open_changes
from engine.tracking.read.links import FORMED_ANEW, Foreign
from engine.tracking.read.switchable import Wanted
from engine.tracking.write.journal import Journal
from engine.tracking.write.runs import Ending
from engine.tracking.write.verdicts import Verdicts

RETRIED = (FailureClass.THROTTLED, FailureClass.NETWORK, FailureClass.INTERRUPTED)
"""Failures of an earlier switch that the next one tries again by itself."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SwitchOptions:
    """What the command line asks for; None: not given."""

    execute: bool = False
    plan: Path | None = None
    wave: int | None = None
    yes: bool = False
    strict: bool = False
    upload: bool = False
    account: str | None = None
    limit: int | None = None
    max_duration_s: float | None = None
    retry_classes: frozenset[FailureClass] = frozenset()
    flags: str = ""
    """As ``shell.flags`` has them: what the command that goes on must repeat."""

    def again(self, plan: Path | None = None) -> Command:
        """The command that goes on, with this plan unless another was given."""
        return Command(f"run switch --execute{flags(plan=plan) if self.plan is None else ''}{self.flags}")


async def switch(
    settings: Settings, options: SwitchOptions, screen: Screen, clock: Clock | None = None, ask: Ask | None = None
) -> ChangeReport:
    """Plan, or execute, and report. Raises Fatal when it cannot start, or cannot go on."""
    clock = clock or SystemClock()
    if options.execute:
        may_execute(settings)
    bounds = bounds_of(
        settings.migration, account=options.account, limit=options.limit, dry_run=None if options.execute else True
    )
    if options.wave is not None and not 1 <= options.wave <= len(settings.switch.waves):
        raise Usage(
            f"--wave {options.wave}: switch.waves has {len(settings.switch.waves)} waves",
            hint=(Command("run switch --dry-run"), "   shows them, with their links"),
        )
    stop = Stop()
    consent = Consent(screen, stop, ask or Terminal(), yes=options.yes)
    if options.execute:
        consent.must_be_possible()
    command = Command(f"run switch {'--execute' if options.execute else '--dry-run'}")
    async with at_work(settings, clock, command, screen, stop) as services:
        run = _Switch(services, options, bounds, screen, stop, consent)
        return await (run.execute() if options.execute else run.rehearse())


class _Switch:
    def __init__(
        self, services: Services, options: SwitchOptions, bounds: Bounds, screen: Screen, stop: Stop, consent: Consent
    ) -> None:
        self._services = services
        self._options = options
        self._bounds = bounds
        self._screen = screen
        self._stop = stop
        self._consent = consent
        self._settings = services.settings
        self._clock = services.clock
        self._progress = WaveProgress()
        self._retried = sorted({each.value for each in RETRIED} | {each.value for each in options.retry_classes})

    async def rehearse(self) -> ChangeReport:
        """Make a plan file; nothing else is written anywhere."""
        started = self._clock.monotonic()
        organization, shape = await self._org()
        plans = self._plans(organization, shape)
        path = self._options.plan or plans.path(None)
        written, needed = await plans.make(path, None)
        strange = plans.foreign
        log.info("plan_written", file=str(path), links=written.count, sha256=written.sha256)
        found = [{"wave": w.number, "records": w.records} for w in waves(self._settings.switch.waves, written.count)]
        covered = sum(each["records"] for each in found)
        limits = self._services.salesforce.limits
        return ChangeReport(
            run_type="switch",
            run_id=None,
            status="planned",
            exit_code=Differs.exit_code if strange.count else 0,
            reason="",
            seconds=needed * SECONDS_A_CALL if written.count else self._clock.monotonic() - started,
            planned=written.count,
            counts=Counts(done=covered),
            database=str(self._settings.tracking.database),
            dry_run=True,
            plan=str(path),
            plan_sha256=written.sha256,
            api_calls=needed,
            api_remaining=None if limits is None else limits.left,
            waves=found,
            not_looked_at=plans.unseen,
            notes=[
                *plans.notes,
                *_left_alone(strange),
                "waves: " + (", ".join(f"{each['wave']}: {each['records']:,}" for each in found) or "none"),
                *beyond(self._settings.switch.waves, written.count),
                "dry run: nothing was written to Salesforce or the tracking DB",
            ],
            next_steps=[
                (
                    self._options.again(path),
                    "   applies exactly this plan" + (", as far as its waves reach" if covered < written.count else ""),
                )
            ]
            if written.count
            else [(Command("status --readiness"), "   says what is not ready and why")],
        )

    async def execute(self) -> ChangeReport:
        """Apply a plan."""
        services, path = self._services, self._settings.tracking.database
        with ExitStack() as stack:
            with before_the_first_write():
                organization, shape = await self._org()
                check_updateable(shape)
                await unless_stopped(check_stores(services), self._stop)
                evidence = await unless_stopped(gather_evidence(services), self._stop)
                plans = self._plans(organization, shape)
                plans.notes, plans.foreign = self._progress.notes, self._progress.foreign
                plan = plans.open(stack, self._options.plan) if self._options.plan else None
            snapshot = self._settings.snapshot() | {"org_id": organization.id, "again": str(self._options.again())}
            if plan is not None:
                snapshot["plan"] = {"file": str(plan.path), "sha256": plan.sha256}
            run_id = await services.ledger.begin_run("switch", snapshot, version=__version__)
            structlog.contextvars.bind_contextvars(run_id=run_id)
            started = self._clock.monotonic()
            log.info("run_started", version=__version__, org=organization.id, kind="switch")
            journal = evidence.begin(run_id)
            try:
                await journal.export()
                await unless_stopped(self._settle(evidence, journal), self._stop, safe=UNSETTLED, hint="")
                if plan is None:
                    new = plans.path(run_id)
                    await plans.make(new, run_id)
                    plan = plans.open(stack, new)
                file = await self._apply(plan, organization, journal, evidence, run_id)
            except BaseException as error:
                await close_failed(
                    services.ledger,
                    run_id,
                    error,
                    f"{said_counts(asdict(self._progress.total))}. "
                    f"Each change, and what it was, is in the journal of {path}.",
                    (self._again(plan), "   goes on"),
                    undo_of(run_id),
                )
                raise
            return await self._ended(run_id, started, plan, file)

    async def _apply(
        self, plan: PlanFile, organization: Organization, journal: Journal, evidence: Evidence, run_id: int
    ) -> RollbackFile | None:
        wanted = [
            wave for wave in waves(self._settings.switch.waves, plan.count) if self._options.wave in {None, wave.number}
        ]
        if not wanted:
            return None
        name = organization.name or organization.id
        links = sum(wave.records for wave in wanted)
        what = f"{links:,} links of {name} ({'sandbox' if organization.is_sandbox else 'org ' + organization.id})"
        if not await self._consent.typed(f"About to switch {what} to s3://{self._settings.destination.bucket}.", name):
            self._stop.request("not confirmed", Paused.exit_code)
            return None
        file = begun(self._settings, journal.key, run_id, organization.id, plan.sha256, iso(self._clock.now()))
        steps = Recorded(journal, file)
        moving = Waves(
            self._services,
            plan,
            steps,
            self._screen,
            self._stop,
            bounds=self._bounds,
            retried=self._retried,
            strict=self._options.strict,
            verdicts=Verdicts(self._services.ledger.database, run_id),
            progress=self._progress,
        )
        try:
            async with beating(
                self._clock,
                self._stop,
                max_duration_s=self._options.max_duration_s,
                line=lambda: f"switch: {said_counts(asdict(moving.so_far))}",
                say=None if self._screen.quiet else self._screen.say,
            ):
                await moving.run(wanted, self._consent, flush=steps.flush, after_wave=lambda: evidence.export(journal))
        finally:
            file.end(iso(self._clock.now()))
            if self._options.upload:
                self._progress.notes.append(await keep_in_bucket(self._services, file, journal.key))
        return file

    def _again(self, plan: PlanFile | None) -> Command:
        """A wave is one only of the plan that it belongs to, be it the run's own."""
        return self._options.again(plan.path if plan is not None and self._options.wave is not None else None)

    def _plans(self, organization: Organization, shape: ObjectShape) -> Plans:
        accepted = self._settings.switch.accept_proof
        wanted = Wanted(accepted, self._bounds.account_id, self._retried, self._bounds.limit)
        return Plans(self._services, wanted, organization, shape)

    async def _org(self) -> tuple[Organization, ObjectShape]:
        asked = check_own_org(self._services, Scope(account_id=self._bounds.account_id))
        return await unless_stopped(asked, self._stop)

    async def _settle(self, evidence: Evidence, journal: Journal) -> None:
        found = await evidence.settle(journal)
        notes = self._progress.notes
        if found.total:
            notes.append(f"{found.total:,} links that an earlier run left in doubt were read: {found}")
        notes += evidence.notes
        evidence.notes = notes

    async def _ended(self, run_id: int, started: float, plan: PlanFile, file: RollbackFile | None) -> ChangeReport:
        stop, total = self._stop, self._progress.total
        status: Ending
        if stop.requested:
            status, code = "stopped", stop.exit_code
        else:
            bad = total.failed or total.missing or total.stale or self._progress.foreign.count
            status, code = ("completed_with_failures", 3) if bad else ("completed", 0)
            code = Differs.exit_code if self._progress.foreign.count else code
        if (limits := self._services.salesforce.limits) is not None:
            await self._services.ledger.sample({"api": {"used": limits.used, "max": limits.allowed}})
        left = await self._services.ledger.database.read(open_changes(run_id))
        await self._services.ledger.end_run(run_id, status, stop.reason or None)
        progress = self._progress
        if out := progress.left_out:
            progress.notes.append(f"{out:,} lines of the plan lie outside --account, --limit or the test settings")
        progress.notes += [*_left_alone(progress.foreign), *beyond(self._settings.switch.waves, plan.count)]
        report = ChangeReport(
            run_type="switch",
            run_id=run_id,
            status=status,
            exit_code=code,
            reason=stop.reason,
            seconds=self._clock.monotonic() - started,
            planned=plan.count,
            counts=total,
            database=str(self._settings.tracking.database),
            plan=str(plan.path),
            plan_sha256=plan.sha256,
            rollback_file=str(file.path) if file is not None else "",
            open=left,
            unseen_s=progress.unseen_s,
            waves=progress.waves,
            notes=[*progress.notes, f"the journal of {self._settings.tracking.database} knows the way back for each"],
            next_steps=after_a_switch(code, total, run_id, self._again(plan)),
        )
        log.info("run_ended", at=iso(self._clock.now()), **report.as_json())
        return report


def _left_alone(strange: Foreign) -> list[Advice]:
    return [(f"{strange}; they were left alone; ", FORMED_ANEW)] if strange.count else []

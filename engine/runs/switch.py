"""Phase 2: move the links of proved files, wave by wave, each change journalled before it is sent.

A dry run makes a plan file and writes nothing else. ``--execute`` applies a plan exactly, its own or a given one: only
records that still hold the planned link, only copies that are still where they were proved. What cannot be known is
read again; what somebody has edited stays.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import structlog

from engine import __version__
from engine.model.change import Link
from engine.model.errors import Blocked, Differs, EngineError, Fatal, Paused, Usage
from engine.model.failures import FailureClass
from engine.model.record import ObjectShape, Scope
from engine.pacing.clock import Clock, SystemClock, iso
from engine.pipeline.changing import Change, Changing
from engine.pipeline.presence import Trouble
from engine.pipeline.stop import Stop
from engine.pipeline.switching import WINDOW, Counts, Limits, Wave, calls, waves
from engine.runs.asking import Ask, Consent, Terminal
from engine.runs.assembly import Parts, assemble
from engine.runs.bounds import Bounds, bounds_of
from engine.runs.change_report import ChangeReport
from engine.runs.claims import Claims, listing_pays
from engine.runs.evidence import PREFIX, Evidence, gather_evidence, store
from engine.runs.moving import CutShort, beating, to_its_end
from engine.runs.plan_file import PlanFile, PlanWriter, Written, open_plan, settings_hash
from engine.runs.preflight import check_org, check_stores
from engine.runs.rollback_file import Recorded, RollbackFile, free, rollback_path
from engine.runs.screen import Screen
from engine.runs.signals import stopping
from engine.salesforce.shape import Organization
from engine.settings import Settings
from engine.tracking import switchable
from engine.tracking.journal import Journal
from engine.tracking.lock import RunLock
from engine.tracking.runs import Ending
from engine.tracking.switchable import Wanted
from engine.tracking.verdicts import Verdict, Verdicts, Wrong

RETRIED = (FailureClass.THROTTLED, FailureClass.NETWORK, FailureClass.INTERRUPTED)
"""Failures of an earlier switch that the next one tries again by itself."""
_SECONDS_A_CALL = 0.4
"""What a call takes as a rule of thumb, four side by side; from no measurement of a live org."""

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


async def switch(
    settings: Settings, options: SwitchOptions, screen: Screen, clock: Clock | None = None, ask: Ask | None = None
) -> ChangeReport:
    """Plan, or execute, and report. Raises Fatal when it cannot start, or cannot go on."""
    clock = clock or SystemClock()
    if options.execute and settings.migration.dry_run:
        raise Usage(
            "--execute would override migration.dry_run: true",
            hint="Set migration.dry_run to false to let runs write.",
        )
    bounds = bounds_of(
        settings.migration, account=options.account, limit=options.limit, dry_run=None if options.execute else True
    )
    if options.wave is not None and not 1 <= options.wave <= len(settings.switch.waves):
        raise Usage(f"--wave {options.wave}: switch.waves has {len(settings.switch.waves)} waves")
    stop = Stop()
    consent = Consent(screen, stop, ask or Terminal(), yes=options.yes)
    if options.execute:
        consent.must_be_possible()
    command = f"engine run switch {'--execute' if options.execute else '--dry-run'}"
    with (
        RunLock(settings.tracking.database, clock, command),
        screen.logging(settings),
        stopping(stop, screen.say, settings.migration.drain_seconds),
    ):
        async with assemble(settings, clock, transport="fast") as parts:
            run = _Switch(parts, options, bounds, screen, stop, consent)
            return await (run.execute() if options.execute else run.rehearse())


class _Switch:
    def __init__(
        self, parts: Parts, options: SwitchOptions, bounds: Bounds, screen: Screen, stop: Stop, consent: Consent
    ) -> None:
        self._parts = parts
        self._options = options
        self._bounds = bounds
        self._screen = screen
        self._stop = stop
        self._consent = consent
        self._settings = parts.settings
        self._clock = parts.clock
        self._notes: list[str] = []
        self._total = Counts()
        self._waves: list[dict[str, Any]] = []
        self._changing: Changing | None = None
        self._left_out = 0
        self._taken = 0

    # a dry run

    async def rehearse(self) -> ChangeReport:
        """Make a plan file; nothing else is written anywhere."""
        organization, shape = await self._org()
        started = self._clock.monotonic()
        path = self._options.plan or self._default_plan(None)
        written, needed = await self._make_plan(path, organization, shape, None)
        log.info("plan_written", file=str(path), links=written.count, sha256=written.sha256)
        for wave in waves(self._settings.switch.waves, written.count):
            self._waves.append({"wave": wave.number, "records": wave.records})
        limits = self._parts.salesforce.limits
        return ChangeReport(
            run_type="switch",
            run_id=None,
            status="planned",
            exit_code=0,
            reason="",
            seconds=needed * _SECONDS_A_CALL if written.count else self._clock.monotonic() - started,
            planned=written.count,
            counts=Counts(done=written.count),
            database=str(self._settings.tracking.database),
            dry_run=True,
            plan=str(path),
            plan_sha256=written.sha256,
            api_calls=needed,
            api_remaining=None if limits is None else max(0, limits.allowed - limits.used),
            waves=self._waves,
            notes=[
                "waves: " + (", ".join(f"{each['wave']}: {each['records']:,}" for each in self._waves) or "none"),
                "dry run: nothing was written to Salesforce or the tracking DB",
            ],
            next_steps=[f"engine run switch --execute --plan {path}   applies exactly this plan"]
            if written.count
            else ["engine status --readiness   says what is not ready and why"],
        )

    # the real thing

    async def execute(self) -> ChangeReport:
        """Apply a plan."""
        parts = self._parts
        organization, shape = await self._org()
        if not shape.url_updateable:
            raise Blocked(
                f"this user may not edit {shape.name}.{shape.url_field}",
                hint="Give the integration user edit access to that field (field-level security).",
            )
        await check_stores(parts)
        evidence = await gather_evidence(parts)
        with ExitStack() as stack:
            plan = self._open_plan(stack, self._options.plan, organization) if self._options.plan else None
            snapshot = self._settings.snapshot() | {"org_id": organization.id}
            if plan is not None:
                snapshot["plan"] = {"file": str(plan.path), "sha256": plan.sha256}
            run_id = await parts.ledger.begin_run("switch", snapshot, version=__version__)
            structlog.contextvars.bind_contextvars(run_id=run_id)
            started = self._clock.monotonic()
            log.info("run_started", version=__version__, org=organization.id, kind="switch")
            journal = evidence.begin(run_id)
            try:
                await journal.export()
                await self._settle(evidence, journal)
                if plan is None:
                    path = self._default_plan(run_id)
                    await self._make_plan(path, organization, shape, run_id)
                    plan = self._open_plan(stack, path, organization)
                file = await self._apply(plan, organization, journal, evidence, run_id)
            except BaseException as error:
                await self._failed(run_id, error)
                raise
            return await self._ended(run_id, started, plan, file, journal)

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
        asked = self._settings.salesforce
        header = {
            "run": run_id,
            "at": iso(self._clock.now()),
            "org": organization.id,
            "object": asked.object,
            "field": asked.url_field,
            "plan_sha256": plan.sha256,
        }
        file = RollbackFile(rollback_path(self._settings.tracking.database, run_id), journal.key, header)
        self._changing = Changing(
            self._parts.salesforce.links,
            Recorded(journal, file),
            self._clock,
            self._stop,
            strict=self._options.strict,
            attempts=self._settings.migration.max_attempts,
            at_once=self._settings.migration.concurrency,
            size=self._settings.migration.batch_size,
            on_counts=self._judge,
        )
        try:
            async with beating(
                self._clock,
                self._stop,
                max_duration_s=self._options.max_duration_s,
                line=self._line,
                say=None if self._screen.quiet else self._screen.say,
            ):
                await self._go(wanted, plan, journal, evidence, run_id)
        finally:
            file.end(iso(self._clock.now()))
            if self._options.upload:
                await self._upload(file, journal)
        return file

    async def _go(
        self, wanted: Sequence[Wave], plan: PlanFile, journal: Journal, evidence: Evidence, run_id: int
    ) -> None:
        changing = self._changing
        assert changing is not None
        for place, wave in enumerate(wanted):
            if place and not await self._consent.go_on(
                f"Wave {wanted[place - 1].number} is done: {_told(self._waves[-1])}. "
                f"Wave {wave.number} has {wave.records:,} links."
            ):
                self._stop.request(f"not asked to go on behind wave {wanted[place - 1].number}", Paused.exit_code)
            if self._stop.requested or self._full:
                return
            self._screen.say(f"wave {wave.number}: {wave.records:,} links")
            changing.counts = Counts()
            claims = await self._look(wave, plan)
            work = changing.run(self._windows(wave, plan, claims, Verdicts(self._parts.ledger.database, run_id)))
            try:
                await to_its_end(work, self._stop, self._clock, self._settings.migration.drain_seconds)
            except CutShort:
                self._notes.append("what was in flight did not end in time and was cut; the next start reads it first")
                await journal.flush()
            finally:
                counts, changing.counts = changing.counts, Counts()
                self._total.add(counts)
                self._waves.append({"wave": wave.number, "records": wave.records, **asdict(counts)})
                log.info("wave", wave=wave.number, **asdict(counts))
            if not self._stop.requested and (verdict := self._limits.verdict(counts, over=True)) is not None:
                self._stop.request(*verdict)
            await evidence.export(journal)

    async def _look(self, wave: Wave, plan: PlanFile) -> Claims:
        """What must hold of the objects behind this wave's links."""
        attempts = self._settings.migration.max_attempts
        claims = Claims(self._parts.s3.destination, self._clock, attempts=attempts)
        if listing_pays(wave.records, await self._parts.ledger.database.read(switchable.copies)):
            for start in range(wave.start, wave.stop, WINDOW):
                claims.expect(plan.window(start, min(start + WINDOW, wave.stop)))
            await claims.look()
        return claims

    async def _windows(
        self, wave: Wave, plan: PlanFile, claims: Claims, verdicts: Verdicts
    ) -> AsyncIterator[list[Change]]:
        for start in range(wave.start, wave.stop, WINDOW):
            if self._stop.requested or self._full:
                return
            links = plan.window(start, min(start + WINDOW, wave.stop))
            ready = await self._ready(self._within(links), claims, verdicts)
            if ready:
                yield [Change(link.id, link.account, link.old, link.new, wave.number) for link in ready]

    def _within(self, links: list[Link]) -> list[Link]:
        """Those that flags and test settings let through."""
        account, limit = self._bounds.account_id, self._bounds.limit
        found = [link for link in links if account is None or link.account == account]
        if limit is not None:
            found = found[: max(0, limit - self._taken)]
        self._taken += len(found)
        self._left_out += len(links) - len(found)
        return found

    @property
    def _full(self) -> bool:
        return self._bounds.limit is not None and self._taken >= self._bounds.limit

    async def _ready(self, links: Sequence[Link], claims: Claims, verdicts: Verdicts) -> list[Link]:
        """Those of which the tracking DB still says what the plan says, and whose objects are there."""
        changing = self._changing
        assert changing is not None
        now = await switchable.now(
            self._parts.ledger.database, [link.id for link in links], self._settings.switch.accept_proof, self._retried
        )
        standing: list[Link] = []
        for link in links:
            row = now.get(link.id)
            if row is not None and row.switched and (row.link.old, row.link.new) == (link.old, link.new):
                changing.counts.already += 1
            elif row is None or not row.may_move or row.link != link:
                changing.counts.stale += 1
            else:
                standing.append(link)
        problems = await claims.problems(standing)
        if not problems:
            return standing
        changing.counts.missing += len(problems)
        wrong = {Trouble.MISSING: Wrong.MISSING, Trouble.DIFFERS: Wrong.DIFFERS}
        await verdicts.condemn(
            [
                Verdict(now[link.id].row, link.id, link.old, wrong[problem.trouble], problem.message)
                for link in standing
                if (problem := problems.get(link.id)) is not None and problem.trouble in wrong
            ]
        )
        for record, problem in problems.items():
            log.info("copy_missing", record=record, trouble=problem.trouble, why=problem.message)
        return [link for link in standing if link.id not in problems]

    # the plan

    async def _make_plan(
        self, path: Path, organization: Organization, shape: ObjectShape, run_id: int | None
    ) -> tuple[Written, int]:
        database = self._parts.ledger.database
        wanted = Wanted(self._settings.switch.accept_proof, self._bounds.account_id, self._retried, self._bounds.limit)
        rows = await switchable.switchable(database, wanted)
        header = {
            "run": run_id,
            "at": iso(self._clock.now()),
            "org": organization.id,
            "org_name": organization.name,
            "settings": settings_hash(self._settings, organization.id),
            "object": shape.name,
            "field": shape.url_field,
            "count": len(rows),
        }
        needed, too_long = 0, 0
        writer = PlanWriter(path, header)
        for chunk in switchable.chunks(rows):
            links = await switchable.links(database, chunk)
            fitting = [link for link in links if len(link.new) <= shape.url_length or not shape.url_length]
            too_long += len(links) - len(fitting)
            needed += calls(fitting)
            writer.add(fitting)
        if too_long:
            self._notes.append(
                f"{too_long:,} records are left out: their new link is longer than {shape.url_length} characters"
            )
        return writer.finish(), needed

    def _open_plan(self, stack: ExitStack, path: Path, organization: Organization) -> PlanFile:
        plan = stack.enter_context(open_plan(path))
        if plan.header.get("settings") != settings_hash(self._settings, organization.id):
            raise Differs(
                f"the plan {path} was made for another org, field or destination than these settings name",
                hint="nothing was written to Salesforce. Make a new plan: engine run switch --dry-run",
            )
        return plan

    def _default_plan(self, run_id: int | None) -> Path:
        now = self._clock.now().strftime("%Y%m%dT%H%M%S%fZ")
        return free(self._settings.tracking.database, f"plan-{now}" if run_id is None else f"plan-run-{run_id}")

    @property
    def _retried(self) -> list[str]:
        return sorted({each.value for each in RETRIED} | {each.value for each in self._options.retry_classes})

    # small things

    async def _org(self) -> tuple[Organization, ObjectShape]:
        organization, shape = await check_org(self._parts.salesforce, Scope(account_id=self._bounds.account_id))
        await self._parts.ledger.check_org(organization.id)
        return organization, shape

    async def _settle(self, evidence: Evidence, journal: Journal) -> None:
        found = await evidence.settle(journal)
        if found.total:
            self._notes.append(f"{found.total:,} links that an earlier run left in doubt were read: {found}")
        self._notes += evidence.notes
        evidence.notes = self._notes

    @property
    def _limits(self) -> Limits:
        return Limits(self._settings.switch.max_drift, self._settings.migration.error_budget)

    def _judge(self, _latest: Counts) -> None:
        changing = self._changing
        if changing is not None and (verdict := self._limits.verdict(changing.counts, over=False)) is not None:
            self._stop.request(*verdict)

    def _line(self) -> str:
        counts = Counts()
        counts.add(self._total)
        if self._changing is not None:
            counts.add(self._changing.counts)
        return f"switch: {_told(asdict(counts))}"

    async def _upload(self, file: RollbackFile, journal: Journal) -> None:
        key = f"{PREFIX}rollback/{journal.key.fingerprint}/{file.path.name}"
        why = await store(self._parts, key, file.path.read_bytes())
        bucket = self._settings.destination.bucket
        self._notes.append(
            f"the rollback file could not be put into the bucket: {why}"
            if why
            else f"the rollback file is also at s3://{bucket}/{key}"
        )

    async def _failed(self, run_id: int, error: BaseException) -> None:
        """Close the run row where that can still be done; where not, the next start marks it as crashed."""
        message = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: see logs"
        log.error("run_failed", told=True, why=message)
        if isinstance(error, Fatal):
            database = self._settings.tracking.database
            safe = f"{_told(asdict(self._total))}. Every change, and what it was, is in the journal of {database}."
            again = "engine run switch --execute   goes on;  engine run rollback --from-database   undoes"
            error.hint = "\n  ".join(filter(None, [error.hint, safe, again]))
        try:
            ending: Ending = "stopped" if isinstance(error, Paused) else "failed"
            await self._parts.ledger.end_run(run_id, ending, message)
        except Fatal as second:
            log.error("run_not_closed", why=str(second))

    async def _ended(
        self, run_id: int, started: float, plan: PlanFile, file: RollbackFile | None, journal: Journal
    ) -> ChangeReport:
        stop, total = self._stop, self._total
        status: Ending
        if stop.requested:
            status, code = "stopped", stop.exit_code
        else:
            bad = total.failed or total.missing or total.stale
            status, code = ("completed_with_failures", 3) if bad else ("completed", 0)
        if (limits := self._parts.salesforce.limits) is not None:
            await self._parts.ledger.sample({"api": {"used": limits.used, "max": limits.allowed}})
        left = await self._parts.ledger.database.read(switchable.open_changes(run_id))
        await self._parts.ledger.end_run(run_id, status, stop.reason or None)
        if self._left_out:
            self._notes.append(
                f"{self._left_out:,} lines of the plan lie outside --account, --limit or the test settings"
            )
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
            waves=self._waves,
            notes=[*self._notes, f"the journal of {self._settings.tracking.database} knows the way back for each"],
            next_steps=self._next_steps(code, run_id),
        )
        log.info("run_ended", at=iso(self._clock.now()), **report.as_json())
        return report

    def _next_steps(self, code: int, run_id: int) -> list[str]:
        undo = f"engine run rollback --from-database --run {run_id}   shows what an undo would do"
        steps = []
        if code == Differs.exit_code:
            steps.append("engine run backup --incremental   copies what was edited; then switch again")
        elif code in {Paused.exit_code, 130, 143}:
            steps.append("engine run switch --execute   goes on")
        elif code == 3:
            steps.append("engine status --errors   says why; engine run backup --incremental repairs what it can")
        elif self._total.edited:
            steps.append("engine run backup --incremental   copies what was edited meanwhile")
        return [*steps, undo] if self._total.done else steps


def _told(counts: dict[str, Any]) -> str:
    words = {
        "done": "switched",
        "already": "already so",
        "edited": "edited by others and left alone",
        "gone": "deleted",
        "missing": "without their copy",
        "stale": "changed since the plan",
        "failed": "failed",
    }
    return ", ".join(f"{counts[name]:,} {word}" for name, word in words.items() if counts.get(name)) or "nothing yet"

"""The way back: put back exactly what a switch has changed, and nothing that somebody has edited since.

Every candidate is read first. Only a record that still holds our link gets its original back, byte for byte as the
journal, or the rollback file, holds it; a later edit stays and is told. Whatever the journal's seals do not vouch for
is refused before the first write.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import structlog

from engine import __version__
from engine.limiting.clock import Clock, SystemClock, iso
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, Paused
from engine.model.record import Scope
from engine.pipeline.changing import Changing
from engine.pipeline.stop import CutShort, Stop, unless_cut
from engine.runs.journal.evidence import UNSETTLED, Evidence, gather_evidence
from engine.runs.links.candidates import CandidateCounts, Candidates, moment, read_ids
from engine.runs.links.change_report import ChangeReport
from engine.runs.links.link_run import (
    CUT_SHORT,
    SECONDS_A_CALL,
    beating,
    before_the_first_write,
    check_updateable,
    close_failed,
    may_execute,
)
from engine.runs.links.old_links import probe
from engine.runs.links.rollback_file import read_rollback_file
from engine.runs.shared.assembly import Services
from engine.runs.shared.at_work import at_work
from engine.runs.shared.bounds import Bounds, bounds_of
from engine.runs.shared.confirmation import Ask, Consent, Terminal
from engine.runs.shared.preflight import check_own_org, unless_stopped
from engine.runs.shared.screen import Screen
from engine.salesforce.shape import Organization
from engine.settings import Settings
from engine.tracking.db.chain import tip_path
from engine.tracking.read.journal import open_changes
from engine.tracking.read.switchable import Undo
from engine.tracking.write.journal import Journal
from engine.tracking.write.runs import Ending

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RollbackOptions:
    """What the command line asks for; None: not given."""

    file: Path | None = None
    """The rollback file; None: from the tracking DB."""
    execute: bool = False
    run: int | None = None
    wave: int | None = None
    account: str | None = None
    ids: Path | None = None
    since: str | None = None
    yes: bool = False
    force: bool = False
    strict: bool = False
    limit: int | None = None
    max_duration_s: float | None = None
    flags: str = ""
    """As ``shell.flags`` has them: what the command that goes on must repeat."""

    @property
    def again(self) -> Command:
        """The command that puts back, or goes on with it."""
        return Command(f"run rollback{self.flags} --execute")


async def rollback(
    settings: Settings, options: RollbackOptions, screen: Screen, clock: Clock | None = None, ask: Ask | None = None
) -> ChangeReport:
    """Look, or execute, and report. Raises Fatal when it cannot start, or cannot go on."""
    clock = clock or SystemClock()
    if options.execute:
        may_execute(settings)
    bounds = bounds_of(
        settings.migration, account=options.account, limit=options.limit, dry_run=None if options.execute else True
    )
    ids = read_ids(options.ids)
    since = moment(options.since)
    stop = Stop()
    consent = Consent(screen, stop, ask or Terminal(), yes=options.yes)
    if options.execute:
        consent.must_be_possible()
    command = Command(f"run rollback {'--execute' if options.execute else '--dry-run'}")
    # a head beside a lost DB tells what its journal knew: the check of it says more than that the DB is gone
    without_database = options.file is not None or tip_path(settings.tracking.database).exists()
    async with at_work(settings, clock, command, screen, stop, may_create=without_database) as services:
        wanted = Undo(options.run, options.wave, bounds.account_id, ids, since)
        run = _Rollback(services, options, bounds, wanted, screen, stop, consent)
        return await run.run()


class _Rollback:
    def __init__(
        self,
        services: Services,
        options: RollbackOptions,
        bounds: Bounds,
        wanted: Undo,
        screen: Screen,
        stop: Stop,
        consent: Consent,
    ) -> None:
        self._services = services
        self._options = options
        self._again = options.again
        self._bounds = bounds
        self._screen = screen
        self._stop = stop
        self._consent = consent
        self._settings = services.settings
        self._clock = services.clock
        self._notes: list[Advice] = []
        self._unseen_s = 0.0
        self._candidates = Candidates(services.ledger, services.salesforce.links, wanted, bounds.limit)

    async def run(self) -> ChangeReport:
        services = self._services
        with before_the_first_write():
            scope = Scope(account_id=self._bounds.account_id)
            organization, shape = await unless_stopped(check_own_org(services, scope), self._stop)
            if self._options.execute:
                check_updateable(shape)
            evidence = await unless_stopped(self._evidence(organization), self._stop)
            await self._candidates.must_exist()
        if not self._options.execute:
            return await self._rehearse(evidence)
        run_id = await services.ledger.begin_run(
            "rollback",
            self._settings.snapshot() | {"org_id": organization.id, "again": str(self._again)},
            version=__version__,
        )
        structlog.contextvars.bind_contextvars(run_id=run_id)
        started = self._clock.monotonic()
        log.info("run_started", version=__version__, org=organization.id, kind="rollback")
        journal = evidence.begin(run_id)
        survey = CandidateCounts()
        try:
            await journal.export()
            found = await unless_stopped(evidence.settle(journal), self._stop, safe=UNSETTLED, hint="")
            if found.total:
                self._notes.append(f"{found.total:,} links that an earlier run left in doubt were read: {found}")
            survey = await self._undo(organization, journal)
            await evidence.export(journal)
        except BaseException as error:
            await close_failed(
                services.ledger,
                run_id,
                error,
                f"Every change is in the journal of {self._settings.tracking.database}.",
                (self._again, "   goes on where it stopped"),
            )
            raise
        self._notes += evidence.notes
        return await self._ended(run_id, started, survey)

    async def _evidence(self, organization: Organization) -> Evidence:
        """Check whatever the undo rests on, before anything else. Raises Differs, Blocked."""
        path = self._options.file
        evidence = await gather_evidence(self._services, lost=path is not None)
        if path is None:
            return evidence
        read = self._candidates.file = read_rollback_file(path, evidence.key)
        asked = self._settings.salesforce
        if (read.header.get("org"), read.header.get("object"), read.header.get("field")) != (
            organization.id,
            asked.object,
            asked.url_field,
        ):
            raise Blocked(
                f"{path} belongs to the org {read.header.get('org')}, {read.header.get('object')}."
                f"{read.header.get('field')}, and not to where this login leads",
                hint="Log in to that org, with the same salesforce.object and url_field.",
            )
        if not read.complete:
            what = f"{path} has no last line: its run was killed, or lines were cut off"
            if not self._options.force:
                raise Blocked(what, hint="The DB knows more (--from-database). --force puts back what the file holds.")
            self._notes.append(what)
        elif not read.ended:
            self._notes.append(
                f"the run of {path} was killed, or goes on: the file holds all that it had set out to do"
            )
        return evidence

    # looking

    async def _rehearse(self, evidence: Evidence) -> ChangeReport:
        await self._candidates.select()
        survey = CandidateCounts()
        async for _ in self._candidates.undoable(survey, None):
            if self._stop.requested:
                break
        self._notes += evidence.notes
        if evidence.checked.open:
            self._notes.append(f"{len(evidence.checked.open):,} links are in doubt; --execute reads them first")
        dead = await probe(self._services, survey.samples)
        if dead:
            self._notes.append(dead)
            self._insist()
        needed = 2 * -(-survey.to_undo // 200)
        limits = self._services.salesforce.limits
        survey.counts.done = survey.to_undo
        return ChangeReport(
            run_type="rollback",
            run_id=None,
            status="stopped" if self._stop.requested else "planned",
            exit_code=self._stop.exit_code,
            reason=self._stop.reason,
            seconds=needed * SECONDS_A_CALL,
            planned=self._candidates.count,
            counts=survey.counts,
            database=str(self._settings.tracking.database),
            dry_run=True,
            api_calls=needed,
            api_remaining=None if limits is None else limits.left,
            notes=[*self._notes, "dry run: every record was read, nothing was written"],
            next_steps=[(self._again, "   puts them back")] if survey.to_undo else [],
        )

    def _insist(self) -> None:
        """What goes on although old links are dead."""
        if not self._options.force:
            self._again = Command(f"{self._again.words} --force")

    # writing

    async def _undo(self, organization: Organization, journal: Journal) -> CandidateCounts:
        await self._candidates.select()
        looked = CandidateCounts()
        async for _ in self._candidates.undoable(looked, None):
            if self._stop.requested:
                return looked
        survey = CandidateCounts()
        if looked.to_undo:
            dead = await probe(self._services, looked.samples)
            if dead and not self._options.force:
                self._insist()
                raise Blocked(
                    dead,
                    hint="Nothing was written to Salesforce. Ask the vendor; --force puts the links back all the same.",
                )
            if dead:
                self._notes.append(dead)
            name = organization.name or organization.id
            what = f"About to put back {looked.to_undo:,} links of {name}; {looked.counts.edited:,} edited ones stay."
            if not await self._consent.typed(what, name):
                self._stop.request("not confirmed", Paused.exit_code)
                return looked
        await self._put_back(survey, journal)
        return survey

    async def _put_back(self, survey: CandidateCounts, journal: Journal) -> None:
        """Write the originals until a stop is asked for. Raises Fatal; the journal knows what is open."""
        services, wanted, strict = self._services, self._settings.migration, self._options.strict
        changing = Changing(
            services.salesforce.links,
            journal,
            services.clock,
            self._stop,
            undo=True,
            strict=strict,
            attempts=wanted.max_attempts,
            at_once=wanted.concurrency,
            size=wanted.batch_size,
        )
        counts = changing.counts
        async with beating(
            services.clock,
            self._stop,
            max_duration_s=self._options.max_duration_s,
            line=lambda: (
                f"rollback: {counts.done:,} put back, {counts.edited:,} edited ones left, {counts.failed:,} failed"
            ),
            say=None if self._screen.quiet else self._screen.say,
        ):
            work = changing.run(self._candidates.undoable(survey, journal))
            try:
                await unless_cut(work, self._stop, lambda: services.clock.sleep(wanted.drain_seconds))
            except CutShort:
                self._notes.append(CUT_SHORT)
                await journal.flush()
        survey.counts.add(counts)
        self._unseen_s = 0.0 if strict else changing.unseen_s

    async def _ended(self, run_id: int, started: float, survey: CandidateCounts) -> ChangeReport:
        stop, counts = self._stop, survey.counts
        status: Ending
        if stop.requested:
            status, code = "stopped", stop.exit_code
        else:
            status, code = ("completed_with_failures", 3) if counts.failed else ("completed", 0)
        left = await self._services.ledger.database.read(open_changes(run_id))
        await self._services.ledger.end_run(run_id, status, stop.reason or None)
        steps: list[Advice] = []
        if code in {Paused.exit_code, 130, 143}:
            steps.append((self._again, "   goes on where it stopped"))
        elif code == 3:
            steps.append((Command(f"audit --run {run_id}"), "   says why; then: ", self._again))
        report = ChangeReport(
            run_type="rollback",
            run_id=run_id,
            status=status,
            exit_code=code,
            reason=stop.reason,
            seconds=self._clock.monotonic() - started,
            planned=self._candidates.count,
            counts=counts,
            database=str(self._settings.tracking.database),
            open=left,
            unseen_s=self._unseen_s,
            notes=[*self._notes, "every record that held another link than ours was left alone"],
            next_steps=steps,
        )
        log.info("run_ended", at=iso(self._clock.now()), **report.as_json())
        return report

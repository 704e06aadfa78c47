"""The way back: put back exactly what a switch has changed, and nothing that somebody has edited since.

Every candidate is read first. Only a record that still holds our link gets its original back, byte for byte as the
journal, or the rollback file, holds it; a later edit stays and is told. Whatever the journal's HMACs do not confirm
is refused before the first write.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from engine.limiting.clock import Clock, SystemClock
from engine.limiting.side_by_side import beside
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, Differs, Paused
from engine.model.record import Scope
from engine.runs.journal.evidence import Evidence
from engine.runs.links.candidates import CandidateCounts, Candidates, moment, told_since
from engine.runs.links.change_report import EDITED_MEANWHILE, ChangeReport
from engine.runs.links.from_bucket import read_from_bucket
from engine.runs.links.link_run import (
    LinkProgress,
    LinkRules,
    LinkWriter,
    begin_journal,
    check_updateable,
    evidence_for,
    excuse,
    say_progress,
    settle_late,
    start_of,
    still_open,
)
from engine.runs.links.old_links import probe
from engine.runs.links.rewriting import note_rewriting
from engine.runs.links.rollback_lines import Restorable, RollbackLines
from engine.runs.links.rollback_options import RollbackOptions
from engine.runs.links.rollback_survey import RollbackSurvey, also_undo, overdrawn, perhaps_automation
from engine.runs.shared.confirmation import Ask, Consent, Terminal
from engine.runs.shared.ids_file import read_ids
from engine.runs.shared.lifecycle import Run, UseCase, live
from engine.runs.shared.preflight import check_own_org
from engine.runs.shared.report import Ended
from engine.runs.shared.screen import Screen
from engine.salesforce.shape import Organization
from engine.settings import Settings
from engine.tracking.db.chain import tip_path
from engine.tracking.read.restorable import lay_out
from engine.tracking.read.switchable import Undo
from engine.tracking.write.journal import Journal
from engine.tracking.write.runs import Ending


async def rollback(
    settings: Settings, options: RollbackOptions, screen: Screen, clock: Clock | None = None, ask: Ask | None = None
) -> ChangeReport:
    """Look, or execute, and report. Raises Fatal when it cannot start, or cannot go on."""
    consent = Consent(ask or Terminal(), options.yes)
    # a tip beside a lost DB tells what its journal knew: the check of it says more than that the DB is gone
    without_database = options.needs_no_database or tip_path(settings.tracking.database).exists()
    start = start_of(
        "rollback", settings, options.flags, screen, clock or SystemClock(), consent, may_create=without_database
    )
    ids = None if options.ids is None else list(read_ids(options.ids, "--ids"))
    since = moment(options.since)
    wanted = Undo(options.run, options.wave, start.bounds.account_id, ids, since)
    rules = LinkRules.of(settings, strict=options.strict, undo=True)
    return await live(start, partial(_checked, options=options, rules=rules, wanted=wanted, consent=consent))


async def _checked(
    run: Run, options: RollbackOptions, rules: LinkRules, wanted: Undo, consent: Consent
) -> UseCase[ChangeReport]:
    services = run.services
    budget = services.salesforce.session.budget
    budget.make_urgent()
    organization, shape = await check_own_org(services, Scope(account_id=run.bounds.account_id))
    if budget.overdrawn:
        run.screen.say(budget.overdrawn)
    if not run.bounds.dry_run:
        check_updateable(shape)
    candidates = Candidates(services.ledger, services.salesforce.links, wanted, run.bounds.limit)
    ours = (organization.id, *rules.object_and_field)
    knows_key = services.journal_key.exists()
    if options.from_bucket and not (knows_key or options.force):
        raise Blocked(
            f"the journal's key {services.journal_key} is missing: what the bucket says cannot be verified",
            hint="Nothing was written to Salesforce. Put the key file back; --force puts back what the bucket says, "
            "unverified.",
        )
    evidence = await evidence_for(run, lost=options.needs_no_database)
    candidates.doubtful = evidence.doubtful
    if told := told_since(options.since):
        run.note(f"--since {options.since}: links that were moved {told}")
    if options.file is not None:
        lines = RollbackLines(options.file, evidence.key)
        await lay_out(services.ledger.database, lines)
        _check_file(run, options, lines, ours)
        candidates.file = Restorable(lines.header)
    elif options.from_bucket:
        key = evidence.key if knows_key else None
        found = await read_from_bucket(services, key, ours, wanted, name=options.journal, force=options.force)
        candidates.file = found.restorable
        run.notes += found.notes
        evidence.also_open(found.open)
    await candidates.must_exist()
    if run.bounds.dry_run:
        return RollbackSurvey(run, options, candidates, evidence)
    return _Rollback(run, options, rules, consent, organization, candidates, evidence)


def _check_file(run: Run, options: RollbackOptions, read: RollbackLines, ours: tuple[str, str, str]) -> None:
    """``ours``: org, object and field. Raises Blocked."""
    path, theirs = options.file, (read.header.get("org"), read.header.get("object"), read.header.get("field"))
    if read.header and theirs != ours:
        raise Blocked(
            f"{path} belongs to the org {theirs[0]}, {theirs[1]}.{theirs[2]}, and not to where this login leads",
            hint="Log in to that org, with the same salesforce.object and url_field.",
        )
    if lacking := _lacking(read, ours):
        what = f"{path}: {'; '.join(lacking)}"
        if not options.force:
            raise Blocked(
                what,
                hint="The DB knows more (--from-database). --force puts back what the file holds; a record that does"
                " not hold exactly our link stays as it is.",
            )
        run.note(what)
    elif not read.ended:
        run.note(f"the run of {path} was killed, or still works: the file holds every link that it meant to change")


def _lacking(read: RollbackLines, ours: tuple[str, str, str]) -> list[str]:
    """What the file cannot say any more."""
    found = []
    if not read.header:
        found.append(
            "its first line is torn, so nobody knows of which run, org, object and field it is "
            f"(--force takes it for one of {ours[1]}.{ours[2]} of the org {ours[0]}, where this login leads)"
        )
    if read.unproved:
        found.append("nothing proves its first link any more, so that one is left out")
    if not read.complete:
        found.append("it has no last line: its run was killed, or lines were cut off")
    return found


class _Rollback:
    """Puts the links back."""

    def __init__(
        self,
        run: Run,
        options: RollbackOptions,
        rules: LinkRules,
        consent: Consent,
        organization: Organization,
        candidates: Candidates,
        evidence: Evidence,
    ) -> None:
        self._run = run
        self._options = options
        self._rules = rules
        self._consent = consent
        self._organization = organization
        self._candidates = candidates
        self._evidence = evidence
        self._survey = CandidateCounts()
        self._again = options.again()
        self._progress = LinkProgress()

    @property
    def facts(self) -> Mapping[str, object]:
        return {"org_id": self._organization.id, "again": str(self._again)}

    async def work(self) -> None:
        journal = await begin_journal(self._run, self._evidence, self._organization.id)
        await self._undo(journal)
        await self._evidence.export(journal)
        self._progress.open = await still_open(self._run, self._evidence)
        await note_rewriting(self._run, self._progress, self._rules.object_and_field[0])
        await excuse(self._run, self._progress, self._survey.counts.failed)

    async def _undo(self, journal: Journal) -> None:
        run, looked, late = self._run, CandidateCounts(), self._evidence.doubtful
        await self._candidates.select()
        async for _ in self._candidates.undoable(looked, None):
            if run.stop.requested:
                self._survey = looked
                return
        if looked.to_undo or late:
            await self._see_that_they_work(looked)
            name = self._organization.name or self._organization.id
            since = f" that were moved {told}" if (told := told_since(self._options.since)) else ""
            stay = f"{looked.counts.edited:,} edited ones stay."
            what = f"About to put back {looked.to_undo:,} links of {name}{since}; {stay}"
            if late:
                what += f" {len(late):,} links are in doubt: those that turn out to be ours are put back last."
            if not await self._consent.typed(run, what, self._organization):
                run.stop.request("not confirmed", Paused.exit_code)
                self._survey = looked
                return
        await self._put_back(journal)

    async def _see_that_they_work(self, looked: CandidateCounts) -> None:
        """Raises Blocked where the old links are dead and nobody insists."""
        dead = await probe(self._run.services, looked.samples)
        if dead and not self._options.force:
            self._again = self._options.again(force=True)
            raise Blocked(
                dead,
                hint="Nothing was written to Salesforce. Ask the vendor; --force puts the links back all the same.",
            )
        if dead:
            self._run.note(dead)

    async def _put_back(self, journal: Journal) -> None:
        """Write the originals until a stop is asked for. Raises Fatal; the journal knows what is open."""
        writer = LinkWriter(self._run, journal, self._rules)
        counts = writer.slices.counts

        def line() -> str:
            return f"rollback: {counts.done:,} put back, {counts.edited:,} edited ones left, {counts.failed:,} failed"

        async with beside(say_progress(self._run, line)):
            try:
                await writer.write(self._candidates.undoable(self._survey, journal))
                if self._evidence.doubtful and await settle_late(self._run, self._evidence, journal):
                    await writer.write(self._candidates.undoable(self._survey, journal, late=True))
            finally:
                self._progress.learn(writer.slices)
                self._survey.counts.add(counts)

    def after_failure(self) -> Sequence[Advice]:
        if not self._survey.counts.done + self._survey.counts.rewritten:
            return [(self._again, "   goes on where it stopped")]
        return [
            f"Every change is in the journal of {self._run.services.ledger.database.path}.",
            (self._again, "   goes on where it stopped"),
        ]

    def verdict(self) -> tuple[Ending, int]:
        if self._survey.counts.rewritten:
            return "completed_with_failures", Differs.exit_code
        failed = self._survey.counts.failed > self._progress.waived
        return ("completed_with_failures", 3) if failed else ("completed", 0)

    def report(self, ended: Ended) -> ChangeReport:
        steps: list[Advice] = []
        counts = self._survey.counts
        untouched = ended.stopped and not (counts.done or counts.rewritten or counts.failed or self._progress.open)
        if ended.exit_code in {Paused.exit_code, 130, 143}:
            steps.append((self._again, "   goes on where it stopped"))
        elif self._survey.counts.rewritten:
            steps.append((Command("doctor"), "   shows what acts on updates"))
            steps.append((self._again, "   puts the rest back, once that is ended"))
        elif ended.exit_code == 3:
            steps.append((Command(f"audit --run {ended.run_id}"), "   says why"))
            steps.append((self._again, "   puts the rest back, once that is mended"))
        else:
            steps += [EDITED_MEANWHILE] if counts.edited else []
            steps.append((Command(f"audit --run {ended.run_id}"), "   shows each link that was put back"))
        left = "every record that held another link than ours was left alone"
        ended.notes.append("nothing was written to Salesforce" if untouched else left)
        ended.notes.extend([*perhaps_automation(self._survey), *overdrawn(self._run)])
        return ChangeReport(
            ended=ended,
            planned=self._candidates.count,
            progress=replace(self._progress, total=counts),
            consent=self._consent,
            next_steps=steps + also_undo(self._options, self._evidence),
        )

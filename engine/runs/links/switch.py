"""Phase 2: move the links of proved files, wave by wave, each change journalled before it is sent.

A dry run makes a plan file and writes nothing else. ``--execute`` applies a plan exactly, its own or a given one: only
records that still hold the planned link, only copies that are still where they were proved. What cannot be known is
read again; what somebody has edited stays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import structlog

from engine.limiting.clock import Clock, SystemClock, iso
from engine.limiting.side_by_side import beside
from engine.model.command import Advice, Command
from engine.model.errors import Differs, Paused, Usage
from engine.model.failures import FailureClass
from engine.model.record import Scope
from engine.model.text import bare_urls
from engine.pipeline.switching import Wave, waves
from engine.runs.journal.evidence import Evidence
from engine.runs.links.change_report import ChangeReport, after_a_switch, counted, undo_of
from engine.runs.links.link_run import (
    LinkProgress,
    LinkRules,
    begin_journal,
    check_updateable,
    evidence_for,
    excuse,
    foresee,
    say_progress,
    settle_late,
    start_of,
    still_open,
)
from engine.runs.links.new_links import SHOWN, NewLinks
from engine.runs.links.plan import Plans
from engine.runs.links.plan_file import PlanFile, Written
from engine.runs.links.planning import Planning, left_alone
from engine.runs.links.rewriting import note_rewriting
from engine.runs.links.rollback_file import JournalWithFile, RollbackFile, begun, keep_in_bucket
from engine.runs.links.waves import Selection, Waves, beyond
from engine.runs.shared.bounds import RunFlags
from engine.runs.shared.command import as_flags
from engine.runs.shared.confirmation import Ask, Consent, Terminal
from engine.runs.shared.lifecycle import Run, UseCase, live
from engine.runs.shared.preflight import check_own_org, check_stores
from engine.runs.shared.report import Ended
from engine.runs.shared.screen import Screen
from engine.settings import Settings
from engine.tracking.read import switchable
from engine.tracking.read.switchable import Wanted
from engine.tracking.write.journal import Journal
from engine.tracking.write.runs import Ending

RETRIED = (FailureClass.THROTTLED, FailureClass.NETWORK, FailureClass.INTERRUPTED)
"""Failures of an earlier switch that the next one tries again by itself."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchOptions:
    """What the command line asks for; None: not given."""

    flags: RunFlags
    plan: Path | None = None
    wave: int | None = None
    yes: bool = False
    strict: bool = False
    upload: bool = False
    force: bool = False
    retry_classes: frozenset[FailureClass] = frozenset()

    def again(self, plan: Path | None = None) -> Command:
        """The command that goes on, with this plan unless another was given."""
        return Command(f"run switch --execute{as_flags(plan=plan) if self.plan is None else ''}{self.flags.repeated}")

    @property
    def retried(self) -> list[str]:
        """Failures of earlier switches that this one tries again."""
        return sorted({each.value for each in RETRIED} | {each.value for each in self.retry_classes})


async def switch(
    settings: Settings, options: SwitchOptions, screen: Screen, clock: Clock | None = None, ask: Ask | None = None
) -> ChangeReport:
    """Plan, or execute, and report. Raises Fatal when it cannot start, or cannot go on."""
    consent = Consent(ask or Terminal(), options.yes)
    start = start_of("switch", settings, options.flags, screen, clock or SystemClock(), consent)
    targets = settings.switch.waves
    if options.wave is not None and not 1 <= options.wave <= len(targets):
        raise Usage(
            f"--wave {options.wave}: switch.waves has {len(targets)} waves",
            hint=(Command("run switch --dry-run"), "   shows them, with their links"),
        )
    rules = LinkRules.of(settings, strict=options.strict)
    return await live(start, partial(_checked, options=options, rules=rules, consent=consent))


async def _checked(run: Run, options: SwitchOptions, rules: LinkRules, consent: Consent) -> UseCase[ChangeReport]:
    services, bounds = run.services, run.bounds
    organization, shape = await check_own_org(services, Scope(account_id=bounds.account_id))
    wanted = Wanted(rules.accepted, bounds.account_id, options.retried, bounds.limit)
    plans = Plans(services, rules.object_and_field, wanted, organization, shape)
    if bounds.dry_run:
        plans.notes += await foresee(run)
        path = options.plan or plans.path(None)
        return Planning(run, rules.waves, plans, path, options.again(path))
    check_updateable(shape)
    await check_stores(services)
    evidence = await evidence_for(run)
    plans.notes = run.notes
    plan = await plans.open(run.files, options.plan) if options.plan else None
    return _Switch(run, options, rules, consent, evidence, plans, plan)


class _Switch:
    """Applies a plan."""

    def __init__(
        self,
        run: Run,
        options: SwitchOptions,
        rules: LinkRules,
        consent: Consent,
        evidence: Evidence,
        plans: Plans,
        plan: PlanFile | None,
    ) -> None:
        self._run = run
        self._options = options
        self._rules = rules
        self._consent = consent
        self._evidence = evidence
        self._plans = plans
        self._plan = plan
        self._progress = LinkProgress(foreign=plans.foreign)
        self._file: RollbackFile | None = None
        self._earlier = 0
        """Links that earlier switches moved, and that still are."""

    @property
    def facts(self) -> Mapping[str, object]:
        plan = self._plan
        facts: dict[str, object] = {"org_id": self._plans.organization.id, "again": str(self._options.again())}
        return facts if plan is None else facts | {"plan": {"file": str(plan.path), "sha256": plan.sha256}}

    async def work(self) -> None:
        run, plans = self._run, self._plans
        journal = await begin_journal(run, self._evidence, plans.organization.id)
        self._earlier = await run.services.ledger.database.read(switchable.switched_now)
        if self._plan is None:
            path = plans.path(run.id)
            await plans.make(path, run.id)
            self._plan = await plans.open(run.files, path)
        wave, found = self._options.wave, waves(self._rules.waves, self._plan.count)
        if wanted := [each for each in found if wave in {None, each.number}]:
            await self._apply(self._plan, wanted, journal)
        else:
            await settle_late(run, self._evidence, journal)
        if (limits := run.services.salesforce.limits) is not None:
            await run.services.ledger.sample({"api": {"used": limits.used, "max": limits.allowed}})
        self._progress.open = await still_open(run, self._evidence)
        await note_rewriting(run, self._progress, self._rules.object_and_field[0])
        total = self._progress.total
        await excuse(run, self._progress, total.failed + total.unfit)

    async def _apply(self, plan: PlanFile, wanted: Sequence[Wave], journal: Journal) -> None:
        run, organization, services, rules = self._run, self._plans.organization, self._run.services, self._rules
        if not await self._consent.typed(run, self._about(plan, wanted), organization):
            run.stop.request("not confirmed", Paused.exit_code)
            return
        asked, field = rules.object_and_field
        header = {
            "run": run.id,
            "at": iso(services.clock.now()),
            "org": organization.id,
            "object": asked,
            "field": field,
            "plan_sha256": plan.sha256,
        }
        database = services.ledger.database
        file = self._file = begun(database.path, journal.key, header, database.files)
        selection = Selection(run, plan, self._plans.wanted, self._progress)
        selection.doubtful = self._evidence.doubtful
        new = NewLinks(run, rules.network, force=self._options.force)
        going = Waves(run, selection, JournalWithFile(journal, file), rules, new)
        try:
            async with beside(say_progress(run, lambda: f"switch: {counted(going.so_far) or 'nothing yet'}")):
                await going.run(wanted, self._consent, after_wave=lambda: self._evidence.export(journal))
                if self._evidence.doubtful and await settle_late(run, self._evidence, journal):
                    await going.late()
                    await self._evidence.export(journal)
        finally:
            file.end(iso(services.clock.now()))
            if self._options.upload:
                run.note(await keep_in_bucket(run.services, file, journal.key))

    def _about(self, plan: PlanFile, wanted: Sequence[Wave]) -> str:
        """What is asked for. No question follows a single wave, so a few of its links are shown here."""
        organization, links = self._plans.organization, sum(wave.records for wave in wanted)
        name = organization.name or organization.id
        what = f"{links:,} links of {name} ({'sandbox' if organization.is_sandbox else 'org ' + organization.id})"
        lines = [f"About to switch {what} to s3://{self._run.services.ours.bucket}."]
        if len(wanted) == 1:
            start = wanted[0].start
            for link in plan.window(start, min(wanted[0].stop, start + SHOWN)):
                lines += [f"  {link.id}", f"    old {bare_urls(link.old)}", f"    new {link.new}"]
        return "\n".join(lines)

    def _again(self) -> Command:
        """A wave is one only of the plan that it belongs to, be it the run's own."""
        plan = self._plan
        return self._options.again(plan.path if plan is not None and self._options.wave is not None else None)

    def after_failure(self) -> Sequence[Advice]:
        database, total = self._run.services.ledger.database.path, self._progress.total
        assert self._run.id is not None
        if not total.done + total.rewritten:
            return [f"{counted(total)}." if total.total else "", (self._again(), "   goes on")]
        return [
            f"{counted(total)}. Each change, and what it was, is in the journal of {database}.",
            (self._again(), "   goes on"),
            undo_of(self._run.id, earlier=bool(self._earlier)),
        ]

    def _next_wave(self) -> list[Advice]:
        """After a wave that was asked for alone: the command for the one behind it."""
        wave, plan = self._options.wave, self._plan
        if wave is None or plan is None or not any(w.number > wave for w in waves(self._rules.waves, plan.count)):
            return []
        again = self._again().words.replace(f" --wave {wave}", f" --wave {wave + 1}")
        return [(Command(again), "   moves the next wave")]

    def verdict(self) -> tuple[Ending, int]:
        total = self._progress.total
        if self._progress.foreign.count or total.rewritten:
            return "completed_with_failures", Differs.exit_code
        failed = total.failed + total.unfit > self._progress.waived
        return ("completed_with_failures", 3) if failed or total.stale else ("completed", 0)

    def report(self, ended: Ended) -> ChangeReport:
        progress, plan, file = self._progress, self._plan, self._file
        assert plan is not None
        assert ended.run_id is not None
        notes = ended.notes
        if out := progress.left_out:
            notes.append(f"{out:,} lines of the plan lie outside --account, --limit or the test settings")
        notes += [*left_alone(progress.foreign), *beyond(self._rules.waves, plan.count)]
        if progress.total.done + progress.total.rewritten or progress.open:
            notes.append(f"the journal of {ended.database} holds the old link of each")
        elif ended.stopped and not progress.total.failed:
            notes.append("nothing was written to Salesforce")
        return ChangeReport(
            ended=ended,
            planned=plan.count,
            progress=progress,
            plan=Written(plan.path, plan.count, plan.sha256),
            rollback_file=str(file.path) if file is not None else "",
            consent=self._consent,
            next_steps=(self._next_wave() if ended.exit_code == 0 else [])
            + after_a_switch(
                ended.exit_code, progress.total, self._again(), undo_of(ended.run_id, earlier=bool(self._earlier))
            ),
        )

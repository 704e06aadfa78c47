"""The dry run of a rollback: what would be put back, and what else there is to undo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.model.command import Advice, Command
from engine.model.text import bare_urls, printable
from engine.pipeline.doubts import in_doubt
from engine.runs.journal.evidence import Evidence
from engine.runs.links.candidates import CandidateCounts, Candidates
from engine.runs.links.change_report import ApiCost, ChangeReport
from engine.runs.links.link_run import SECONDS_A_CALL, LinkProgress
from engine.runs.links.old_links import probe
from engine.runs.links.rollback_options import RollbackOptions
from engine.runs.shared.lifecycle import Run
from engine.runs.shared.report import Ended
from engine.tracking.write.runs import Ending


class RollbackSurvey:
    """The dry run: reads every candidate, and writes nothing."""

    facts: Mapping[str, object] = {}

    def __init__(self, run: Run, options: RollbackOptions, candidates: Candidates, evidence: Evidence) -> None:
        self._run = run
        self._options = options
        self._candidates = candidates
        self._evidence = evidence
        self._found = CandidateCounts()
        self._dead = False

    async def work(self) -> None:
        run, found = self._run, self._found
        await self._candidates.select()
        async for _ in self._candidates.undoable(found, None):
            if run.stop.requested:
                break
        if opened := self._evidence.checked.open:
            until = max(self._evidence.until_of(change) for change in opened)
            until = run.services.salesforce.session.time.here(until)
            run.note(f"{in_doubt(len(opened), until)} (--execute)")
        if dead := await probe(run.services, found.samples):
            run.note(dead)
            self._dead = True

    def after_failure(self) -> Sequence[Advice]:
        return []

    def verdict(self) -> tuple[Ending, int]:
        return "completed", 0

    def report(self, ended: Ended) -> ChangeReport:
        found, limits = self._found, self._run.services.salesforce.limits
        needed = 2 * -(-found.to_undo // 200)
        found.counts.done = found.to_undo
        ended.notes.append("dry run: every record was read, nothing was written")
        ended.notes.extend([*perhaps_automation(found), *overdrawn(self._run)])
        status = ended.status if ended.stopped else "planned"
        return ChangeReport(
            ended=replace(ended, status=status, seconds=needed * SECONDS_A_CALL),
            planned=self._candidates.count,
            progress=LinkProgress(total=found.counts),
            cost=ApiCost(needed, None if limits is None else limits.left),
            next_steps=(self._to_undo() if found.to_undo else [_NOTHING]) + also_undo(self._options, self._evidence),
        )

    def _to_undo(self) -> list[Advice]:
        options = self._options
        if not self._dead or options.force:
            return [(options.again(), "   puts them back")]
        all_of_them: Advice = (options.again(force=True), "   puts them back all the same: users then meet dead links")
        if options.ids is not None:
            return [all_of_them]
        some = Command(f"{options.again().words} --ids FILE")
        return [(some, "   only the records in FILE: those whose old links work"), all_of_them]


_NOTHING: Advice = (Command("audit"), "   shows what the journal knows of changed links")


def also_undo(options: RollbackOptions, evidence: Evidence) -> list[Advice]:
    """What else there is to undo, where an earlier tracking DB was lost."""
    if options.from_bucket or not evidence.witness.others:
        return []
    return [(Command("run rollback --from-bucket"), "   shows what journals of earlier tracking DBs would undo")]


def perhaps_automation(found: CandidateCounts) -> list[Advice]:
    """Says which of the edited links may be none that a user has edited, where there are any."""
    if not found.alike:
        return []
    record, holds = found.example
    what = f"{found.alike:,} of the edited links look like one of ours, or were last changed by the user of this login"
    held = printable(bare_urls(holds)) or "nothing"
    told = f"{what}: automation may have made them later. They stay, for example {record}, which holds {held}; "
    return [(told, Command(f"audit --record {record}"), "   shows its original")]


def overdrawn(run: Run) -> list[str]:
    """Says that the API budget is used up, where it is."""
    said = run.services.salesforce.session.budget.overdrawn
    return [said] if said else []

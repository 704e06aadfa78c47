"""The dry run of a switch: makes a plan file, and writes nothing else anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import structlog

from engine.model.command import Advice, Command
from engine.model.errors import Differs
from engine.pipeline.switching import Counts, waves
from engine.runs.links.change_report import ApiCost, ChangeReport
from engine.runs.links.link_run import SECONDS_A_CALL, LinkProgress
from engine.runs.links.plan import Plans
from engine.runs.links.waves import beyond
from engine.runs.shared.lifecycle import Run
from engine.runs.shared.report import Ended
from engine.tracking.read.links import FORMED_ANEW, Foreign
from engine.tracking.write.runs import Ending

log = structlog.get_logger()


class Planning:
    """``path``: where the plan goes, ``again``: the command that applies it."""

    facts: Mapping[str, object] = {}

    def __init__(self, run: Run, targets: Sequence[int | str], plans: Plans, path: Path, again: Command) -> None:
        self._run = run
        self._targets = targets
        self._plans = plans
        self._path = path
        self._again = again

    async def work(self) -> None:
        self._written, self._needed = await self._plans.make(self._path, None)
        log.info("plan_written", file=str(self._path), links=self._written.count, sha256=self._written.sha256)

    def after_failure(self) -> Sequence[Advice]:
        return []

    def verdict(self) -> tuple[Ending, int]:
        return "completed", Differs.exit_code if self._plans.foreign.count else 0

    def report(self, ended: Ended) -> ChangeReport:
        written, needed, targets = self._written, self._needed, self._targets
        limits = self._run.services.salesforce.limits
        found = waves(targets, written.count)
        covered = sum(wave.records for wave in found)
        notes = [
            *self._plans.notes,
            *left_alone(self._plans.foreign),
            "waves: " + (", ".join(f"{wave.number}: {wave.records:,}" for wave in found) or "none"),
            *beyond(targets, written.count),
            "dry run: nothing was written to Salesforce or the tracking DB",
        ]
        applies = "   applies exactly this plan" + (", up to its last wave" if covered < written.count else "")
        return ChangeReport(
            ended=replace(
                ended,
                status=ended.status if ended.stopped else "planned",
                seconds=needed * SECONDS_A_CALL if written.count else ended.seconds,
                notes=notes,
            ),
            planned=written.count,
            progress=LinkProgress(
                total=Counts(done=covered),
                waves=[{"wave": wave.number, "records": wave.records} for wave in found],
            ),
            plan=written,
            cost=ApiCost(needed, None if limits is None else limits.left),
            not_looked_at=self._plans.unseen,
            next_steps=[
                (self._again, applies)
                if written.count
                else (Command("status --readiness"), "   says what is not ready and why")
            ],
        )


def left_alone(strange: Foreign) -> list[Advice]:
    """A note of records whose row holds a link of its own; none where there are none."""
    return [(f"{strange}; they were left alone; ", FORMED_ANEW)] if strange.count else []

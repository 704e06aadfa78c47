"""How a switch or a rollback ended: what was done, what is safe, and what to type next."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from engine.model.command import Advice, Command
from engine.model.errors import Differs, Paused
from engine.pipeline.switching import Counts
from engine.runs.links.link_run import LinkProgress
from engine.runs.links.plan_file import Written
from engine.runs.shared.confirmation import Consent
from engine.runs.shared.report import Ended, duration
from engine.runs.shared.unfreeze import RESTORED, UNFREEZE


@dataclass(frozen=True, slots=True)
class ApiCost:
    """Salesforce calls that a run would make, and how many are left today; None: nobody knows."""

    calls: int
    remaining: int | None


@dataclass(slots=True)
class ChangeReport:
    """How a switch or a rollback ended. For a dry run, ``ended.seconds`` is how long the writing would take."""

    ended: Ended
    planned: int
    progress: LinkProgress
    plan: Written | None = None
    rollback_file: str = ""
    cost: ApiCost | None = None
    """For a dry run: what the writing would take."""
    not_looked_at: dict[str, int] = field(default_factory=dict)
    """Planned links to copies whose source the last scan could not check, by reason."""
    consent: Consent | None = None
    """Who was asked; None: a dry run asks nobody."""
    next_steps: list[Advice] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.progress.total.gone:
            self.next_steps.append(_HIDDEN[self.ended.kind])

    @property
    def exit_code(self) -> int:
        return self.ended.exit_code

    def as_json(self) -> dict[str, Any]:
        c = asdict(self.progress.total)
        done, kind = c.pop("done"), self.ended.kind
        would = {_WOULD[kind]: done} if self.ended.dry_run else {}
        return {
            **self.ended.as_json(),
            "dry_run": self.ended.dry_run,
            "seconds": round(self.ended.seconds, 3),
            "records": {"planned": self.planned, _DONE[kind]: done, **would, **c, "open": self.progress.open},
            "not_looked_at_by_reason": self.not_looked_at,
            "not_looked_at": self.not_looked_at,
            "waves": self.progress.waves,
            "consent": self.consent.given if self.consent is not None else [],
            "plan": self.plan and str(self.plan.path),
            "plan_sha256": self.plan and self.plan.sha256,
            "rollback_file": self.rollback_file or None,
            "api_calls": self.cost and self.cost.calls,
            "api_remaining": self.cost and self.cost.remaining,
            "unseen_ms": round(self.progress.unseen_s * 1000),
            **self.ended.last_keys(),
        }

    def lines(self) -> list[str]:
        """The same for a person."""
        lines, dry_run, seconds = [self.ended.title()], self.ended.dry_run, self.ended.seconds
        done = ("would be " if dry_run else "") + _TOLD[self.ended.kind]
        counts = counted(self.progress.total, done, self.progress.open, _STALE[self.ended.kind])
        lines.append(f"  {self.planned:,} links: {counts or 'nothing done'}")
        if self.plan:
            lines.append(f"  plan: {self.plan.path} (SHA-256 {self.plan.sha256[:16]}…)")
        if self.rollback_file:
            lines.append(f"  rollback file: {self.rollback_file}")
        if self.cost is not None and dry_run:
            left = "" if self.cost.remaining is None else f" of {self.cost.remaining:,} left today"
            lines.append(f"  about {self.cost.calls:,} Salesforce API calls{left}, about {duration(seconds)}")
        elif not dry_run:
            lines.append(f"  in {duration(seconds)}")
        if self.consent is not None and (asked := self.consent.told):
            lines.append(f"  {asked}")
        if unseen_s := self.progress.unseen_s:
            lines.append(
                f"  at most {unseen_s * 1000:,.0f} ms lay between the read of a link and its write; an edit"
                " of that record in between was overwritten (--strict closes that gap)"
            )
        return lines + self.ended.last_lines()


def counted(counts: Counts, done: str = "switched", in_doubt: int = 0, stale: str = "changed since the plan") -> str:
    """What became of the links; empty: nothing yet."""
    words = [
        (counts.done, done),
        (counts.already, "already so"),
        (counts.rewritten, "written, but the org changed it"),
        (counts.edited, "edited by others and left alone"),
        (counts.gone, "deleted, or hidden from this login"),
        (counts.missing, "without their copy"),
        (counts.archived, "whose copy cannot be opened"),
        (counts.stale, stale),
        (counts.failed, "failed"),
        (in_doubt, "in doubt"),
    ]
    return ", ".join(f"{count:,} {word}" for count, word in words if count)


def after_a_switch(code: int, counts: Counts, again: Command, undo: Advice) -> list[Advice]:
    """What to type next. ``again``: the command that goes on, ``undo``: the one that leads back."""
    steps: list[Advice] = []
    if counts.failed:
        steps.append((Command("status --errors"), "   says why records failed"))
        steps.append((Command(f"{again.words} --retry-class CLASS"), "   tries them again, once that is fixed"))
    if counts.missing:
        steps.append((_BACKUP, "   copies again what has lost its copy; then switch again"))
    if counts.archived:
        steps.append((RESTORED, f"   takes up the archived copies; then switch again. Before that, {UNFREEZE}"))
    if counts.stale:
        steps.append((Command("run switch --dry-run"), "   makes a new plan for what has changed since this one"))
    if counts.rewritten:
        steps.append((Command("doctor"), "   shows what acts on updates; end that, undo, and switch again"))
    elif code == Differs.exit_code and counts.edited + counts.gone:
        steps.append((_BACKUP, "   copies what was edited; then switch again"))
    elif code in {Paused.exit_code, 130, 143}:
        steps.append((again, "   goes on"))
    elif counts.edited:
        steps.append(EDITED_MEANWHILE)
    if code == 0:
        steps += _MOVED
    if counts.done or counts.rewritten:
        steps.append(undo)
    return steps


def undo_of(run_id: int, *, earlier: bool) -> Advice:
    """The dry run of a rollback. ``earlier``: links that other switches moved stand too, and belong to the way back."""
    if earlier:
        undo = Command("run rollback --from-database")
        return undo, "   shows what an undo would do, of this switch and of the earlier ones"
    return Command(f"run rollback --from-database --run {run_id}"), "   shows what an undo would do"


_BACKUP = Command("run backup --incremental")
EDITED_MEANWHILE: Advice = (_BACKUP, "   copies what was edited meanwhile")
_MOVED: list[Advice] = [
    (Command("verify"), "   proves that the copies behind the links are there"),
    (Command("sweep"), "   searches the whole org for links that still lead to the vendor"),
    (Command("report report.html"), "   writes a page about what was done"),
]
_HIDDEN_ONES = "for records that are only hidden, once this login sees them all (sharing, or View All)"
_HIDDEN: dict[str, Advice] = {
    "switch": (Command("run backup --full"), f"   then switch again, {_HIDDEN_ONES}"),
    "rollback": f"start the same command again, {_HIDDEN_ONES}",
}
_DONE = {"switch": "switched", "rollback": "restored"}
_WOULD = {"switch": "would_switch", "rollback": "would_restore"}
_TOLD = {"switch": "switched", "rollback": "put back"}
_STALE = {"switch": "changed since the plan", "rollback": "moved again by another switch"}

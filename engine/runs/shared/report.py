"""What a person, or a script, is shown at the end of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.model.command import Advice
from engine.model.errors import Fatal, leaves
from engine.model.facts import Proof
from engine.model.outcome import Status
from engine.runs.shared.command import to_type

if TYPE_CHECKING:
    from engine.pipeline.tally import Tally  # status uses this module too, and starts faster without the pipeline


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: the part of its report that is the same for every use case."""

    kind: str
    run_id: int | None
    """None: a dry run."""
    status: str
    exit_code: int
    """As in the README's table."""
    reason: str
    """Why it was stopped, where it was."""
    seconds: float
    database: str
    notes: list[Advice]

    @property
    def stopped(self) -> bool:
        return self.status == "stopped"

    @property
    def dry_run(self) -> bool:
        return self.run_id is None

    def as_json(self) -> dict[str, Any]:
        """The keys that each report begins with."""
        return {
            "run_type": self.kind,
            "run_id": self.run_id,
            "status": self.status,
            "exit_code": self.exit_code,
            "reason": self.reason,
        }

    def title(self, name: str = "") -> str:
        """The first line for a person."""
        name = name or (f"{self.kind} (dry run)" if self.dry_run else f"{self.kind} run {self.run_id}")
        return f"{name}: {self.status.replace('_', ' ')}" + (f" ({self.reason})" if self.reason else "")

    def last_keys(self) -> dict[str, Any]:
        """The keys that each report ends with."""
        return {"database": self.database, "notes": [to_type(note) for note in self.notes]}

    def last_lines(self) -> list[str]:
        """The notes for a person."""
        return [f"  {to_type(note)}" for note in self.notes]


@dataclass(slots=True)
class RunReport:
    """How a backup ended."""

    ended: Ended
    tally: Tally
    next_steps: list[Advice] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        return self.ended.exit_code

    def as_json(self) -> dict[str, Any]:
        t, copies = self.tally, self.tally.copies
        pending, unseen = t.ended[Status.PENDING], dict(t.unseen.most_common())
        would = {"would_back_up": t.backed_up, "would_retry": pending} if self.ended.dry_run else {}
        return {
            **self.ended.as_json(),
            "dry_run": self.ended.dry_run,
            "seconds": round(self.ended.seconds, 3),
            "records": {
                "in_scope": t.total,
                "processed": t.done,
                "unchanged": t.unchanged,
                "not_looked_at": t.unseen.total(),
                "backed_up": t.backed_up,
                "new": copies.new,
                "skipped": t.skipped,
                "failed": t.failed,
                "gone": t.ended[Status.GONE],
                "pending": pending,
                **would,
            },
            "bytes": copies.bytes_stored,
            "bytes_through_this_machine": copies.bytes_read,
            "retries": t.retries,
            "failures": dict(t.failures.most_common()),
            "not_looked_at_by_reason": unseen,
            "not_looked_at": unseen,
            "methods": dict(copies.methods.most_common()),
            "proofs": {proof.value: copies.proofs[proof.value] for proof in Proof},
            **self.ended.last_keys(),
        }

    def lines(self) -> list[str]:
        """The same for a person."""
        t, copies, dry_run, seconds = self.tally, self.tally.copies, self.ended.dry_run, self.ended.seconds
        rate = t.backed_up / seconds if seconds > 0 else 0.0
        verb = "would be copied" if dry_run else "backed up"
        counts = [f"{t.backed_up:,} {verb}" + (f" ({copies.new:,} new)" if copies.new else "")]
        others = (
            (t.unchanged, "unchanged"),
            (t.unseen.total(), "not looked at"),
            (t.ended[Status.PENDING], "would be tried again" if dry_run else "changed, beyond the limit"),
            (t.ended[Status.GONE], "gone"),
        )
        counts += [f"{n:,} {w}" for n, w in others if n]
        counts += [f"{t.skipped:,} skipped", f"{t.failed:,} failed"]
        lines = [self.ended.title(), f"  {t.done:,} records: " + ", ".join(counts)]
        if t.failures:
            lines.append(f"  why: {by_reason(t.failures)}")
        if t.unseen:
            could = "was not" if dry_run else "could not be"
            lines.append(f"  copies kept, whose source {could} looked at for changes: {by_reason(t.unseen)}")
        if not dry_run:
            lines.append(
                f"  {size(copies.bytes_stored)} in {duration(seconds)} ({rate:,.0f} files/s, "
                f"{size(copies.bytes_stored / seconds if seconds else 0)}/s)"
                + (f"; by {', '.join(f'{m} {n:,}' for m, n in copies.methods.most_common())}" if copies.methods else "")
            )
            if copies.proofs:
                lines.append(f"  {proved_by(copies.proofs)}")
        return lines + self.ended.last_lines()


def proved_by(counts: Mapping[str, int]) -> str:
    """How copies were verified, strongest proof first. A size alone proves nothing."""
    proved = [f"{proof} {counts[proof]:,}" for proof in Proof if counts.get(proof) and proof is not Proof.SIZE]
    parts = [f"proved by {', '.join(proved)}"] if proved else []
    if by_size := counts.get(Proof.SIZE):
        parts.append(f"{by_size:,} by their size alone, which proves nothing")
    return "; ".join(parts) or "none yet"


def by_reason(counts: Mapping[Any, int]) -> str:
    """Names with their counts, the largest first."""
    return ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items(), key=lambda each: -each[1]))


def size(count: float) -> str:
    """Bytes for a person, in powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.2f} TB"


def duration(seconds: float) -> str:
    """``1h 02m``, ``3m 05s``, ``12.3s``."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours else f"{minutes}m {rest:02d}s"


def first_fatal(error: BaseException) -> Fatal | None:
    """The Fatal that ended a run, or the first inside its groups; None: there is none."""
    return next((each for each in leaves(error) if isinstance(each, Fatal)), None)

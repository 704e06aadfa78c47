"""What an import found, for a person, a script, and a file with every doubt."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from engine.model.change import LinkState
from engine.model.command import Advice, Command
from engine.model.failures import FailureClass
from engine.model.old_copy import Old, Unfit
from engine.model.outcome import Status
from engine.model.text import csv_safe, printable
from engine.runs.legacy.deciding import Becomes, ends_as
from engine.runs.shared.report import Ended, by_reason, duration, proved_by
from engine.runs.shared.report_file import ReportFile

DEAD = "dead_link"
"""Of a link that the scripts moved, and that asks for another key than the one it means."""
BROKEN = "broken_link"
"""Of a link that the scripts moved, and whose copy is not proved."""
NO_WAY_BACK = "no_way_back"
"""Of a link that was seen to be moved, and whose original is not known, or not let in."""
_SILENT = (FailureClass.NETWORK, FailureClass.THROTTLED)
_EXAMPLES = 3
_HEADS = ("doclist_entry_id", "class", "message", "key", "link")
_SAID = {
    DEAD: "the link is not encoded: a click asks for another key, or for a part of it",
    BROKEN: "users are led to an object that is not proved to be the file",
    FailureClass.DRIFTED.value: "its link is another by now",
    FailureClass.DELETED.value: "the record was deleted in Salesforce, or is hidden from this user",
}


class Doubts(ReportFile):
    """The report file: a line of CSV per doubt; mode 0600. Without a path nothing is written."""

    def __init__(self, path: Path | None) -> None:
        super().__init__(path, "Nothing was written yet. Name a file in a folder that exists and is writable.")

    def __enter__(self) -> Self:
        super().__enter__()
        if self._file is not None:
            csv.writer(self._file).writerow(_HEADS)
        return self

    def add(self, record: str, kind: str, message: str, key: str, link: str) -> None:
        if self._file is not None:
            cells = (record, kind, printable(message), printable(key), printable(link))
            csv.writer(self._file).writerow([csv_safe(cell) for cell in cells])


@dataclass(slots=True)
class Tallied:
    """Counts and examples. A record counts once among ``ends``."""

    doubts: Doubts
    zone: str = ""
    copied_file: bool = False
    read: int = 0
    """Rows of FILE."""
    records: int = 0
    duplicates: int = 0
    """Rows of records that another row is about."""
    left_out: int = 0
    """Rows that the test settings do not let through."""
    unfits: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    unclosed: int = 0
    switches: int = 0
    """Runs of the scripts that may have moved links."""
    failed_before: dict[str, int] = field(default_factory=dict)
    marked: int = 0
    """Rows that say that their link was moved."""
    known: int = 0
    """Records of which this tracking DB knows more."""
    asked: int = 0
    """Copies that were looked at by HEAD."""
    links_read: int = 0
    journalled_before: int = 0
    links: Counter[LinkState] = field(default_factory=Counter)
    """Of the records that the journal gets: where their links stand."""
    ends: Counter[tuple[str, Status, str]] = field(default_factory=Counter)
    """What the scripts noted, and what becomes of it."""
    proofs: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    """Doubts that are no failure class."""
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def may_have_moved(self) -> bool:
        return self.marked > 0 or self.switches > 0

    def moved_by_them(self, old: Old) -> bool:
        """Whether the scripts have moved its link, or may have: a run that ended early noted none of its moves."""
        return bool(old.link) and (old.switched or self.switches > 0)

    @property
    def unfit_rows(self) -> int:
        return self.unfits.total()

    @property
    def done(self) -> int:
        return self.ends.total() + self.known

    @property
    def for_a_person(self) -> int:
        """Doubts that no later run settles."""
        ended = sum(count for (_, status, _), count in self.ends.items() if status in {Status.FAILED, Status.SKIPPED})
        return self.unfit_rows + ended + self.kinds[BROKEN] + self.kinds[DEAD]

    def unfit(self, row: Unfit) -> None:
        self.unfits[row.kind] += 1
        self._doubt(row.example, row.kind, "the row cannot be taken over", "", "")

    def moved(self, old: Old, state: LinkState, *, opens: bool) -> None:
        """The journal gets its link."""
        self.links[state] += 1
        if not opens:
            self._kind(old, DEAD)

    def add(self, row: Becomes, state: LinkState | None, *, stuck: bool = False) -> None:
        """What becomes of a record. ``stuck``: its link was moved, and has no way back."""
        old, (status, failure) = row.old, ends_as(row, state)
        self.ends["switched" if old.switched else "backed up", status, failure.value if failure else ""] += 1
        if row.proof is not None:
            self.proofs[row.proof.value] += 1
        if status is Status.SWITCHED and row.proof is None:
            self._kind(old, BROKEN, row.message)
        if stuck:
            self._kind(old, NO_WAY_BACK, old.why)
        if failure is not None:
            message = row.message if failure is row.failure else _SAID[failure.value]
            self._doubt(old.id, failure.value, message, old.key, old.link)

    @property
    def classes(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for (_, _, failure), count in self.ends.items():
            found[failure] += count
        return {name: count for name, count in found.most_common() if name}

    @property
    def states(self) -> dict[str, int]:
        found: Counter[str] = Counter()
        for (_, status, _), count in self.ends.items():
            found[status.value] += count
        return dict(found)

    def _kind(self, old: Old, kind: str, message: str = "") -> None:
        self.kinds[kind] += 1
        self._doubt(old.id, kind, message or _SAID.get(kind, ""), old.key, old.link)

    def _doubt(self, record: str, kind: str, message: str, key: str, link: str) -> None:
        self.doubts.add(record, kind, message, key, link)
        shown = self.examples.setdefault(kind, [])
        if len(shown) < _EXAMPLES:
            shown.append(f"{record}  {printable(message)}" + (f"  ({printable(key)})" if key else ""))


@dataclass(frozen=True, slots=True)
class ImportReport:
    """How an import ended, or what one would do."""

    ended: Ended
    file: Path
    tallied: Tallied
    execute: Command
    """The command that writes."""

    @property
    def exit_code(self) -> int:
        return self.ended.exit_code

    def as_json(self) -> dict[str, Any]:
        t = self.tallied
        return {
            **self.ended.as_json(),
            "dry_run": self.ended.dry_run,
            "seconds": round(self.ended.seconds, 3),
            "file": str(self.file),
            "timezone": t.zone,
            "rows": {
                "read": t.read,
                "records": t.records,
                "duplicates": t.duplicates,
                "left_out": t.left_out,
                "unfit": dict(t.unfits),
                "known_already": t.known,
            },
            **({"would_import": t.ends.total()} if self.ended.dry_run else {}),
            "records": {status.value: t.states.get(status.value, 0) for status in Status},
            "becomes": [
                {"noted_as": noted, "status": status.value, "failure_class": failure or None, "count": count}
                for (noted, status, failure), count in sorted(t.ends.items())
            ],
            "failures": t.classes,
            "proofs": dict(t.proofs),
            "looked_at_by_head": t.asked,
            "links": {
                "noted_as_moved": t.marked,
                "read": t.links_read,
                "journalled": t.links.total(),
                "journalled_before": t.journalled_before,
                **{state.value: t.links[state] for state in LinkState},
                **{kind: t.kinds[kind] for kind in (DEAD, BROKEN, NO_WAY_BACK)},
            },
            "scripts": {
                "run_count": t.runs,
                "runs": t.runs,
                "runs_never_closed": t.unclosed,
                "runs_that_moved_links": t.switches,
                "failed_records": t.failed_before,
            },
            "examples": t.examples,
            **self.ended.last_keys(),
        }

    @property
    def next_steps(self) -> list[Advice]:
        if self.ended.stopped:
            return [(self.execute if not self.ended.dry_run else "the same command", "   goes on")]
        if self.ended.dry_run:
            return [(self.execute, "   imports this")]
        steps: list[Advice] = []
        if silent := sum(self.tallied.classes.get(each.value, 0) for each in _SILENT):
            steps.append((self.execute, f"   looks again at {silent:,} copies of which the stores did not answer"))
        if self.tallied.kinds[DEAD]:
            what = "   puts back the dead links that FILE names; after a full backup, a switch encodes them"
            steps.append((Command("run rollback --from-database --ids FILE --dry-run"), what))
        steps.append((Command("run backup --full"), "   looks at every record, and copies what is pending"))
        if self.tallied.links.total():
            steps.append((Command("run rollback --from-database --dry-run"), "   shows what an undo would do"))
        return steps

    def lines(self) -> list[str]:
        """The same for a person."""
        t, dry_run = self.tallied, self.ended.dry_run
        runs = f"{t.runs:,} runs, {t.unclosed:,} of them never closed"
        lines = [
            self.ended.title(),
            f"  {self.file}: {t.read:,} rows of {t.records:,} records; its times are those of {t.zone}; {runs}",
        ]
        if t.copied_file:
            lines.append("  it was left half-written: a copy of it was repaired and read; the file is as it was")
        rest = ((t.duplicates, "rows of records that a later row is about"), (t.left_out, "rows left out by settings"))
        lines += [f"  {count:,} {words}" for count, words in rest if count]
        if t.unfits:
            lines.append(f"  cannot be taken over: {by_reason(t.unfits)}")
        if t.failed_before:
            lines.append(
                f"  failed in the scripts, without a row: {by_reason(t.failed_before)}; a backup looks at them"
            )
        lines += self._becomes()
        if t.proofs:
            lines.append(f"  {proved_by(t.proofs)}; {t.asked:,} looked at by HEAD; {duration(self.ended.seconds)}")
        lines += self._links()
        for kind, shown in sorted(t.examples.items()):
            lines += [f"    {kind}: {example}" for example in shown]
        if dry_run:
            lines.append("  nothing was written")
        return lines + self.ended.last_lines()

    def _becomes(self) -> list[str]:
        t = self.tallied
        verb = "would become" if self.ended.dry_run else "became"
        lines = [
            f"  {count:,} noted as {noted} {verb} {status.value}" + (f" / {failure}" if failure else "")
            for (noted, status, failure), count in sorted(t.ends.items(), key=lambda each: -each[1])
        ]
        if t.known:
            lines.append(f"  {t.known:,} left as they are: this tracking DB has them already")
        return lines

    def _links(self) -> list[str]:
        t = self.tallied
        if not t.may_have_moved:
            return []
        where = by_reason(t.links) or "none"
        gets = f"the journal {'would get' if self.ended.dry_run else 'got'} {t.links.total():,} ({where})"
        lines = [f"  links: {t.marked:,} noted as moved, {t.links_read:,} read in Salesforce; {gets}"]
        said = {
            DEAD: "links do not open: the key is not encoded in them",
            BROKEN: "links lead to an object that is not proved: users may get another file, or none",
            NO_WAY_BACK: "moved links have no way back: their original is not known, or not let in by the settings",
        }
        return lines + [f"  {t.kinds[kind]:,} {words}" for kind, words in said.items() if t.kinds[kind]]

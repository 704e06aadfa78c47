"""What an import counts, and the file with every doubt."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from engine.model.change import LinkState
from engine.model.failures import FailureClass
from engine.model.old_copy import Old, Unfit
from engine.model.outcome import Status
from engine.model.text import csv_safe, printable
from engine.runs.legacy.deciding import Becomes, ends_as
from engine.runs.shared.report_file import ReportFile

DEAD = "dead_link"
"""Of a link that the scripts moved, and that asks for another key than the one it means."""
BROKEN = "broken_link"
"""Of a link that the scripts moved, and whose copy is not proved."""
NO_WAY_BACK = "no_way_back"
"""Of a link that was seen to be moved, and whose original is not known, or not let in."""
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


@dataclass(frozen=True, slots=True)
class Scripts:
    """What the scripts noted of their runs."""

    runs: int = 0
    unclosed: int = 0
    switches: int = 0
    """Runs that may have moved links."""
    failed: dict[str, int] = field(default_factory=dict)
    """Records that have errors and no row, by the scripts' own word."""


@dataclass(slots=True)
class OldFile:
    """What stands in FILE."""

    zone: str = ""
    """Of its times."""
    copied: bool = False
    """It was left half-written, and a copy of it was read."""
    read: int = 0
    """Rows."""
    records: int = 0
    duplicates: int = 0
    """Rows of records that another row is about."""
    left_out: int = 0
    """Rows that the test settings do not let through."""
    unfits: Counter[str] = field(default_factory=Counter)
    """Rows that cannot be taken over."""
    marked: int = 0
    """Rows that say that their link was moved."""
    scripts: Scripts = field(default_factory=Scripts)

    @property
    def may_have_moved(self) -> bool:
        return self.marked > 0 or self.scripts.switches > 0

    def moved_by_them(self, old: Old) -> bool:
        """Whether the scripts have moved its link, or may have: a run that ended early noted none of its moves."""
        return bool(old.link) and (old.switched or self.scripts.switches > 0)


@dataclass(slots=True)
class OldLinks:
    """Links that the scripts have moved, or may have."""

    read: int = 0
    """In Salesforce."""
    journalled_before: int = 0
    states: Counter[LinkState] = field(default_factory=Counter)
    """Of the records that the journal gets: where their links stand."""


@dataclass(slots=True)
class Tallied:
    """Counts and examples. A record counts once among ``ends``."""

    doubts: Doubts
    file: OldFile = field(default_factory=OldFile)
    known: int = 0
    """Records of which this tracking DB knows more."""
    asked: int = 0
    """Copies that were looked at by HEAD."""
    links: OldLinks = field(default_factory=OldLinks)
    ends: Counter[tuple[str, Status, str]] = field(default_factory=Counter)
    """What the scripts noted, and what becomes of it."""
    proofs: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    """Doubts that are no failure class."""
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def done(self) -> int:
        return self.ends.total() + self.known

    @property
    def for_a_person(self) -> int:
        """Doubts that no later run settles."""
        ended = sum(count for (_, status, _), count in self.ends.items() if status in {Status.FAILED, Status.SKIPPED})
        return self.file.unfits.total() + ended + self.kinds[BROKEN] + self.kinds[DEAD]

    def unfit(self, row: Unfit) -> None:
        self.file.unfits[row.kind] += 1
        self._doubt(row.example, row.kind, "the row cannot be taken over", "", "")

    def moved(self, old: Old, state: LinkState, *, opens: bool) -> None:
        """The journal gets its link."""
        self.links.states[state] += 1
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

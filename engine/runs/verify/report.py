"""What a verification found, in five symbols (after ``rclone check``), for a person, a script and a file."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

from engine.model.command import Advice, Command
from engine.model.text import printable
from engine.runs.shared.report import Ended, duration
from engine.runs.shared.report_file import ReportFile
from engine.runs.shared.unfreeze import RESTORED, UNFREEZE
from engine.tracking.read.links import FORMED_ANEW, Foreign

_BACKUP = Command("run backup --incremental")


class Symbol(Enum):
    """What was found of one record: its sign in the report file, and its name in JSON."""

    MATCH = ("=", "match")
    DIFFER = ("*", "differ")
    MISSING = ("-", "missing_at_destination")
    SOURCE_GONE = ("+", "missing_at_source")
    ERROR = ("!", "error")

    @property
    def sign(self) -> str:
        return str(self.value[0])

    @property
    def word(self) -> str:
        return str(self.value[1])


class Beyond(StrEnum):
    """Why no backup can make the lost copy of a switched record again."""

    CHANGED = "its source has changed since"
    GONE = "its source is gone too"


class Lines(ReportFile):
    """The report file: a line per record that does not match (with ``everything``: per record), separated by tabs.

    It holds record Ids, keys and what was found; mode 0600. Without a path nothing is written.
    """

    def __init__(self, path: Path | None, *, everything: bool = False) -> None:
        super().__init__(path, "nothing was checked yet. Name a file in a folder that exists and is writable")
        self.everything = everything and path is not None

    def add(self, symbol: Symbol, record_id: str, key: str, message: str) -> None:
        if self._file is not None and (self.everything or symbol is not Symbol.MATCH):
            self._file.write(
                "\t".join([symbol.sign, record_id, printable(key), printable(message)]).rstrip("\t") + "\n"
            )


@dataclass(slots=True)
class Found:
    """Counts and examples. A record counts once, by the worst that was found of it."""

    lines: Lines
    counts: Counter[Symbol] = field(default_factory=Counter)
    changed_sources: int = 0
    archived: int = 0
    """Copies that are as recorded, and that nobody can open, or not for long."""
    broken_links: int = 0
    """Switched records whose object is missing, differs or cannot be opened: users get no file, or a wrong one."""
    beyond: Counter[Beyond] = field(default_factory=Counter)
    """Of the broken links, those that no backup repairs."""
    waived: frozenset[str] = frozenset()
    """Records that are waived: what could not be checked of them decides about no exit code."""
    waived_errors: int = 0
    raised: int = 0
    unclaimed: int = 0
    """Objects in our bucket that no record claims."""
    examples: list[str] = field(default_factory=list)
    foreign: Foreign = field(default_factory=Foreign)
    """Records whose stored link is not made from their key: a switch refuses them."""

    def match(self, count: int = 1) -> None:
        """Count copies that are as recorded."""
        self.counts[Symbol.MATCH] += count

    def add(self, symbol: Symbol, record_id: str, key: str, message: str) -> None:
        """Count one copy, and write its line."""
        self.counts[symbol] += 1
        self.waived_errors += symbol is Symbol.ERROR and record_id in self.waived
        self.lines.add(symbol, record_id, key, message)
        if symbol is not Symbol.MATCH and len(self.examples) < 10:
            self.examples.append(f"{symbol.sign} {record_id}  {printable(key)}  {printable(message)}")

    @property
    def wrong(self) -> int:
        """Mismatches: what exit code 6 stands for. A source that is gone is reported, but our copy of it is fine."""
        return self.counts[Symbol.DIFFER] + self.counts[Symbol.MISSING]

    @property
    def why_differ(self) -> str:
        """Which of those that differ hold what was copied all the same."""
        parts = [
            (self.changed_sources, "because the source has changed"),
            (self.archived, "archived: they cannot be opened"),
        ]
        told = ", ".join(f"{count:,} {why}" for count, why in parts if count)
        return f" ({told})" if told else ""

    @property
    def checked(self) -> int:
        return sum(self.counts.values())

    def next_steps(self, again: Command, *, stopped: bool) -> list[Advice]:
        """What to type next. ``again``: the same command."""
        steps: list[Advice] = [FORMED_ANEW] if self.foreign.count else []
        lost = sum(self.beyond.values())
        conflicts = self.counts[Symbol.DIFFER] - self.changed_sources - self.archived
        if self.counts[Symbol.MISSING] > lost or self.changed_sources:
            steps.append((_BACKUP, "   copies again what is missing or has changed"))
        if self.archived:
            steps.append((RESTORED, f"   copies them again, once they can be read: {UNFREEZE}"))
        if lost:
            told = f"{lost:,} switched links lead to nothing, and no backup can copy their files again"
            back = "If the bucket keeps versions, bring those objects back under their keys"
            steps.append((again, f"   once they are back: {told}. {back}"))
        if self.beyond[Beyond.CHANGED]:
            steps += [
                (
                    Command("verify --report FILE"),
                    "   lists those whose source has changed; their old links work",
                ),
                (
                    Command("run rollback --from-database --ids FILE --execute"),
                    "   puts back the old links of those (one Id per line); they lead to what is there now",
                ),
                (Command("verify"), "   then takes note of that, so that a backup copies them"),
                (_BACKUP, "   then copies what is there now; a new switch moves their links"),
            ]
        if conflicts:
            kept = "   copies again, once the objects that differ, which were left as they are, are moved or deleted"
            steps.append((Command("run backup --incremental --retry-class key_conflict"), kept))
        if self.counts[Symbol.ERROR]:
            steps.append((again, "   checks what could not be checked"))
        if stopped:
            steps.append((again, "   starts from the beginning; what was found is recorded"))
        return steps or [
            (Command("status --readiness"), "   says which links can be switched, and why others cannot"),
            (Command("report go-no-go.html"), "   writes a page for the change board, with a verdict"),
        ]


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """How a verification ended."""

    ended: Ended
    level: str
    claimed: int
    """Copies in scope."""
    sampled: bool
    found: Found
    file: Path | None
    next_steps: list[Advice]

    @property
    def exit_code(self) -> int:
        return self.ended.exit_code

    def as_json(self) -> dict[str, Any]:
        found = self.found
        return {
            **self.ended.as_json(),
            "level": self.level,
            "seconds": round(self.ended.seconds, 3),
            "copies": self.claimed,
            "checked": found.checked,
            "counts": {symbol.word: found.counts[symbol] for symbol in Symbol},
            "changed_sources": found.changed_sources,
            "archived_copies": found.archived,
            "broken_links": found.broken_links,
            "broken_beyond_backup": {each.name.lower(): found.beyond[each] for each in Beyond},
            "foreign_link_count": found.foreign.count,
            "foreign_links": found.foreign.count,
            "proofs_raised": found.raised,
            "unclaimed_objects": found.unclaimed,
            "examples": found.examples,
            "report": None if self.file is None else str(self.file),
            **self.ended.last_keys(),
        }

    def lines(self) -> list[str]:
        """The same for a person."""
        found, seconds, run = self.found, self.ended.seconds, self.ended.run_id
        rate = found.checked / seconds if seconds > 0 else 0.0
        lines = [
            self.ended.title(f"verify --level {self.level}{'' if run is None else f', run {run}'}"),
            f"  {found.checked:,} of {self.claimed:,} copies checked in {duration(seconds)} ({rate:,.0f}/s)",
        ]
        said = {
            Symbol.MATCH: "as recorded",
            Symbol.DIFFER: f"differ{found.why_differ}",
            Symbol.MISSING: "missing at the destination",
            Symbol.SOURCE_GONE: "missing at the source; our copies stand",
            Symbol.ERROR: "could not be checked",
        }
        lines += [f"  {s.sign} {found.counts[s]:,} {text}" for s, text in said.items() if found.counts[s]]
        if found.broken_links:
            lines.append(f"  {found.broken_links:,} of them are SWITCHED: users get no file, or a wrong one, right now")
        lines += [f"    {example}" for example in found.examples]
        if found.foreign.count:
            lines.append(f"  {found.foreign}")
        if found.raised:
            lines.append(f"  {found.raised:,} proofs are stronger now")
        return lines + self.ended.last_lines()


def confidence(checked: int, total: int) -> str:
    """What a sample without a mismatch proves of the whole, at 95 %."""
    share = 1 - 0.05 ** (1 / checked)
    said = f"no mismatch in a random sample of {checked:,}"
    return f"{said}: with 95 % confidence fewer than {share:.2%} of {total:,} differ"

"""What a sweep has found, for a person and for a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.model.command import Advice, Command
from engine.model.text import printable
from engine.runs.shared.tables import line, table

if TYPE_CHECKING:
    from rich.console import Console

EXCEPTED = "--except"
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Pointer:
    """A field in which something still points at the vendor."""

    object: str
    field: str
    count: int
    examples: tuple[tuple[str, str], ...]
    """(record Id, value without its query); the Id is empty for a formula or default value."""
    at_least: bool = False
    """More rows may hold it: not all were read."""


@dataclass(slots=True)
class Coverage:
    """What was searched, and what was not. Objects by name, with the reason."""

    objects: int = 0
    fields: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    """They hold no text of their own: no gap."""
    set_aside: dict[str, str] = field(default_factory=dict)
    """Nobody may search them, or the person excepted them. The answer is not about them."""
    unsearched: dict[str, str] = field(default_factory=dict)
    """They should have been searched, but were not, or only in part."""


@dataclass(slots=True)
class SweepReport:
    """How a sweep ended."""

    terms: list[str]
    only: tuple[str, ...] = ()
    """Objects that the search was restricted to: however clean they are, that is no all-clear."""
    watch: bool = False
    """Only new and changed records were searched: a round that finds none ends with 0, and is no all-clear either."""
    found: list[Pointer] = field(default_factory=list)
    coverage: Coverage = field(default_factory=Coverage)
    again: Command = field(default_factory=lambda: Command("sweep"))
    """The same command."""
    org_id: str = ""
    begun: str = ""
    """What was changed later may be missing."""
    stopped: str = ""
    stopped_with: int = 0

    @property
    def exit_code(self) -> int:
        if self.stopped:
            return self.stopped_with
        if self.found:
            return 6
        return 0 if self.whole else 3

    @property
    def next_steps(self) -> list[Advice]:
        if self.stopped:
            return [(self.again, "   looks on" if self.watch else "   starts from the beginning")]
        if self.found and self.watch:
            return [(Command("run backup --incremental"), "   copies them; then switch them")]
        if self.found:
            return [
                (Command("status --readiness"), "   says which links are not switched yet, and why"),
                "change the other fields by hand, or have their owners do it; --json has examples of each",
            ]
        if self.coverage.unsearched:
            return [
                (self.again, "   once the login may read those objects, or --limit is higher"),
                (Command(f"{self.again.words} --except NAME"), "   leaves objects out of the answer"),
            ]
        if self.watch:
            return [(Command("sweep"), "   searches everything; only that gives an all-clear")]
        if self.only:
            return [(Command("sweep"), "   without --object searches the whole org")]
        return [(Command("sweep --watch"), "   reports new ones")]

    @property
    def whole(self) -> bool:
        """Whether everything was searched that the answer is about."""
        return not self.coverage.unsearched and not self.stopped and (self.watch or not self.only)

    def as_json(self) -> dict[str, Any]:
        covered, count = self.coverage, sum(pointer.count for pointer in self.found)
        return {
            "org_id": self.org_id,
            "begun": self.begun,
            "watch": self.watch,
            "searched_for": self.terms,
            "restricted_to": list(self.only) or None,
            "objects_searched": covered.objects,
            "fields_searched": covered.fields,
            "complete": self.whole,
            "record_count": count,
            "records": count,
            "found": [
                {
                    "object": pointer.object,
                    "field": pointer.field,
                    "count": pointer.count,
                    "at_least": pointer.at_least,
                    "examples": [
                        {"record_id": name or None, "id": name or None, "value": text}
                        for name, text in pointer.examples
                    ],
                }
                for pointer in self.found
            ],
            "not_searched": covered.unsearched,
            "set_aside": covered.set_aside,
            "skipped_objects": covered.skipped,
            "skipped": covered.skipped,
            "stopped": self.stopped or None,
        }


def show_sweep(report: SweepReport, console: Console) -> None:
    """The same for a person."""
    if report.found:
        rows = [
            (
                pointer.object,
                pointer.field,
                f"{'≥ ' if pointer.at_least else ''}{pointer.count:,}",
                " ".join(pointer.examples[0]).strip() if pointer.examples else "",
            )
            for pointer in report.found
        ]
        table(console, "", ("object", "field", "records", "such as"), rows, right=(2,))
    line(console, f"searched for {', '.join(report.terms)}")
    for text in _coverage(report.coverage):
        line(console, text)
    line(console, _verdict(report))


def _coverage(covered: Coverage) -> Iterator[str]:
    reasons = Counter(covered.skipped.values())
    skipped = "; ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    yield f"in {covered.fields:,} fields of {covered.objects:,} objects" + (f" (skipped: {skipped})" if skipped else "")
    excepted = sorted(name for name, why in covered.set_aside.items() if why == EXCEPTED)
    closed = sorted(covered.set_aside.keys() - set(excepted))
    if closed:
        yield f"set aside: {_names(closed)}: Salesforce lets nobody search these objects of its own"
    if excepted:
        yield f"set aside by {EXCEPTED}: {_names(excepted)}"
    for name, why in list(covered.unsearched.items())[:_SHOWN]:
        yield f"NOT SEARCHED {name}: {printable(why)}"
    if len(covered.unsearched) > _SHOWN:
        yield f"… and {len(covered.unsearched) - _SHOWN:,} more objects: --json names all"


def _verdict(report: SweepReport) -> str:
    if report.stopped:
        return f"stopped early: {report.stopped}. The answer is not complete."
    if report.found:
        total = sum(pointer.count for pointer in report.found)
        return f"{total:,} places still point at the vendor: do not cancel it yet."
    if report.coverage.unsearched:
        return "Nothing was found, but not everything was searched: this is no all-clear."
    if report.watch:
        return "No new or changed record points at the vendor. This is no all-clear."
    if report.only:
        return f"Nothing was found, but only {_names(report.only)} was searched: this is no all-clear."
    apart = " in what was searched" if report.coverage.set_aside else ""
    return f"Nothing that this login can see points at the vendor any more{apart}."


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names))

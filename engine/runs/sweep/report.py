"""What a sweep has found, for a person and for a script."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.model.command import Advice, Command
from engine.model.text import printable
from engine.runs.shared import tables

if TYPE_CHECKING:
    from rich.console import Console


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
class Swept:
    """What was found, and what was not looked at."""

    terms: list[str]
    only: tuple[str, ...] = ()
    """Objects that the search was restricted to: however clean they are, that is no all-clear."""
    watch: bool = False
    """Only new and changed records were asked for: a round without any ends with 0, and is no all-clear either."""
    found: list[Pointer] = field(default_factory=list)
    searched: int = 0
    fields: int = 0
    skipped: dict[str, str] = field(default_factory=dict)
    set_aside: dict[str, str] = field(default_factory=dict)
    """Objects that nobody may search, or that the person excepted, and why. The answer is not about them."""
    unsearched: dict[str, str] = field(default_factory=dict)
    """Objects that should have been searched, and why they were not, or not as a whole."""
    stopped: str = ""
    exit_code_of_stop: int = 0

    @property
    def exit_code(self) -> int:
        if self.stopped:
            return self.exit_code_of_stop
        if self.found:
            return 6
        return 0 if self.whole else 3

    @property
    def whole(self) -> bool:
        """Whether everything was searched that the answer is about."""
        return not self.unsearched and not self.stopped and (self.watch or not self.only)

    def as_json(self) -> dict[str, Any]:
        return {
            "exit_code": self.exit_code,
            "searched_for": self.terms,
            "restricted_to": list(self.only) or None,
            "objects_searched": self.searched,
            "fields_searched": self.fields,
            "complete": self.whole,
            "records": sum(each.count for each in self.found),
            "found": [
                {
                    "object": each.object,
                    "field": each.field,
                    "count": each.count,
                    "at_least": each.at_least,
                    "examples": [{"id": name or None, "value": text} for name, text in each.examples],
                }
                for each in self.found
            ],
            "not_searched": self.unsearched,
            "set_aside": self.set_aside,
            "skipped": self.skipped,
            "stopped": self.stopped or None,
        }


def show_swept(found: Swept, console: Console) -> None:
    """The same for a person."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    def line(text: Advice) -> None:
        tables.line(console, text)

    if found.found:
        table = Table(box=SIMPLE_HEAD, pad_edge=False)
        for head in ("object", "field", "records", "such as"):
            table.add_column(head, justify="right" if head == "records" else "left", overflow="fold")
        for pointer in found.found:
            record, text = pointer.examples[0] if pointer.examples else ("", "")
            count = f"{'≥ ' if pointer.at_least else ''}{pointer.count:,}"
            table.add_row(Text(pointer.object), Text(pointer.field), count, Text(f"{record} {text}".strip()))
        console.print(table)
    line(f"searched for {', '.join(found.terms)}")
    reasons = Counter(found.skipped.values())
    skipped = "; ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    line(f"in {found.fields:,} fields of {found.searched:,} objects" + (f" (skipped: {skipped})" if skipped else ""))
    excepted = sorted(name for name, why in found.set_aside.items() if why == "--except")
    closed = sorted(found.set_aside.keys() - set(excepted))
    if closed:
        line(f"set aside: {_names(closed)}: Salesforce takes no search of these objects of its own, from anybody")
    if excepted:
        line(f"set aside by --except: {_names(excepted)}")
    for name, why in list(found.unsearched.items())[:10]:
        line(f"NOT SEARCHED {name}: {printable(why)}")
    if len(found.unsearched) > 10:
        line(f"… and {len(found.unsearched) - 10:,} more objects: --json names all")
    if found.stopped:
        line(f"stopped early: {found.stopped}. The answer is not complete; start the same command again.")
    elif found.found:
        total = sum(pointer.count for pointer in found.found)
        line(f"{total:,} places still point at the vendor: do not cancel it yet.")
        if found.watch:
            line(("next: ", Command("run backup --incremental"), "   copies them; then switch them in the next wave"))
        else:
            line(
                (
                    "next: ",
                    Command("status --readiness"),
                    "   says which links are not switched yet, and why",
                )
            )
            line(
                "next: whatever stands in other fields is changed by hand or by its owners; --json has examples of each"
            )
    elif found.unsearched:
        line("Nothing was found, but not everything was searched: this is no all-clear.")
        line("next: give the login read access to those, or raise --limit; then the same command")
        line(("next: what may be left out of the answer: ", Command("sweep --except NAME")))
    elif found.watch:
        line(
            (
                "No record that came or changed since then points at the vendor. This is no all-clear: ",
                Command("sweep"),
                " is one.",
            )
        )
    elif found.only:
        line(f"Nothing was found, but only {_names(found.only)} was searched: this is no all-clear.")
        line(("next: ", Command("sweep"), "   without --object searches the whole org"))
    else:
        apart = " in what was searched" if found.set_aside else ""
        line(f"Nothing that this login can see points at the vendor any more{apart}.")
        line(("next: ", Command("sweep --watch"), "   tells of new ones"))


def _names(names: Sequence[str]) -> str:
    return ", ".join(map(printable, names))

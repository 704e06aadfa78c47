"""What happens in one seed: the operator's commands, the users' edits, the faults.

Everything that can be left out has a number, so that a failing story shrinks by leaving out; whatever is left happens
as it did, for each act draws from a source of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that happens to an act. ``at``: its step or call."""

    number: int
    kind: str
    at: int
    what: str = ""
    seconds: float = 0.0
    pick: int = 0

    def __str__(self) -> str:
        more = f" {self.what}" if self.what else ""
        return f"{self.kind}{more} at {self.at}" + (f" for {self.seconds:g} s" if self.seconds else "")


@dataclass(frozen=True, slots=True)
class Act:
    """One command, and what comes between."""

    number: int
    line: str
    items: tuple[Item, ...] = ()
    manner: str = "mixed"
    wait_s: float = 1.0
    machine: str = ""
    """Another one than the first: with a ``copy`` of its box, or ``bare``."""

    def __str__(self) -> str:
        told = "".join(f"\n      [{item.number}] {item}" for item in self.items)
        where = f", on another machine, {self.machine}" if self.machine else ""
        return f"[{self.number}] {self.line} ({self.manner}, after {self.wait_s:g} s{where}){told}"


@dataclass(frozen=True, slots=True)
class Story:
    """All of a seed."""

    seed: int | str
    acts: tuple[Act, ...]
    conditional: str = "honoured"
    sums: bool = True
    fresh: bool = False
    parts: bool = False
    """Every second file of the vendor's was made of a part, and larger ones of ours are, where they are streams."""
    copies: bool = True
    """The store copies what is the vendor's; otherwise streams must do."""
    end: str = "rollback"

    def without(self, left_out: Collection[int]) -> Story:
        acts = tuple(
            replace(act, items=tuple(item for item in act.items if item.number not in left_out))
            for act in self.acts
            if act.number not in left_out
        )
        return replace(self, acts=acts)

    @property
    def numbers(self) -> list[int]:
        return [n for act in self.acts for n in (act.number, *(item.number for item in act.items))]

    def __str__(self) -> str:
        begin = "an empty box" if self.fresh else "a backup of all"
        traits = {"no sums": not self.sums, "in parts": self.parts, "no copies": not self.copies}
        store = ", ".join([self.conditional, *(name for name, so in traits.items() if so)])
        head = f"store: {store}; begins with {begin}; ends with {self.end}"
        return "\n".join([head, *(f"  {act}" for act in self.acts)])

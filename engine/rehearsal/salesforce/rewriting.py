"""Automation that changes what was written: a before-save flow, or a trigger; or what runs later, in its own name.

``POST /__sim__/rewriting`` switches it on, for all rows or for some; ``POST /__sim__/later`` lets the time come for
what is to run later. What administrators see of it is a matter of ``tooling.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

MAKES: Mapping[str, Callable[[str, str], str | None]] = {
    "append": lambda written, _before: f"{written}?by=flow",
    "lower": lambda written, _before: written.lower(),
    "trim": lambda written, _before: written[:-4],
    "revert": lambda _written, before: before,
    "clear": lambda _written, _before: None,
}
WHEN = ("within", "behind", "later")
"""In the transaction of the write; right behind it, in one of its own; when the time has come."""


@dataclass(frozen=True, slots=True)
class Rewriting:
    """``make`` is one of MAKES, ``when`` one of WHEN; no ``ids``: every row. ``user``: if not the writer."""

    field: str
    make: str
    ids: frozenset[str] = frozenset()
    when: str = "within"
    user: str = ""

    def of(self, row_id: str, values: Mapping[str, Any], before: Any) -> dict[str, Any]:
        """What the row comes to hold of the values that were written; ``before``: of the field."""
        written = values.get(self.field)
        if written is None or (self.ids and row_id not in self.ids):
            return dict(values)
        return {**values, self.field: MAKES[self.make](written, before)}

"""How overwriting is prevented (I7): what is known of a store's ``If-None-Match: *``, and what follows from it. Pure.

A store may honour the condition, ignore it (and overwrite), or answer every such request with 412 or 501. The first
copy and the first put show which one. They go to a key that HEAD has just found free, so nothing of others is at risk:

| HEAD | conditional write | HEAD again | same write repeated | verdict |
|---|---|---|---|---|
| there | - | - | - | still unknown; occupied |
| free | 412 or 501 | there | - | still unknown; occupied (somebody was faster, or our answer was lost) |
| free | 412 or 501 | free | - | UNSUPPORTED: from now on HEAD, then a plain write |
| free | 2xx | - | 412 | HONOURED: from now on no HEAD |
| free | 2xx | - | 2xx | IGNORED: from now on HEAD, then a plain write; the repeat wrote our own bytes again |
"""

from __future__ import annotations

from enum import Enum, auto

CONDITION = {"if-none-match": "*"}


class Conditional(Enum):
    """What is known of a store's condition, for copies or for puts."""

    UNKNOWN = auto()
    HONOURED = auto()
    UNSUPPORTED = auto()
    IGNORED = auto()


def looks_first(verdict: Conditional) -> bool:
    """Whether a write must be preceded by a HEAD."""
    return verdict is not Conditional.HONOURED


def sends_condition(verdict: Conditional) -> bool:
    """Whether a write carries the condition."""
    return verdict is Conditional.HONOURED or verdict is Conditional.UNKNOWN

"""Flags that need more than a type: durations, failure classes, one-of choices."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from engine.limiting.clock import iso
from engine.model.errors import Usage
from engine.model.failures import FailureClass
from engine.model.suggest import nearest

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def duration_s(text: str | None, flag: str = "--max-duration") -> float | None:
    """``90s``, ``30m``, ``6h``, ``1h30m``, or plain seconds, as seconds. Raises Usage."""
    if text is None:
        return None
    if not re.fullmatch(r"(\d+(\.\d+)?[smhd]?)+", text):
        raise Usage(f"{flag} {text!r} is not a duration", hint="Write 90s, 30m, 6h or 1h30m.")
    total = sum(float(n) * _UNITS[unit or "s"] for n, _, unit in re.findall(r"(\d+(\.\d+)?)([smhd]?)", text))
    if total <= 0:
        raise Usage(f"{flag} {text!r} leaves no time at all", hint="Write 90s, 30m, 6h or 1h30m.")
    return total


def moment(text: str | None, flag: str) -> str | None:
    """A time in ISO form, without a zone UTC, as UTC ISO with ``Z``. Raises Usage."""
    if text is None:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise Usage(f"{flag} {text!r} is not a time", hint="Write 2026-11-22T10:00:00Z, or a date alone.") from error
    return iso(at if at.tzinfo else at.replace(tzinfo=UTC))


def failure_classes(names: Sequence[str]) -> frozenset[FailureClass]:
    """The classes of ``--retry-class``, also comma separated. Raises Usage naming the nearest known one."""
    classes = set()
    for name in (part.strip() for text in names for part in text.split(",")):
        try:
            classes.add(FailureClass(name))
        except ValueError as error:
            near = nearest(name, (c.value for c in FailureClass))
            hint = f"Did you mean {near}?" if near else "Known: " + ", ".join(c.value for c in FailureClass)
            raise Usage(f"--retry-class {name!r} is no failure class", hint=hint) from error
    return frozenset(classes)


def dry_or(name: str, execute: bool, *, dry_run: bool) -> bool:
    """Whether to execute; a dry run is the default. Raises Usage where both are asked for."""
    if execute and dry_run:
        raise Usage(f"Give one of {name} and --dry-run; both were given")
    return execute


def goes_with(name: str, given: bool, other: str, other_given: bool) -> None:
    """Raises Usage where a flag was given without the one that it belongs to: it would have no effect."""
    if given and not other_given:
        raise Usage(f"{name} needs {other}, which was not given")


def one_of(first_name: str, first: bool, second_name: str, second: bool) -> bool:
    """True for the first, False for the second of two flags of which exactly one must be given. Raises Usage."""
    exactly_one({first_name: first, second_name: second})
    return first


def exactly_one(flags: Mapping[str, bool]) -> None:
    """Raises Usage where none of these flags was given, or several."""
    given = [name for name, wanted in flags.items() if wanted]
    if len(given) != 1:
        what = "none was given" if not given else "both were given" if len(flags) == 2 else f"given: {', '.join(given)}"
        *others, last = flags
        which = f"exactly one of {', '.join(others)} and {last}" if others else last
        raise Usage(f"Give {which}; {what}")

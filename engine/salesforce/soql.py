"""SOQL text, built from checked names and escaped values. Pure.

Literals are escaped here and nowhere else. Rules: strings in single quotes with ``\\`` and ``'`` escaped by ``\\``;
date-times unquoted, UTC with ``Z`` and whole seconds; ``null``, ``TRUE``, ``FALSE`` bare.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from engine.model.errors import Usage

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,79}(\.[A-Za-z][A-Za-z0-9_]{0,79}){0,5}")
_ESCAPED = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"})

#: Longest string that a WHERE clause takes, in characters.
LONGEST_TEXT = 4000


def select(
    fields: Sequence[str],
    object_name: str,
    *,
    conditions: Iterable[str] = (),
    group: Sequence[str] = (),
    order: Sequence[str] = (),
    descending: bool = False,
    limit: int | None = None,
) -> str:
    """A statement. ``fields`` are checked names or aggregates over them; conditions are joined by AND."""
    parts = [f"SELECT {', '.join(fields)} FROM {name(object_name)}"]  # noqa: S608 - SOQL; its names are checked
    if joined := " AND ".join(condition for condition in conditions if condition):
        parts.append(f"WHERE {joined}")
    if group:
        parts.append(f"GROUP BY {', '.join(name(field) for field in group)}")
    if order:
        direction = " DESC" if descending else ""
        parts.append("ORDER BY " + ", ".join(name(field) + direction for field in order))
    if limit is not None:
        parts.append(f"LIMIT {limit:d}")
    return " ".join(parts)


def name(text: str) -> str:
    """The text, if it is the API name of an object or field, or a dotted path of them. Raises Usage."""
    if not _NAME.fullmatch(text):
        raise Usage(f"{text!r} is not the API name of a Salesforce object or field")
    return text


def named(names: Iterable[str]) -> tuple[str, ...]:
    """The names, checked, each once: Salesforce refuses a field asked for twice, in whatever case."""
    return tuple({text.lower(): name(text) for text in names}.values())


def compare(field: str, operator: str, value: str) -> str:
    """``field operator 'value'`` with the value as a string."""
    return f"{name(field)} {operator} {text_literal(value)}"


def since(field: str, moment: str) -> str:
    """``field >= moment`` for an ISO time; fractions of a second are dropped, which only widens the range."""
    return f"{name(field)} >= {moment_literal(moment)}"


def is_null(field: str) -> str:
    """``field = null``."""
    return f"{name(field)} = null"


def within(field: str, values: Sequence[str]) -> str:
    """``field IN ('…', '…')``; values must not be empty."""
    return f"{name(field)} IN ({','.join(text_literal(value) for value in values)})"


def either(alternatives: Iterable[Sequence[str]]) -> str:
    """``((a AND b) OR (c))``; no alternative may be empty."""
    return "(" + " OR ".join(f"({' AND '.join(each)})" for each in alternatives) + ")"


def bracketed(condition: str | None) -> str:
    """A condition from the settings in brackets, so that its OR cannot mix with ours; empty when there is none."""
    return f"({condition})" if condition and condition.strip() else ""


def text_literal(value: str) -> str:
    """A string literal. Raises Usage above the 4,000 characters that SOQL takes."""
    if len(value) > LONGEST_TEXT:
        raise Usage(f"a value of {len(value)} characters is too long for a Salesforce query")
    return f"'{value.translate(_ESCAPED)}'"


def moment_literal(value: str | datetime) -> str:
    """A date-time literal, ``2026-11-22T10:00:00Z``. Raises Usage for text that is no time, or one without a zone."""
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
    except ValueError:
        raise Usage(f"{value!r} is not an ISO time such as 2026-11-22T10:00:00Z") from None
    if moment.tzinfo is None:
        raise Usage(f"{value!r} has no time zone; write it as UTC with Z")
    moment = moment.astimezone(UTC)
    if not 1700 <= moment.year <= 4000:
        raise Usage(f"{value!r} is outside the years 1700 to 4000 that Salesforce knows")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")

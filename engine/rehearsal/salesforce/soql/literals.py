"""Constants of a SOQL condition as values to bind, checked against the type of the field they are compared with."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from engine.model.ids import to18
from engine.rehearsal.salesforce.clock import from_stamp, stamp
from engine.rehearsal.salesforce.schema import IDS, NUMERIC, TEXTUAL, Field
from engine.rehearsal.salesforce.soql.lexer import located, malformed
from engine.rehearsal.salesforce.soql.parser import Literal

_FIRST_YEAR, _LAST_YEAR = 1700, 4000


def bound_value(soql: str, target: Field, literal: Literal) -> Any:
    """The SQL value of a literal; None is null, and so is an empty text. Raises ApiError 400 when the types differ."""
    if literal.kind == "null" or (literal.kind == "string" and not literal.value and target.type in TEXTUAL):
        return None
    expected = _literal_kind(target.type)
    if literal.kind != expected:
        quotes = "and should be enclosed in quotes" if expected == "string" else "and should not be enclosed in quotes"
        word = "dateTime" if target.type == "datetime" else target.type
        message = f"value of filter criterion for field '{target.name}' must be of type {word} {quotes}"
        raise located(soql, literal.at, "INVALID_FIELD", message)
    if target.type in IDS:
        try:
            return to18(literal.value)
        except ValueError as error:
            message = f"invalid ID field: {literal.value}"
            raise located(soql, literal.at, "INVALID_QUERY_FILTER_OPERATOR", message) from error
    if literal.kind == "boolean":
        return int(literal.value == "TRUE")
    if literal.kind == "number":
        return float(literal.value)
    return _moment(soql, literal) if literal.kind in {"datetime", "date"} else literal.value


def _moment(soql: str, literal: Literal) -> str:
    try:
        moment = from_stamp(literal.value)
    except (ValueError, OverflowError) as error:
        raise malformed(soql, literal.at, f"invalid date: {literal.value}") from error
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise malformed(soql, literal.at, f"date out of range: {literal.value}")
    return _precise(moment) if literal.kind == "datetime" else literal.value


def _precise(moment: datetime) -> str:
    return stamp(moment).replace(".000", f".{moment.microsecond // 1000:03d}")


def _literal_kind(field_type: str) -> str:
    if field_type in NUMERIC:
        return "number"
    if field_type in {"boolean", "datetime", "date"}:
        return field_type
    return "string"

"""Rows out of SQL to records as the REST API prints them, with ``attributes`` and nested parents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Row = Sequence[Any]
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """A key of the answer, where its value stands in the row, and its describe type."""

    key: str
    index: int
    type: str


@dataclass(slots=True)
class _Level:
    """One object of the answer: the row itself or a parent. ``entries`` keep the order of SELECT."""

    sobject: str
    id_index: int = 0
    entries: list[Column | tuple[str, _Level]] = field(default_factory=list)


class Shape:
    """How rows of one statement become records."""

    def __init__(self, sobject: str, *, aggregate: bool = False) -> None:
        self._top = _Level(sobject)
        self._levels: dict[tuple[str, ...], _Level] = {(): self._top}
        self._aggregate = aggregate

    def add_parent(self, path: tuple[str, ...], sobject: str, id_index: int) -> bool:
        """Make room for a parent; False when it is already there."""
        if path in self._levels:
            return False
        level = _Level(sobject, id_index)
        self._levels[path] = level
        self._levels[path[:-1]].entries.append((path[-1], level))
        return True

    def add_column(self, path: tuple[str, ...], column: Column) -> None:
        """Add a value to the record or to one of its parents."""
        self._levels[path].entries.append(column)

    def records(self, rows: Iterable[Row], version: str) -> list[Record]:
        """The records of an answer of this API version (``62.0``)."""
        if self._aggregate:
            return [_aggregate_record(self._top, row) for row in rows]
        base = f"/services/data/v{version}/sobjects/"
        if all(isinstance(entry, Column) for entry in self._top.entries):
            return self._flat(rows, base)
        return [_record(self._top, row, base) for row in rows]

    def _flat(self, rows: Iterable[Row], base: str) -> list[Record]:
        columns = [entry for entry in self._top.entries if isinstance(entry, Column)]
        keys = ["attributes", *(column.key for column in columns)]
        booleans = [column.key for column in columns if column.type == "boolean"]
        sobject = self._top.sobject
        prefix = f"{base}{sobject}/"
        records = [dict(zip(keys, ({"type": sobject, "url": prefix + row[0]}, *row[1:]), strict=True)) for row in rows]
        for key in booleans:
            for record in records:
                record[key] = bool(record[key])
        return records


def _value_of(column: Column, row: Row) -> Any:
    """The JSON value of a stored one."""
    value = row[column.index]
    return bool(value) if column.type == "boolean" else value


def _record(level: _Level, row: Row, base: str) -> Record:
    record: Record = {"attributes": {"type": level.sobject, "url": f"{base}{level.sobject}/{row[level.id_index]}"}}
    for entry in level.entries:
        if isinstance(entry, Column):
            record[entry.key] = _value_of(entry, row)
        else:
            key, parent = entry
            record[key] = _record(parent, row, base) if row[parent.id_index] is not None else None
    return record


def _aggregate_record(level: _Level, row: Row) -> Record:
    record: Record = {"attributes": {"type": "AggregateResult"}}
    record.update({entry.key: _value_of(entry, row) for entry in level.entries if isinstance(entry, Column)})
    return record

"""The org's rows in SQLite: one table per object, ids compared byte by byte, clustered by Id.

Only storage lives here: who may do what, ``handlers/dml.py`` asks. Every public method is one transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from engine.model.ids import to18
from engine.rehearsal.salesforce.clock import OrgClock, from_stamp, stamp
from engine.rehearsal.salesforce.schema import IDS, NUMERIC, TEXTUAL, Field, Schema, SObject

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_POD = "5e0"
_CHUNK = 5_000
_canonical = lru_cache(maxsize=65_536)(to18)  # the same parents come again and again


class World:
    """Ground truth of the org. ``connection`` may be queried by tests; table and column names are the API names."""

    def __init__(self, schema: Schema, clock: OrgClock, path: Path | None, user_id: str) -> None:
        self.schema = schema
        self.clock = clock
        self.user_id = user_id
        self.connection = sqlite3.connect(
            ":memory:" if path is None else str(path), isolation_level=None, check_same_thread=False
        )
        # A killed process loses nothing with synchronous=OFF; only a power cut would, and this is a rehearsal.
        for pragma in ("journal_mode=WAL", "synchronous=OFF", "cache_size=-200000", "temp_store=MEMORY"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.refresh_tables()

    def close(self) -> None:
        """Release the database."""
        self.connection.close()

    def refresh_tables(self) -> None:
        """Bring tables and columns in step with the schema; columns are only ever added."""
        for sobject in self.schema:
            columns = [item.column for item in sobject.fields if item.name != "Id"]
            definition = ", ".join(['"Id" TEXT PRIMARY KEY', *columns])
            self.connection.execute(f'CREATE TABLE IF NOT EXISTS "{sobject.name}" ({definition}) WITHOUT ROWID')
            present = {row[1] for row in self.connection.execute(f'PRAGMA table_info("{sobject.name}")')}
            for item in sobject.fields:
                if item.name not in present:
                    self.connection.execute(f'ALTER TABLE "{sobject.name}" ADD COLUMN {item.column}')
                if item.indexed:
                    name = f"{sobject.name}_{item.name}"
                    self.connection.execute(f'CREATE INDEX IF NOT EXISTS "{name}" ON "{sobject.name}" ("{item.name}")')

    def load(self, sobject_name: str, records: Iterable[Mapping[str, Any]]) -> list[str]:
        """Insert rows as they are, outside all rules, and return their ids; raises KeyError or ValueError.

        Missing ids are given out, missing audit fields filled; keys are API names in their exact spelling.
        """
        sobject = self.schema.get(sobject_name)
        names = [item.name for item in sobject.fields]
        defaults = self._audit(self.user_id)
        if "OwnerId" in names:
            defaults["OwnerId"] = self.user_id
        typed: dict[frozenset[str], list[Field]] = {}
        known = frozenset(names)
        insert = f'INSERT INTO "{sobject.name}" VALUES ({",".join("?" * len(names))})'  # noqa: S608
        order = self._column_order(sobject)
        ids: list[str] = []
        pending = iter(records)
        with self._transaction():
            while chunk := list(islice(pending, _CHUNK)):
                rows = []
                fresh = iter(self._new_ids(sobject, sum(1 for record in chunk if "Id" not in record)))
                for record in chunk:
                    shape = frozenset(record)
                    if shape not in typed:
                        if not shape <= known:
                            raise ValueError(f"{sobject.name} has no field {sorted(shape - known)}")
                        typed[shape] = [
                            item for item in sobject.fields if item.name in shape and item.type not in TEXTUAL
                        ]
                    row = {**defaults, **record}
                    for item in typed[shape]:
                        row[item.name] = stored(item, row[item.name])
                    if "Id" not in shape:
                        row["Id"] = next(fresh)
                    values = [row.get(name) for name in order]
                    rows.append([None if value == "" else value for value in values] if "" in values else values)
                    ids.append(row["Id"])
                self.connection.executemany(insert, rows)
        return ids

    def insert(self, sobject: SObject, records: Sequence[Mapping[str, Any]], user_id: str) -> list[str]:
        """Insert checked rows in the name of a user; ids are always given out."""
        audit = self._audit(user_id)
        return self.load(sobject.name, [{**audit, **record} for record in records])

    def update(self, sobject: SObject, changes: Iterable[tuple[str, Mapping[str, Any]]], user_id: str) -> None:
        """Set fields on rows (already stored values) and move their time stamps."""
        now = stamp(self.clock.now())
        by_fields: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
        for row_id, values in changes:
            by_fields.setdefault(tuple(values), []).append((*values.values(), now, now, user_id, row_id))
        with self._transaction():
            for names, rows in by_fields.items():
                assignments = "".join(f'"{name}" = ?, ' for name in names)
                self.connection.executemany(
                    f'UPDATE "{sobject.name}" SET {assignments}"LastModifiedDate" = ?, "SystemModstamp" = ?, '  # noqa: S608
                    f'"LastModifiedById" = ? WHERE "Id" = ?',
                    rows,
                )

    def edit(self, ids: Iterable[str], values: Mapping[str, Any], user_id: str | None = None) -> int:
        """A person edits rows behind the API's back; raises KeyError for a field or prefix nobody knows."""
        count = 0
        for sobject, group in self._by_object(ids):
            fields = {name: sobject.column(name) for name in values}
            row = {item.name: stored(item, values[name]) for name, item in fields.items() if item is not None}
            if len(row) < len(values):
                raise KeyError(f"{sobject.name} has not all of {sorted(values)}")
            self.update(sobject, [(row_id, row) for row_id in group], user_id or self.user_id)
            count += len(group)
        return count

    def set_deleted(self, ids: Iterable[str], deleted: bool, user_id: str | None = None) -> int:
        """Put rows into the recycle bin, or take them out of it."""
        count = 0
        for sobject, group in self._by_object(ids):
            rows = [(row_id, {"IsDeleted": int(deleted)}) for row_id in group]
            self.update(sobject, rows, user_id or self.user_id)
            count += len(group)
        return count

    def fetch(self, sobject: SObject, ids: Sequence[str], names: Sequence[str]) -> dict[str, tuple[Any, ...]]:
        """Stored values of the named fields by id, recycle bin included; unknown ids are absent."""
        columns = ", ".join(f'"{name}"' for name in names)
        marks = ",".join("?" * len(ids))
        sql = f'SELECT "Id", {columns} FROM "{sobject.name}" WHERE "Id" IN ({marks})'  # noqa: S608
        return {row[0]: row[1:] for row in self.connection.execute(sql, list(ids))}

    def parents(self, ids: Sequence[str], field: str) -> dict[str, str]:
        """Where a reference field of rows of one object points, by id; rows that point nowhere are absent."""
        try:
            sobject = self.object_of(ids[0])
        except KeyError:
            return {}
        item = sobject.column(field)
        if item is None or item.type != "reference":
            return {}
        rows = self.fetch(sobject, ids, [item.name])
        return {row_id: parent for row_id, (parent,) in rows.items() if parent is not None}

    def record(self, row_id: str) -> dict[str, Any] | None:
        """One whole row, whoever asks; None when there is none."""
        sobject = self.object_of(row_id)
        names = [item.name for item in sobject.fields]
        row = self.fetch(sobject, [to18(row_id)], names).get(to18(row_id))
        booleans = [item.name for item in sobject.fields if item.type == "boolean"]
        return None if row is None else printable(names, booleans, row)

    def dump(self, sobject_name: str) -> Iterator[dict[str, Any]]:
        """All rows of an object by id, recycle bin included."""
        sobject = self.schema.get(sobject_name)
        names = [item.name for item in sobject.fields]
        columns = ", ".join(f'"{name}"' for name in names)
        booleans = [item.name for item in sobject.fields if item.type == "boolean"]
        for row in self.connection.execute(f'SELECT {columns} FROM "{sobject.name}" ORDER BY "Id"'):  # noqa: S608
            yield printable(names, booleans, row)

    def count(self, sobject_name: str) -> int:
        """Rows of an object outside the recycle bin."""
        sobject = self.schema.get(sobject_name)
        sql = f'SELECT COUNT(*) FROM "{sobject.name}" WHERE "IsDeleted" = 0'  # noqa: S608
        return int(self.connection.execute(sql).fetchone()[0])

    def object_of(self, row_id: str) -> SObject:
        """The object an id's prefix belongs to; raises KeyError."""
        for sobject in self.schema:
            if sobject.key_prefix == row_id[:3]:
                return sobject
        raise KeyError(f"no object has the id prefix {row_id[:3]!r}")

    def _by_object(self, ids: Iterable[str]) -> list[tuple[SObject, list[str]]]:
        groups: dict[str, list[str]] = {}
        for row_id in ids:
            groups.setdefault(row_id[:3], []).append(to18(row_id))
        return [(self.object_of(group[0]), group) for group in groups.values()]

    def _audit(self, user_id: str) -> dict[str, Any]:
        now = stamp(self.clock.now())
        return {
            "IsDeleted": 0,
            "CreatedDate": now,
            "CreatedById": user_id,
            "LastModifiedDate": now,
            "LastModifiedById": user_id,
            "SystemModstamp": now,
        }

    def _new_ids(self, sobject: SObject, count: int) -> list[str]:
        if not count:
            return []
        start = sobject.key_prefix + _POD
        sql = f'SELECT MAX("Id") FROM "{sobject.name}" WHERE "Id" > ? AND "Id" < ?'  # noqa: S608
        highest = self.connection.execute(sql, (start, start + "~")).fetchone()[0]
        last = sum(
            _DIGITS.index(digit) * 62**place for place, digit in enumerate(reversed((highest or "0" * 15)[6:15]))
        )
        return [make_id(sobject.key_prefix, number) for number in range(last + 1, last + count + 1)]

    def _column_order(self, sobject: SObject) -> list[str]:
        return [row[1] for row in self.connection.execute(f'PRAGMA table_info("{sobject.name}")')]

    def _transaction(self) -> _Transaction:
        return _Transaction(self.connection)


class _Transaction:
    """All or nothing; nested use joins the outer one."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._outermost = not connection.in_transaction

    def __enter__(self) -> None:
        if self._outermost:
            self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._outermost:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")


def make_id(prefix: str, number: int) -> str:
    """The id with this sequence number; ids of growing numbers grow in byte order."""
    tail = ""
    while number:
        number, digit = divmod(number, 62)
        tail = _DIGITS[digit] + tail
    return to18(f"{prefix}{_POD}{tail.rjust(9, '0')}")


def stored(item: Field, value: Any) -> Any:
    """The column value of a JSON one; raises ValueError for what the type cannot hold."""
    if value is None or value == "":
        return None
    if item.type in IDS:
        return _canonical(value)
    if item.type == "datetime":
        return value if len(value) == 28 and value.endswith(".000+0000") else stamp(from_stamp(value))
    if item.type == "boolean":
        return int(value)
    return float(value) if item.type in NUMERIC and item.type != "int" else value


def printable(names: Sequence[str], booleans: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    """A row as JSON values; ``booleans`` are the names SQLite keeps as 0 and 1."""
    record = dict(zip(names, row, strict=True))
    for name in booleans:
        if record[name] is not None:
            record[name] = bool(record[name])
    return record

"""What an import gathers: the scripts' rows, and what listings say of the objects that they name.

A private, temporary database on disk, like that of an analysis (``scratch.py``): memory stays bounded whatever the
number of rows, and nothing remains of it after a kill. A row takes some 600 bytes. Methods raise Fatal where the
temporary directory is full.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import orjson

from engine.model.facts import ObjectFacts, listed_facts
from engine.model.old_copy import Old
from engine.model.urls import identity_hash
from engine.tracking.db.faults import translated
from engine.tracking.db.temporary import TemporaryDatabase

KEYS = 2_000
"""Keys whose rows are handed over at a time."""
_TABLES = """
CREATE TABLE old (id TEXT PRIMARY KEY, key TEXT, source_id INTEGER, updated TEXT, doc BLOB);
CREATE TABLE ours (key TEXT PRIMARY KEY, size INTEGER, etag TEXT, class TEXT, modified TEXT) WITHOUT ROWID;
CREATE TABLE theirs (source_id INTEGER PRIMARY KEY, size INTEGER, etag TEXT, class TEXT, modified TEXT);
"""
_INDEXES = """
CREATE INDEX old_by_key ON old (key, id);
CREATE INDEX old_by_source ON old (source_id);
"""
_ADD = """
INSERT INTO old VALUES (?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET key = excluded.key,
    source_id = excluded.source_id, updated = excluded.updated, doc = excluded.doc WHERE excluded.updated > updated
"""
_OURS = "INSERT OR REPLACE INTO ours SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM old WHERE key = ?1)"
_THEIRS = (
    "INSERT OR REPLACE INTO theirs SELECT ?1, ?2, ?3, ?4, ?5 WHERE EXISTS (SELECT 1 FROM old WHERE source_id = ?1)"
)
_KEYS = "SELECT DISTINCT key FROM old WHERE key > ? ORDER BY key LIMIT ?"
_ROWS = "SELECT key, doc FROM old WHERE key > ? AND key <= ? ORDER BY key, id"
Objects = Iterable[tuple[str, int, str, str, str]]
"""Key, size, ETag, storage class, time of change."""


class LegacyScratch(TemporaryDatabase):
    """A context manager: ``add`` rows, then ``sort`` them, then add listings, then go through ``groups``."""

    def __init__(self) -> None:
        super().__init__(_TABLES, "OFF")

    def add(self, rows: Sequence[Old]) -> None:
        """Of two rows of one record, the one that was changed last stays."""
        # a row without a key shares it with no other
        self._many(_ADD, ((r.id, r.key or f"\x01{r.id}", r.source_id, r.updated, orjson.dumps(list(r))) for r in rows))

    def sort(self) -> int:
        """All rows are in. Returns how many records there are."""
        with translated(self._place, starting=False):
            self._db.executescript(_INDEXES)
            return int(self._db.execute("SELECT count(*) FROM old").fetchone()[0])

    def add_ours(self, rows: Objects) -> None:
        """What the listing of our bucket says."""
        self._many(_OURS, rows)

    def add_theirs(self, bucket: str, rows: Objects) -> None:
        """What the listing of a source bucket says."""
        self._many(_THEIRS, ((identity_hash(f"s3://{bucket}/{key}"), *rest) for key, *rest in rows))

    def groups(self) -> Iterator[list[list[Old]]]:
        """All records, two thousand keys at a time; those that share a key stand together."""
        after = ""
        while True:
            with translated(self._place, starting=False):
                keys = self._db.execute(_KEYS, (after, KEYS)).fetchall()
                if not keys:
                    return
                rows = self._db.execute(_ROWS, (after, keys[-1][0])).fetchall()
            after = keys[-1][0]
            yield [[Old(*orjson.loads(doc)) for _, doc in group] for _, group in groupby(rows, key=lambda row: row[0])]

    def ours(self, keys: Iterable[str]) -> dict[str, ObjectFacts]:
        """What is known of these keys of our bucket."""
        return dict(self._facts("SELECT * FROM ours WHERE key IN (SELECT value FROM json_each(?))", list(keys)))

    def theirs(self, source_ids: Iterable[int]) -> dict[int, ObjectFacts]:
        """What is known of these sources."""
        sql = "SELECT * FROM theirs WHERE source_id IN (SELECT value FROM json_each(?))"
        return dict(self._facts(sql, list(source_ids)))

    def _facts(self, sql: str, wanted: Sequence[object]) -> list[tuple[Any, ObjectFacts]]:
        with translated(self._place, starting=False):
            found = self._db.execute(sql, (json.dumps(wanted),)).fetchall()
        return [(name, listed_facts(*rest)) for name, *rest in found]

    def _many(self, sql: str, rows: Iterable[Sequence[object]]) -> None:
        with self._writing():
            self._db.executemany(sql, rows)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with translated(self._place, starting=False):
            self._db.execute("BEGIN")
            yield
            self._db.execute("COMMIT")

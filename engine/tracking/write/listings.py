"""The source inventory: what listings of source buckets said, kept for the scan that asked for it.

Rows are appended as they come and indexed once at the end: kept in order of their ids, which are hashes, each
transaction would rewrite nearly every page of the table. A million rows take three seconds, and one for the index.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import orjson

from engine.model.facts import ObjectFacts, listed_facts
from engine.model.urls import identity_hash
from engine.tracking.db.database import Database

Row = tuple[str, int, str, str, str]
"""Key, size in bytes, ETag without quotes, storage class, last modification."""
Bounds = tuple[str, str | None]
"""A stretch of keys still to be listed: behind the first, up to the second (None: to the end)."""
Ending = Literal["completed", "given_up"]

_INSERT = (
    "INSERT INTO inventory (source_id, size, etag, storage_class, last_modified, listing) VALUES (?, ?, ?, ?, ?, ?)"
)
_FACTS = """
SELECT json_group_array(json_array(source_id, size, etag, storage_class, last_modified))
FROM inventory WHERE source_id IN (SELECT value FROM json_each(?))
"""


@dataclass(frozen=True, slots=True)
class Listing:
    """How far the listing of one bucket has come; ``remaining`` is empty when it is completed."""

    id: int
    bucket: str
    state: Literal["running", "completed", "given_up"]
    objects: int
    bytes: int
    remaining: tuple[Bounds, ...]


class Listings:
    """Listings of the current scan. ``in_force``: they may be relied on. Every verb raises Fatal when SQLite cannot."""

    def __init__(self, database: Database) -> None:
        self._db = database
        self.in_force = False

    async def of_scan(self, scan_id: int) -> dict[str, Listing]:
        """The listings that a scan has made so far, by bucket."""
        rows = await self._db.fetch(
            "SELECT id, bucket, state, objects, bytes, (SELECT json_group_array(json_array(after, until))"
            " FROM listing_ranges WHERE listing = listings.id) FROM listings WHERE scan_id = ?",
            (scan_id,),
        )
        return {
            bucket: Listing(
                number, bucket, state, objects, size, tuple((after, until) for after, until in json.loads(left))
            )
            for number, bucket, state, objects, size, left in rows
        }

    async def begin(self, scan_id: int, bucket: str) -> Listing:
        """Open the listing of a bucket. What other scans have listed is forgotten."""
        number = await self._db.write(partial(_begin, scan_id=scan_id, bucket=bucket, now=self._db.now()))
        return Listing(number, bucket, "running", 0, 0, (("", None),))

    async def add(self, listing: Listing, rows: Sequence[Row], remaining: Sequence[Bounds]) -> None:
        """Store rows together with what then remains to be listed: after a kill, the listing goes on from there."""
        await self._db.write(partial(_add, listing=listing, rows=rows, remaining=remaining))

    async def end(self, listing: Listing, state: Ending) -> None:
        """Close a listing. The rows of one that was given up stand: what they lack is asked for by HEAD anyway."""
        await self._db.write(partial(_end, listing=listing.id, state=state, now=self._db.now()))

    async def enforce(self) -> None:
        """From now on look things up in what is listed; indexes it first where that is not done yet."""
        await self._db.maintain(_index)
        self.in_force = True

    def lapse(self) -> None:
        """From now on do without."""
        self.in_force = False

    async def facts(self, source_ids: Sequence[int]) -> dict[int, ObjectFacts]:
        """What the listings say of these sources, where they say anything; nothing at all unless in force."""
        if not self.in_force or not source_ids:
            return {}
        rows = await self._db.fetch(_FACTS, (json.dumps(list(source_ids)),))
        return {row[0]: listed_facts(*row[1:]) for row in orjson.loads(rows[0][0])}


def _begin(db: sqlite3.Connection, scan_id: int, bucket: str, now: str) -> int:
    if db.execute("SELECT 1 FROM listings WHERE scan_id = ?", (scan_id,)).fetchone() is None:
        db.execute("DROP INDEX IF EXISTS inventory_by_source")
        for table in ("inventory", "listing_ranges", "listings"):
            db.execute(f"DELETE FROM {table}")
    cursor = db.execute(
        "INSERT INTO listings (scan_id, bucket, state, started_at) VALUES (?, ?, 'running', ?)", (scan_id, bucket, now)
    )
    db.execute("INSERT INTO listing_ranges (listing, after, until) VALUES (?, '', NULL)", (cursor.lastrowid,))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _add(db: sqlite3.Connection, listing: Listing, rows: Sequence[Row], remaining: Sequence[Bounds]) -> None:
    prefix, number = f"s3://{listing.bucket}/", listing.id
    db.executemany(
        _INSERT,
        [
            (identity_hash(prefix + key), size, etag, storage_class, modified, number)
            for key, size, etag, storage_class, modified in rows
        ],
    )
    db.execute(
        "UPDATE listings SET objects = objects + ?, bytes = bytes + ? WHERE id = ?",
        (len(rows), sum([row[1] for row in rows]), number),
    )
    db.execute("DELETE FROM listing_ranges WHERE listing = ?", (number,))
    db.executemany(
        "INSERT INTO listing_ranges (listing, after, until) VALUES (?, ?, ?)",
        [(number, after, until) for after, until in remaining],
    )


def _end(db: sqlite3.Connection, listing: int, state: Ending, now: str) -> None:
    db.execute("UPDATE listings SET state = ?, completed_at = ? WHERE id = ?", (state, now, listing))
    db.execute("DELETE FROM listing_ranges WHERE listing = ?", (listing,))


def _index(db: sqlite3.Connection) -> None:
    """Sorts in files: in memory, which is right for all else here, it would take 50 MB for each million rows."""
    (usual,) = db.execute("PRAGMA cache_size").fetchone()
    db.execute("PRAGMA temp_store = FILE")
    db.execute("PRAGMA cache_size = -8192")
    try:
        db.execute("CREATE INDEX IF NOT EXISTS inventory_by_source ON inventory (source_id)")
    finally:
        db.execute(f"PRAGMA cache_size = {usual}")
        db.execute("PRAGMA temp_store = MEMORY")

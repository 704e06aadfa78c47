"""Reading rows for planning: what is known of a page, where a proved duplicate lies, what is to be tried again.

Answers come as one JSON text each: SQLite builds it in one step, where row by row Python would hand the interpreter
lock to and fro between the event loop and the reading thread (measured beside a busy loop: 8 ms a page, not 55).
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Protocol

import orjson

from engine.model.facts import Proof
from engine.model.failures import FailureClass
from engine.model.outcome import Duplicate, Status
from engine.model.plan import Known
from engine.model.record import Record
from engine.tracking.db.conditions import PROVED, TO_DO, UNPROVED
from engine.tracking.db.database import Database
from engine.tracking.read.columns import OF_ITS_SOURCE, PROVED_COPY

#: Rows in a chunk of ``pending``.
CHUNK = 2000
#: Ids looked at in one step of ``rows_not_in``.
STRIDE = 20_000

_STATUS = {status.value: status for status in Status}

# after the record's id, in the order of Known's fields
_COLUMNS = """
SELECT json_group_array(json_array(doclist_entry_id, id, status, coalesce(failure_class, ''), original_url,
    coalesce(your_s3_url, ''), coalesce(your_s3_key, ''), coalesce(last_modified_sf, ''), account_id, account_name,
    record_name, coalesce(source_etag, ''), coalesce(destination_etag, ''), attempts + (SELECT count(*)
        FROM migration_errors e WHERE e.doclist_entry_id = f.doclist_entry_id AND e.settled = 0), coalesce(proof, ''),
    coalesce(run_id, 0), file_size_bytes, coalesce(backup_timestamp, ''),
    coalesce((SELECT reason FROM unseen u WHERE u.doclist_entry_id = f.doclist_entry_id), ''),
    coalesce(failed_write, ''), coalesce(f.source_id, 0), coalesce(method, '') = 'twin', coalesce(extra, '')"""
_WANTED = "WHERE doclist_entry_id IN (SELECT value FROM json_each(?))"
_KNOWN = f"{_COLUMNS})) FROM file_migrations f {_WANTED}"
_KNOWN_AND_LISTED = f"""{_COLUMNS}, coalesce(i.etag, '')))
FROM file_migrations f LEFT JOIN inventory i ON i.source_id = f.source_id {_WANTED}
"""

# proofs sort as their strength: checksum, etag, received, size
_DUPLICATES = f"""
SELECT json_group_array(json_array(source_id, doclist_entry_id, {OF_ITS_SOURCE}, {PROVED_COPY}))
FROM json_each(?) AS wanted JOIN file_migrations ON file_migrations.id = (
    SELECT f.id FROM file_migrations f WHERE f.source_id = wanted.value AND {PROVED} ORDER BY proof LIMIT 1)
"""

_UNPROVED_ROWS = f"SELECT id FROM file_migrations WHERE {UNPROVED} ORDER BY id"
_WAITING = (f"SELECT id FROM file_migrations WHERE {TO_DO} AND status = 'pending' ORDER BY id", _UNPROVED_ROWS)
# tried longest ago first: a run that is stopped before it comes to the rest of them does not begin with the same again.
# What the org has made of our link is no matter of its copy: only a rollback puts that right
_FAILED = f"""
SELECT id FROM file_migrations f
WHERE {TO_DO} AND status = 'failed' AND failure_class IN (SELECT value FROM json_each(?))
    AND 'rewritten' IS NOT (SELECT event FROM url_changes c WHERE c.doclist_entry_id = f.doclist_entry_id
        AND f.failure_class = '{FailureClass.REJECTED.value}' ORDER BY c.id DESC LIMIT 1)
ORDER BY run_id, id
"""
# a switched record comes with the link that it carries: planning finds its way back to the original one
_RECORDS = """
SELECT json_group_array(json_array(id, doclist_entry_id, record_name,
    CASE WHEN status = 'switched' THEN your_s3_url ELSE original_url END, account_id, account_name,
    coalesce(last_modified_sf, ''), extra))
FROM (SELECT f.* FROM json_each(?) AS wanted JOIN file_migrations f ON f.id = wanted.value ORDER BY wanted.key)
"""

_LIVE = """
SELECT json_group_array(json_array(id, doclist_entry_id))
FROM file_migrations WHERE id > ? AND id <= ? AND status <> 'gone'
"""


class Asked(Protocol):
    """What answers questions; ``Database`` fits."""

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


async def known(db: Asked, ids: Sequence[str], *, listed: bool = False) -> dict[str, Known]:
    """Rows of these records (up to some thousand), by record id; ``listed``: beside the inventory. Raises Fatal."""
    rows = await _ask(db, _KNOWN_AND_LISTED if listed else _KNOWN, json.dumps(list(ids)))
    return {row[0]: Known(row[1], _STATUS[row[2]], *row[3:]) for row in rows}


async def duplicates(db: Database, source_ids: Sequence[int]) -> dict[int, Duplicate]:
    """The best proved copy of each source, where one exists. Raises Fatal."""
    wanted = json.dumps([number for number in set(source_ids) if number])
    return {
        source: Duplicate(record, key, size, source_etag, etag, checksum, sha256, Proof(proof))
        for source, record, source_etag, sha256, key, size, etag, checksum, proof in await _ask(db, _DUPLICATES, wanted)
    }


async def pending(db: Database, failures: Sequence[str]) -> AsyncIterator[list[Record]]:
    """Records to try again, in chunks, each at most once: rows added meanwhile are left out. Raises Fatal.

    What waits comes first: pending records, and switched ones whose copy a verification did not find as recorded. Then
    what has failed, the oldest tries first. Row numbers are read beforehand, eight bytes each.
    """
    async for records in _in_chunks(db, await db.read(partial(_again, classes=json.dumps(list(failures))))):
        yield records


async def unproved(db: Database) -> AsyncIterator[list[Record]]:
    """Switched records whose copy a verification did not find as recorded, or nobody has proved. Raises Fatal."""
    rows = await db.read(lambda reader: array("q", (row for (row,) in reader.execute(_UNPROVED_ROWS))))
    async for records in _in_chunks(db, rows):
        yield records


async def _in_chunks(db: Database, rows: Sequence[int]) -> AsyncIterator[list[Record]]:
    for start in range(0, len(rows), CHUNK):
        yield _records(await _ask(db, _RECORDS, json.dumps(list(rows[start : start + CHUNK]))))


def _again(db: sqlite3.Connection, classes: str) -> array[int]:
    found = array("q")
    for sql, values in (*((each, ()) for each in _WAITING), (_FAILED, (classes,))):
        found.extend(row for (row,) in db.execute(sql, values))
    return found


def _records(rows: list[list[Any]]) -> list[Record]:
    return [Record(*[*row[1:-1], tuple(json.loads(row[-1] or "{}").items())]) for row in rows]


async def rows_not_in(db: Database, seen: bytearray, before_row: int) -> AsyncIterator[list[tuple[int, str]]]:
    """Rows up to ``before_row`` (inclusive) that are not gone and whose bit in ``seen`` is not set.

    Row r is bit ``r & 7`` of byte ``r >> 3``; bytes that are missing count as not set. Yields chunks of
    (row, record id). Raises Fatal.
    """
    for start in range(0, before_row, STRIDE):
        rows = await _ask(db, _LIVE, start, min(start + STRIDE, before_row))
        absent = [(row, name) for row, name in rows if row >> 3 >= len(seen) or not seen[row >> 3] >> (row & 7) & 1]
        if absent:
            yield absent


async def outside(db: Database, ids: Sequence[str], account: str) -> list[str]:
    """Those of the Ids whose records belong to another account, or to none. Raises Fatal."""
    sql = (
        "SELECT doclist_entry_id FROM file_migrations"
        " WHERE doclist_entry_id IN (SELECT value FROM json_each(?)) AND account_id IS NOT ? ORDER BY id"
    )
    return await db.read(lambda reader: [row[0] for row in reader.execute(sql, (json.dumps(list(ids)), account))])


async def max_row(db: Database) -> int:
    """The highest row in use; 0 when there is none. Raises Fatal."""
    return int((await db.fetch("SELECT coalesce(max(id), 0) FROM file_migrations"))[0][0])


async def _ask(db: Asked, sql: str, *parameters: object) -> list[list[Any]]:
    answer: list[list[Any]] = orjson.loads((await db.fetch(sql, parameters))[0][0])
    return answer


def first_start(db: sqlite3.Connection) -> str:
    """When the first run of this tracking DB began; empty: there was none."""
    row = db.execute("SELECT start_time FROM migration_runs ORDER BY id LIMIT 1").fetchone()
    return "" if row is None else str(row[0])

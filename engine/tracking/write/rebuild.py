"""Rows of the journal that come back from elsewhere: added to the chain exactly as they were, and records follow them.

What a row of ``file_migrations`` needs is made of its intent, where this DB has no proved copy of the record:

* original and link are the journal's, and the key is the one that makes this link;
* the size is what the bucket says, the proof is ``size``, and it counts as never verified: the next backup proves it;
* it is ``pending`` until a row of the journal says where the link stands.

What the journal does not hold stays unknown: why a record failed, and what somebody else's link was. What scans have
found since may be undone by it. So no scan counts as completed any more, and the next backup reads every record.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from engine.model.change import OPEN, Event, LinkState, Step
from engine.tracking.db.counters import counted
from engine.tracking.read.ours import ours
from engine.tracking.write.journal import INSERT, follow

UNKNOWN_END = "known from the journal in the bucket; how it ended is not known"
_RUN = (
    "INSERT OR IGNORE INTO migration_runs (id, run_type, start_time, end_time, last_update, status, error_message,"
    " config_snapshot) VALUES (?, ?, ?, ?, ?, 'stopped', ?, ?)"
)
_KIND = "UPDATE migration_runs SET run_type = ?, end_time = ?, last_update = ? WHERE id = ? AND error_message = ?"
_UNPROVED = "file_migrations.verified_at IS NULL"
_OF_ANOTHER_PAIR = "(original_url, your_s3_url) IS NOT (excluded.original_url, excluded.your_s3_url)"
_PAIR = f"""
INSERT INTO file_migrations (doclist_entry_id, original_url, your_s3_key, your_s3_url, file_name, file_size_bytes,
    destination_etag, proof, status, migration_phase, run_id, created_date, updated_date)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, iif(?3 IS NULL, NULL, 'size'), 'pending', 2, ?8, ?9, ?9)
ON CONFLICT (doclist_entry_id) DO UPDATE SET original_url = excluded.original_url, your_s3_key = excluded.your_s3_key,
    your_s3_url = excluded.your_s3_url, file_name = excluded.file_name, file_size_bytes = excluded.file_size_bytes,
    destination_etag = excluded.destination_etag, proof = excluded.proof, status = 'pending', failure_class = NULL,
    error_message = NULL, salesforce_updated = 0, migration_phase = 2, verified_at = NULL, source_id = NULL,
    source_etag = NULL, checksum = NULL, file_hash = NULL, run_id = excluded.run_id,
    updated_date = excluded.updated_date
WHERE {_UNPROVED} AND (file_migrations.proof IS NULL OR {_OF_ANOTHER_PAIR})
    AND (file_migrations.updated_date <= excluded.updated_date OR original_url = excluded.your_s3_url)
"""
_LATEST = (
    "SELECT coalesce(max(substr(at, 1, 23)) || 'Z', '') FROM (SELECT at FROM url_changes ORDER BY id DESC LIMIT 10000)"
)
_NEWER = """
SELECT doclist_entry_id FROM file_migrations
WHERE doclist_entry_id IN (SELECT value FROM json_each(?)) AND updated_date > ?
"""
_UNDONE = f"""
SELECT event FROM url_changes WHERE doclist_entry_id = ? AND id < ?
    AND event IN ({", ".join(f"'{each}'" for each in OPEN)}) ORDER BY id DESC LIMIT 1
"""
_HELD = """
SELECT doclist_entry_id, original_url FROM file_migrations
WHERE doclist_entry_id IN (SELECT value FROM json_each(?)) AND original_url <> ''
"""
_ORIGINAL = """
UPDATE file_migrations SET original_url = ?, status = iif(status = 'gone', status, 'pending'),
    failure_class = iif(status = 'gone', failure_class, 'drifted'), error_message = NULL, salesforce_updated = 0,
    updated_date = max(updated_date, ?)
WHERE doclist_entry_id = ?
"""
_READ_ANEW = "UPDATE scans SET state = 'abandoned' WHERE state = 'completed'"
_WITHOUT = """
SELECT value FROM json_each(?) AS wanted WHERE NOT EXISTS (SELECT 1 FROM file_migrations
    WHERE doclist_entry_id = wanted.value AND verified_at IS NOT NULL)
"""


class Copy(NamedTuple):
    """What the bucket says of the object behind a link; ``key`` is None where no key makes that link."""

    key: str | None
    size: int = 0
    etag: str = ""


def without_proof(ids: Sequence[str]) -> Any:
    """Those of these records of which this DB has no proved copy."""
    return lambda db: [record for (record,) in db.execute(_WITHOUT, (json.dumps(list(ids)),))]


def add(
    db: sqlite3.Connection,
    rows: Sequence[tuple[Any, ...]],
    *,
    copies: Mapping[str, Copy],
    config: Mapping[str, object],
) -> None:
    """Append these rows, which follow the last one of the journal. ``copies``: by link. ``config``: what the settings
    pin. A record's row that a later scan has written stays. Call inside a transaction. Raises sqlite3.Error."""
    db.execute(_READ_ANEW)
    now: str = db.execute(_LATEST).fetchone()[0]
    for (run, at), group in groupby(rows, key=lambda row: (row[1], row[7])):
        # clocks go back, the chain does not: what a row of it has done to a record is never newer than the next one
        of_run, now = list(group), max(now, f"{at[:23]}Z")
        _note_run(db, run, of_run, config)
        db.executemany(INSERT, of_run)
        kind = db.execute("SELECT run_type FROM migration_runs WHERE id = ?", (run,)).fetchone()[0]
        intents = [row for row in of_run if row[6] == Event.INTENDED]
        with counted(db, [row[3] for row in intents]):
            db.executemany(_PAIR, [_pair(row, copies, run, now) for row in intents])
        steps = [_step(db, row, undoes=kind == "rollback") for row in of_run if row[9] is not None]
        if steps:
            newer = {record for (record,) in db.execute(_NEWER, (json.dumps([step.id for step in steps]), now))}
            follow(db, [step for step in steps if step.id not in newer], run, now)
    _originals(db, sorted({row[3] for row in rows}), now)


def _originals(db: sqlite3.Connection, records: Sequence[str], now: str) -> None:
    """A scan that did not know these rows may have taken a value of ours for an edit: that is no original."""
    held = db.execute(_HELD, (json.dumps(records),)).fetchall()
    found = ours(db, held)
    with counted(db, list(found)):
        db.executemany(_ORIGINAL, [(value.old, now, record) for record, value in found.items()])


def _note_run(db: sqlite3.Connection, run: int, rows: Sequence[tuple[Any, ...]], config: Mapping[str, object]) -> None:
    """The run has a row of its own, with what is known of it."""
    events = {row[6] for row in rows}
    kind = "switch" if Event.INTENDED in events else "rollback" if Event.UNDO_INTENDED in events else ""
    first, last = (f"{row[7][:23]}Z" for row in (rows[0], rows[-1]))
    db.execute(_RUN, (run, kind or "backup", first, last, last, UNKNOWN_END, json.dumps(config)))
    if kind:
        db.execute(_KIND, (kind, last, last, run, UNKNOWN_END))


def _pair(row: tuple[Any, ...], copies: Mapping[str, Copy], run: int, now: str) -> tuple[Any, ...]:
    record, old, new = row[3:6]
    copy = copies.get(new, Copy(None))
    name = None if copy.key is None else copy.key.rpartition("/")[2]
    return record, old, copy.key, new, name, copy.size, copy.etag or None, run, now


def _step(db: sqlite3.Connection, row: tuple[Any, ...], *, undoes: bool) -> Step:
    """As the run had it. An edited link is not in the journal: the original stands in for it until the next backup."""
    number, _, wave, record, old, new, event, _, detail, state = row[:10]
    before = db.execute(_UNDONE, (record, number)).fetchone()
    undo = undoes or (before is not None and before[0] == Event.UNDO_INTENDED)
    return Step(record, old, new, Event(event), wave, LinkState(state), detail, found=old, undo=undo)

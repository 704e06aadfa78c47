"""Rows that an import makes of those of the original scripts.

What this DB knows better stays: a row with a proof, one of a record that is gone, and one whose link a scan has found
to be another since.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from engine.model.change import OURS
from engine.model.failures import FailureClass
from engine.model.old_copy import IMPORT
from engine.model.outcome import Status
from engine.tracking.db.conditions import among
from engine.tracking.db.counters import counted
from engine.tracking.write import errors, runs
from engine.tracking.write.errors import ErrorRow, shortened
from engine.tracking.write.runs import RunCounts


class ImportedRow(NamedTuple):
    """A row to be; in the order of ``_COLUMNS``. None: not known."""

    id: str
    account_id: str
    account_name: str
    original_url: str
    last_modified: str | None
    file_name: str | None
    status: str
    failure: str | None
    message: str | None
    key: str | None = None
    link: str | None = None
    size: int | None = None
    sha256: str | None = None
    copied_at: str | None = None
    method: str | None = None
    source_id: int | None = None
    source_etag: str | None = None
    etag: str | None = None
    proof: str | None = None
    verified_at: str | None = None
    phase: int = 1


_COLUMNS = (
    "doclist_entry_id, account_id, account_name, original_url, last_modified_sf, file_name, status, failure_class,"
    " error_message, your_s3_key, your_s3_url, file_size_bytes, file_hash, backup_timestamp, method, source_id,"
    " source_etag, destination_etag, proof, verified_at, migration_phase"
)
_NAMES = [name.strip() for name in _COLUMNS.split(",")]
_STAYS = f"""(file_migrations.proof IS NOT NULL OR file_migrations.status = 'gone'
    OR (file_migrations.original_url NOT IN ('', {{original}})
        AND file_migrations.failure_class IS NOT '{FailureClass.ALREADY_OURS.value}'))"""
_TAKE = f"""
INSERT INTO file_migrations ({_COLUMNS}, run_id, created_date, updated_date)
VALUES ({", ".join("?" * len(_NAMES))}, ?, ?, ?)
ON CONFLICT (doclist_entry_id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _NAMES[1:])},
    run_id = excluded.run_id, updated_date = excluded.updated_date
WHERE NOT {_STAYS.format(original="excluded.original_url")}
"""
_KNOWN = f"""
SELECT doclist_entry_id, coalesce(your_s3_key, ''), coalesce(run_id IN
    (SELECT id FROM migration_runs WHERE run_type = '{IMPORT}'), 0) FROM json_each(?) AS wanted
    JOIN file_migrations ON doclist_entry_id = wanted.value ->> 0
WHERE {_STAYS.format(original="wanted.value ->> 1")}
"""
_JOURNALLED = f"""
SELECT DISTINCT c.doclist_entry_id FROM json_each(?) AS wanted JOIN url_changes c
    ON c.doclist_entry_id = wanted.value ->> 0 AND c.new_url = wanted.value ->> 1 WHERE {among("c.event", OURS)}
"""


class KnownRow(NamedTuple):
    """A row that stays as it is."""

    key: str
    """Of its copy; empty: it has none."""
    imported: bool
    """An import has written it, and nobody since."""


def known(wanted: Iterable[tuple[str, str]]) -> Callable[[sqlite3.Connection], dict[str, KnownRow]]:
    """Of these records, with their original links: those whose rows stay as they are."""
    pairs = json.dumps(list(wanted))
    return lambda db: {record: KnownRow(key, bool(imported)) for record, key, imported in db.execute(_KNOWN, (pairs,))}


def journalled(wanted: Iterable[tuple[str, str]]) -> Callable[[sqlite3.Connection], set[str]]:
    """Of these records, with a link of ours each: those of which the journal knows that link."""
    pairs = json.dumps(list(wanted))
    return lambda db: {record for (record,) in db.execute(_JOURNALLED, (pairs,))}


def take(db: sqlite3.Connection, rows: Sequence[ImportedRow], run_id: int, uncounted: set[str], now: str) -> None:
    """Store them, as far as none that is there stays. ``uncounted``: records that the run counts when the journal gets
    their links. Call inside a transaction. Raises sqlite3.Error."""
    with counted(db, [row.id for row in rows]):
        db.executemany(_TAKE, [(*row, run_id, now, now) for row in rows])
    failed = [row for row in rows if row.status == Status.FAILED]
    errors.add(
        db,
        run_id,
        [
            ErrorRow(row.id, FailureClass(row.failure or ""), row.message or "", row.original_url, now, attempt=0)
            for row in failed
        ],
    )
    ended = Counter(row.status for row in rows if row.id not in uncounted)
    proved, skipped = ended[Status.BACKED_UP], ended[Status.SKIPPED]
    counts = RunCounts(ended.total(), successful=proved, failed=len(failed), skipped=skipped, new=proved)
    runs.count(db, run_id, counts, now=now)


def message(text: str) -> str | None:
    """As the column takes it."""
    return shortened(text) or None

"""Writing a batch: rows, error rows, counters, run counts and the scan checkpoint, as one transaction.

What an outcome may change in a row that exists already:

===================================  ========================================================================
columns                              rule
===================================  ========================================================================
Salesforce columns, run, times       always follow the record
status, class, message               follow the outcome
key, URL, hash, proof, … (the copy)  move only with a proved copy; whatever else happens, an old copy stays known
failed_write                         names a write of ours that failed its proof, until a copy is proved
original_url                         follows the record
all but the Salesforce columns       stay, where the link is switched and the record still carries our link
===================================  ========================================================================
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain

from engine.model.outcome import COPIED_STATES, Attempt, Batch, Outcome, Status
from engine.model.plan import failed_write
from engine.model.record import Record
from engine.tracking.db.conditions import among
from engine.tracking.db.counters import counted
from engine.tracking.write import errors, runs, scans, unseen
from engine.tracking.write.errors import ErrorRow
from engine.tracking.write.journal import SWITCHED
from engine.tracking.write.runs import RunCounts

# in the order of _row()
# fmt: off
_COLUMNS = (
    "doclist_entry_id", "account_id", "account_name", "record_name", "last_modified_sf", "extra", "original_url",
    "status", "failure_class", "error_message", "attempts", "salesforce_updated", "migration_phase", "run_id",
    "created_date", "updated_date", "file_name", "file_size_bytes", "your_s3_key", "your_s3_url", "file_hash",
    "backup_timestamp", "method", "source_id", "source_etag", "destination_etag", "checksum", "verified_at", "proof",
    "failed_write",
)
# fmt: on

_FOLLOWS = ("account_id", "account_name", "record_name", "last_modified_sf", "extra", "run_id", "updated_date")
_COPY = _COLUMNS[_COLUMNS.index("your_s3_key") : -1]
_HINTS = ("file_name", "file_size_bytes")

# the switch stands: Salesforce carries our link, and nothing but a rollback or a deletion ends that
_STANDS = (
    "(proof IS NOT NULL AND excluded.original_url IS your_s3_url"
    " AND excluded.status <> 'rolled_back' AND excluded.status <> 'gone')"
)
_GONE = "excluded.status = 'gone'"
_UPDATED = "excluded.salesforce_updated"
_KEEPS_URL = among("excluded.status", (Status.SWITCHED, Status.ROLLED_BACK, Status.GONE))
# a switched record's copy may be proved anew, but never move
_NEW_COPY = f"(excluded.proof IS NOT NULL AND (NOT {_STANDS} OR excluded.your_s3_key IS your_s3_key))"

_SETS = (
    *(f"{column} = excluded.{column}" for column in _FOLLOWS),
    *(f"{column} = CASE WHEN {_NEW_COPY} THEN excluded.{column} ELSE {column} END" for column in _COPY),
    *(
        f"{column} = CASE WHEN {_NEW_COPY} THEN excluded.{column} WHEN proof IS NULL"
        f" THEN coalesce(excluded.{column}, {column}) ELSE {column} END"
        for column in _HINTS
    ),
    f"status = CASE WHEN {_STANDS} THEN 'switched' ELSE excluded.status END",
    f"failure_class = CASE WHEN {_STANDS} THEN NULL ELSE excluded.failure_class END",
    f"error_message = CASE WHEN {_STANDS} THEN error_message ELSE excluded.error_message END",
    f"original_url = CASE WHEN {_STANDS} OR {_KEEPS_URL} THEN original_url ELSE excluded.original_url END",
    f"salesforce_updated = CASE WHEN {_STANDS} THEN 1 WHEN {_GONE} THEN salesforce_updated ELSE {_UPDATED} END",
    f"failed_write = CASE WHEN {_NEW_COPY} THEN NULL ELSE coalesce(excluded.failed_write, failed_write) END",
    "migration_phase = max(migration_phase, excluded.migration_phase)",
    "attempts = attempts + excluded.attempts",
)

# tries of runs that died before they could record an outcome count too
_LOST_TRIES = (
    "(SELECT count(*) FROM migration_errors WHERE doclist_entry_id = column1 AND settled = 0"
    f" AND run_id IS NOT column{_COLUMNS.index('run_id') + 1})"
)
_CHOSEN = ", ".join(
    f"column{number}" + (f" + {_LOST_TRIES}" if column == "attempts" else "")
    for number, column in enumerate(_COLUMNS, start=1)
)


def _upsert(rows: int) -> str:
    """Stores so many rows in one step: each step hands the interpreter lock to and fro beside the event loop.

    The placeholders have no numbers: Python 3.12 looks each one's name up in a list of them all.
    """
    values = ", ".join([f"({', '.join('?' * len(_COLUMNS))})"] * rows)
    return (
        f"INSERT INTO file_migrations ({', '.join(_COLUMNS)}) SELECT {_CHOSEN} FROM (VALUES {values}) WHERE true"
        f" ON CONFLICT (doclist_entry_id) DO UPDATE SET {', '.join(_SETS)}"
    )


_TOGETHER = 50
_UPSERT = _upsert(1)
_UPSERT_MANY = _upsert(_TOGETHER)


def record(db: sqlite3.Connection, batch: Batch, *, run_id: int | None, scan_id: int | None, now: str) -> None:
    """Store a batch. Call inside a transaction. Raises sqlite3.Error; UnicodeEncodeError for a lone surrogate."""
    outcomes = batch.outcomes
    back = [touch for touch in batch.touches if touch.original]
    with counted(db, [*(each.record.id for each in outcomes), *(each.record.id for each in back)]):
        errors.add(db, run_id, [*map(_tried, batch.attempts), *_failed(outcomes, now)])
        rows = [_row(outcome, run_id, now) for outcome in outcomes]
        whole = len(rows) - len(rows) % _TOGETHER
        for start in range(0, whole, _TOGETHER):
            db.execute(_UPSERT_MANY, [*chain.from_iterable(rows[start : start + _TOGETHER])])
        db.executemany(_UPSERT, rows[whole:])
        db.executemany(SWITCHED, [(each.original, now, None, each.record.id, each.record.url) for each in back])
    _settle(db, outcomes)
    unseen.note(db, batch.looks, now)
    _touch(db, [*(touch.record for touch in batch.touches), *(look.record for look in batch.looks if look.news)], now)
    if run_id is not None:
        _count_run(db, batch, run_id, now)
    if batch.checkpoints and scan_id is not None:
        scans.reach(db, scan_id, batch.checkpoints)


def mark_gone(db: sqlite3.Connection, ids: Sequence[str], *, run_id: int | None, now: str) -> int:
    """Mark records that Salesforce no longer has; their copies stay known. Returns how many rows changed."""
    with counted(db, ids):
        return db.execute(
            "UPDATE file_migrations SET status = 'gone', failure_class = 'deleted', run_id = ?, updated_date = ?"
            " WHERE doclist_entry_id IN (SELECT value FROM json_each(?)) AND status <> 'gone'",
            (run_id, now, json.dumps(list(ids))),
        ).rowcount


def _row(outcome: Outcome, run_id: int | None, now: str) -> tuple[object, ...]:
    source = outcome.record
    failure = outcome.failure
    status = outcome.status
    facts = (
        source.id,
        source.account_id,
        source.account_name,
        source.name,
        source.modified,
        _extra(source),
        source.url,
        status.value,
        None if failure is None else failure.value,
        outcome.message[: errors.MESSAGE_LIMIT] or None,
        outcome.attempts,
        1 if status is Status.SWITCHED else 0,
        2 if status in (Status.SWITCHED, Status.ROLLED_BACK) else 1,
        run_id,
        now,
        now,
        outcome.file_name or None,
        outcome.size,
    )
    if status not in COPIED_STATES:
        return (*facts, *_NO_COPY, failed_write(outcome.destination_etag, outcome.key) or None)
    at = outcome.at or now
    return (
        *facts,
        outcome.key or None,
        outcome.url or None,
        outcome.sha256 or None,
        at,
        None if outcome.method is None else outcome.method.value,
        outcome.source_id or None,
        outcome.source_etag or None,
        outcome.destination_etag or None,
        outcome.checksum or None,
        at,
        None if outcome.proof is None else outcome.proof.value,
        None,
    )


_NO_COPY: tuple[object, ...] = (None,) * len(_COPY)


def _extra(source: Record) -> str | None:
    return json.dumps(dict(source.extra)) if source.extra else None


def _tried(attempt: Attempt) -> ErrorRow:
    failure, message = attempt.failure, attempt.message
    return ErrorRow(attempt.record_id, failure, message, attempt.url, attempt.at, attempt.number, settled=False)


def _failed(outcomes: Iterable[Outcome], now: str) -> list[ErrorRow]:
    return [
        ErrorRow(o.record.id, o.failure, o.message, o.record.url, o.at or now, o.attempts)
        for o in outcomes
        if o.status is Status.FAILED and o.failure is not None
    ]


def _settle(db: sqlite3.Connection, outcomes: Sequence[Outcome]) -> None:
    ids = json.dumps([outcome.record.id for outcome in outcomes])
    db.execute(
        "UPDATE migration_errors SET settled = 1"
        " WHERE settled = 0 AND doclist_entry_id IN (SELECT value FROM json_each(?))",
        (ids,),
    )
    unseen.forget(db, ids)


def _touch(db: sqlite3.Connection, records: Iterable[Record], now: str) -> None:
    db.executemany(
        "UPDATE file_migrations SET account_id = ?, account_name = ?, record_name = ?, last_modified_sf = ?, extra = ?,"
        " updated_date = ? WHERE doclist_entry_id = ?",
        [(r.account_id, r.account_name, r.name, r.modified, _extra(r), now, r.id) for r in records],
    )


def _count_run(db: sqlite3.Connection, batch: Batch, run_id: int, now: str) -> None:
    ended = Counter(outcome.status for outcome in batch.outcomes)
    ended.subtract(batch.recounted)
    copied = [outcome for outcome in batch.outcomes if outcome.status is Status.BACKED_UP]
    new = sum(outcome.is_new for outcome in copied)
    idle = batch.unchanged + len(batch.touches) + len(batch.looks)
    counts = RunCounts(
        ended.total() + idle,
        successful=ended[Status.BACKED_UP],
        failed=ended[Status.FAILED],
        skipped=ended[Status.SKIPPED] + idle,
        new=new,
        updated=ended[Status.BACKED_UP] - new,
        bytes_copied=sum(outcome.size or 0 for outcome in copied),
        bytes_read=sum(outcome.read_bytes for outcome in batch.outcomes),
    )
    runs.count(db, run_id, counts, now=now)

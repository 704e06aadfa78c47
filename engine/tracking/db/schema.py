"""Tables of the tracking DB, as steps; each step commits together with its mark (``PRAGMA user_version``).

Table and column names are contract: the queries people wrote for the original scripts go on working.
"""

from __future__ import annotations

import sqlite3

from engine.tracking.db.honest_proofs import honest_claims

#: Written into the file header, so that no other program's SQLite file is ever taken for ours.
APPLICATION_ID = 0x656E6731


def among(column: str, *words: str) -> str:
    """SQL: the column holds one of these words.

    Spelt out, because SQLite builds a temporary table for an IN list of three or more, anew for each row of an
    ``executemany``: as IN lists these checks take half the time of an upsert.
    """
    return "(" + " OR ".join(f"{column} = '{word}'" for word in words) + ")"


#: The row claims a proved copy.
COPIED = among("status", "backed_up", "switched", "rolled_back")
#: The same, in the words that ``files_by_source`` is asked in.
PROVED = f"({COPIED} AND proof IS NOT NULL)"
#: An incremental run looks at the row again.
TO_DO = among("status", "pending", "failed")

_STATUS = among("status", "pending", "backed_up", "failed", "skipped", "switched", "rolled_back", "gone")
_PROOF = among("proof", "checksum", "etag", "size")
_PROOF_FROM_7 = among("proof", "checksum", "etag", "received", "size")

_FILES = f"""
CREATE TABLE file_migrations (
    id INTEGER PRIMARY KEY,
    doclist_entry_id TEXT NOT NULL UNIQUE CHECK (length(doclist_entry_id) = 18),
    account_id TEXT NOT NULL DEFAULT '',
    account_name TEXT NOT NULL DEFAULT '',
    record_name TEXT NOT NULL DEFAULT '',
    original_url TEXT NOT NULL DEFAULT '',
    your_s3_key TEXT,
    your_s3_url TEXT,
    file_name TEXT,
    file_size_bytes INTEGER CHECK (file_size_bytes >= 0),
    file_hash TEXT,
    backup_timestamp TEXT,
    last_modified_sf TEXT,
    migration_phase INTEGER NOT NULL DEFAULT 1 CHECK (migration_phase IN (1, 2)),
    salesforce_updated INTEGER NOT NULL DEFAULT 0 CHECK (salesforce_updated IN (0, 1)),
    created_date TEXT NOT NULL,
    updated_date TEXT NOT NULL,
    status TEXT NOT NULL CHECK {_STATUS},
    failure_class TEXT,
    error_message TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    method TEXT,
    source_id INTEGER,
    source_etag TEXT,
    destination_etag TEXT,
    checksum TEXT,
    verified_at TEXT,
    proof TEXT CHECK {_PROOF},
    extra TEXT,
    run_id INTEGER,
    CHECK (NOT {COPIED} OR (your_s3_key IS NOT NULL AND your_s3_url IS NOT NULL
        AND file_size_bytes IS NOT NULL AND proof IS NOT NULL AND failure_class IS NULL)),
    CHECK (NOT {among("status", "failed", "skipped", "gone")} OR failure_class IS NOT NULL),
    CHECK (status <> 'switched' OR salesforce_updated = 1)
) STRICT
"""

_RUNS = """
CREATE TABLE migration_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_type TEXT NOT NULL,
    start_time TEXT NOT NULL,
    end_time TEXT,
    total_files_processed INTEGER NOT NULL DEFAULT 0,
    successful_files INTEGER NOT NULL DEFAULT 0,
    failed_files INTEGER NOT NULL DEFAULT 0,
    new_files INTEGER NOT NULL DEFAULT 0,
    updated_files INTEGER NOT NULL DEFAULT 0,
    skipped_files INTEGER NOT NULL DEFAULT 0,
    bytes_copied INTEGER NOT NULL DEFAULT 0,
    bytes_read INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL CHECK (status IN
        ('running', 'completed', 'completed_with_failures', 'stopped', 'failed', 'crashed')),
    error_message TEXT,
    config_snapshot TEXT NOT NULL DEFAULT '{}',
    pid INTEGER,
    host TEXT,
    version TEXT,
    last_update TEXT
) STRICT
"""

# settled: 0 while a try has failed and no outcome of the record has counted it yet
_ERRORS = """
CREATE TABLE migration_errors (
    id INTEGER PRIMARY KEY,
    run_id INTEGER,
    doclist_entry_id TEXT NOT NULL,
    error_type TEXT NOT NULL,
    error_message TEXT NOT NULL DEFAULT '',
    original_url TEXT NOT NULL DEFAULT '',
    timestamp TEXT NOT NULL,
    failure_class TEXT NOT NULL,
    attempt INTEGER NOT NULL DEFAULT 0,
    settled INTEGER NOT NULL DEFAULT 1 CHECK (settled IN (0, 1))
) STRICT
"""

_EVENT = among("event", "intended", "applied", "refused", "undo_intended", "undone", "kept", "settled")
_JOURNAL = f"""
CREATE TABLE url_changes (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL,
    wave INTEGER NOT NULL,
    doclist_entry_id TEXT NOT NULL CHECK (length(doclist_entry_id) = 18),
    old_url TEXT NOT NULL,
    new_url TEXT NOT NULL,
    event TEXT NOT NULL CHECK {_EVENT},
    at TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT
"""

_REFUSE = "BEGIN SELECT raise(ABORT, 'url_changes is append-only'); END"
# INSERT OR REPLACE deletes without firing delete triggers, hence the third one
_TAKEN = "EXISTS (SELECT 1 FROM url_changes WHERE id = NEW.id)"
_APPEND_ONLY = (
    f"CREATE TRIGGER url_changes_no_update BEFORE UPDATE ON url_changes {_REFUSE}",
    f"CREATE TRIGGER url_changes_no_delete BEFORE DELETE ON url_changes {_REFUSE}",
    f"CREATE TRIGGER url_changes_no_replace BEFORE INSERT ON url_changes WHEN {_TAKEN} {_REFUSE}",
)

_SCANS = """
CREATE TABLE scans (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id INTEGER NOT NULL REFERENCES migration_runs (id),
    kind TEXT NOT NULL CHECK (kind IN ('full', 'incremental')),
    scope_hash TEXT NOT NULL,
    restricted INTEGER NOT NULL CHECK (restricted IN (0, 1)),
    state TEXT NOT NULL CHECK (state IN ('running', 'completed', 'abandoned')),
    watermark TEXT NOT NULL,
    last_id TEXT NOT NULL DEFAULT '',
    started_at TEXT NOT NULL,
    ended_at TEXT
) STRICT
"""

_COUNTERS = """
CREATE TABLE counters (
    status TEXT NOT NULL,
    failure_class TEXT NOT NULL,
    proof TEXT NOT NULL,
    files INTEGER NOT NULL CHECK (files >= 0),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (status, failure_class, proof)
) STRICT, WITHOUT ROWID
"""

_SAMPLES = """
CREATE TABLE samples (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES migration_runs (id),
    at TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT
"""

# source_id: see Location.identity; indexed (inventory_by_source) once a scan's listings have ended
_INVENTORY = """
CREATE TABLE inventory (
    source_id INTEGER NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    etag TEXT NOT NULL,
    storage_class TEXT NOT NULL,
    last_modified TEXT NOT NULL,
    listing INTEGER NOT NULL
) STRICT
"""

_LISTINGS = """
CREATE TABLE listings (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    scan_id INTEGER NOT NULL REFERENCES scans (id),
    bucket TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'completed', 'given_up')),
    objects INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    started_at TEXT NOT NULL,
    completed_at TEXT,
    UNIQUE (scan_id, bucket)
) STRICT
"""

# what is still to be listed: keys behind ``after``, up to ``until``
_RANGES = """
CREATE TABLE listing_ranges (
    listing INTEGER NOT NULL REFERENCES listings (id),
    after TEXT NOT NULL,
    until TEXT
) STRICT
"""

_SCAN_RANGES = """
CREATE TABLE scan_ranges (
    scan_id INTEGER NOT NULL REFERENCES scans (id),
    number INTEGER NOT NULL CHECK (number > 0),
    after_id TEXT NOT NULL DEFAULT '',
    until_id TEXT NOT NULL DEFAULT '',
    last_id TEXT NOT NULL DEFAULT '',
    done INTEGER NOT NULL DEFAULT 0 CHECK (done IN (0, 1)),
    PRIMARY KEY (scan_id, number)
) STRICT, WITHOUT ROWID
"""
_OPEN_SCANS = (
    "INSERT INTO scan_ranges (scan_id, number, last_id)"
    " SELECT id, 1, last_id FROM scans WHERE state = 'running' AND kind = 'full'"
)

# who took which record out of the readiness sum, and why; ``event`` undone: put back. The latest row of a record counts
_WAIVERS = """
CREATE TABLE waivers (
    id INTEGER PRIMARY KEY,
    doclist_entry_id TEXT NOT NULL CHECK (length(doclist_entry_id) = 18),
    event TEXT NOT NULL CHECK (event IN ('waived', 'undone')),
    reason TEXT NOT NULL CHECK (reason <> ''),
    who TEXT NOT NULL,
    at TEXT NOT NULL
) STRICT
"""

_KEEP = "BEGIN SELECT raise(ABORT, 'waivers is append-only'); END"
_KEPT = "EXISTS (SELECT 1 FROM waivers WHERE id = NEW.id)"
_WAIVERS_STAY = (
    f"CREATE TRIGGER waivers_no_update BEFORE UPDATE ON waivers {_KEEP}",
    f"CREATE TRIGGER waivers_no_delete BEFORE DELETE ON waivers {_KEEP}",
    f"CREATE TRIGGER waivers_no_replace BEFORE INSERT ON waivers WHEN {_KEPT} {_KEEP}",
)

#: The link is ours, but what it points at is to be proved anew.
UNPROVED = "status = 'switched' AND verified_at IS NULL"

#: Ids of the records that are waived now: the latest row of each says so.
WAIVED = """
SELECT doclist_entry_id FROM waivers w WHERE event = 'waived'
    AND id = (SELECT max(id) FROM waivers x WHERE x.doclist_entry_id = w.doclist_entry_id)
"""

# copies whose source could not be seen when it was looked at last; ``reason`` is a failure class, or a like word
_UNSEEN = """
CREATE TABLE unseen (
    doclist_entry_id TEXT PRIMARY KEY CHECK (length(doclist_entry_id) = 18),
    reason TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    at TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""

#: Step n (from 1) brings user_version n-1 to n. Append only; a released step never changes.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        _RUNS,
        _FILES,
        "CREATE INDEX files_by_account ON file_migrations (account_id, status)",
        f"CREATE INDEX files_to_do ON file_migrations (id) WHERE {TO_DO}",
        f"CREATE INDEX files_by_source ON file_migrations (source_id, proof) WHERE {COPIED}",
        _ERRORS,
        "CREATE INDEX errors_by_class ON migration_errors (failure_class, id)",
        "CREATE INDEX errors_unsettled ON migration_errors (doclist_entry_id) WHERE settled = 0",
        _JOURNAL,
        "CREATE INDEX changes_by_record ON url_changes (doclist_entry_id, id)",
        *_APPEND_ONLY,
        _SCANS,
        _COUNTERS,
        _SAMPLES,
    ),
    (_INVENTORY, _LISTINGS, _RANGES),
    (_SCAN_RANGES, _OPEN_SCANS),
    (
        _WAIVERS,
        "CREATE INDEX waivers_by_record ON waivers (doclist_entry_id, id)",
        *_WAIVERS_STAY,
        f"CREATE INDEX files_unproved ON file_migrations (id) WHERE {UNPROVED}",
    ),
    # an index whose condition names a column is written anew whenever that column is set: a switch sets the status of
    # every row, and each one's place in here is on a page of its own
    (
        "DROP INDEX files_by_source",
        "CREATE INDEX files_by_source ON file_migrations (source_id, proof) WHERE proof IS NOT NULL",
    ),
    (_UNSEEN,),
    honest_claims(7, COPIED, _PROOF, _PROOF_FROM_7),
)

VERSION = len(STEPS)


def migrate(db: sqlite3.Connection, steps: tuple[tuple[str, ...], ...] = STEPS) -> None:
    """Bring an empty or older file up to date. The connection is in autocommit mode. Raises sqlite3.Error."""
    current: int = db.execute("PRAGMA user_version").fetchone()[0]
    for number, statements in enumerate(steps[current:], start=current + 1):
        db.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {number}")
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

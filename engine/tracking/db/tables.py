"""The tables of the tracking DB, each as the step of ``schema.py`` that makes it writes it.

Table and column names are contract: the queries people wrote for the original scripts go on working.
"""

from __future__ import annotations

from engine.model.change import Event
from engine.model.facts import Proof
from engine.model.outcome import CLASSED_STATES, Status
from engine.tracking.db.conditions import COPIED, among

_STATUS = among("status", Status)
PROOF = among("proof", ("checksum", "etag", "size"))
PROOF_FROM_7 = among("proof", Proof)

FILES = f"""
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
    proof TEXT CHECK {PROOF},
    extra TEXT,
    run_id INTEGER,
    CHECK (NOT {COPIED} OR (your_s3_key IS NOT NULL AND your_s3_url IS NOT NULL
        AND file_size_bytes IS NOT NULL AND proof IS NOT NULL AND failure_class IS NULL)),
    CHECK (NOT {among("status", CLASSED_STATES)} OR failure_class IS NOT NULL),
    CHECK (status <> 'switched' OR salesforce_updated = 1)
) STRICT
"""

RUNS = """
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
ERRORS = """
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

EVENT = among("event", ("intended", "applied", "refused", "undo_intended", "undone", "kept", "settled"))
EVENT_FROM_9 = among("event", Event)
JOURNAL = f"""
CREATE TABLE url_changes (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL,
    wave INTEGER NOT NULL,
    doclist_entry_id TEXT NOT NULL CHECK (length(doclist_entry_id) = 18),
    old_url TEXT NOT NULL,
    new_url TEXT NOT NULL,
    event TEXT NOT NULL CHECK {EVENT},
    at TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '',
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT
"""

# NULL in rows that end no change, and in those that earlier versions wrote: their detail begins with it. No CHECK, so
# that a journal of millions of rows is not read through
LINK_STATE = "ALTER TABLE url_changes ADD COLUMN link_state TEXT"

_REFUSE = "BEGIN SELECT raise(ABORT, 'url_changes is append-only'); END"
# INSERT OR REPLACE deletes without firing delete triggers, hence the third one
_TAKEN = "EXISTS (SELECT 1 FROM url_changes WHERE id = NEW.id)"
APPEND_ONLY = (
    f"CREATE TRIGGER url_changes_no_update BEFORE UPDATE ON url_changes {_REFUSE}",
    f"CREATE TRIGGER url_changes_no_delete BEFORE DELETE ON url_changes {_REFUSE}",
    f"CREATE TRIGGER url_changes_no_replace BEFORE INSERT ON url_changes WHEN {_TAKEN} {_REFUSE}",
)

SCANS = """
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

COUNTERS = """
CREATE TABLE counters (
    status TEXT NOT NULL,
    failure_class TEXT NOT NULL,
    proof TEXT NOT NULL,
    files INTEGER NOT NULL CHECK (files >= 0),
    bytes INTEGER NOT NULL CHECK (bytes >= 0),
    PRIMARY KEY (status, failure_class, proof)
) STRICT, WITHOUT ROWID
"""

SAMPLES = """
CREATE TABLE samples (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES migration_runs (id),
    at TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT
"""

# source_id: see Location.identity; indexed (inventory_by_source) once a scan's listings have ended
INVENTORY = """
CREATE TABLE inventory (
    source_id INTEGER NOT NULL,
    size INTEGER NOT NULL CHECK (size >= 0),
    etag TEXT NOT NULL,
    storage_class TEXT NOT NULL,
    last_modified TEXT NOT NULL,
    listing INTEGER NOT NULL
) STRICT
"""

LISTINGS = """
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
RANGES = """
CREATE TABLE listing_ranges (
    listing INTEGER NOT NULL REFERENCES listings (id),
    after TEXT NOT NULL,
    until TEXT
) STRICT
"""

SCAN_RANGES = """
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
OPEN_SCANS = (
    "INSERT INTO scan_ranges (scan_id, number, last_id)"
    " SELECT id, 1, last_id FROM scans WHERE state = 'running' AND kind = 'full'"
)

# who took which record out of the readiness sum, and why; ``event`` undone: put back. The latest row of a record counts
WAIVERS = """
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
WAIVERS_STAY = (
    f"CREATE TRIGGER waivers_no_update BEFORE UPDATE ON waivers {_KEEP}",
    f"CREATE TRIGGER waivers_no_delete BEFORE DELETE ON waivers {_KEEP}",
    f"CREATE TRIGGER waivers_no_replace BEFORE INSERT ON waivers WHEN {_KEPT} {_KEEP}",
)

# copies whose source could not be seen when it was looked at last; ``reason`` is a failure class, or a like word
UNSEEN = """
CREATE TABLE unseen (
    doclist_entry_id TEXT PRIMARY KEY CHECK (length(doclist_entry_id) = 18),
    reason TEXT NOT NULL,
    message TEXT NOT NULL DEFAULT '',
    at TEXT NOT NULL
) STRICT, WITHOUT ROWID
"""

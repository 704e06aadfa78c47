"""The schema of the tracking DB, as steps; each step commits together with its mark (``PRAGMA user_version``)."""

from __future__ import annotations

import sqlite3

from engine.tracking.db import tables
from engine.tracking.db.conditions import COPIED, TO_DO, UNPROVED
from engine.tracking.db.honest_proofs import honest_claims
from engine.tracking.db.widening import widened

#: Written into the file header, so that no other program's SQLite file is ever taken for ours.
APPLICATION_ID = 0x656E6731

#: Step n (from 1) brings user_version n-1 to n. Append only; a released step never changes.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        f"PRAGMA application_id = {APPLICATION_ID}",
        tables.RUNS,
        tables.FILES,
        "CREATE INDEX files_by_account ON file_migrations (account_id, status)",
        f"CREATE INDEX files_to_do ON file_migrations (id) WHERE {TO_DO}",
        f"CREATE INDEX files_by_source ON file_migrations (source_id, proof) WHERE {COPIED}",
        tables.ERRORS,
        "CREATE INDEX errors_by_class ON migration_errors (failure_class, id)",
        "CREATE INDEX errors_unsettled ON migration_errors (doclist_entry_id) WHERE settled = 0",
        tables.JOURNAL,
        "CREATE INDEX changes_by_record ON url_changes (doclist_entry_id, id)",
        *tables.APPEND_ONLY,
        tables.SCANS,
        tables.COUNTERS,
        tables.SAMPLES,
    ),
    (tables.INVENTORY, tables.LISTINGS, tables.RANGES),
    (tables.SCAN_RANGES, tables.OPEN_SCANS),
    (
        tables.WAIVERS,
        "CREATE INDEX waivers_by_record ON waivers (doclist_entry_id, id)",
        *tables.WAIVERS_STAY,
        f"CREATE INDEX files_unproved ON file_migrations (id) WHERE {UNPROVED}",
    ),
    # an index whose condition names a column is written anew whenever that column is set: a switch sets the status of
    # every row, and each one's place in here is on a page of its own
    (
        "DROP INDEX files_by_source",
        "CREATE INDEX files_by_source ON file_migrations (source_id, proof) WHERE proof IS NOT NULL",
    ),
    (tables.UNSEEN,),
    honest_claims(7, COPIED, tables.PROOF, tables.PROOF_FROM_7),
    # the HMAC of a row covers the new column where it holds something, so those of older rows stay valid: ``row_hmac``
    (tables.LINK_STATE,),
    widened("url_changes", tables.EVENT, tables.EVENT_FROM_9),
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

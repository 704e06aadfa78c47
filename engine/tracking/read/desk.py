"""Questions of the pages: accounts to look through, what happened on each day, and the story of one record."""

from __future__ import annotations

import sqlite3
from typing import Any, NamedTuple

from engine.model.outcome import COPIED_STATES
from engine.tracking.db.conditions import LINK_STATE, among
from engine.tracking.db.connect import by_name

# the name is that of any record of the account: they agree, but for an account that was renamed between two scans
ACCOUNTS = f"""
SELECT account_id, (SELECT account_name FROM file_migrations f WHERE f.account_id = page.account_id LIMIT 1), files,
    copied, failed, skipped, switched
FROM (
    SELECT account_id, count(*) AS files, sum({among("status", COPIED_STATES)}) AS copied,
        sum(status = 'failed') AS failed, sum(status = 'skipped') AS skipped, sum(status = 'switched') AS switched
    FROM file_migrations GROUP BY account_id
) AS page
"""
"""In the order of ``AccountCounts``."""
_DAYS = """
SELECT substr(start_time, 1, 10) AS day, count(*) AS runs, sum(successful_files) AS copied, sum(failed_files) AS failed,
    sum(bytes_copied) AS bytes
FROM migration_runs WHERE run_type = 'backup' GROUP BY 1 ORDER BY 1 DESC LIMIT ?
"""
_SAMPLES = """
SELECT doclist_entry_id, account_id, original_url, error_message, attempts FROM file_migrations
WHERE status = 'failed' AND failure_class = ? LIMIT ?
"""
_STEPS = f"""
SELECT id, run_id, wave, at, event, {LINK_STATE} AS link_state, old_url, new_url, detail FROM url_changes
WHERE doclist_entry_id = ? ORDER BY id
"""
_TRIES = """
SELECT timestamp, run_id, failure_class, error_message, attempt FROM migration_errors
WHERE doclist_entry_id = ? ORDER BY id DESC LIMIT 50
"""
_WAVES = """
SELECT run_id, wave, sum(event = 'applied') AS applied, sum(event = 'undone') AS undone,
    sum(event = 'refused') AS refused, sum(event = 'kept') AS kept, min(at) AS first, max(at) AS last
FROM url_changes GROUP BY run_id, wave ORDER BY run_id DESC, wave LIMIT ?
"""

_SUCCEEDED = """
SELECT run_type, max(end_time) FROM migration_runs WHERE status LIKE 'completed%' GROUP BY run_type ORDER BY 1
"""

_VERIFIED = """
SELECT id, start_time, end_time, status, coalesce(json_extract(config_snapshot, '$.verify.level'), 'unknown') AS level,
    coalesce(json_extract(config_snapshot, '$.verify.whole'), 0) AS whole
FROM migration_runs WHERE run_type = 'verify' AND end_time IS NOT NULL ORDER BY id DESC LIMIT 1
"""
_LATEST = """
SELECT coalesce(max(coalesce(end_time, last_update, start_time)), '') FROM migration_runs
WHERE run_type IN (?1, ?2) AND updated_files + new_files + successful_files > 0
"""
_REHEARSED = """
SELECT id, end_time, successful_files FROM migration_runs
WHERE run_type = 'rollback' AND status = 'completed' AND successful_files > 0 ORDER BY id DESC LIMIT 1
"""


class AccountCounts(NamedTuple):
    """Records of one account."""

    id: str
    name: str
    files: int
    copied: int
    failed: int
    skipped: int
    switched: int


def accounts(db: sqlite3.Connection) -> list[AccountCounts]:
    """All accounts. Walks an index of the whole table: keep the answer for a while."""
    return [AccountCounts(*row) for row in db.execute(ACCOUNTS)]


def days(db: sqlite3.Connection, last: int = 60) -> list[dict[str, Any]]:
    """Backups by the UTC day on which they began, oldest first."""
    return by_name(db.execute(_DAYS, (last,)))[::-1]


def failed_samples(db: sqlite3.Connection, failure: str, count: int) -> list[dict[str, Any]]:
    """A few failed records of a class."""
    return by_name(db.execute(_SAMPLES, (failure, count)))


def waves(db: sqlite3.Connection, last: int = 200) -> list[dict[str, Any]]:
    """What the journal says of each run and wave, the latest run first."""
    return by_name(db.execute(_WAVES, (last,)))


def last_successes(db: sqlite3.Connection) -> dict[str, str]:
    """When the latest run of each type was completed."""
    return dict(db.execute(_SUCCEEDED).fetchall())


def rows(db: sqlite3.Connection) -> int:
    """Counted one by one, to be held against the counters."""
    return int(db.execute("SELECT count(*) FROM file_migrations").fetchone()[0])


def org_of(db: sqlite3.Connection) -> str:
    """The org that the latest run logged in to; empty: no run has."""
    row = db.execute(
        "SELECT json_extract(config_snapshot, '$.org_id') AS org FROM migration_runs WHERE org <> ''"
        " ORDER BY id DESC LIMIT 1"
    ).fetchone()
    return str(row[0]) if row else ""


def milestones(db: sqlite3.Connection) -> dict[str, Any]:
    """The last verification, the last undo that worked, and when files and links were changed last."""
    verified, rehearsed = by_name(db.execute(_VERIFIED)), by_name(db.execute(_REHEARSED))
    return {
        "last_verify": verified[0] if verified else None,
        "rehearsed": rehearsed[0] if rehearsed else None,
        "last_copy": db.execute(_LATEST, ("backup", "backup")).fetchone()[0],
        "last_switch": db.execute(_LATEST, ("switch", "rollback")).fetchone()[0],
    }


def story(db: sqlite3.Connection, record: str) -> dict[str, Any] | None:
    """Everything about one record: its row, its failed tries, its link changes, its waivers; None: never seen."""
    rows = by_name(db.execute("SELECT * FROM file_migrations WHERE doclist_entry_id = ?", (record,)))
    if not rows:
        return None
    waivers = "SELECT event, reason, who, at FROM waivers WHERE doclist_entry_id = ? ORDER BY id"
    return {
        "row": rows[0],
        "tries": by_name(db.execute(_TRIES, (record,))),
        "steps": by_name(db.execute(_STEPS, (record,))),
        "waivers": by_name(db.execute(waivers, (record,))),
    }

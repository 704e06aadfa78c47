"""Records that are waived: what becomes of them is told, and decides about no exit code."""

from __future__ import annotations

import sqlite3

from engine.tracking.db.conditions import WAIVED

_FAILED = f"""
SELECT count(*) FROM ({WAIVED}) w JOIN file_migrations f ON f.doclist_entry_id = w.doclist_entry_id
WHERE f.run_id = ? AND (f.status = 'failed' OR f.failure_class = 'copy_missing')
"""


def failed(db: sqlite3.Connection, run_id: int) -> int:
    """Waived records that failed in this run, or were found to lack their copy."""
    return int(db.execute(_FAILED, (run_id,)).fetchone()[0])


def waived(db: sqlite3.Connection) -> frozenset[str]:
    """The Ids of all of them."""
    return frozenset(row[0] for row in db.execute(WAIVED))


def note(count: int) -> str:
    """A note of failed records that are waived."""
    return f"{count:,} of the failures are of waived records, and do not count for the exit code"

"""Rows of ``scans``: how far a walk through Salesforce has come, and from when the next one must look.

The functions run inside a transaction and raise sqlite3.Error. ``read/scans.py`` has the questions.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import replace

from engine.model.outcome import Checkpoint
from engine.model.record import IdRange
from engine.tracking.read.scans import Kind


def begin(
    db: sqlite3.Connection, run_id: int, kind: Kind, scope_hash: str, *, restricted: bool, watermark: str, now: str
) -> int:
    """Open a scan and return its id; unfinished ones of the same kind and scope are abandoned.

    A full scan begins with a single range, of everything.
    """
    db.execute(
        "UPDATE scans SET state = 'abandoned', ended_at = ? WHERE state = 'running' AND kind = ? AND scope_hash = ?",
        (now, kind, scope_hash),
    )
    cursor = db.execute(
        "INSERT INTO scans (run_id, kind, scope_hash, restricted, state, watermark, started_at)"
        " VALUES (?, ?, ?, ?, 'running', ?, ?)",
        (run_id, kind, scope_hash, int(restricted), watermark, now),
    )
    assert cursor.lastrowid is not None
    _tidy(db)
    if kind == "full":
        _insert(db, cursor.lastrowid, [IdRange(number=1)])
    return cursor.lastrowid


def reach(db: sqlite3.Connection, scan_id: int, checkpoints: Sequence[Checkpoint]) -> None:
    """Note how far a scan and its ranges are recorded."""
    for each in checkpoints:
        if each.range == 0:
            db.execute("UPDATE scans SET last_id = ? WHERE id = ?", (each.last_id, scan_id))
        else:
            db.execute(
                "UPDATE scan_ranges SET last_id = ?, done = ? WHERE scan_id = ? AND number = ?",
                (each.last_id, int(each.ends), scan_id, each.range),
            )


def part(db: sqlite3.Connection, scan_id: int, kept: IdRange, others: Sequence[IdRange]) -> list[IdRange]:
    """A range, which ends sooner from now on, and what it gives up: new ranges of their own, returned with numbers."""
    db.execute(
        "UPDATE scan_ranges SET until_id = ? WHERE scan_id = ? AND number = ?",
        (kept.until or "", scan_id, kept.number),
    )
    (highest,) = db.execute("SELECT max(number) FROM scan_ranges WHERE scan_id = ?", (scan_id,)).fetchone()
    numbered = [replace(each, number=number) for number, each in enumerate(others, start=highest + 1)]
    _insert(db, scan_id, numbered)
    return numbered


def _insert(db: sqlite3.Connection, scan_id: int, ranges: Sequence[IdRange]) -> None:
    db.executemany(
        "INSERT INTO scan_ranges (scan_id, number, after_id, until_id) VALUES (?, ?, ?, ?)",
        [(scan_id, each.number, each.after or "", each.until or "") for each in ranges],
    )


def complete(db: sqlite3.Connection, scan_id: int, *, now: str) -> None:
    """Close a scan that has reached its end."""
    db.execute("UPDATE scans SET state = 'completed', ended_at = ? WHERE id = ?", (now, scan_id))
    _tidy(db)


def _tidy(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM scan_ranges WHERE scan_id IN (SELECT id FROM scans WHERE state <> 'running')")

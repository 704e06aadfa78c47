"""Rows of ``scans``: how far a walk through Salesforce has come, and from when the next one must look.

Writing functions run inside a transaction and raise sqlite3.Error; the questions raise Fatal.
"""

# ruff: noqa: S608 - statements are composed of this package's constants; values are always bound

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Literal

from engine.tracking.database import Database

Kind = Literal["full", "incremental"]
Ending = Literal["completed", "abandoned"]


@dataclass(frozen=True, slots=True)
class Scan:
    """One walk through the records of a scope."""

    id: int
    run_id: int
    kind: Kind
    scope_hash: str
    restricted: bool
    """It left records out (an account, a limit, test settings): it neither moves the watermark nor proves absence."""
    state: Literal["running", "completed", "abandoned"]
    watermark: str
    """The server's time when it began: where the next incremental scan starts."""
    last_id: str
    """Checkpoint: every record up to this Id is recorded."""
    started_at: str
    ended_at: str | None


_COLUMNS = "id, run_id, kind, scope_hash, restricted, state, watermark, last_id, started_at, ended_at"


def begin(
    db: sqlite3.Connection, run_id: int, kind: Kind, scope_hash: str, *, restricted: bool, watermark: str, now: str
) -> int:
    """Open a scan and return its id; unfinished ones of the same kind and scope are abandoned."""
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
    return cursor.lastrowid


def end(db: sqlite3.Connection, scan_id: int, state: Ending, *, now: str) -> None:
    """Close a scan."""
    db.execute("UPDATE scans SET state = ?, ended_at = ? WHERE id = ?", (state, now, scan_id))


async def last_completed(db: Database, scope_hash: str) -> Scan | None:
    """The latest completed, unrestricted scan of either kind: its watermark is where an incremental run starts."""
    return await _one(db, "state = 'completed' AND restricted = 0 AND scope_hash = ? ORDER BY id DESC", scope_hash)


async def unfinished_full(db: Database, scope_hash: str) -> Scan | None:
    """The full scan of this scope that a dead or stopped run left behind."""
    return await _one(db, "state = 'running' AND kind = 'full' AND scope_hash = ? ORDER BY id DESC", scope_hash)


async def _one(db: Database, where: str, scope_hash: str) -> Scan | None:
    rows = await db.fetch(f"SELECT {_COLUMNS} FROM scans WHERE {where} LIMIT 1", (scope_hash,))
    for id_, run_id, kind, scope, restricted, state, *times in rows:
        return Scan(id_, run_id, kind, scope, bool(restricted), state, *times)
    return None

"""Rows of ``scans``: how far a walk through Salesforce has come, and from when the next one must look.

Writing functions run inside a transaction and raise sqlite3.Error; the questions raise Fatal.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from engine.model.outcome import Checkpoint
from engine.model.record import IdRange
from engine.tracking.db.database import Database

Kind = Literal["full", "incremental"]


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
    """Checkpoint: every record up to this Id is recorded. Empty: none is yet. Full scans have one in each of their
    ranges (``unread``), and this is any of those."""
    started_at: str
    ended_at: str | None


_REACHED = "(SELECT max(last_id) FROM scan_ranges WHERE scan_id = scans.id)"
_COLUMNS = (
    "id, run_id, kind, scope_hash, restricted, state, watermark,"
    f" coalesce(nullif(last_id, ''), {_REACHED}, ''), started_at, ended_at"
)


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


async def unread(db: Database, scan_id: int) -> list[IdRange]:
    """What is left of the ranges of a scan, each behind its checkpoint."""
    rows = await db.fetch(
        "SELECT number, after_id, until_id, last_id FROM scan_ranges WHERE scan_id = ? AND done = 0 ORDER BY number",
        (scan_id,),
    )
    return [IdRange(last or after or None, until or None, number) for number, after, until, last in rows]


def complete(db: sqlite3.Connection, scan_id: int, *, now: str) -> None:
    """Close a scan that has reached its end."""
    db.execute("UPDATE scans SET state = 'completed', ended_at = ? WHERE id = ?", (now, scan_id))
    _tidy(db)


def _tidy(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM scan_ranges WHERE scan_id IN (SELECT id FROM scans WHERE state <> 'running')")


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

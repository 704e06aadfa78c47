"""How far walks through Salesforce have come, and from when the next one must look. The questions raise Fatal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


async def unread(db: Database, scan_id: int) -> list[IdRange]:
    """What is left of the ranges of a scan, each behind its checkpoint."""
    rows = await db.fetch(
        "SELECT number, after_id, until_id, last_id FROM scan_ranges WHERE scan_id = ? AND done = 0 ORDER BY number",
        (scan_id,),
    )
    return [IdRange(last or after or None, until or None, number) for number, after, until, last in rows]


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

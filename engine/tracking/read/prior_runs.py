"""What earlier runs left in a tracking DB: rows of records, the org, and how fast they were.

Only read, even while a run writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.model.plan import Known
from engine.tracking.db.connect import reading, refuse_outdated
from engine.tracking.db.faults import translated
from engine.tracking.read import lookups

RUNS = 5
FEWEST_COPIES = 500
"""Shorter runs show mostly how long the start took."""

_RUNS = """
SELECT r.id, r.successful_files, r.bytes_copied,
    (julianday(coalesce(r.end_time, r.last_update)) - julianday(r.start_time)) * 86400
FROM migration_runs r WHERE r.run_type = 'backup' AND r.successful_files >= ? ORDER BY r.id DESC LIMIT ?
"""
_METHODS = """
SELECT coalesce(method, ''), count(*) FROM file_migrations WHERE run_id = ? AND method IS NOT NULL GROUP BY 1
"""


@dataclass(frozen=True, slots=True)
class RunThroughput:
    """A backup run: what it copied, by which method most of it went, and how long it took."""

    run_id: int
    method: str
    files: int
    bytes: int
    seconds: float


class PriorRuns:
    """``open_prior_runs`` makes one. Every verb raises Fatal when SQLite cannot go on."""

    def __init__(self, path: Path, db: sqlite3.Connection) -> None:
        self._path = path
        self._db = db

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """All rows of one read-only question. It does not wait: nothing else goes on meanwhile."""
        with translated(self._path, starting=False):
            return self._db.execute(sql, parameters).fetchall()

    async def known(self, ids: Sequence[str]) -> dict[str, Known]:
        """Rows of these records, by record id."""
        return await lookups.known(self, ids)

    async def org_id(self) -> str:
        """The org that the DB follows; empty while no run has begun."""
        rows = await self.fetch(
            "SELECT json_extract(config_snapshot, '$.org_id') FROM migration_runs"
            " WHERE json_extract(config_snapshot, '$.org_id') IS NOT NULL ORDER BY id DESC LIMIT 1"
        )
        return str(rows[0][0]) if rows else ""

    async def throughputs(self) -> list[RunThroughput]:
        """The last backup runs that copied enough to measure a rate, nine of ten files by one method."""
        found = []
        for run, files, size, seconds in await self.fetch(_RUNS, (FEWEST_COPIES, RUNS)):
            methods = dict(await self.fetch(_METHODS, (run,)))
            method = max(methods, key=lambda name: methods[name], default="")
            if method and seconds and seconds > 0 and 10 * methods[method] >= 9 * sum(methods.values()):
                found.append(RunThroughput(run, method, files, size, seconds))
        return found


@contextmanager
def open_prior_runs(path: Path) -> Iterator[PriorRuns | None]:
    """The tracking DB, to be read; None where there is none yet, or an empty one. Raises Blocked where it is
    unusable."""
    if not path.exists():
        yield None
        return
    with reading(path) as db:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version:
            refuse_outdated(db, path)
        yield PriorRuns(path, db) if version else None

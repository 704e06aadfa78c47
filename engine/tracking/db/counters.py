"""Counts per status, failure class and proof, kept by whoever changes rows, in the same transaction.

They make ``engine status`` answer at once on a million rows, so they must never drift: every change of a row's status,
class, proof or size happens inside ``counted``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

Key = tuple[str, str, str]
"""Status, failure class, proof; empty where there is none."""

_TALLY = """
SELECT status, coalesce(failure_class, ''), coalesce(proof, ''), count(*), coalesce(sum(file_size_bytes), 0)
FROM file_migrations WHERE doclist_entry_id IN (SELECT value FROM json_each(?)) GROUP BY 1, 2, 3
"""

#: Counts all rows anew.
RECOUNT = (
    "DELETE FROM counters",
    """
    INSERT INTO counters SELECT status, coalesce(failure_class, ''), coalesce(proof, ''), count(*),
        coalesce(sum(file_size_bytes), 0) FROM file_migrations GROUP BY 1, 2, 3
    """,
)


@dataclass(slots=True)
class Rows:
    """The rows that are counted."""

    files: int
    became: str = ""
    """Set by whoever knows that each of them has this status by now, no failure class, and the proof and size that it
    had: they are not counted again then."""


@contextmanager
def counted(db: sqlite3.Connection, ids: Iterable[str]) -> Iterator[Rows]:
    """Inside the block rows of these records may change, appear or vanish; the counters follow, exactly."""
    chosen = json.dumps(list(ids))
    before = db.execute(_TALLY, (chosen,)).fetchall()
    rows = Rows(sum(files for _, _, _, files, _ in before))
    yield rows
    after = (
        [(rows.became, "", proof, files, size) for _, _, proof, files, size in before]
        if rows.became
        else db.execute(_TALLY, (chosen,))
    )
    change: dict[Key, tuple[int, int]] = {}
    _add(change, before, -1)
    _add(change, after, +1)
    moved = {key: by for key, by in change.items() if by != (0, 0)}
    try:
        db.executemany("INSERT OR IGNORE INTO counters VALUES (?, ?, ?, 0, 0)", moved)
        db.executemany(
            "UPDATE counters SET files = files + ?, bytes = bytes + ?"
            " WHERE status = ? AND failure_class = ? AND proof = ?",
            [(*by, *key) for key, by in moved.items()],
        )
    except sqlite3.IntegrityError:  # below zero: somebody has changed rows by hand, and the counters know nothing of it
        for statement in RECOUNT:
            db.execute(statement)


def _add(change: dict[Key, tuple[int, int]], rows: Iterable[tuple[str, str, str, int, int]], sign: int) -> None:
    for status, failure, proof, files, size in rows:
        key = (status, failure, proof)
        old_files, old_size = change.get(key, (0, 0))
        change[key] = (old_files + sign * files, old_size + sign * size)

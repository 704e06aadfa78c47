"""Opening SQLite: pragmas, and the questions a file must answer before it is trusted. Light: no event loop."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.model.command import Command
from engine.model.errors import Blocked
from engine.tracking.db import files, schema
from engine.tracking.db.faults import RESTORE, translated

#: Files up to this size are checked as a whole when opened (about 5 ms per MiB).
CHECK_UP_TO_BYTES = 64 << 20

_SETUP = (
    "PRAGMA busy_timeout = 5000",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA mmap_size = 0",
)
_MEMORY = "PRAGMA temp_store = MEMORY"
"""For writers. Statement journals: in a file they make an upsert eight times as slow. It comes first: whatever SQLite
knows of the schema by then it forgets."""
_WRITER_SETUP = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 16000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -65536",
)


def open_reader(path: Path) -> sqlite3.Connection:
    """A read-only connection; works beside a running writer and after one was killed. Raises sqlite3.Error."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    try:
        for pragma in _SETUP:
            db.execute(pragma)
        db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """A tracking DB to be read, even while a run writes; of which version it is, the caller asks. Raises Blocked when
    it cannot be read."""
    files.inspect(path)
    with translated(path, starting=True):
        db = open_reader(path)
        try:
            refuse_foreign(db, path)
            yield db
        finally:
            db.close()


@contextmanager
def one_moment(path: Path) -> Iterator[sqlite3.Connection]:
    """The tracking DB as it is at one moment, whatever a run writes meanwhile. Raises Blocked when it cannot be
    read."""
    with reading(path) as db:
        refuse_outdated(db, path)
        db.execute("BEGIN")
        yield db


def by_name(cursor: sqlite3.Cursor) -> list[dict[str, Any]]:
    """All rows of a query, by column."""
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def open_looker(path: Path) -> sqlite3.Connection:
    """In place of the one that writes, for a run that changes nothing: SQLite refuses each write. Raises Blocked and
    sqlite3.Error."""
    db = open_reader(path)
    try:
        refuse_foreign(db, path)
        refuse_outdated(db, path)
        _refuse_damaged(db, path)
    except BaseException:
        db.close()
        raise
    return db


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes; the file exists. Raises Blocked and sqlite3.Error."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        for pragma in (*_SETUP, _MEMORY):
            db.execute(pragma)
        refuse_foreign(db, path)
        files.make_private(path)
        _refuse_damaged(db, path)
        for pragma in _WRITER_SETUP:
            db.execute(pragma)
        schema.migrate(db)
    except BaseException:
        db.close()
        raise
    return db


def refuse_foreign(db: sqlite3.Connection, path: Path) -> None:
    """Raise Blocked unless the file is empty or ours, and not of a newer engine."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application != schema.APPLICATION_ID and (application or version or tables):
        legacy = "file_migrations" in tables
        raise Blocked(
            f"{path} is {'a database of the original scripts' if legacy else 'a database of another program'}",
            hint=(
                "it stays as it is; set tracking.database to a new file, and ",
                Command("import-legacy FILE"),
                "   takes over what it holds",
            )
            if legacy
            else "it stays as it is; set tracking.database to another path",
        )
    if version > schema.VERSION:
        raise Blocked(
            f"{path} was written by a newer engine (schema {version}; this one knows {schema.VERSION})",
            hint="upgrade this engine, or use the newer one",
        )


def refuse_outdated(db: sqlite3.Connection, path: Path) -> None:
    """For readers, who cannot upgrade a file: raise Blocked unless it has today's schema."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version < schema.VERSION:
        raise Blocked(
            f"{path} is empty: no run has used it yet" if version == 0 else f"{path} has an older schema ({version})",
            hint=("the next run sets it up: ", Command("run backup --incremental")),
        )


def _refuse_damaged(db: sqlite3.Connection, path: Path) -> None:
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page_size,) = db.execute("PRAGMA page_size").fetchone()
    if pages * page_size > CHECK_UP_TO_BYTES:
        return
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Blocked(f"tracking database {path} is damaged: {verdict.splitlines()[-1]}", hint=RESTORE)

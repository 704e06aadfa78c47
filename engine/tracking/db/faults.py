"""SQLite's errors, translated once: what happened, and what to do next."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.model.errors import Blocked, Fatal

#: What to do with a damaged file.
RESTORE = (
    "put it aside together with its -wal file and restore a snapshot; without one, a full backup run on a new file"
    " adopts the copies that prove equal"
)

_ADVICE: dict[int, tuple[str, str]] = {
    sqlite3.SQLITE_FULL: (
        "the disk is full",
        "free some space and start again; everything committed so far is safe",
    ),
    sqlite3.SQLITE_READONLY: (
        "the file or its directory is read-only",
        "give this user write permission on both, or set tracking.database to a path on a writable disk",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "it cannot be opened; its directory must exist, be writable and have free file handles",
        "check the path in tracking.database and the permissions of its directory",
    ),
    sqlite3.SQLITE_PERM: ("permission is denied", "check owner and mode of the file; it should be ours with mode 0600"),
    sqlite3.SQLITE_AUTH: ("permission is denied", "check owner and mode of the file; it should be ours with mode 0600"),
    sqlite3.SQLITE_IOERR: (
        "the disk reported an I/O error",
        "check the disk and the system log, then start again; everything committed so far is safe",
    ),
    sqlite3.SQLITE_BUSY: (
        "another process keeps it locked",
        "close other programs that hold the file open for writing, such as a database browser, and start again",
    ),
    sqlite3.SQLITE_LOCKED: ("it is locked", "start again; if it happens twice, report it"),
    sqlite3.SQLITE_CORRUPT: (
        "it is damaged",
        RESTORE,
    ),
    sqlite3.SQLITE_NOTADB: (
        "it is not a SQLite database",
        "set tracking.database to another path, or move the file away",
    ),
    sqlite3.SQLITE_CONSTRAINT: (
        "a row broke a rule of the schema",
        "this is a defect of the engine; nothing of the batch was stored; report the message",
    ),
    sqlite3.SQLITE_NOMEM: ("memory ran out", "close other programs or lower migration.batch_size"),
    sqlite3.SQLITE_TOOBIG: ("a value is too big to store", "report the message; nothing of the batch was stored"),
}

#: After these nothing more is written: the state of the file is in doubt.
_IN_DOUBT = {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def primary(error: sqlite3.Error) -> int:
    """SQLite's primary result code of an error; 0 where Python raised it by itself."""
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def in_doubt(error: sqlite3.Error) -> bool:
    """Whether the file must not be written any more after this error."""
    return primary(error) in _IN_DOUBT


def explain(error: sqlite3.Error, path: Path, *, starting: bool) -> Fatal:
    """The error to raise: Blocked (exit 4) before a run has started, Fatal (exit 1) later."""
    what, hint = _ADVICE.get(primary(error), ("it answered with an error", "report the message"))
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    detail = str(error).partition("\n")[0]
    message = f"tracking database {path}: {what} ({name}: {detail})"
    return Blocked(message, hint=hint) if starting else Fatal(message, hint=hint)


@contextmanager
def translated(path: Path, *, starting: bool) -> Iterator[None]:
    """Raise sqlite3 errors of the block as Blocked or Fatal."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path, starting=starting) from error

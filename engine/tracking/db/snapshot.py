"""A copy of the tracking DB, taken while runs go on. Never copy the file by other means: half of it is in the WAL."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from engine.limiting.private_files import sync
from engine.model.errors import Blocked, Fatal
from engine.tracking.db.connect import open_reader, refuse_foreign
from engine.tracking.db.faults import translated
from engine.tracking.db.files import inspect, unwritable


def snapshot(database: Path, target: Path) -> int:
    """Write a consistent, checked copy to ``target`` (mode 0600, synced); returns its size in bytes.

    One read transaction: writers go on meanwhile. The name appears only when the copy is whole. Raises Blocked when
    the source cannot be read, or when ``target`` exists.
    """
    inspect(database)
    partial = Path(f"{target}.partial")
    try:
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW, 0o600))
        try:
            _copy(database, partial)
            sync(partial)
            os.link(partial, target, follow_symlinks=False)
            sync(target.absolute().parent)
        finally:
            partial.unlink()
        return target.stat().st_size
    except FileExistsError as error:
        raise Blocked(
            f"{error.filename2 or error.filename} exists already; a snapshot never overwrites",
            hint="name another file, or move that one away",
        ) from error
    except OSError as error:
        raise unwritable(target, error) from error


def _copy(database: Path, target: Path) -> None:
    with translated(database, starting=True), closing(open_reader(database)) as source:
        refuse_foreign(source, database)
        with translated(target, starting=True), closing(sqlite3.connect(target, isolation_level=None)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")
            (verdict,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Fatal(f"the snapshot of {database} is damaged: {verdict.splitlines()[-1]}", hint="check the database")

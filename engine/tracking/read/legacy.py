"""The tracking DB of the original scripts: opened to be read, and never changed.

A file that a killed program has left half-written (a journal or a WAL lies beside it) would be repaired by whoever
opens it. So a private copy is opened instead, and repaired there.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.model.errors import Blocked, Usage
from engine.model.text import readable
from engine.tracking.db.faults import primary
from engine.tracking.db.schema import APPLICATION_ID

NEEDED = ("doclist_entry_id", "original_url", "your_s3_key", "your_s3_url")
COLUMNS = (
    *NEEDED,
    "account_id",
    "account_name",
    "file_name",
    "file_size_bytes",
    "file_hash",
    "backup_timestamp",
    "last_modified_sf",
    "salesforce_updated",
    "updated_date",
)
"""In this order the rows come; a column beyond the needed ones that the table lacks is None."""
CHUNK = 1_000
_MAGIC = b"SQLite format 3\0"
_WAL = 2
_NAME = 80
"""Characters of the name of an error, at most."""
_UNTOUCHED = "it stays as it is, and nothing was written. "
_SWITCHES = """
SELECT config_snapshot FROM migration_runs WHERE run_type = 'full_migration'
"""
_FAILED = """
SELECT error_type, count(DISTINCT doclist_entry_id) FROM migration_errors e WHERE NOT EXISTS
    (SELECT 1 FROM file_migrations f WHERE f.doclist_entry_id = e.doclist_entry_id) GROUP BY 1 ORDER BY 2 DESC
"""


@dataclass(slots=True)
class Original:
    """An open DB of the scripts."""

    db: sqlite3.Connection
    path: Path
    copied: bool = False
    """A copy was opened, because the file was left half-written."""

    def rows(self) -> Iterator[list[tuple[Any, ...]]]:
        """All rows of ``file_migrations`` in chunks, in the order of ``COLUMNS``. Raises Blocked."""
        with _translated(self.path):
            have = _columns(self.db, "file_migrations")
            wanted = ", ".join(name if name in have else "NULL" for name in COLUMNS)
            cursor = self.db.execute(f"SELECT {wanted} FROM file_migrations")
            while chunk := cursor.fetchmany(CHUNK):
                yield chunk

    def runs(self) -> tuple[int, int]:
        """How many runs there were, and how many of them are not closed. Raises Blocked."""
        with _translated(self.path):
            if not {"status"} <= _columns(self.db, "migration_runs"):
                return 0, 0
            count, unclosed = self.db.execute(
                "SELECT count(*), coalesce(sum(status IS 'running'), 0) FROM migration_runs"
            ).fetchone()
            return int(count), int(unclosed)

    def switches(self) -> int:
        """How many runs may have moved links: those of phase 2 that are not known as dry runs. Raises Blocked."""
        with _translated(self.path):
            if not {"run_type", "config_snapshot"} <= _columns(self.db, "migration_runs"):
                return 0
            return sum(not _dry(config) for (config,) in self.db.execute(_SWITCHES))

    def failed(self) -> dict[str, int]:
        """Records that have errors and no row, by the scripts' own word. Raises Blocked."""
        with _translated(self.path):
            if not {"error_type", "doclist_entry_id"} <= _columns(self.db, "migration_errors"):
                return {}
            counts: Counter[str] = Counter()
            for kind, count in self.db.execute(_FAILED):
                counts[readable(kind)[:_NAME].strip() or "unknown"] += int(count)
            return {kind: count for kind, count in counts.items() if count}


@contextmanager
def original(path: Path) -> Iterator[Original]:
    """Open the DB of the scripts. Raises Usage where there is no such file, Blocked where it is none of theirs."""
    with ExitStack() as stack, _translated(path):
        found = _opened(path, stack)
        found.db.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        _must_be_theirs(found.db, path)
        yield found


def _opened(path: Path, stack: ExitStack) -> Original:
    header = _header(path)
    wal = header[18:19] == bytes([_WAL])
    if not wal and not _left(path, "-journal"):
        return Original(_readable(path.absolute().as_uri() + "?mode=ro", stack), path)
    if not wal:
        try:  # whoever is at work keeps a journal too, and that one is no leftover
            return Original(_readable(path.absolute().as_uri() + "?mode=ro", stack), path)
        except sqlite3.OperationalError as error:
            if primary(error) not in {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN}:
                raise
    try:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="engine-")))
        for suffix in ("", "-wal", "-journal"):
            if suffix == "" or _left(path, suffix):
                shutil.copyfile(f"{path}{suffix}", room / f"copy.db{suffix}")
    except OSError as error:
        raise Blocked(
            f"{path} was left half-written, and no copy of it can be made: {error.strerror}",
            hint=f"{_UNTOUCHED}Free some space in {tempfile.gettempdir()}, or set TMPDIR to a folder with room.",
        ) from error
    db = _readable((room / "copy.db").as_uri() + "?mode=rw", stack)
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise _damaged(path, verdict.splitlines()[-1])
    return Original(db, path, copied=True)


def _readable(uri: str, stack: ExitStack) -> sqlite3.Connection:
    # the loop's thread reads it, or one beside it; never two at a time
    db = stack.enter_context(closing(sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)))
    for pragma in ("trusted_schema = OFF", "cell_size_check = ON", "mmap_size = 0", "busy_timeout = 5000"):
        db.execute(f"PRAGMA {pragma}")
    db.execute("BEGIN")  # one moment, whatever somebody writes meanwhile
    db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    return db


def _header(path: Path) -> bytes:
    try:
        if not path.is_file():
            what = "is no file" if path.exists() else "does not exist"
            raise Usage(f"{path} {what}", hint="Name the scripts' migration_tracking.db.")
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise Usage(f"{path} cannot be read: {error.strerror}", hint="Check its owner and permissions.") from error
    if not header.startswith(_MAGIC):
        what = "is empty" if not header else "is not a SQLite database"
        raise Blocked(f"{path} {what}", hint=f"{_UNTOUCHED}Name the scripts' migration_tracking.db.")
    return header


def _left(path: Path, suffix: str) -> bool:
    beside = Path(f"{path}{suffix}")
    return beside.is_file() and beside.stat().st_size > 0


def _must_be_theirs(db: sqlite3.Connection, path: Path) -> None:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application == APPLICATION_ID:
        raise Blocked(
            f"{path} is a tracking DB of engine, and none of the original scripts",
            hint=f"{_UNTOUCHED}There is nothing to import: set tracking.database to it.",
        )
    found = [(kind, readable(name)) for kind, name in db.execute("SELECT type, name FROM sqlite_master")]
    tables, views = (sorted(name.lower() for each, name in found if each == kind) for kind in ("table", "view"))
    if "file_migrations" not in tables:
        there = f"its tables: {', '.join(tables) or 'none'}"
        there += f"; its views: {', '.join(views)}" if views else ""
        raise Blocked(
            f"{path} has no table file_migrations ({there})",
            hint=f"{_UNTOUCHED}Name the scripts' migration_tracking.db.",
        )
    have = _columns(db, "file_migrations")
    if lacking := [name for name in NEEDED if name not in have]:
        raise Blocked(
            f"the table file_migrations of {path} lacks {', '.join(lacking)} (it has {', '.join(sorted(have))})",
            hint=f"{_UNTOUCHED}Make a copy of the file, name its columns as the scripts do, and import that.",
        )


def _columns(db: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]).lower() for row in db.execute(f"PRAGMA table_info({table})")}


def _dry(config: object) -> bool:
    try:
        found = json.loads(str(config))
    except ValueError:
        return False
    return isinstance(found, dict) and found.get("dry_run") is True


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = primary(error)
        if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise Blocked(
                f"{path} is locked by another program",
                hint=f"{_UNTOUCHED}End the original scripts and whatever else has it open, and start again.",
            ) from error
        if code == sqlite3.SQLITE_NOTADB:
            raise Blocked(f"{path} is not a SQLite database", hint=f"{_UNTOUCHED}Name another file.") from error
        raise _damaged(path, str(error).partition("\n")[0]) from error


def _damaged(path: Path, why: str) -> Blocked:
    return Blocked(
        f"{path} cannot be read to its end: {why}",
        hint=f'{_UNTOUCHED}Import an earlier copy, or what "sqlite3 FILE .recover" makes of it.',
    )

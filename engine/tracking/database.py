"""The one connection that writes, and one that reads.

A write is a plain function over ``sqlite3.Connection``. It travels as a whole to aiosqlite's thread, which runs
BEGIN IMMEDIATE, the function and COMMIT in one go: that thread is the single writer, its queue is the order of writes,
and a task that is cancelled while it waits can neither split a transaction nor undo one. Reads go through a second,
read-only connection, so that looking up a page never waits for an fsync. All checkpoints are the writer's, as it is
the only read-write connection (sqlite.org/wal.html#walresetbug wants two).
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from engine.model.errors import Blocked, Fatal
from engine.pacing.clock import Clock, iso
from engine.tracking import files, schema
from engine.tracking.faults import RESTORE, explain, in_doubt, translated

T = TypeVar("T")
Row = tuple[Any, ...]
Work = Callable[[sqlite3.Connection], T]

#: Writes handed over and not yet committed; further callers wait.
WRITES_IN_HAND = 16
#: Files up to this size are checked as a whole when opened (about 5 ms per MiB).
CHECK_UP_TO_BYTES = 64 << 20

# at DEBUG it prints bound parameters: URLs with their signatures
logging.getLogger("aiosqlite").setLevel(logging.INFO)

_SETUP = (
    "PRAGMA busy_timeout = 5000",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA mmap_size = 0",
)
_WRITER_SETUP = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA wal_autocheckpoint = 4000",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA cache_size = -65536",
    # statement journals: in a file they make an upsert eight times as slow
    "PRAGMA temp_store = MEMORY",
)


class Database:
    """An open tracking DB. ``open_database`` makes one and closes it."""

    def __init__(self, path: Path, clock: Clock, writer: _Connection, reader: _Connection) -> None:
        self.path = path
        self.clock = clock
        self._writer = writer
        self._reader = reader
        self._room = asyncio.Semaphore(WRITES_IN_HAND)
        self._fault: Fatal | None = None

    def now(self) -> str:
        """The clock's time in the form we store."""
        return iso(self.clock.now())

    async def write(self, work: Work[T]) -> T:
        """Run ``work`` in one transaction; durable when this returns.

        Cancelling the caller does not take the write back: it happens as a whole, before the DB closes. Raises Fatal
        when SQLite cannot go on; after an I/O error or damage every further write is refused.
        """
        async with self._room:
            return await self._writer.run(partial(self._commit, work))

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of one read-only query, from the last committed state. Raises Fatal."""
        with translated(self.path, starting=False):
            return await self._reader.run(lambda db: db.execute(sql, parameters).fetchall())

    async def close(self) -> None:
        """Finish every write handed over, fold the WAL into the file, end both threads. Survives cancellation."""
        await _to_the_end(self._close())

    async def _close(self) -> None:
        try:
            await self._reader.close()
        finally:
            try:
                await self._writer.run(_tidy)
            finally:
                await self._writer.close()

    def _commit(self, work: Work[T], db: sqlite3.Connection) -> T:
        if self._fault is not None:
            raise self._fault
        try:
            return transaction(db, work)
        except sqlite3.Error as error:
            fault = explain(error, self.path, starting=False)
            if in_doubt(error):
                self._fault = fault
            raise fault from error


@asynccontextmanager
async def open_database(path: Path, clock: Clock) -> AsyncIterator[Database]:
    """Open the tracking DB for writing, making or upgrading it first; hold the run lock before calling.

    Raises Blocked, having changed nothing, for a link, a foreign owner, a network file system, another program's
    database, one of a newer engine, or a damaged file.
    """
    files.prepare(path)
    with translated(path, starting=True):
        writer = _Connection(partial(_open_writer, path))
        await writer
        try:
            reader = _Connection(partial(open_reader, path))
            await reader
        except BaseException:
            await _to_the_end(writer.close())
            raise
    database = Database(path, clock, writer, reader)
    try:
        yield database
    finally:
        await database.close()


def transaction(db: sqlite3.Connection, work: Work[T]) -> T:
    """BEGIN IMMEDIATE, ``work``, COMMIT; ROLLBACK when either raises."""
    db.execute("BEGIN IMMEDIATE")
    try:
        result = work(db)
        db.execute("COMMIT")
    except BaseException:
        # SQLite has rolled back by itself after some errors
        if db.in_transaction:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
        raise
    return result


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


def refuse_foreign(db: sqlite3.Connection, path: Path) -> None:
    """Raise Blocked unless the file is empty or ours, and not of a newer engine."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application != schema.APPLICATION_ID and (application or version or tables):
        legacy = "file_migrations" in tables
        raise Blocked(
            f"{path} is {'a database of the original scripts' if legacy else 'a database of another program'}",
            hint=f"take it over with: engine import-legacy {path}" if legacy else "set tracking.database elsewhere",
        )
    if version > schema.VERSION:
        raise Blocked(
            f"{path} was written by a newer engine (schema {version}; this one knows {schema.VERSION})",
            hint="upgrade this engine, or use the newer one",
        )


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection and thread, with a verb to run a whole function there."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        # whoever forgets to close must still be able to exit; SQLite rolls an unfinished commit back
        self._thread.daemon = True

    async def run(self, work: Work[T]) -> T:
        execute: Callable[..., Awaitable[T]] = self._execute
        return await execute(lambda: work(self._conn))


def _open_writer(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None)
    try:
        for pragma in _SETUP:
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


def _refuse_damaged(db: sqlite3.Connection, path: Path) -> None:
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page_size,) = db.execute("PRAGMA page_size").fetchone()
    if pages * page_size > CHECK_UP_TO_BYTES:
        return
    (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise Blocked(
            f"tracking database {path} is damaged: {verdict.splitlines()[-1]}",
            hint=RESTORE,
        )


def _tidy(db: sqlite3.Connection) -> None:
    # a courtesy to the next opener: whatever fails here is still safe in the WAL
    with suppress(sqlite3.Error):
        db.execute("PRAGMA optimize")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


async def _to_the_end(work: Coroutine[Any, Any, None]) -> None:
    """Await ``work`` until it is done, however often we are cancelled; then be cancelled."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()

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
from typing import Any, Protocol, TypeVar

import aiosqlite

from engine.limiting.clock import Clock, iso
from engine.limiting.private_files import DISK, Files
from engine.model.errors import Fatal
from engine.tracking.db import files
from engine.tracking.db.connect import open_looker, open_reader, open_writer
from engine.tracking.db.faults import explain, in_doubt, translated

T = TypeVar("T")
Row = tuple[Any, ...]
Work = Callable[[sqlite3.Connection], T]

#: Writes handed over and not yet committed; further callers wait.
WRITES_IN_HAND = 16

# at DEBUG it prints bound parameters: URLs with their signatures
logging.getLogger("aiosqlite").setLevel(logging.INFO)


class Connection(Protocol):
    """A connection of SQLite's, and where its work is done, piece by piece, in the order in which it came."""

    async def run(self, work: Work[T]) -> T: ...

    async def close(self) -> None: ...


Opener = Callable[[], sqlite3.Connection]
Connect = Callable[[Opener], Awaitable[Connection]]


class Database:
    """An open tracking DB. ``open_database`` makes one and closes it."""

    def __init__(self, path: Path, clock: Clock, files: Files, writer: Connection, reader: Connection) -> None:
        self.path = path
        self.clock = clock
        self.files = files
        """Where what lies beside the DB is kept."""
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
            return await self._writer.run(partial(self._do, lambda db: transaction(db, work)))

    async def maintain(self, work: Work[T]) -> T:
        """Run ``work`` between two transactions, for what cannot be done within one. Raises Fatal."""
        async with self._room:
            return await self._writer.run(partial(self._do, work))

    async def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """All rows of one read-only query, from the last committed state. Raises Fatal."""
        with translated(self.path, starting=False):
            return await self._reader.run(lambda db: db.execute(sql, parameters).fetchall())

    async def read(self, work: Work[T]) -> T:
        """Run ``work`` on the read-only connection; it sees the last committed state. Raises Fatal."""
        with translated(self.path, starting=False):
            return await self._reader.run(work)

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

    def _do(self, work: Work[T], db: sqlite3.Connection) -> T:
        if self._fault is not None:
            raise self._fault
        try:
            return work(db)
        except sqlite3.Error as error:
            fault = explain(error, self.path, starting=False)
            if in_doubt(error):
                self._fault = fault
            raise fault from error


@asynccontextmanager
async def open_database(
    path: Path, clock: Clock, connect: Connect | None = None, disk: Files = DISK, *, may_write: bool = True
) -> AsyncIterator[Database]:
    """Open the tracking DB for writing, making or upgrading it first; hold the run lock before calling. Without
    ``may_write`` one that is there is opened, and stays as it is.

    Raises Blocked, having changed nothing, for a link, a foreign owner, a network file system, another program's
    database, one of a newer engine, or a damaged file.
    """
    (files.prepare if may_write else files.inspect)(path)
    with translated(path, starting=True):
        connect = connect or threaded
        writer = await connect(partial(open_writer if may_write else open_looker, path))
        try:
            reader = await connect(partial(open_reader, path))
        except BaseException:
            await _to_the_end(writer.close())
            raise
    database = Database(path, clock, disk, writer, reader)
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


async def threaded(opener: Opener) -> Connection:
    """A connection with a thread of its own."""
    connection = _Connection(opener)
    await connection.open()
    return connection


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection and thread, with a verb to run a whole function there."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        # whoever forgets to close must still be able to exit; SQLite rolls an unfinished commit back
        self._thread.daemon = True
        self._ended: asyncio.Future[Any] | None = None

    async def open(self) -> None:
        """Start the thread and connect. When that fails, the thread has ended before the error goes on."""
        try:
            await self
        except BaseException:
            # aiosqlite stops its thread without waiting, and a loop that closes meanwhile makes the thread stumble
            if self._ended is not None:
                await asyncio.wait([self._ended])
            raise

    def stop(self) -> asyncio.Future[Any] | None:
        self._ended = super().stop()
        return self._ended

    async def run(self, work: Work[T]) -> T:
        execute: Callable[..., Awaitable[T]] = self._execute
        return await execute(lambda: work(self._conn))


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

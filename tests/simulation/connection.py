"""A connection of SQLite's without a thread, with a crash point before and after each transaction."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tests.simulation.loop import Killed

if TYPE_CHECKING:
    from tests.simulation.life import Life


class SimConnection:
    """Fits ``tracking.db.database.Connection``, without a thread."""

    def __init__(self, life: Life, database: sqlite3.Connection, *, writes: bool) -> None:
        self._life = life
        self._database = database
        self._writes = writes
        self._queue: deque[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]]] = deque()

    async def run(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        if self._life.dead or self._life.loop.ghost:
            raise Killed
        future = self._life.loop.create_future()
        self._queue.append((work, future))
        if len(self._queue) == 1:
            self._begin()
        return await future

    def _begin(self) -> None:
        """A write takes as long as its fsync, which now and then is long."""
        life = self._life
        if not self._writes:
            life.loop.call_soon(self._next)
            return
        slow = life.chance.random() < 0.03
        life.loop.call_later(life.chance.uniform(0.2, 2.0) if slow else life.chance.uniform(0.0001, 0.004), self._next)

    def _next(self) -> None:
        work, future = self._queue[0]
        try:
            result = self._write(work) if self._writes else work(self._database)
        except BaseException as error:  # noqa: BLE001 - handed on, as a thread would
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(result)
        self._queue.popleft()
        if self._queue:
            self._begin()

    def _write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        self._life.step("db:")
        fault = self._life.disk_fault()
        failing: Any = Failing(self._database, fault, done=self._life.chance.random() < 0.5)
        try:
            return work(failing if fault else self._database)
        finally:
            self._life.step("db.")

    async def close(self) -> None:
        if self._queue:
            await asyncio.wait([future for _, future in self._queue])
        self._life.world.tracked.let_go()
        self._database.close()


_NOT_WRITTEN = {
    "full": ("SQLITE_FULL", "database or disk is full"),
    "read-only": ("SQLITE_IOERR_WRITE", "disk I/O error"),
}


class Failing:
    """A connection whose commit fails: the disk is ``full``, or ``read-only`` by now, or ``broken``; then it may have
    been ``done`` all the same."""

    def __init__(self, database: sqlite3.Connection, fault: str, *, done: bool) -> None:
        self._database = database
        self._fault = fault
        self._done = done

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return self._database.execute(sql, *parameters)
        if self._fault in _NOT_WRITTEN:
            self._database.execute("ROLLBACK")
            raise _error(*_NOT_WRITTEN[self._fault])
        self._database.execute("COMMIT" if self._done else "ROLLBACK")
        raise _error("SQLITE_IOERR_FSYNC", "disk I/O error")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._database, name)


def _error(name: str, text: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, name), name
    return error

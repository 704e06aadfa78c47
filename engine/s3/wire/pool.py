"""Which connection serves which request: reuse, a limit in all, a fair queue."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from engine.limiting.clock import Clock
from engine.model.location import Origin
from engine.s3.wire.connection import Connection
from engine.s3.wire.errors import Closed, TimedOut, WireError

Dial = Callable[[Origin, float, Callable[[Connection], None]], Awaitable[Connection]]


class _Waiter:
    """A request in the queue. It gets a connection to its origin, or None: a slot to dial in."""

    __slots__ = ("due", "granted", "origin")

    def __init__(self, origin: Origin | None, due: float) -> None:
        self.origin = origin
        self.due = due
        self.granted: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()


class Pool:
    """Connections per origin, at most ``limit`` in all. Invariant: while a request waits, no connection is idle."""

    def __init__(self, dial: Dial, clock: Clock, *, limit: int, idle_s: float) -> None:
        if limit < 1:
            raise ValueError("limit must be at least 1")
        self.connections: set[Connection] = set()
        self._dial = dial
        self._clock = clock
        self._limit = limit
        self._idle_s = idle_s
        self._idle: dict[Origin, list[Connection]] = {}
        self._taken = 0  # slots: connections open, being closed, or being dialled
        self._waiters: deque[_Waiter] = deque()
        self._closed = False
        self._empty: asyncio.Future[None] | None = None

    @property
    def idle(self) -> int:
        return sum(map(len, self._idle.values()))

    @property
    def busy(self) -> bool:
        """Whether a sweep has anything to look at."""
        return self._taken > 0 or bool(self._waiters)

    def reuse(self, origin: Origin, now: float) -> Connection | None:
        """The idle connection used last, if one is still good."""
        stack = self._idle.get(origin)
        while stack:
            connection = stack.pop()
            if connection.alive:
                if now - connection.idle_since < self._idle_s and connection.rested(now):
                    return connection
                connection.drop()
        return None

    async def obtain(self, origin: Origin, due: float, *, fresh: bool = False) -> Connection:
        """A connection, new if need be (``fresh``: in any case); waits its turn. Raises what dialling raises."""
        while True:
            if self._closed:
                raise Closed("the wire is closed")
            connection = None if fresh else self.reuse(origin, self._clock.monotonic())
            if connection is not None:
                return connection
            if self._taken < self._limit:
                self._taken += 1
                break
            connection = await self._wait(None if fresh else origin, due)
            if connection is None:
                break
            if connection.alive:
                return connection
        try:
            connection = await self._dial(origin, due, self._lost)
        except WireError:
            self._free()
            if self._closed:
                raise Closed("the wire is closed") from None
            raise
        except BaseException:
            self._free()
            raise
        self.connections.add(connection)
        if self._closed:
            connection.drop()
            raise Closed("the wire is closed")
        return connection

    def release(self, connection: Connection) -> None:
        """Give a reusable connection to the first in the queue, or keep it for the next request."""
        waiter = self._first()
        if waiter is None:
            connection.idle_since = self._clock.monotonic()
            self._idle.setdefault(connection.origin, []).append(connection)
        elif waiter.origin == connection.origin:
            self._waiters.popleft()
            waiter.granted.set_result(connection)
        else:
            connection.drop()  # its slot goes to the waiter when it is gone

    def sweep(self, now: float, read_s: float) -> None:
        """Enforce limits: of exchanges in flight, of waiting, of idleness."""
        for connection in tuple(self.connections):
            connection.check(now, read_s)
        for waiter in self._waiters:
            if now >= waiter.due and not waiter.granted.done():
                waiter.granted.set_exception(TimedOut("no free connection in time"))
        for stack in self._idle.values():
            while stack and now - stack[0].idle_since >= self._idle_s:
                stack.pop(0).drop()

    async def close(self) -> None:
        """Fail all that waits or is in flight; returns when every socket is closed."""
        self._closed = True
        for waiter in self._waiters:
            if not waiter.granted.done():
                waiter.granted.set_exception(Closed("the wire is closed"))
        for connection in tuple(self.connections):
            connection.fail(Closed("the wire is closed"))
        self._idle.clear()
        while self._taken:
            if self._empty is None or self._empty.done():
                self._empty = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._empty)

    async def _wait(self, origin: Origin | None, due: float) -> Connection | None:
        self._evict()
        waiter = _Waiter(origin, due)
        self._waiters.append(waiter)
        try:
            return await waiter.granted
        except BaseException:
            granted = waiter.granted
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            if granted.done() and not granted.cancelled() and granted.exception() is None:
                self._give_back(granted.result())  # granted and cancelled at once
            raise

    def _give_back(self, granted: Connection | None) -> None:
        if granted is None:
            self._free()
        elif granted.alive:
            self.release(granted)

    def _first(self) -> _Waiter | None:
        while self._waiters and self._waiters[0].granted.done():
            self._waiters.popleft()
        return self._waiters[0] if self._waiters else None

    def _evict(self) -> None:
        """Close the connection that has been idle longest, of whatever origin, to make room."""
        stack = min((s for s in self._idle.values() if s), key=lambda s: s[0].idle_since, default=None)
        if stack is not None:
            stack.pop(0).drop()

    def _lost(self, connection: Connection) -> None:
        if connection in self.connections:
            self.connections.remove(connection)
            stack = self._idle.get(connection.origin)
            if stack and connection in stack:
                stack.remove(connection)
            self._free()

    def _free(self) -> None:
        """A slot is free: it goes to the first in the queue."""
        waiter = self._first()
        if waiter is not None:
            self._waiters.popleft()
            waiter.granted.set_result(None)
            return
        self._taken -= 1
        if not self._taken and self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

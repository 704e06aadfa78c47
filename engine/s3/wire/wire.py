"""The wire: HTTP/1.1 requests over kept-alive connections, with a deadline on every wait."""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Self, TypeVar

from engine.limiting.clock import Clock
from engine.limiting.cooperative import FairWaking
from engine.model.byte_units import MIB
from engine.model.location import Origin
from engine.model.proxy import Proxy
from engine.s3.wire.connection import Connection
from engine.s3.wire.dialer import Dialer
from engine.s3.wire.errors import Stale
from engine.s3.wire.exchange import NOWHERE, Whole
from engine.s3.wire.names import Names, Resolver
from engine.s3.wire.pool import Pool
from engine.s3.wire.reply import Reply, StreamedReply
from engine.s3.wire.streamed import Streamed

TICK_S = 0.25
E = TypeVar("E", Whole, Streamed)
Body = bytes | memoryview | None


@dataclass(frozen=True, slots=True)
class WireStats:
    """Connections open and idle now."""

    open: int
    idle: int


class Wire:
    """An HTTP/1.1 client for one event loop. Never follows a redirect, keeps no cookie, decodes no content.

    ``limit`` bounds the connections over all origins. ``connect_s`` covers DNS to TLS; ``read_s`` is the longest
    silence (no byte either way) within a request; ``idle_s`` the longest rest of a connection that may be used again.
    An answer of status 300 or more is whole within REFUSAL_S, or given up.
    Limits are enforced every TICK_S seconds. Certificates and host names are always verified.
    """

    def __init__(
        self,
        *,
        limit: int,
        clock: Clock,
        connect_s: float = 10.0,
        read_s: float = 60.0,
        idle_s: float = 15.0,
        ssl_context: ssl.SSLContext | None = None,
        resolve: Resolver | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        self._clock = clock
        self._read_s = read_s
        self._dialer = Dialer(
            clock, connect_s=connect_s, resolve=resolve or Names(clock), proxy=proxy, context=ssl_context
        )
        self._pool = Pool(self._dialer.dial, clock, limit=limit, idle_s=idle_s)
        self._timer: asyncio.TimerHandle | None = None
        self._waking = FairWaking()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def stats(self) -> WireStats:
        return WireStats(len(self._pool.connections), self._pool.idle)

    async def request(
        self,
        origin: Origin,
        head: bytes,
        body: Body = None,
        *,
        method: str,
        deadline_s: float = math.inf,
        max_body: int = MIB,
        expect_continue: bool = False,
        once: bool = False,
    ) -> Reply:
        """Send one request and read its answer whole, at most ``max_body`` bytes of body.

        ``head`` is the complete rendered head, framing headers included; ``method`` repeats its method. ``deadline_s``
        covers the whole request, waiting for a connection included. With ``expect_continue`` (and the Expect header in
        ``head``) the body waits for 100 Continue, or a second. An answer that comes before the body is sent ends the
        sending.

        A request is sent once more on a new connection when a reused one turns out stale. Not with ``once``: that is
        for what must not be done twice. Raises WireError, and what the resolver raises.
        """

        def whole(_connection: Connection) -> Whole:
            return self._whole(method, max_body)

        connection, _, reply = await self._perform(
            origin, head, body, whole, deadline_s, hold=expect_continue, once=once
        )
        self._settle(connection)
        return reply

    def idle(self, origin: Origin) -> Connection | None:
        """A connection for ``ask`` that is good and has nothing to do, taken from the pool; None: there is none."""
        return self._pool.reuse(origin, self._clock.monotonic())

    def spare(self, connection: Connection) -> None:
        """Give back what ``idle`` gave, unused."""
        self._pool.release(connection)

    async def ask(
        self,
        connection: Connection,
        head: bytes,
        *,
        method: str,
        deadline_s: float,
        max_body: int = MIB,
        memory: memoryview = NOWHERE,
    ) -> Reply:
        """``request`` at its shortest: without body, on a connection in hand, once. The body of a 200 lands in
        ``memory`` where its length is known and it fits. Raises WireError."""
        exchange = self._whole(method, max_body, memory)
        now = self._clock.monotonic()
        reply = await self._carry(connection, exchange, head, None, now=now, due=now + deadline_s)
        self._settle(connection)
        return reply

    @asynccontextmanager
    async def stream(
        self, origin: Origin, head: bytes, *, method: str, deadline_s: float = math.inf, pace: float = math.inf
    ) -> AsyncIterator[StreamedReply]:
        """Send a request without body; the answer's body is read inside the block. What is not read to its end costs
        the connection. The deadline covers the reading, and is later by a second for every ``pace`` bytes that come
        and, given a pace, by the time in which nobody here takes them. Raises as ``request`` does."""

        def streamed(connection: Connection) -> Streamed:
            assert connection.transport is not None
            answer = asyncio.get_running_loop().create_future()
            return Streamed(answer, method=method, flow=connection.transport)

        connection, exchange, reply = await self._perform(origin, head, None, streamed, deadline_s, pace=pace)
        try:
            yield StreamedReply(reply.status, reply.fields, reply.framing, exchange.pieces, exchange.fill)
        finally:
            if exchange.drained:
                self._settle(connection)
            else:
                connection.drop()

    async def close(self) -> None:
        """Drop every connection; requests in flight fail with Closed."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._dialer.deadlines.sweep(math.inf)
        await self._pool.close()

    def sweep(self) -> None:
        """Enforce every limit that passed by now, by the clock."""
        now = self._clock.monotonic()
        self._dialer.deadlines.sweep(now)
        self._pool.sweep(now, self._read_s)

    async def _perform(
        self,
        origin: Origin,
        head: bytes,
        body: Body,
        make: Callable[[Connection], E],
        deadline_s: float,
        *,
        pace: float = math.inf,
        hold: bool = False,
        once: bool = False,
    ) -> tuple[Connection, E, Reply]:
        """One request up to the resolution of its exchange."""
        now = self._clock.monotonic()
        due = now + deadline_s
        connection = self._pool.reuse(origin, now)
        resent = False
        while True:
            if connection is None:
                self._tick_on()
                connection = await self._pool.obtain(origin, due, fresh=resent)
                now = self._clock.monotonic()
            exchange = make(connection)
            try:
                reply = await self._carry(connection, exchange, head, body, now=now, due=due, pace=pace, hold=hold)
            except Stale:
                if once or resent:
                    raise
                resent = True
                connection = None
            else:
                return connection, exchange, reply

    async def _carry(
        self,
        connection: Connection,
        exchange: Whole | Streamed,
        head: bytes,
        body: Body,
        *,
        now: float,
        due: float,
        pace: float = math.inf,
        hold: bool = False,
    ) -> Reply:
        """One exchange on one connection, which is dropped where it fails."""
        connection.begin(exchange, now=now, due=due, pace=pace)
        try:
            if hold:
                exchange.on_interim = connection.writer.on_interim
            connection.writer.send(head, body, hold=hold)
            reply: Reply = await exchange.answer
        except BaseException:
            exchange.abandon()
            connection.drop()
            raise
        return reply

    def _whole(self, method: str, max_body: int, memory: memoryview = NOWHERE) -> Whole:
        answer = asyncio.get_running_loop().create_future()
        return Whole(answer, method=method, max_body=max_body, waking=self._waking, memory=memory)

    def _settle(self, connection: Connection) -> None:
        if connection.finish():
            self._pool.release(connection)
        else:
            connection.drop()

    def _tick_on(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.sweep()
        if self._pool.busy:
            self._tick_on()

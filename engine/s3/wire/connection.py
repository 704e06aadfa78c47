"""One connection: carries one exchange at a time over an asyncio transport."""

from __future__ import annotations

import asyncio
import math
import select
from collections.abc import AsyncIterable, Callable
from typing import cast

from engine.model.byte_units import KIB
from engine.s3.wire.errors import Phase, TimedOut, WireError
from engine.s3.wire.exchange import DONE, Exchange
from engine.s3.wire.origin import Origin
from engine.s3.wire.streamed import Streamed

SLICE = 256 * KIB
READ = 256 * KIB
"""Bytes of a scratch: as much of an answer as one read takes that has no better place to go."""
CONTINUE_S = 1.0
REFUSAL_S = 60.0
"""Seconds within which an answer of status 300 or more must be whole, whatever the request itself may take."""
_JOIN_BELOW = 64 * KIB  # head and body of fewer bytes travel in one write
_PROBE_AFTER_S = 0.05  # a pause in which the loop may have missed the peer's farewell


class Connection(asyncio.BufferedProtocol):
    """Sends one request at a time and feeds its Exchange. Ends itself on every irregularity.

    ``on_lost`` is called once, when the transport is gone. ``scratch`` takes what is read and is free again at once, so
    all connections of a loop share one: a transport asks for memory, reads and tells of it without a pause between.
    ``uses`` counts the exchanges begun.
    """

    __slots__ = (
        "_began",
        "_checked",
        "_drain",
        "_exchange",
        "_feeding",
        "_full",
        "_held",
        "_landing",
        "_on_lost",
        "_scratch",
        "_seen",
        "_unsent",
        "due",
        "idle_since",
        "loop",
        "origin",
        "pace",
        "quiet_since",
        "sent",
        "transport",
        "uses",
    )

    def __init__(self, origin: Origin, on_lost: Callable[[Connection], None], scratch: memoryview) -> None:
        self.origin = origin
        self.loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.uses = 0
        self.idle_since = 0.0
        self.due = math.inf
        self.pace = math.inf
        self.quiet_since = 0.0
        self.sent = False
        self._on_lost = on_lost
        self._scratch = scratch
        self._landing = False
        self._exchange: Exchange | None = None
        self._began = 0.0
        self._checked = 0.0
        self._seen = (0, 0)
        self._unsent: memoryview | None = None
        self._full = False
        self._held = False
        self._feeding = False
        self._drain: asyncio.Future[None] | None = None

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=2 * SLICE, low=SLICE // 2)

    def get_buffer(self, sizehint: int) -> memoryview:
        exchange = self._exchange
        if exchange is not None and exchange.landing:
            self._landing = True
            return exchange.landing
        self._landing = False
        return self._scratch

    def buffer_updated(self, nbytes: int) -> None:
        exchange = self._exchange
        if exchange is None:
            self.drop()
        elif self._landing:
            exchange.landed(nbytes)
        else:
            try:
                exchange.feed(self._scratch[:nbytes].tobytes())
            except WireError as error:
                self.fail(error)

    def eof_received(self) -> None:
        self._closed("")

    def connection_lost(self, exc: Exception | None) -> None:
        self._closed("reset" if exc is not None else "")
        self._wake_writer()
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._push()
        if not self._full:
            self._wake_writer()

    # The pool and the wire call these.

    @property
    def alive(self) -> bool:
        """May carry a request, as far as the loop knows."""
        return self.transport is not None and not self.transport.is_closing()

    def rested(self, now: float) -> bool:
        """Whether the peer has been silent while idle. Asks the kernel where the loop may lag behind it."""
        if now - self.idle_since < _PROBE_AFTER_S:
            return True
        assert self.transport is not None
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not poll.poll(0)

    def begin(self, exchange: Exchange, *, now: float, due: float, pace: float = math.inf) -> None:
        """Answer bytes belong to this exchange from here on. ``due`` moves on by a second for every ``pace`` bytes."""
        self.uses += 1
        self._exchange = exchange
        self._seen = (0, 0)
        self._began = self._checked = self.quiet_since = now
        self.due = due
        self.pace = pace
        self.sent = False

    def send(self, head: bytes, body: bytes | memoryview | None, *, hold: bool = False) -> None:
        """Write the request. With ``hold`` the body waits for 100 Continue, or for CONTINUE_S."""
        assert self.transport is not None
        if body is None:
            self.transport.write(head)
            self.sent = True
        elif not hold and len(body) < _JOIN_BELOW:
            self.transport.write(b"".join((head, body)))
            self.sent = True
        else:
            self.transport.write(head)
            self._unsent = memoryview(body).cast("B")
            self._hold(hold)
            self._push()

    async def send_pieces(self, head: bytes, body: AsyncIterable[bytes | memoryview], *, hold: bool = False) -> None:
        """Write the request, its body as it comes, no faster than the peer takes it. Ends early when answered."""
        transport = self.transport
        assert transport is not None
        transport.write(head)
        self._hold(hold)
        await self._writable()
        try:
            self._feeding = True
            async for piece in body:
                self._feeding = False
                if transport.is_closing():
                    return
                transport.write(piece)
                await self._writable()
                self._feeding = True
        finally:
            self._feeding = False
        self.sent = True

    def finish(self) -> bool:
        """The exchange is over: True when the connection may serve another."""
        exchange, transport = self._exchange, self.transport
        if exchange is None or transport is None or not self.sent:
            return False
        self._exchange = None
        self.due = math.inf
        return exchange.reusable and not transport.is_closing() and not transport.get_write_buffer_size()

    def fail(self, error: WireError) -> None:
        """End the exchange with this error, and the connection with it."""
        if self._exchange is not None:
            self._exchange.fail(error)
        self.drop()

    def drop(self) -> None:
        """Close at once."""
        self._unsent = None
        if self.transport is not None:
            self.transport.abort()

    def check(self, now: float, read_s: float) -> None:
        """Enforce the limits of the exchange in flight; called a few times a second."""
        exchange = self._exchange
        if exchange is None or exchange.stage == DONE or self.transport is None:
            return
        ours = isinstance(exchange, Streamed) and exchange.paused
        if ours and self.pace != math.inf:
            self.due += now - self._checked  # a pause of our own is not the peer's
        self._checked = now
        due = self.due + exchange.received / self.pace
        if exchange.refuses:
            self.due = due = min(due, now + REFUSAL_S)
            self.pace = math.inf
        if now >= due:
            self._time_out("total", f"no whole answer within {due - self._began:.1f} s", exchange)
            return
        seen = (exchange.received, self.transport.get_write_buffer_size())
        if seen != self._seen or ours or self._feeding:
            self._seen = seen
            self.quiet_since = now
        elif now - self.quiet_since >= read_s:
            self._time_out("silence", f"no byte moved for {read_s:.1f} s", exchange)
            return
        if self._held and now - self._began >= CONTINUE_S:
            self._release()

    def _closed(self, cause: str) -> None:
        if self._exchange is not None:
            error = self._exchange.closed(cause, sent=self.sent, reused=self.uses > 1)
            if error is not None:
                self.fail(error)

    def _time_out(self, phase: Phase, message: str, exchange: Exchange) -> None:
        self.fail(TimedOut(message, phase=phase, sent=self.sent, received=exchange.received))

    def _hold(self, hold: bool) -> None:
        self._held = hold
        if hold and self._exchange is not None:
            self._exchange.on_interim = self._interim

    def _interim(self, status: int) -> None:
        if status == 100 and self._held:
            self._release()

    def _release(self) -> None:
        self._held = False
        self._push()
        self._wake_writer()

    def _push(self) -> None:
        """Write slices of the body in hand until the transport has enough."""
        assert self.transport is not None
        while self._unsent is not None and not self._full and not self._held:
            piece, rest = self._unsent[:SLICE], self._unsent[SLICE:]
            self._unsent = rest if rest else None
            self.sent = self._unsent is None
            self.transport.write(piece)

    async def _writable(self) -> None:
        while (self._full or self._held) and self.alive:
            self._drain = self.loop.create_future()
            try:
                await self._drain
            finally:
                self._drain = None

    def _wake_writer(self) -> None:
        if self._drain is not None and not self._drain.done():
            self._drain.set_result(None)

"""One connection: carries one exchange at a time over an asyncio transport."""

from __future__ import annotations

import asyncio
import math
import select
from collections.abc import Callable
from typing import cast

from engine.model.byte_units import KIB
from engine.model.location import Origin
from engine.s3.wire.errors import WireError
from engine.s3.wire.exchange import DONE, Exchange
from engine.s3.wire.streamed import Streamed
from engine.s3.wire.time_limits import TimeLimits
from engine.s3.wire.writer import Writer

READ = 256 * KIB
"""Bytes of a scratch: as much of an answer as one read takes that has no better place to go."""
CONTINUE_S = 1.0
"""How long a body waits for 100 Continue."""
_PROBE_AFTER_S = 0.05  # a pause in which the loop may have missed that the peer closed


class Connection(asyncio.BufferedProtocol):
    """Feeds its Exchange with what is read. Ends itself on every irregularity.

    ``on_lost`` is called once, when the transport is gone. ``scratch`` takes what is read and is free again at once: a
    transport asks for memory, reads into it and reports that without a pause between, so all connections of a loop
    share one. ``uses`` counts the exchanges begun.
    """

    __slots__ = (
        "_exchange",
        "_landing",
        "_limits",
        "_on_lost",
        "_scratch",
        "idle_since",
        "origin",
        "transport",
        "uses",
        "writer",
    )

    writer: Writer

    def __init__(self, origin: Origin, on_lost: Callable[[Connection], None], scratch: memoryview) -> None:
        self.origin = origin
        self.transport: asyncio.Transport | None = None
        self.uses = 0
        self.idle_since = 0.0
        self._on_lost = on_lost
        self._scratch = scratch
        self._landing = False
        self._exchange: Exchange | None = None
        self._limits = TimeLimits()

    # The transport calls these.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.writer = Writer(self.transport)

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
        self._on_lost(self)

    def pause_writing(self) -> None:
        self.writer.pause()

    def resume_writing(self) -> None:
        self.writer.resume()

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
        """Answer bytes belong to this exchange from here on."""
        self.uses += 1
        self._exchange = exchange
        self._limits.begin(now, due, pace)

    def finish(self) -> bool:
        """The exchange is over: True when the connection may serve another."""
        exchange, transport = self._exchange, self.transport
        if exchange is None or transport is None or not self.writer.sent:
            return False
        self._exchange = None
        return exchange.reusable and not transport.is_closing() and not transport.get_write_buffer_size()

    def fail(self, error: WireError) -> None:
        """End the exchange with this error, and the connection with it."""
        if self._exchange is not None:
            self._exchange.fail(error)
        self.drop()

    def drop(self) -> None:
        """Close at once."""
        if self.transport is not None:
            self.writer.drop()
            self.transport.abort()

    def check(self, now: float, read_s: float) -> None:
        """Enforce the limits of the exchange in flight; called a few times a second."""
        exchange = self._exchange
        if exchange is None or exchange.stage == DONE or self.transport is None:
            return
        ours, unsent = isinstance(exchange, Streamed) and exchange.paused, self.transport.get_write_buffer_size()
        error = self._limits.passed(exchange, now, read_s=read_s, unsent=unsent, ours=ours)
        if error is not None:
            self.fail(error)
        elif now - self._limits.began >= CONTINUE_S:
            self.writer.release()

    def _closed(self, cause: str) -> None:
        if self._exchange is not None:
            error = self._exchange.closed(cause, reused=self.uses > 1)
            if error is not None:
                self.fail(error)

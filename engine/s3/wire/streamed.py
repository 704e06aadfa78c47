"""An answer read as it comes: resolved at the end of its head; then one reader takes the body."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol

from engine.model.byte_units import KIB
from engine.s3.wire.errors import WireError
from engine.s3.wire.exchange import DONE, LENGTH, MAX_HEAD, NOWHERE, Exchange

HIGH_WATER = 512 * KIB  # bytes per answer; a single read may go beyond it by one socket read
LOW_WATER = 128 * KIB


class Flow(Protocol):
    """What a streamed answer needs of its transport."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Streamed(Exchange):
    """Gives the body to one reader. Stops the socket while more than HIGH_WATER bytes wait, and where the reader's
    memory is full."""

    __slots__ = ("_error", "_flow", "_pieces", "_waiting", "_wake", "paused")

    def __init__(self, answer: asyncio.Future[Any], *, method: str, flow: Flow, max_head: int = MAX_HEAD) -> None:
        super().__init__(answer, method=method, max_head=max_head)
        self._flow = flow
        self._pieces: deque[bytes | memoryview] = deque()
        self._waiting = 0
        self._wake: asyncio.Future[None] | None = None
        self._error: WireError | None = None
        self.paused = False

    @property
    def drained(self) -> bool:
        """The whole body came and was read."""
        return self.stage == DONE and self._error is None and not self._pieces

    def fail(self, error: WireError) -> None:
        if self.stage != DONE:
            self._error = error
            self._rouse()
        super().fail(error)

    async def pieces(self) -> AsyncIterator[bytes | memoryview]:
        """The body as it comes. Raises the WireError that ended it."""
        while True:
            while self._pieces:
                piece = self._pieces.popleft()
                self._waiting -= len(piece)
                if self._waiting <= LOW_WATER:
                    self._go_on()
                yield piece
            if not await self._more():
                return

    async def fill(self, memory: memoryview) -> int:
        """Put the next bytes of the body into ``memory``, right off the socket where its length is known. Returns how
        many: fewer than there is room only at the end. Raises the WireError that ended it."""
        at = 0
        while at < len(memory):
            if self._pieces:
                piece = self._pieces.popleft()
                taken, rest = piece[: len(memory) - at], piece[len(memory) - at :]
                memory[at : at + len(taken)] = taken
                at += len(taken)
                self._waiting -= len(taken)
                if rest:
                    self._pieces.appendleft(rest)
                continue
            room = self.landing = memory[at : at + self._left] if self.stage == LENGTH else NOWHERE
            try:
                more = await self._more()
                at += len(room) - len(self.landing)
            finally:
                self.landing = NOWHERE
            if not more:
                break
        return at

    def landed(self, nbytes: int) -> None:
        super().landed(nbytes)
        if not self.landing and self.stage != DONE:
            self._stop()
            self._rouse()

    async def _more(self) -> bool:
        """Wait for more of the body; False: there is none. Raises the WireError that ended it."""
        if self._error is None and self.stage != DONE:
            self._go_on()
            self._wake = self.answer.get_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        if self._pieces:
            return True
        if self._error is not None:
            raise self._error
        return self.stage != DONE

    def _stop(self) -> None:
        if not self.paused:
            self.paused = True
            self._flow.pause_reading()

    def _go_on(self) -> None:
        if self.paused and self.stage != DONE:
            self.paused = False
            self._flow.resume_reading()

    def _begin(self) -> None:
        if not self.answer.done():
            self.answer.set_result(self._reply(b""))

    def _body(self, data: bytes | memoryview) -> None:
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting > HIGH_WATER:
            self._stop()
        self._rouse()

    def _complete(self) -> None:
        if self.paused:
            self.paused = False
            self._flow.resume_reading()
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

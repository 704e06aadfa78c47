"""An answer read as it comes: resolved at the end of the head, then handed to one reader piece by piece."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Protocol

from engine.s3.wire.errors import WireError
from engine.s3.wire.exchange import DONE, Exchange

HIGH_WATER = 1 << 19  # bytes per answer; a single read may go beyond it by one socket read
LOW_WATER = 1 << 17


class Flow(Protocol):
    """What a streamed answer needs of its transport."""

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...


class Streamed(Exchange):
    """Hands the body to one reader; stops the socket while more than HIGH_WATER bytes wait to be taken."""

    __slots__ = ("_error", "_flow", "_pieces", "_waiting", "_wake", "paused")

    def __init__(self, answer: asyncio.Future[Any], *, method: str, max_head: int, flow: Flow) -> None:
        super().__init__(answer, method=method, max_head=max_head)
        self._flow = flow
        self._pieces: deque[bytes | memoryview] = deque()
        self._waiting = 0
        self._wake: asyncio.Future[None] | None = None
        self._error: WireError | None = None
        self.paused = False

    @property
    def drained(self) -> bool:
        """The whole body came and was taken."""
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
                if self.paused and self._waiting <= LOW_WATER and self.stage != DONE:
                    self.paused = False
                    self._flow.resume_reading()
                yield piece
            if self._error is not None:
                raise self._error
            if self.stage == DONE:
                return
            self._wake = self.answer.get_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None

    def _begin(self) -> None:
        if not self.answer.done():
            self.answer.set_result(self._reply(b""))

    def _body(self, data: bytes | memoryview) -> None:
        self._pieces.append(data)
        self._waiting += len(data)
        if self._waiting > HIGH_WATER and not self.paused:
            self.paused = True
            self._flow.pause_reading()
        self._rouse()

    def _complete(self) -> None:
        if self.paused:
            self.paused = False
            self._flow.resume_reading()
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

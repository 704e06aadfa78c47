"""Long work on the event loop, in turns with everybody else's."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

SHARE = 100
"""Values of a page dealt with in one go: some milliseconds, where the whole page would hold up every answer."""
AT_ONCE = 64
"""Waiting tasks that are woken in one turn: answers come in crowds, and each wakes one to some 0.1 ms of work."""


async def yield_to_others() -> None:
    """Let the loop turn once. No time passes by the clock; whoever has something to do gets on with it."""
    await asyncio.sleep(0)


class FairWaking:
    """Futures resolved in the order of their results, AT_ONCE a turn of the loop, however many come together."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = self._room = at_once
        self._turning = False
        self._waiting: deque[tuple[asyncio.Future[Any], Any]] = deque()

    def resolve(self, future: asyncio.Future[Any], result: object) -> None:
        """Set the result, in this turn or in one of the next; not if the future is done by then."""
        if self._waiting or not self._room:
            self._waiting.append((future, result))
            return
        self._room -= 1
        if not self._turning:
            self._turning = True
            future.get_loop().call_soon(self._turn, future.get_loop())
        if not future.done():
            future.set_result(result)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._room = self._at_once
        while self._waiting and self._room:
            future, result = self._waiting.popleft()
            if not future.done():
                self._room -= 1
                future.set_result(result)
        self._turning = self._room < self._at_once
        if self._turning:
            loop.call_soon(self._turn, loop)

"""Cooperative yield: long work on the event loop in pieces, so that other tasks run between them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

SHARE = 100
"""Values of a page that are handled in one go: some milliseconds. A whole page would delay every answer."""
AT_ONCE = 64
"""Tasks that are woken in one turn of the loop: many answers come at once, and each task works for 0.1 ms or so."""


async def yield_to_others() -> None:
    """Let the event loop turn once, so that other tasks run. No time passes by the clock."""
    await asyncio.sleep(0)


class FairWaking:
    """Resolves futures in the order of their results, at most ``at_once`` in a turn of the loop."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = self._room = at_once
        self._turning = False
        self._waiting: deque[tuple[asyncio.Future[Any], Any]] = deque()

    def resolve(self, future: asyncio.Future[Any], result: object) -> None:
        """Set the result, in this turn or a later one, unless the future is done by then."""
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

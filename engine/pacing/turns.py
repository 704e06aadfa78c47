"""Long work on the event loop, in turns with everybody else's."""

from __future__ import annotations

import asyncio

SHARE = 100
"""Values of a page dealt with in one go: some milliseconds, where the whole page would hold up every answer."""


async def next_turn() -> None:
    """Let the loop turn once. No time passes by the clock; whoever has something to do gets on with it."""
    await asyncio.sleep(0)

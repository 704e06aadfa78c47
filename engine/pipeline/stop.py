"""Stop: the one way to ask a run to end early. Work in flight then finishes, or is cut at the drain limit."""

from __future__ import annotations

import asyncio


class Stop:
    """A request to stop, with its reason for the person and the exit code it will lead to. The first one wins."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.reason = ""
        self.exit_code = 0

    @property
    def requested(self) -> bool:
        return self._event.is_set()

    def request(self, reason: str, exit_code: int) -> None:
        if not self._event.is_set():
            self.reason, self.exit_code = reason, exit_code
            self._event.set()

    async def wait(self) -> None:
        await self._event.wait()

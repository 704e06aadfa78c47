"""Plans on their way from the intake to the crew, a batch at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.model.plan import Work
from engine.pipeline.channel import Channel, Ended

WORK_BATCH = 200
"""Plans handed over at a time, at most."""


class WorkQueue:
    """Holds about ``plans`` plans for so many workers. Who feeds it closes it; then the workers end."""

    def __init__(self, plans: int, workers: int) -> None:
        self._size = min(WORK_BATCH, plans, max(1, plans // workers) * 4)
        self._batches: Channel[list[Work]] = Channel(max(1, plans // self._size))
        self._taking = asyncio.Lock()
        self.in_hand: list[Work] = []
        """The batch that the workers take from, at its end."""

    def __len__(self) -> int:
        """Batches that wait."""
        return len(self._batches)

    @property
    def full(self) -> bool:
        return self._batches.full

    async def put(self, plans: Sequence[Work]) -> None:
        """Wait for room and hand over; what comes once the queue is closed is dropped."""
        for start in range(0, len(plans), self._size):
            try:
                await self._batches.put(list(plans[start : start + self._size]))
            except Ended:
                return

    async def refill(self) -> bool:
        """Wait until there is a plan in hand; False when there will be none."""
        async with self._taking:
            if not self.in_hand:
                try:
                    batch = await self._batches.get()
                except Ended:
                    return False
                self.in_hand.extend(reversed(batch))  # taken from the end, in the order of the scan
        return True

    def close(self) -> None:
        """No more plans will come. Never waits."""
        self._batches.close()

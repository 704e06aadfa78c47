"""How many more records a run may take up."""

from __future__ import annotations

import asyncio

from engine.pipeline.stop import Stop


class Allowance:
    """``limit`` records that need work, None: any number; and none once a stop is asked for."""

    def __init__(self, limit: int | None, stop: Stop) -> None:
        self._left = limit
        self._lent = 0
        self._moved = asyncio.Event()
        self.stop = stop

    @property
    def spent(self) -> bool:
        """The limit is reached."""
        return self._left == 0

    @property
    def over(self) -> bool:
        """Nothing more will be taken up."""
        return self._left == 0 or self.stop.requested

    def take_one(self) -> bool:
        """One more record needs work; False where the limit is reached."""
        if self._left is not None:
            if self._left == 0:
                return False
            self._left -= 1
        return True

    def grant(self, records: int | None) -> None:
        """So many more, from whoever shares out a larger limit; None: there is no limit."""
        self._left = None if records is None else (self._left or 0) + records

    def give_back(self, most: int | None) -> int:
        """Up to so many that nobody needed, for ``returned`` of whoever lent them."""
        if most is None or self._left is None:
            return 0
        unspent = min(self._left, most)
        self._left -= unspent
        return unspent

    def lend(self, most: int) -> int | None:
        """Up to so many at once, for somebody who gives back what is not needed; None: there is no limit."""
        if self._left is None:
            return None
        lent = min(self._left, most)
        self._left -= lent
        self._lent += lent
        return lent

    def returned(self, lent: int | None, unspent: int) -> None:
        """What was lent is settled."""
        if self._left is not None:
            self._lent -= lent or 0
            self._left += unspent
            self._moved.set()

    async def settled(self) -> None:
        """Wait while nothing is left, but some is lent that may come back."""
        while self._left == 0 and self._lent and not self.stop.requested:
            self._moved.clear()
            await self._moved.wait()

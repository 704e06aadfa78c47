"""How many more records a run may take up."""

from __future__ import annotations

from engine.pipeline.stop import Stop


class Allowance:
    """``limit`` records that need work, None: any number; and none once a stop is asked for."""

    def __init__(self, limit: int | None, stop: Stop) -> None:
        self._left = limit
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

    def take(self, most: int) -> int | None:
        """Up to so many at once, to share them out; None: there is no limit."""
        if self._left is None:
            return None
        taken = min(self._left, most)
        self._left -= taken
        return taken

    def give_back(self, most: int | None) -> int:
        """Up to so many that nobody needed, for ``grant_back`` of whoever shared them out."""
        return 0 if most is None else self.take(most) or 0

    def grant_back(self, records: int) -> None:
        if self._left is not None:
            self._left += records

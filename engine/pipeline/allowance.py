"""How many more records a run may take up."""

from __future__ import annotations

from engine.pipeline.stop import Stop


class Allowance:
    """``limit`` records that need work, None: any number; and none once a stop is asked for."""

    def __init__(self, limit: int | None, stop: Stop) -> None:
        self._left = limit
        self._stop = stop

    @property
    def spent(self) -> bool:
        """The limit is reached."""
        return self._left == 0

    @property
    def over(self) -> bool:
        """Nothing more will be taken up."""
        return self._left == 0 or self._stop.requested

    def take_one(self) -> bool:
        """One more record needs work; False where the limit is reached."""
        if self._left is not None:
            if self._left == 0:
                return False
            self._left -= 1
        return True

"""``--sample N`` or ``P%``: which rows to check, each with the same chance, chosen in one pass."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.limiting.clock import Clock
from engine.model.errors import Usage


@dataclass(frozen=True, slots=True)
class Sample:
    """A number, or a share of all."""

    count: int | None = None
    share: float | None = None

    def __str__(self) -> str:
        return str(self.count) if self.count is not None else f"{100 * (self.share or 0.0):g}%"

    def of(self, total: int) -> int:
        """How many of ``total``."""
        if self.count is not None:
            return min(self.count, total)
        return min(total, math.ceil(total * (self.share or 0.0)))


def sample_of(text: str | None) -> Sample | None:
    """``200`` or ``2.5%``. Raises Usage."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+)|(\d+(?:\.\d+)?)%", text.strip())
    if match is not None and match[1] and int(match[1]) > 0:
        return Sample(count=int(match[1]))
    if match is not None and match[2] and 0 < float(match[2]) <= 100:
        return Sample(share=float(match[2]) / 100)
    raise Usage(f"--sample {text!r} is neither a number nor a share", hint="Write 500 or 2%.")


class Draw:
    """Takes exactly ``wanted`` of ``total`` rows, each with the same chance (Knuth, 3.4.2, algorithm S)."""

    def __init__(self, wanted: int, total: int, clock: Clock) -> None:
        self._wanted = wanted
        self._left = total
        self._clock = clock

    @property
    def done(self) -> bool:
        return self._wanted == 0

    def take(self, rows: Sequence[int]) -> list[int]:
        """Those of the rows that are chosen."""
        chosen = []
        for row in rows:
            if self._clock.random() * self._left < self._wanted:
                chosen.append(row)
                self._wanted -= 1
            self._left = max(1, self._left - 1)
        return chosen


class First:
    """Takes the first ``wanted``; None: all."""

    def __init__(self, wanted: int | None) -> None:
        self._wanted = wanted

    @property
    def done(self) -> bool:
        return self._wanted == 0

    def take(self, rows: Sequence[int]) -> list[int]:
        """Those of the rows that are chosen."""
        if self._wanted is None:
            return list(rows)
        chosen = list(rows[: self._wanted])
        self._wanted -= len(chosen)
        return chosen

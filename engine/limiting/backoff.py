"""Delays between tries: a pure curve."""

from __future__ import annotations

from collections.abc import Callable, Iterator


def delays(
    random: Callable[[], float], *, base_s: float = 0.5, cap_s: float = 30.0, factor: float = 2.0
) -> Iterator[float]:
    """Endless delays in seconds over the steps ``base, base*2, base*4 … cap``, each drawn from its upper half.

    Half the step is kept as a floor, so that a crowd that failed together never comes back at once.
    """
    step = base_s
    while True:
        yield step * (0.5 + 0.5 * random())
        step = min(cap_s, step * factor)

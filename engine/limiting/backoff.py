"""Delays between tries: a pure curve, and the server's own wish."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_WISH_S = 300.0
"""No server makes us wait longer."""


def delays(
    random: Callable[[], float], *, base_s: float = 0.5, cap_s: float = 30.0, factor: float = 2.0
) -> Iterator[float]:
    """Endless delays in seconds over the steps ``base, base*2, base*4 … cap``, each drawn from its upper half.

    Half the step is kept as a floor, so that requests that failed together are not all sent again at once.
    """
    step = base_s
    while True:
        yield step * (0.5 + 0.5 * random())
        step = min(cap_s, step * factor)


def retry_after_s(value: str, now: datetime | None = None) -> float | None:
    """A ``Retry-After`` in seconds, at most five minutes; None when absent. A date counts only with ``now``."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), LONGEST_WISH_S)
    if now is None:
        return None
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max((aware - now).total_seconds(), 0.0), LONGEST_WISH_S)

"""The one loop that sleeps and tries again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from engine.limiting.backoff import delays
from engine.limiting.clock import Clock
from engine.model.errors import Transient
from engine.model.failures import FailureClass

T = TypeVar("T")


async def retry(
    work: Callable[[], Awaitable[T]],
    *,
    clock: Clock,
    attempts: int,
    base_s: float = 0.5,
    cap_s: float = 30.0,
    throttled: int = 0,
    on_failure: Callable[[int, Transient], Awaitable[None]] | None = None,
    failed: Transient | None = None,
) -> tuple[T, int]:
    """Run ``work`` until it succeeds, at most ``attempts`` times; return its value and the number of tries made.

    Only ``Transient`` is tried again; its ``retry_after_s`` wins over the curve when longer. The last Transient passes
    through. ``on_failure(number, error)`` is awaited after each failed try that another one will follow.

    ``throttled`` above zero: tries that a busy host refused, and ``patient`` ones, are counted apart, up to this
    number, and repeated sooner: the work is not to blame. ``failed``: the first try has been made, and failed so.
    """
    waits = delays(clock.random, base_s=base_s, cap_s=cap_s)
    short = delays(clock.random, base_s=min(base_s, 0.05), cap_s=min(cap_s, 5.0))
    number = refused = 0
    while True:
        number += 1
        try:
            if failed is not None:
                raise failed
            return await work(), number
        except Transient as error:
            failed = None
            apart = throttled > 0 and (error.patient or error.failure is FailureClass.THROTTLED)
            refused += apart
            if (refused if apart else number - refused) >= (throttled if apart else attempts):
                raise
            if on_failure is not None:
                await on_failure(number, error)
            pause = max(next(short if apart else waits), error.retry_after_s or 0.0)
        await clock.sleep(pause)

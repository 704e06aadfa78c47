"""The one loop that sleeps and tries again."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from engine.limiting.backoff import delays
from engine.limiting.clock import Clock
from engine.model.errors import Transient
from engine.model.failures import FailureClass

T = TypeVar("T")
OnFailure = Callable[[int, Transient], Awaitable[None]]

PATIENCE = 10
"""Tries that were throttled get 10 × ``max_attempts``."""


async def retry(
    work: Callable[[], Awaitable[T]],
    *,
    clock: Clock,
    attempts: int,
    base_s: float = 0.5,
    cap_s: float = 30.0,
    throttled: int = 0,
    on_failure: OnFailure | None = None,
    failed: Transient | None = None,
) -> T:
    """Run ``work`` until it succeeds, at most ``attempts`` times; return its value.

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
            return await work()
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


@dataclass(frozen=True, slots=True)
class Retries:
    """Tries work up to ``attempts`` times."""

    clock: Clock
    attempts: int

    async def of(self, work: Callable[[], Awaitable[T]]) -> T:
        """Raises the last Transient."""
        return await retry(work, clock=self.clock, attempts=self.attempts)

    async def patiently(
        self, work: Callable[[], Awaitable[T]], on_failure: OnFailure | None = None, failed: Transient | None = None
    ) -> T:
        """The same; tries that a busy host refused are counted apart. ``failed``: the first try has failed so."""
        return await retry(
            work,
            clock=self.clock,
            attempts=self.attempts,
            throttled=PATIENCE * self.attempts,
            on_failure=on_failure,
            failed=failed,
        )

"""A simulated service that refuses beyond a hidden rate or concurrency, and many clients behind a limiter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.limiter import Limiter
from tests.support.fakes.clock import ManualClock

GRAIN_S = 0.001


@dataclass
class Service:
    """Accepts ``rate`` requests a second (a token bucket of ``burst_s``), and ``room`` at once. None: no such bound."""

    clock: ManualClock
    rate: float | None = None
    room: int | None = None
    latency_s: float = 0.02
    jitter: float = 0.0
    burst_s: float = 0.2
    refusal_s: float | None = None
    retry_after_s: float | None = None
    answers: list[tuple[float, bool]] = field(default_factory=list)
    """When, and whether accepted."""
    inside: int = 0
    _tokens: float = 0.0
    _filled: float = 0.0

    async def ask(self) -> bool:
        """One request; whether it was accepted."""
        accepted = self._admits()
        if accepted:
            self.inside += 1
        latency = self.latency_s * (1 + self.jitter * (2 * self.clock.random() - 1))
        if not accepted and self.refusal_s is not None:
            latency = self.refusal_s
        moment = self.clock.monotonic()
        await self.clock.sleep(max(GRAIN_S, round((moment + latency) / GRAIN_S) * GRAIN_S - moment))
        if accepted:
            self.inside -= 1
        self.answers.append((self.clock.monotonic(), accepted))
        return accepted

    def _admits(self) -> bool:
        now = self.clock.monotonic()
        if self.room is not None and self.inside >= self.room:
            return False
        if self.rate is None:
            return True
        depth = max(1.0, self.rate * self.burst_s)
        self._tokens = min(depth, self._tokens + (now - self._filled) * self.rate)
        self._filled = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def goodput(self, start: float, end: float) -> float:
        """Accepted requests per second between two moments, in seconds since the clock's start."""
        return sum(ok for at, ok in self.answers if start <= at - 1000 < end) / (end - start)

    def refused_share(self, start: float, end: float) -> float:
        window = [ok for at, ok in self.answers if start <= at - 1000 < end]
        return window.count(False) / max(1, len(window))


@asynccontextmanager
async def holding(budget: BytesInFlight, nbytes: int) -> AsyncIterator[None]:
    """A claim for the length of a block."""
    taken = await budget.claim(nbytes)
    try:
        yield
    finally:
        budget.release(taken)


async def contend(
    limiter: Limiter | Sequence[Limiter],
    service: Service,
    *,
    clients: int,
    seconds: float,
    events: dict[float, Callable[[], None]] | None = None,
) -> None:
    """So many clients that always have something to ask, for so many simulated seconds; shared among the limiters."""

    async def client(limiter: Limiter) -> None:
        while True:
            ticket = limiter.enter() or await limiter.turn()
            if await service.ask():
                limiter.passed(ticket)
            else:
                limiter.refused(ticket, retry_after_s=service.retry_after_s)

    clock, limiters = service.clock, [limiter] if isinstance(limiter, Limiter) else limiter
    async with clock.running(patience=4):
        crew = [asyncio.create_task(client(limiters[number % len(limiters)])) for number in range(clients)]
        passed = 0.0
        for moment, change in sorted((events or {}).items()):
            await clock.sleep(moment - passed)
            passed = moment
            change()
        await clock.sleep(seconds - passed)
        for each in crew:
            each.cancel()
        await asyncio.gather(*crew, return_exceptions=True)

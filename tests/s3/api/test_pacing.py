"""Requests to a real loopback server that refuses beyond a rate nobody told us."""

from __future__ import annotations

import asyncio

import pytest

from engine.limiting.clock import SystemClock
from engine.limiting.limiter import Limiter
from engine.s3.api.address import address_of
from engine.s3.api.answers import Answer, Fields, StoreError
from engine.s3.api.fast import FastClient
from engine.s3.api.faults import Patience, Side
from engine.s3.api.limited import LimitedClient
from engine.s3.wire.wire import Wire
from tests.support.fakes.clock import ManualClock
from tests.support.servers.streams import serving

OK = b'HTTP/1.1 200 OK\r\ncontent-length: 3\r\netag: "abc"\r\n\r\n'
BUSY = b"HTTP/1.1 503 Slow Down\r\ncontent-length: 0\r\n\r\n"


class Busy:
    """Answers HEAD after 10 ms; refuses beyond ``rate`` a second, a token bucket a fifth of a second deep."""

    def __init__(self, clock: ManualClock, rate: float) -> None:
        self.clock = clock
        self.rate = rate
        self.inside = 0
        self.answers: list[tuple[float, bool]] = []
        self._tokens = 0.0
        self._filled = clock.monotonic()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            now = self.clock.monotonic()
            self._tokens = min(self.rate / 5, self._tokens + (now - self._filled) * self.rate)
            self._filled = now
            accepted = self._tokens >= 1
            self._tokens -= accepted
            self.inside += 1
            await self.clock.sleep(0.01)
            self.inside -= 1
            self.answers.append((self.clock.monotonic(), accepted))
            writer.write(OK if accepted else BUSY)
            await writer.drain()

    def between(self, start: float, end: float) -> list[bool]:
        return [accepted for at, accepted in self.answers if start <= at < end]


class Answering:
    """A store that answers HEAD with one error, or hangs."""

    def __init__(self, error: StoreError | None) -> None:
        self._error = error

    async def head(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None, part: int | None = None
    ) -> Answer:
        if self._error is None:
            await asyncio.Event().wait()
        raise self._error or AssertionError


def patience() -> Patience:
    return Patience(SystemClock(), Side.SOURCE)


@pytest.mark.parametrize(
    ("error", "refusals", "timeouts"),
    [
        (StoreError("SlowDown", 503), 1, 0),
        (StoreError("429", 429), 1, 0),
        (StoreError("Throttling", 400), 1, 0),
        (StoreError("TimedOut", 0), 0, 1),
        (StoreError("InternalError", 500), 0, 0),
        (StoreError("NoSuchKey", 404), 0, 0),
        (StoreError("Unreachable", 0), 0, 0),
    ],
)
async def test_the_limiter_hears_of_refusals_and_timeouts_and_of_nothing_else(
    error: StoreError, refusals: int, timeouts: int
) -> None:
    limiter = Limiter(SystemClock(), most=10)
    client = LimitedClient(Answering(error), limiter, patience())  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=error.code):
        await client.head("vendor", "key", {})

    assert (limiter.refusals, limiter.timeouts, limiter.in_flight) == (refusals, timeouts, 0)


async def test_a_cancelled_request_gives_its_place_back_also_while_it_waits() -> None:
    limiter = Limiter(SystemClock(), most=1)
    client = LimitedClient(Answering(None), limiter, patience())  # type: ignore[arg-type]
    asking = [asyncio.create_task(client.head("vendor", "key", {})) for _ in range(3)]
    await asyncio.sleep(0)
    assert (limiter.in_flight, limiter.waiting) == (1, 2)
    for each in asking:
        each.cancel()
    await asyncio.gather(*asking, return_exceptions=True)

    assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def test_a_hidden_rate_is_found_and_kept_over_real_connections() -> None:
    """Time stands still until every request under way has arrived, so a busy machine changes nothing."""
    clock = ManualClock()
    server, limiter = Busy(clock, 600), Limiter(clock, most=100)
    async with serving(server.handle) as port, Wire(limit=120, clock=clock, read_s=10) as wire:
        fast = FastClient(
            wire,
            clock,
            None,
            lambda bucket, region: address_of(bucket, region, f"http://127.0.0.1:{port}"),
            region="us-east-1",
            roams=False,
            home="vendor",
        )
        client = LimitedClient(fast, limiter, patience())

        async def worker() -> None:
            while True:
                try:
                    await client.head("vendor", "key", {})
                except StoreError:
                    await clock.sleep(0.05)

        started = clock.monotonic()
        crew = [asyncio.create_task(worker()) for _ in range(100)]
        async with clock.running(quiet=lambda: limiter.in_flight == server.inside):
            await clock.sleep(12)
        for each in crew:
            each.cancel()
        ends = await asyncio.gather(*crew, return_exceptions=True)
    answers = server.between(started + 4, started + 12)

    assert {type(end) for end in ends} == {asyncio.CancelledError}
    assert sum(answers) / 8 >= 0.9 * 600
    assert answers.count(False) / len(answers) < 0.03
    assert limiter.in_flight == limiter.waiting == 0

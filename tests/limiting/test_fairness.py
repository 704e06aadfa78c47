"""A few huge files among thousands of small ones: neither starves the other."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.limiter import Limiter
from tests.support.fakes.clock import ManualClock
from tests.support.service import Service, holding

PART = 16 << 20
SMALL = 100_000
PARTS_AT_ONCE = 8
CREW = 100


@dataclass
class Depot:
    """A host behind a limiter; parts of huge files take forty times as long as small files."""

    service: Service
    limiter: Limiter
    budget: BytesInFlight = field(default_factory=lambda: BytesInFlight(16 * PART))
    small: list[float] = field(default_factory=list)
    parts: list[list[float]] = field(default_factory=list)

    async def send(self, *, large: bool) -> None:
        while True:
            ticket = (0 if large else self.limiter.enter()) or await self.limiter.turn(large=large)
            accepted = await self.service.ask()
            if accepted and large:
                await self.service.clock.sleep(0.8)
            if accepted:
                self.limiter.passed(ticket, large=large)
                return
            self.limiter.refused(ticket, large=large)

    async def small_files(self, files: list[int]) -> None:
        while files:
            files.pop()
            async with holding(self.budget, SMALL):
                await self.send(large=False)
            self.small.append(self.service.clock.monotonic())

    async def huge_file(self) -> None:
        """Parts one after another, several under way: as multipart uploads are sent."""
        sent: list[float] = []
        self.parts.append(sent)
        room = asyncio.Semaphore(PARTS_AT_ONCE)

        async def part() -> None:
            async with holding(self.budget, PART):
                await self.send(large=True)
            sent.append(self.service.clock.monotonic())
            room.release()

        async with asyncio.TaskGroup() as group:
            for _ in range(320):
                await room.acquire()
                group.create_task(part())


async def seconds_for(huge: int, bounds: dict[str, float], slots: int) -> tuple[float, Depot]:
    """How long 10,000 small files take beside so many huge ones, in seconds."""
    clock = ManualClock()
    depot = Depot(Service(clock, latency_s=0.02, **bounds), Limiter(clock, most=slots, start=slots))  # type: ignore[arg-type]
    files = list(range(10_000))
    started = clock.monotonic()
    async with clock.running(patience=12):
        heavy = [asyncio.create_task(depot.huge_file()) for _ in range(huge)]
        await asyncio.gather(*(depot.small_files(files) for _ in range(CREW - huge)))
        for each in heavy:
            each.cancel()
        await asyncio.gather(*heavy, return_exceptions=True)
    return clock.monotonic() - started, depot


@pytest.mark.parametrize(
    ("bounds", "slots"), [({}, 20), ({"rate": 500.0}, 100), ({}, 100)], ids=["slots short", "hidden rate", "roomy"]
)
async def test_small_files_lose_less_than_a_third_and_huge_ones_never_stand_still(
    bounds: dict[str, float], slots: int
) -> None:
    alone, _ = await seconds_for(0, bounds, slots)
    beside, depot = await seconds_for(4, bounds, slots)

    assert alone / beside >= 0.7, "the rate of small files"
    first, last = depot.small[0], depot.small[-1]
    for sent in depot.parts:
        moments = [first, *(each for each in sent if first <= each <= last), last]
        longest = max(after - before for before, after in pairwise(moments))
        assert longest < 9, "one round of all 32 parts that wait, 0.8 s each, through the fewest slots they get"
    counts = [len(sent) for sent in depot.parts]
    assert min(counts) >= 4
    assert max(counts) <= 2 * min(counts), "and huge files share alike"

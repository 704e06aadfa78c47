"""The bandwidth cap holds within five per cent, however many share it and in whatever chunks."""

from __future__ import annotations

import asyncio

import pytest

from engine.limiting.bandwidth import Bandwidth
from tests.support.fakes.clock import ManualClock

MB = 1_000_000


async def bytes_in(clock: ManualClock, cap: Bandwidth, streams: int, chunk: int, seconds: float) -> list[int]:
    moved = [0] * streams

    async def stream(number: int) -> None:
        while True:
            await cap.spend(chunk)
            moved[number] += chunk

    async with clock.running(patience=6):
        tasks = [asyncio.create_task(stream(number)) for number in range(streams)]
        await clock.sleep(seconds)
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return moved


@pytest.mark.parametrize("streams", [1, 4, 200])
@pytest.mark.parametrize(("rate", "chunk"), [(1 * MB, 4096), (20 * MB, 65_536), (100 * MB, 262_144)])
async def test_the_cap_holds_within_five_per_cent(streams: int, rate: int, chunk: int) -> None:
    clock = ManualClock()
    moved = await bytes_in(clock, Bandwidth(rate, clock), streams, chunk, 10)

    assert sum(moved) == pytest.approx(10 * rate, rel=0.05)


async def test_streams_share_alike() -> None:
    clock = ManualClock()
    moved = await bytes_in(clock, Bandwidth(10 * MB, clock), 10, 65_536, 10)

    assert max(moved) <= 1.1 * min(moved)


async def test_idle_time_is_made_up_for_by_a_short_burst_only() -> None:
    clock = ManualClock()
    cap = Bandwidth(10 * MB, clock)
    clock.advance(60)
    moved = await bytes_in(clock, cap, 4, 65_536, 5)

    assert sum(moved) == pytest.approx(50 * MB, rel=0.05)


async def test_without_a_cap_nobody_waits() -> None:
    clock = ManualClock()
    await Bandwidth(None, clock).spend(10**12)

    assert clock.slept == []


async def test_a_share_is_a_part_of_the_whole_however_often_it_changes() -> None:
    clock = ManualClock()
    cap = Bandwidth(10 * MB, clock)
    cap.share(5)
    cap.share(2)
    moved = await bytes_in(clock, cap, 4, 65_536, 10)

    assert sum(moved) == pytest.approx(50 * MB, rel=0.05)
    unlimited = Bandwidth(None, clock)
    unlimited.share(2)
    assert unlimited.debt_s(10**12) == 0

"""The byte budget: bounded, fair, and safe against cancellation at any moment."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.limiting.byte_budget import BytesInFlight
from tests.support.service import holding


async def settle() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_claim_waits_until_there_is_room() -> None:
    limiter = BytesInFlight(10)
    first = await limiter.claim(8)
    second = asyncio.create_task(limiter.claim(3))
    await settle()
    assert not second.done()
    limiter.release(first)
    assert await second == 3
    assert limiter.held == 3


async def test_small_claims_do_not_overtake_a_large_one() -> None:
    limiter = BytesInFlight(10)
    held = await limiter.claim(5)
    order: list[str] = []

    async def take(name: str, nbytes: int) -> None:
        async with holding(limiter, nbytes):
            order.append(name)

    tasks = [asyncio.create_task(take("large", 9)), asyncio.create_task(take("small", 1))]
    await settle()
    assert order == []
    limiter.release(held)
    await asyncio.gather(*tasks)
    assert order == ["large", "small"]


async def test_a_claim_above_the_capacity_is_served_alone() -> None:
    limiter = BytesInFlight(10)
    assert await limiter.claim(1000) == 10
    waiting = asyncio.create_task(limiter.claim(1))
    await settle()
    assert not waiting.done()
    limiter.release(10)
    await waiting


async def test_a_cancelled_waiter_lets_those_behind_it_through() -> None:
    limiter = BytesInFlight(10)
    await limiter.claim(5)
    large = asyncio.create_task(limiter.claim(9))
    small = asyncio.create_task(limiter.claim(2))
    await settle()
    large.cancel()
    await settle()
    assert small.done()
    assert limiter.held == 7


async def test_a_waiter_cancelled_just_before_its_turn_makes_way() -> None:
    limiter = BytesInFlight(10)
    held = await limiter.claim(10)
    first, second = asyncio.create_task(limiter.claim(10)), asyncio.create_task(limiter.claim(10))
    await settle()
    first.cancel()
    limiter.release(held)  # the first one has not heard of it yet
    await settle()

    assert first.cancelled()
    assert second.done()
    assert limiter.held == 10


async def test_room_given_in_the_tick_of_a_cancellation_is_not_lost() -> None:
    limiter = BytesInFlight(10)
    held = await limiter.claim(10)
    waiter = asyncio.create_task(limiter.claim(10))
    await settle()
    limiter.release(held)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert limiter.held == 0


@given(st.lists(st.tuples(st.integers(0, 15), st.integers(0, 3), st.booleans()), max_size=25))
async def test_no_schedule_overbooks_or_leaks(plan: list[tuple[int, int, bool]]) -> None:
    limiter = BytesInFlight(10)

    async def work(nbytes: int, ticks: int) -> None:
        async with holding(limiter, nbytes):
            for _ in range(ticks):
                assert 0 <= limiter.held <= 10
                await asyncio.sleep(0)

    tasks = [asyncio.create_task(work(nbytes, ticks)) for nbytes, ticks, _ in plan]
    await asyncio.sleep(0)
    for task, (_, _, doomed) in zip(tasks, plan, strict=True):
        if doomed:
            task.cancel()
    await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
    assert limiter.held == 0


def test_a_limiter_holds_at_least_a_byte() -> None:
    with pytest.raises(ValueError, match="capacity"):
        BytesInFlight(0)


async def test_small_claims_pass_large_ones_that_wait_within_their_reserve() -> None:
    limiter = BytesInFlight(6400)
    held = [await limiter.claim(800) for _ in range(7)]
    large = asyncio.create_task(limiter.claim(800))
    small = [asyncio.create_task(limiter.claim(100)) for _ in range(9)]
    await settle()

    assert not large.done(), "an eighth stays free of large claims"
    assert [each.done() for each in small] == [True] * 8 + [False], "and small ones share it"
    limiter.release(held[0])
    await settle()
    assert large.done(), "what large ones give back goes to large ones"


async def test_small_claims_take_all_there_is_while_no_large_one_waits() -> None:
    limiter = BytesInFlight(6400)
    for _ in range(64):
        await asyncio.wait_for(limiter.claim(100), 1)

    assert limiter.held == 6400


async def test_who_has_begun_and_who_has_not_take_turns() -> None:
    limiter = BytesInFlight(6400)
    held = [await limiter.claim(800) for _ in range(7)]
    order: list[str] = []

    async def take(name: str, *, more: bool) -> None:
        taken = await limiter.claim(800, more=more)
        order.append(name)
        limiter.release(taken)

    tasks = [asyncio.create_task(take(f"new {n}", more=False)) for n in range(3)]
    tasks += [asyncio.create_task(take(f"more {n}", more=True)) for n in range(3)]
    await settle()
    assert order == []
    limiter.release(held[0])
    await asyncio.gather(*tasks)
    assert order == ["more 0", "new 0", "more 1", "new 1", "more 2", "new 2"]


async def test_a_claim_is_traded_at_once_or_kept() -> None:
    limiter = BytesInFlight(6400)
    held = await limiter.claim(100)
    assert limiter.trade(held, 5000) == 5000
    assert limiter.held == 5000
    other = await limiter.claim(100)
    assert limiter.trade(other, 1000) is None, "large claims leave an eighth free"
    assert limiter.held == 5100
    waiting = asyncio.create_task(limiter.claim(1000))
    await settle()
    assert limiter.trade(5000, 5100) is None, "somebody waits already"
    assert limiter.trade(5000, 50) == 50
    await waiting
    assert limiter.held == 1150

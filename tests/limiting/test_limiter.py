"""The limiter's queue: in order, cheap, safe against cancellation, shared between small and large."""

from __future__ import annotations

import asyncio

from engine.limiting.limiter import Limiter
from tests.support.fakes.clock import ManualClock


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


def limiter_of(slots: int) -> Limiter:
    return Limiter(ManualClock(), most=slots, start=slots)


async def test_an_open_limiter_gives_tickets_at_once_and_a_full_one_none() -> None:
    limiter = limiter_of(2)
    tickets = [limiter.enter(), limiter.enter(), limiter.enter()]

    assert tickets[:2] == [1, 2]
    assert tickets[2] == 0
    limiter.passed(1)
    assert limiter.enter() == 3


async def test_those_who_wait_are_let_in_in_order() -> None:
    limiter = limiter_of(1)
    held = limiter.enter()
    order: list[int] = []

    async def pass_by(number: int) -> None:
        ticket = await limiter.turn()
        order.append(number)
        limiter.passed(ticket)

    waiting = [asyncio.create_task(pass_by(n)) for n in range(5)]
    await settle()
    assert limiter.enter() == 0
    limiter.passed(held)
    await asyncio.gather(*waiting)

    assert order == [0, 1, 2, 3, 4]
    assert (limiter.in_flight, limiter.waiting) == (0, 0)


async def test_cancelled_waiters_take_nothing_whenever_it_happens() -> None:
    limiter = limiter_of(1)
    held = limiter.enter()
    waiting = [asyncio.create_task(limiter.turn()) for _ in range(3)]
    await settle()
    waiting[0].cancel()
    await settle()
    limiter.passed(held)  # lets the second one in …
    waiting[1].cancel()  # … in the very tick it is cancelled
    ticket = await waiting[2]
    limiter.passed(ticket)

    assert (limiter.in_flight, limiter.waiting) == (0, 0)
    assert limiter.enter()


async def test_a_waiter_cancelled_just_before_its_turn_makes_way() -> None:
    limiter = limiter_of(1)
    held = limiter.enter()
    first, second = asyncio.create_task(limiter.turn()), asyncio.create_task(limiter.turn())
    await settle()
    first.cancel()
    limiter.passed(held)  # the first one has not heard of it yet
    await settle()

    assert first.cancelled()
    assert second.done()
    assert (limiter.in_flight, limiter.waiting) == (1, 0)


async def test_retry_after_shuts_the_limiter_for_everybody() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, most=10)
    limiter.refused(limiter.enter(), retry_after_s=7.0)
    assert limiter.enter() == 0
    waiting = [asyncio.create_task(limiter.turn()) for _ in range(3)]
    await settle()
    clock.advance(6.9)
    await settle()
    assert not any(each.done() for each in waiting)
    clock.advance(0.2)
    await settle()

    assert all(each.done() for each in waiting)


async def test_refusals_of_one_round_trip_narrow_it_once() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, most=100, start=100)
    tickets = [limiter.enter() for _ in range(100)]
    for ticket in tickets[:50]:
        limiter.timed_out(ticket)

    assert limiter.limit == 70
    assert limiter.timeouts == 50


async def test_large_files_hold_at_most_a_quarter_while_small_ones_wait() -> None:
    limiter = limiter_of(8)
    held = [limiter.enter() for _ in range(8)]
    large = [asyncio.create_task(limiter.turn(large=True)) for _ in range(8)]
    small = [asyncio.create_task(limiter.turn()) for _ in range(8)]
    await settle()
    for ticket in held:
        limiter.passed(ticket)
    await settle()

    assert sum(each.done() for each in large) == 2
    assert sum(each.done() for each in small) == 6
    for each in small[:6]:
        limiter.passed(each.result())
    await settle()
    assert all(each.done() for each in small)
    assert sum(each.done() for each in large) == 6, "once no small one waits, they take what is free"


async def test_nothing_sleeps_once_nobody_waits() -> None:
    clock = ManualClock()
    limiter = Limiter(clock, most=10)
    limiter.refused(limiter.enter(), retry_after_s=60.0)
    waiting = asyncio.create_task(limiter.turn())
    await settle()
    waiting.cancel()
    await settle()

    assert [task for task in asyncio.all_tasks() if task.get_name() == "limiter"] == []

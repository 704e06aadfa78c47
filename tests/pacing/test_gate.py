"""The gate's queue: in order, cheap, safe against cancellation, shared between small and large."""

from __future__ import annotations

import asyncio

from engine.pacing.gate import Gate
from tests.fakes.clock import ManualClock


async def settle() -> None:
    for _ in range(4):
        await asyncio.sleep(0)


def gate_of(slots: int) -> Gate:
    return Gate(ManualClock(), most=slots, start=slots)


async def test_an_open_gate_gives_tickets_at_once_and_a_full_one_none() -> None:
    gate = gate_of(2)
    tickets = [gate.enter(), gate.enter(), gate.enter()]

    assert tickets[:2] == [1, 2]
    assert tickets[2] == 0
    gate.passed(1)
    assert gate.enter() == 3


async def test_those_who_wait_are_let_in_in_order() -> None:
    gate = gate_of(1)
    held = gate.enter()
    order: list[int] = []

    async def pass_by(number: int) -> None:
        ticket = await gate.turn()
        order.append(number)
        gate.passed(ticket)

    waiting = [asyncio.create_task(pass_by(n)) for n in range(5)]
    await settle()
    assert gate.enter() == 0
    gate.passed(held)
    await asyncio.gather(*waiting)

    assert order == [0, 1, 2, 3, 4]
    assert (gate.in_flight, gate.waiting) == (0, 0)


async def test_cancelled_waiters_take_nothing_whenever_it_happens() -> None:
    gate = gate_of(1)
    held = gate.enter()
    waiting = [asyncio.create_task(gate.turn()) for _ in range(3)]
    await settle()
    waiting[0].cancel()
    await settle()
    gate.passed(held)  # lets the second one in …
    waiting[1].cancel()  # … in the very tick it is cancelled
    ticket = await waiting[2]
    gate.passed(ticket)

    assert (gate.in_flight, gate.waiting) == (0, 0)
    assert gate.enter()


async def test_retry_after_shuts_the_gate_for_everybody() -> None:
    clock = ManualClock()
    gate = Gate(clock, most=10)
    gate.refused(gate.enter(), retry_after_s=7.0)
    assert gate.enter() == 0
    waiting = [asyncio.create_task(gate.turn()) for _ in range(3)]
    await settle()
    clock.advance(6.9)
    await settle()
    assert not any(each.done() for each in waiting)
    clock.advance(0.2)
    await settle()

    assert all(each.done() for each in waiting)


async def test_refusals_of_one_round_trip_narrow_it_once() -> None:
    clock = ManualClock()
    gate = Gate(clock, most=100, start=100)
    tickets = [gate.enter() for _ in range(100)]
    for ticket in tickets[:50]:
        gate.timed_out(ticket)

    assert gate.limit == 70
    assert gate.timeouts == 50


async def test_large_files_hold_at_most_a_quarter_while_small_ones_wait() -> None:
    gate = gate_of(8)
    held = [gate.enter() for _ in range(8)]
    large = [asyncio.create_task(gate.turn(large=True)) for _ in range(8)]
    small = [asyncio.create_task(gate.turn()) for _ in range(8)]
    await settle()
    for ticket in held:
        gate.passed(ticket)
    await settle()

    assert sum(each.done() for each in large) == 2
    assert sum(each.done() for each in small) == 6
    for each in small[:6]:
        gate.passed(each.result())
    await settle()
    assert all(each.done() for each in small)
    assert sum(each.done() for each in large) == 6, "once no small one waits, they take what is free"


async def test_nothing_sleeps_once_nobody_waits() -> None:
    clock = ManualClock()
    gate = Gate(clock, most=10)
    gate.refused(gate.enter(), retry_after_s=60.0)
    waiting = asyncio.create_task(gate.turn())
    await settle()
    waiting.cancel()
    await settle()

    assert [task for task in asyncio.all_tasks() if task.get_name() == "gate"] == []

"""How many more records a run may take up, also where workers borrow of it."""

from __future__ import annotations

import asyncio

from engine.pipeline.allowance import Allowance
from engine.pipeline.stop import Stop


def test_what_is_lent_and_not_needed_can_be_lent_again() -> None:
    allowance = Allowance(5, Stop())

    assert [allowance.lend(3) for _ in range(3)] == [3, 2, 0]
    allowance.returned(3, 2)
    assert allowance.lend(3) == 2


def test_without_a_limit_nothing_is_lent() -> None:
    allowance = Allowance(None, Stop())

    assert allowance.lend(3) is None
    allowance.returned(None, 0)
    assert not allowance.spent


async def test_the_limit_is_not_reached_while_some_of_it_may_come_back() -> None:
    allowance = Allowance(2, Stop())
    allowance.lend(2)
    waiting = asyncio.ensure_future(allowance.settled())
    await asyncio.sleep(0)
    assert allowance.spent
    assert not waiting.done()

    allowance.returned(2, 1)
    await waiting
    assert not allowance.over


async def test_once_all_that_was_lent_is_spent_the_limit_is_reached() -> None:
    allowance = Allowance(2, Stop())
    allowance.lend(2)
    waiting = asyncio.ensure_future(allowance.settled())
    await asyncio.sleep(0)

    allowance.returned(2, 0)
    await waiting
    assert allowance.over

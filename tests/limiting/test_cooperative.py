"""Futures are resolved in order, so many in one turn of the loop, and the loop turns between."""

from __future__ import annotations

import asyncio

from engine.limiting.cooperative import FairWaking


def futures(count: int) -> list[asyncio.Future[int]]:
    loop = asyncio.get_running_loop()
    return [loop.create_future() for _ in range(count)]


def done(several: list[asyncio.Future[int]]) -> int:
    return sum(each.done() for each in several)


async def test_many_waiters_pass_a_few_at_a_time_in_their_order() -> None:
    turnstile, several = FairWaking(3), futures(8)
    for number, each in enumerate(several):
        turnstile.resolve(each, number)

    seen = []
    for _ in range(5):
        seen.append(done(several))
        await asyncio.sleep(0)
    assert seen == [3, 6, 8, 8, 8]
    assert [each.result() for each in several] == list(range(8))


async def test_whoever_comes_alone_passes_at_once() -> None:
    turnstile = FairWaking(3)
    for number in range(10):
        (one,) = futures(1)
        turnstile.resolve(one, number)
        assert one.done()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_latecomer_does_not_overtake_those_who_wait() -> None:
    turnstile, several = FairWaking(2), futures(4)
    for number, each in enumerate(several[:3]):
        turnstile.resolve(each, number)
    await asyncio.sleep(0)
    turnstile.resolve(several[3], 3)
    assert done(several) == 4  # there was room behind the third

    first, second, third, fourth = futures(4)
    await asyncio.sleep(0)
    for each in (first, second, third, fourth):
        turnstile.resolve(each, 0)
    assert (third.done(), fourth.done()) == (False, False)


async def test_what_was_given_up_meanwhile_takes_nobodys_turn() -> None:
    turnstile, several = FairWaking(1), futures(4)
    for number, each in enumerate(several):
        turnstile.resolve(each, number)
    several[1].cancel()
    several[2].cancel()
    await asyncio.sleep(0)

    assert several[3].done()

"""The channel: nothing lost, doubled or hung, however senders and readers are scheduled."""

from __future__ import annotations

import asyncio
import random

import pytest

from engine.pipeline.channel import Channel, Ended


async def test_items_arrive_in_order_and_then_the_channel_ends() -> None:
    channel: Channel[int] = Channel(2)

    async def send() -> None:
        for number in range(5):
            await channel.put(number)
        channel.close()

    sending = asyncio.create_task(send())
    got = [await channel.get() for _ in range(5)]
    await sending

    assert got == [0, 1, 2, 3, 4]
    with pytest.raises(Ended):
        await channel.get()


async def test_closing_an_empty_channel_wakes_every_waiting_reader() -> None:
    channel: Channel[int] = Channel(2)
    readers = [asyncio.create_task(channel.get()) for _ in range(5)]
    await asyncio.sleep(0)

    channel.close()
    results = await asyncio.wait_for(asyncio.gather(*readers, return_exceptions=True), 1)

    assert all(isinstance(result, Ended) for result in results)


async def test_putting_into_a_closed_channel_is_refused() -> None:
    channel: Channel[int] = Channel(2)
    channel.close()

    with pytest.raises(Ended):
        await channel.put(1)


@pytest.mark.parametrize("seed", range(200))
async def test_any_schedule_of_senders_and_readers_loses_nothing(seed: int) -> None:
    chance = random.Random(seed)
    channel: Channel[int] = Channel(chance.randint(1, 4))
    got: list[int] = []

    async def send(numbers: range) -> None:
        for number in numbers:
            for _ in range(chance.randint(0, 2)):
                await asyncio.sleep(0)
            await channel.put(number)

    async def read() -> None:
        while True:
            try:
                got.append(await channel.get())
            except Ended:
                return
            for _ in range(chance.randint(0, 2)):
                await asyncio.sleep(0)

    senders = [asyncio.create_task(send(range(k * 10, k * 10 + 10))) for k in range(chance.randint(1, 4))]
    readers = [asyncio.create_task(read()) for _ in range(chance.randint(1, 5))]
    async with asyncio.timeout(2):
        await asyncio.gather(*senders)
        channel.close()
        await asyncio.gather(*readers)

    assert sorted(got) == list(range(len(senders) * 10))

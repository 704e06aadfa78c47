"""Whoever comes while a batch is being written shares the next one, and its fate."""

from __future__ import annotations

import asyncio

import pytest

from engine.limiting.group_commit import GroupCommit
from engine.model.errors import Fatal


class Slow:
    """Writes when it is told to; refuses batches with a 13."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.batches: list[list[int]] = []

    async def write(self, batch: list[int]) -> None:
        self.batches.append(batch)
        await self.go.wait()
        if 13 in batch:
            raise Fatal("no luck")


async def started(*adding: asyncio.Task[None]) -> None:
    await asyncio.wait(adding, timeout=0)
    await asyncio.wait(adding, timeout=0)


async def test_those_who_come_at_once_or_while_a_batch_is_written_go_together_in_their_order() -> None:
    slow = Slow()
    together = GroupCommit(slow.write)
    tasks = [asyncio.ensure_future(together.add([n, n])) for n in (1, 2)]
    await started(*tasks)
    tasks += [asyncio.ensure_future(together.add([n])) for n in (3, 4, 5)]
    await started(*tasks)
    assert slow.batches == [[1, 1, 2, 2]]
    assert not any(task.done() for task in tasks)
    slow.go.set()
    await asyncio.gather(*tasks)
    assert slow.batches == [[1, 1, 2, 2], [3, 4, 5]]


async def test_a_failure_hits_its_own_batch_and_the_next_one_is_written() -> None:
    slow = Slow()
    together = GroupCommit(slow.write)
    first = [asyncio.ensure_future(together.add([n])) for n in (1, 13)]
    await started(*first)
    later = asyncio.ensure_future(together.add([2]))
    slow.go.set()
    for task in first:
        with pytest.raises(Fatal, match="no luck"):
            await task
    await later


async def test_what_a_cancelled_caller_added_is_written_all_the_same_and_flush_waits_for_it() -> None:
    slow = Slow()
    together = GroupCommit(slow.write)
    await together.flush()
    task = asyncio.ensure_future(together.add([1]))
    await started(task)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    flushing = asyncio.ensure_future(together.flush())
    await started(flushing)
    assert not flushing.done()
    slow.go.set()
    await flushing
    await together.add([2])
    assert slow.batches == [[1], [2]]

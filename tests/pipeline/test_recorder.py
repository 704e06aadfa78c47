"""Batches, checkpoints and back-pressure of the recorder."""

from __future__ import annotations

import asyncio

import pytest

from engine.model.errors import Fatal
from engine.model.outcome import Batch, Outcome, Status
from engine.model.record import Record
from engine.pipeline.recorder import PageBook, Recorder


def outcome(number: int, page: int = 0) -> Outcome:
    return Outcome(Record(f"{number:018d}", "n", "u", "a", "b", "m"), Status.BACKED_UP, page=page)


class Shelf:
    """A ledger that keeps the batches it was given, and can be slow or broken."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.gate: asyncio.Event | None = None
        self.broken = False

    async def write(self, batch: Batch) -> None:
        if self.gate is not None:
            await self.gate.wait()
        if self.broken:
            raise Fatal("disk full")
        self.batches.append(batch)


def test_a_checkpoint_waits_for_the_oldest_page() -> None:
    book = PageBook()
    book.open(1, "a", 2)
    book.open(2, "b", 1)
    book.done(2)
    assert book.checkpoint() is None
    book.done(1)
    assert book.checkpoint() is None
    book.done(1)
    assert book.checkpoint() == "b"
    assert book.checkpoint() is None


def test_a_page_with_nothing_to_record_moves_the_checkpoint_at_once() -> None:
    book = PageBook()
    book.open(1, "a", 0)

    assert book.checkpoint() == "a"


async def test_outcomes_are_written_in_batches_and_the_rest_at_the_end() -> None:
    shelf = Shelf()
    recorder = Recorder(shelf, 3)
    running = asyncio.create_task(recorder.run())
    for number in range(7):
        recorder.add(outcome(number))
        await asyncio.sleep(0)
    recorder.close()
    await asyncio.wait_for(running, 1)

    assert sum(len(batch.outcomes) for batch in shelf.batches) == 7
    assert recorder.written == 7


async def test_the_checkpoint_rides_with_the_last_outcome_of_its_page() -> None:
    shelf = Shelf()
    recorder = Recorder(shelf, 2)
    recorder.book.open(1, "last-of-1", 2)
    running = asyncio.create_task(recorder.run())
    recorder.add(outcome(1, page=1))
    recorder.nudge()
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    first = shelf.batches[0].checkpoint
    recorder.add(outcome(2, page=1))
    recorder.close()
    await asyncio.wait_for(running, 1)

    assert (first, shelf.batches[1].checkpoint) == (None, "last-of-1")


async def test_a_slow_ledger_holds_the_crew_back() -> None:
    shelf = Shelf()
    shelf.gate = asyncio.Event()
    recorder = Recorder(shelf, 1)
    running = asyncio.create_task(recorder.run())
    recorder.add(outcome(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in range(4):
        recorder.add(outcome(number))
    waiting = asyncio.create_task(recorder.room())
    await asyncio.sleep(0)
    assert not waiting.done()

    shelf.gate.set()
    await asyncio.wait_for(waiting, 1)
    recorder.close()
    await asyncio.wait_for(running, 1)


async def test_a_broken_ledger_ends_the_recorder_with_its_error() -> None:
    shelf = Shelf()
    shelf.broken = True
    recorder = Recorder(shelf, 1)
    recorder.add(outcome(0))

    with pytest.raises(Fatal, match="disk full"):
        await asyncio.wait_for(recorder.run(), 1)

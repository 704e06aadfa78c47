"""Batches, checkpoints and back-pressure of the recorder."""

from __future__ import annotations

import asyncio

import pytest

from engine.model.errors import Fatal
from engine.model.outcome import Batch, Checkpoint, Outcome, Status
from engine.model.record import Record
from engine.pipeline.recorder import PageBook, Recorder
from engine.pipeline.tally import Tally


def outcome(number: int, page: int = 0) -> Outcome:
    return Outcome(Record(f"{number:018d}", "n", "u", "a", "b", "m"), Status.BACKED_UP, page=page)


class Sink:
    """A ledger that keeps the batches it was given, and can be slow or broken."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []
        self.barrier: asyncio.Event | None = None
        self.broken = False

    async def write(self, batch: Batch) -> None:
        if self.barrier is not None:
            await self.barrier.wait()
        if self.broken:
            raise Fatal("disk full")
        self.batches.append(batch)


def test_a_checkpoint_waits_for_the_oldest_page() -> None:
    book = PageBook()
    book.open(1, Checkpoint("a"), 2)
    book.open(2, Checkpoint("b"), 1)
    book.done(2)
    assert book.checkpoints() == []
    book.done(1)
    assert book.checkpoints() == []
    book.done(1)
    assert book.checkpoints() == [Checkpoint("b")]
    assert book.checkpoints() == []


def test_a_page_with_nothing_to_record_moves_the_checkpoint_at_once() -> None:
    book = PageBook()
    book.open(1, Checkpoint("a"), 0)

    assert book.checkpoints() == [Checkpoint("a")]


def test_each_range_has_a_checkpoint_of_its_own() -> None:
    """Pages of several ranges come mixed; a slow page of one holds back no other."""
    book = PageBook()
    book.open(1, Checkpoint("a", 1), 1)
    book.open(2, Checkpoint("m", 2), 1)
    book.open(3, Checkpoint("b", 1), 1)
    book.open(4, Checkpoint("n", 2), 1)
    for page in (2, 3, 4):
        book.done(page)
    assert book.checkpoints() == [Checkpoint("n", 2)]
    book.done(1)
    book.open(5, Checkpoint("n", 2, ends=True), 0)
    assert book.checkpoints() == [Checkpoint("b", 1), Checkpoint("n", 2, ends=True)]


async def test_outcomes_are_written_in_batches_and_the_rest_at_the_end() -> None:
    sink = Sink()
    recorder = Recorder(sink, Tally(), 3)
    running = asyncio.create_task(recorder.run())
    for number in range(7):
        recorder.add(outcome(number))
        await asyncio.sleep(0)
    recorder.close()
    await asyncio.wait_for(running, 1)

    assert sum(len(batch.outcomes) for batch in sink.batches) == 7
    assert recorder.written == 7


@pytest.mark.parametrize("early", [0, 1, 2])
async def test_the_last_outcome_that_is_waited_for_is_written_at_once(early: int) -> None:
    recorder = Recorder(Sink(), Tally(), 100)
    running = asyncio.create_task(recorder.run())
    for number in range(early):
        recorder.add(outcome(number))
    waiting = asyncio.create_task(recorder.reached(2))
    await asyncio.sleep(0)
    for number in range(early, 2):
        recorder.add(outcome(number))
    await asyncio.wait_for(waiting, 1)  # nobody nudges

    assert recorder.written == 2
    recorder.close()
    await asyncio.wait_for(running, 1)


async def test_the_checkpoint_rides_with_the_last_outcome_of_its_page() -> None:
    sink = Sink()
    recorder = Recorder(sink, Tally(), 2)
    recorder.book.open(1, Checkpoint("last-of-1"), 2)
    running = asyncio.create_task(recorder.run())
    recorder.add(outcome(1, page=1))
    recorder.nudge()
    await asyncio.sleep(0.0)
    await asyncio.sleep(0.0)
    first = sink.batches[0].checkpoints
    recorder.add(outcome(2, page=1))
    recorder.close()
    await asyncio.wait_for(running, 1)

    assert (first, sink.batches[1].checkpoints) == ([], [Checkpoint("last-of-1")])


async def test_a_slow_ledger_holds_the_crew_back() -> None:
    sink = Sink()
    sink.barrier = asyncio.Event()
    recorder = Recorder(sink, Tally(), 1)
    running = asyncio.create_task(recorder.run())
    recorder.add(outcome(0))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for number in range(4):
        recorder.add(outcome(number))
    waiting = asyncio.create_task(recorder.room())
    await asyncio.sleep(0)
    assert not waiting.done()

    sink.barrier.set()
    await asyncio.wait_for(waiting, 1)
    recorder.close()
    await asyncio.wait_for(running, 1)


async def test_a_broken_ledger_ends_the_recorder_with_its_error() -> None:
    sink = Sink()
    sink.broken = True
    recorder = Recorder(sink, Tally(), 1)
    recorder.add(outcome(0))

    with pytest.raises(Fatal, match="disk full"):
        await asyncio.wait_for(recorder.run(), 1)

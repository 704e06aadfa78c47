"""Outcomes → batches → ledger: one transaction each, on size, on age (``nudge``) and at the end.

The scan's checkpoint rides in the same transaction as the last outcome of its page: a page counts as done when all
its records are recorded, and the checkpoint is the end of the unbroken row of done pages; each range has its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence

import structlog

from engine.model.outcome import Attempt, Batch, Checkpoint, Looked, Outcome, Touch
from engine.model.plan import Known
from engine.model.ports import Sink
from engine.pipeline.tally import Tally

log = structlog.get_logger()


class PageBook:
    """Which pages of the scan are recorded to the last record. Pages are numbered from 1, each range is in order."""

    def __init__(self) -> None:
        self._open: dict[int, deque[tuple[int, Checkpoint]]] = {}
        self._left: dict[int, int] = {}

    def open(self, page: int, reaches: Checkpoint, records: int) -> None:
        """A page was taken up; ``records`` of it will be recorded."""
        self._open.setdefault(reaches.range, deque()).append((page, reaches))
        self._left[page] = records

    def done(self, page: int) -> None:
        """One record of the page is recorded. Pages that were never opened (number 0) are nobody's business."""
        if page in self._left:
            self._left[page] -= 1

    def checkpoints(self) -> list[Checkpoint]:
        """How far everything is recorded, for each range where that has moved since the last call."""
        return [reached for pages in self._open.values() if (reached := self._reached(pages)) is not None]

    def _reached(self, pages: deque[tuple[int, Checkpoint]]) -> Checkpoint | None:
        reached = None
        while pages and self._left[pages[0][0]] == 0:
            page, reached = pages.popleft()
            del self._left[page]
        return reached


class _Milestone:
    """A number of outcomes that somebody waits for."""

    def __init__(self) -> None:
        self.wanted = 0
        self._moved = asyncio.Event()
        self.reached = 0

    def move(self, by: int) -> None:
        self.reached += by
        self._moved.set()

    async def wait(self, wanted: int) -> None:
        while self.reached < wanted:
            self._moved.clear()
            await self._moved.wait()


class Recorder:
    """Counts each outcome at once, and is the only task that writes outcomes.

    At most four batches wait here; ``room()`` holds the crew back beyond.
    """

    def __init__(self, ledger: Sink, tally: Tally, batch_size: int) -> None:
        self.tally = tally
        self.book = PageBook()
        self._ledger = ledger
        self._batch_size = batch_size
        self._batch = Batch()
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False
        self._taken = 0
        self._written = _Milestone()

    def add(self, outcome: Outcome | Looked) -> None:
        """Take how one record ended: counted now, durable after the next commit."""
        self.tally.count(outcome)
        batch = self._batch
        if isinstance(outcome, Looked):
            batch.looks.append(outcome)
        else:
            batch.outcomes.append(outcome)
        self._taken += 1
        if self._taken == self._written.wanted:
            self._wake.set()
        self._grown(len(batch.outcomes) + len(batch.looks))

    def attempt(self, attempt: Attempt) -> None:
        """Take a try that failed and will be followed by another."""
        self.tally.retries += 1
        self._batch.attempts.append(attempt)
        self._grown(len(self._batch.attempts))

    def unchanged(self, count: int, touches: Sequence[Touch]) -> None:
        """So many records needed nothing, or no more than these touches: counted now, in the run's row later."""
        self.tally.unchanged += count
        self._batch.unchanged += count - len(touches)  # the ledger counts touches itself
        self._batch.touches += touches
        self._grown(len(self._batch.touches))

    def uncount(self, row: Known, *, ended: bool) -> None:
        """A record that was counted is taken up once more. ``ended``: as its row says; else it had needed nothing."""
        self.tally.uncount(row, ended=ended)
        if ended:
            self._batch.recounted.append(row.status)
        else:
            self._batch.unchanged -= 1

    @property
    def written(self) -> int:
        """Outcomes that are committed."""
        return self._written.reached

    @property
    def unwritten(self) -> int:
        """Records that have ended and are not committed yet."""
        return self._taken - self._written.reached

    @property
    def full(self) -> bool:
        """Whether so much is unwritten that ``room`` would wait."""
        return not self._room.is_set()

    def _grown(self, size: int) -> None:
        if size >= self._batch_size:
            self._wake.set()
            if size >= 4 * self._batch_size:
                self._room.clear()

    async def room(self) -> None:
        """Wait while too much is unwritten."""
        await self._room.wait()

    async def reached(self, outcomes: int) -> None:
        """Wait until so many outcomes have been committed since the start."""
        self._written.wanted = outcomes
        if self._taken >= outcomes:
            self._wake.set()
        await self._written.wait(outcomes)

    def nudge(self) -> None:
        """Write what there is, however little: called on a timer so that nothing stays unwritten for long."""
        self._wake.set()

    def close(self) -> None:
        """No more outcomes will come; ``run`` writes the rest and ends. Never waits."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        """Write batches until closed and empty. A failing ledger ends the run."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._flush()
            if self._closed and not self._batch:
                return

    async def _flush(self) -> None:
        batch, self._batch = self._batch, Batch()
        self._room.set()
        for outcome in batch.outcomes:
            self.book.done(outcome.page)
        for look in batch.looks:
            self.book.done(look.page)
        batch.checkpoints = self.book.checkpoints()
        if not batch:
            return
        await self._ledger.write(batch)
        self._written.move(len(batch.outcomes) + len(batch.looks))
        reached = {each.range: each.last_id for each in batch.checkpoints}
        log.info("batch", outcomes=len(batch.outcomes), retries=len(batch.attempts), checkpoints=reached)

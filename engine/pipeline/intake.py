"""Pages → plans. One look into the tracking DB per page, never per record."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from engine.limiting.clock import Clock, iso
from engine.limiting.cooperative import SHARE, yield_to_others
from engine.model.facts import ObjectFacts
from engine.model.failures import FailureClass
from engine.model.outcome import Checkpoint, Looked, Outcome, Status, Touch
from engine.model.plan import Known, Look, Plan, Work
from engine.model.ports import Ledger
from engine.model.record import Page, Record
from engine.pipeline.channel import Channel, Ended
from engine.pipeline.planning import Decision, Planner
from engine.pipeline.recorder import Recorder
from engine.pipeline.routes import Routes
from engine.pipeline.stop import Stop
from engine.pipeline.tally import Tally

WORK_BATCH = 200
AGAIN = 0
"""Page number of records that the tracking DB wants tried once more: whatever their rows say, they are planned."""


class Intake:
    """Feeds the crew. ``limit``: take up so many records that need work, then end as if the scan were over."""

    def __init__(
        self,
        ledger: Ledger,
        planner: Planner,
        routes: Routes,
        work_batches: Channel[list[Work]],
        recorder: Recorder,
        tally: Tally,
        clock: Clock,
        stop: Stop,
        *,
        run_id: int = -1,
        limit: int | None = None,
        work_batch: int = WORK_BATCH,
        seen: bytearray | None = None,
        on_page: Callable[[int, int, int], None] = lambda _records, _plans, _done: None,
    ) -> None:
        self._ledger = ledger
        self._planner = planner
        self._routes = routes
        self._work_batches = work_batches
        self._recorder = recorder
        self._tally = tally
        self._clock = clock
        self._stop = stop
        self._run_id = run_id
        self._left = limit
        self._work_batch = work_batch
        self._seen = bytearray() if seen is None else seen
        self._on_page = on_page
        self._number = 0
        self._given = 0

    @property
    def exhausted(self) -> bool:
        """The limit is reached, or a stop was asked for: nothing more will be taken up."""
        return self._left == 0 or self._stop.requested

    def take_one(self) -> bool:
        """One more record needs work; False where the limit is reached."""
        if self._left is not None:
            if self._left == 0:
                return False
            self._left -= 1
        return True

    async def scan(self, pages: AsyncIterator[Page], *, look: bool = False) -> bool:
        """Take up the pages of a scan, with checkpoints. True when it went through to its end.

        ``look``: the sources of copies that stand are looked at too.
        """
        async for page in pages:
            if self.exhausted:
                return False
            self._number += 1
            reaches = Checkpoint(page.last_id, page.range, page.ends)
            if not page.records:
                self._recorder.book.open(self._number, reaches, 0)
            elif not await self._take(page.records, reaches, self._number, look=look):
                return False
        return not self.exhausted

    async def settled(self) -> None:
        """Wait until everything taken up so far is committed: the next phase must not meet a record still in flight."""
        await self._recorder.reached(self._given)

    async def again(self, chunks: AsyncIterator[list[Record]]) -> None:
        """Take up records that the tracking DB wants tried once more."""
        async for records in chunks:
            if self.exhausted or not await self._take(records, None, AGAIN):
                return

    async def gone(self, pages: AsyncIterator[Page]) -> None:
        """Pages of deleted records: those that we know become ``gone``."""
        async for page in pages:
            if self.exhausted:
                return
            known = await self._ledger.known([record.id for record in page.records])
            at = iso(self._clock.now())
            for record in page.records:
                row = known.get(record.id)
                if row is not None and row.status is not Status.GONE:
                    if self._met(row):
                        self._uncount(row)
                    else:
                        self._tally.expect(1)
                    self.vanished(record, at)
            await self._recorder.room()

    def vanished(self, record: Record, at: str) -> None:
        """One record is no longer in Salesforce."""
        outcome = Outcome(record, Status.GONE, FailureClass.DELETED, "the record was deleted in Salesforce", at=at)
        self._given += 1
        self._tally.count(outcome)
        self._recorder.add(outcome)

    async def _take(
        self, records: list[Record], reaches: Checkpoint | None, number: int, *, look: bool = False
    ) -> bool:
        known = await self._ledger.known([record.id for record in records])
        plans: list[Work] = []
        done: list[Outcome | Looked] = []
        touches: list[Touch] = []
        unchanged = 0
        whole = True
        await self._routes.learn(self._planner.undecided(records, known))

        def sort(decision: Decision) -> None:
            nonlocal unchanged
            if isinstance(decision, Plan | Look):
                plans.append(decision)
            elif isinstance(decision, Outcome | Looked):
                done.append(decision)
            else:
                unchanged += 1
                if decision is not None:
                    touches.append(decision)

        for place, record in enumerate(records, 1):
            if place % SHARE == 0:
                await yield_to_others()
            if self._left == 0:
                whole = False
                break
            row = known.get(record.id)
            met = row is not None and self._met(row)
            if row is not None and met:
                self._tally.met_again(1)
                if row.run == self._run_id and _dealt_with(row, record, number):
                    continue
            decision = self._planner.plan(record, row, number, force=number == AGAIN, look=look)
            if row is not None and met:
                if decision is None or isinstance(decision, Touch):
                    touches += [decision] if decision else []
                    continue
                self._uncount(row)
            sort(decision)
            if isinstance(decision, Plan | Outcome):
                self.take_one()
        if plans and (listed := await self._ledger.inventory([plan.source_id for plan in plans])):
            planned, plans = plans, []
            for place, plan in enumerate(planned, 1):
                if place % SHARE == 0:
                    await yield_to_others()
                facts = listed.get(plan.source_id)
                sort(plan if facts is None else self._listed(plan, facts))
        if reaches is not None and whole:
            self._recorder.book.open(number, reaches, len(plans) + len(done))
        self._tally.seen += len(plans) + len(done) + unchanged
        self._tally.unchanged += unchanged
        self._recorder.unchanged(unchanged - len(touches))  # the ledger counts touches itself
        for touch in touches:
            self._recorder.touch(touch)
        self._given += len(plans) + len(done)
        at = iso(self._clock.now())
        for outcome in done:
            stamped = replace(outcome, at=at) if isinstance(outcome, Outcome) else outcome
            self._tally.count(stamped)
            self._recorder.add(stamped)
        self._on_page(len(records), len(plans), len(done))
        await self._recorder.room()
        await self._hand_over(plans)
        return whole

    def _met(self, row: Known) -> bool:
        """Whether this run has met, and counted, the record before; from now on it has."""
        return not _mark(self._seen, row.row) or row.run == self._run_id

    def _uncount(self, row: Known) -> None:
        """A record that was counted is taken up once more: no record counts twice."""
        ended = row.run == self._run_id
        self._tally.uncount(row, ended=ended)
        self._recorder.uncount(row.status if ended else None)

    def _listed(self, work: Work, facts: ObjectFacts) -> Decision:
        return self._planner.pin(work, facts) if isinstance(work, Plan) else self._planner.looked(work, facts)

    async def _hand_over(self, plans: list[Work]) -> None:
        if not plans:
            return
        await self._routes.learn(plan.source for plan in plans)
        duplicates = await self._ledger.duplicates([plan.source_id for plan in plans if isinstance(plan, Plan)])
        if duplicates:
            plans = [
                replace(p, duplicate=duplicates[p.source_id])
                if isinstance(p, Plan) and p.source_id in duplicates
                else p
                for p in plans
            ]
        for start in range(0, len(plans), self._work_batch):
            if self._stop.requested:
                return
            try:
                await self._work_batches.put(plans[start : start + self._work_batch])
            except Ended:
                return


def _mark(bitmap: bytearray, row: int) -> bool:
    """Set the bit of a row; False where it was set already."""
    byte, bit = row >> 3, 1 << (row & 7)
    if byte >= len(bitmap):
        bitmap.extend(bytes(byte + 1 - len(bitmap) + 4096))
    fresh = not bitmap[byte] & bit
    bitmap[byte] |= bit
    return fresh


def _dealt_with(row: Known, record: Record, number: int) -> bool:
    """Whether what this very run has done with the record is enough: a delta overlaps the scan before it.

    A switched record that is to be proved anew has only been touched by then: its own switch has stamped it.
    """
    return row.modified == record.modified and not (number == AGAIN and row.status is Status.SWITCHED)

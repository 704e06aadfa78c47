"""Pages → plans. One look into the tracking DB per page, never per record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import structlog

from engine.limiting.clock import Clock, iso
from engine.limiting.cooperative import SHARE, yield_to_others
from engine.model.change import Ours
from engine.model.facts import ObjectFacts
from engine.model.failures import FailureClass
from engine.model.outcome import Checkpoint, Looked, Outcome, Status, Touch
from engine.model.plan import Known, Look, Plan, Work
from engine.model.ports import Ledger
from engine.model.record import Page, Record
from engine.pipeline.allowance import Allowance
from engine.pipeline.planning import Decision, Planner
from engine.pipeline.recorder import Recorder
from engine.pipeline.routes import Routes
from engine.pipeline.work_queue import WorkQueue

AGAIN = 0
"""Page number of records that the tracking DB wants tried once more: whatever their rows say, they are planned."""

log = structlog.get_logger()


class MetRows:
    """Which rows of the tracking DB this run has met. ``run_id``: -1 for a dry run."""

    def __init__(self, run_id: int = -1) -> None:
        self.run_id = run_id
        self.bitmap = bytearray()
        """``bitmap[row >> 3] >> (row & 7)``."""

    def again(self, row: Known) -> bool:
        """Whether this run has met, and counted, the record before; from now on it has."""
        place, bit = row.row >> 3, 1 << (row.row & 7)
        if place >= len(self.bitmap):
            self.bitmap.extend(bytes(place + 1 - len(self.bitmap) + 4096))
        met = bool(self.bitmap[place] & bit)
        self.bitmap[place] |= bit
        return met or row.run == self.run_id


@dataclass(slots=True)
class _Page:
    """Records taken up together, and what becomes of them."""

    number: int
    plans: list[Work] = field(default_factory=list)
    done: list[Outcome | Looked] = field(default_factory=list)
    touches: list[Touch] = field(default_factory=list)
    unchanged: int = 0

    def add(self, decision: Decision) -> None:
        if isinstance(decision, Plan | Look):
            self.plans.append(decision)
        elif isinstance(decision, Outcome | Looked):
            self.done.append(decision)
        else:
            self.unchanged += 1
            if decision is not None:
                self.touches.append(decision)


class Intake:
    """Feeds the crew."""

    def __init__(
        self,
        ledger: Ledger,
        planner: Planner,
        routes: Routes,
        queue: WorkQueue,
        recorder: Recorder,
        clock: Clock,
        allowance: Allowance,
        met: MetRows,
    ) -> None:
        self._ledger = ledger
        self._planner = planner
        self._routes = routes
        self._queue = queue
        self._recorder = recorder
        self._clock = clock
        self._allowance = allowance
        self._met = met
        self._number = 0
        self._given = 0

    @property
    def exhausted(self) -> bool:
        """The limit is reached, or a stop was asked for: nothing more will be taken up."""
        return self._allowance.over

    async def _over(self) -> bool:
        """The same, once it is known: what workers have borrowed of the limit may come back."""
        await self._allowance.settled()
        return self._allowance.over

    async def scan(self, pages: AsyncIterator[Page], *, look: bool = False) -> bool:
        """Take up the pages of a scan, with checkpoints. True when it went through to its end.

        ``look``: the sources of copies that stand are looked at too.
        """
        async for page in pages:
            if await self._over():
                return False
            self._number += 1
            reaches = Checkpoint(page.last_id, page.range, page.ends)
            if not page.records:
                self._recorder.book.open(self._number, reaches, 0)
            elif not await self._take(page.records, _Page(self._number), reaches, look=look):
                return False
        return not self.exhausted

    async def settled(self) -> None:
        """Wait until everything taken up so far is committed: the next phase must not meet a record still in flight."""
        await self._recorder.reached(self._given)

    async def again(self, chunks: AsyncIterator[list[Record]]) -> None:
        """Take up records that the tracking DB wants tried once more."""
        async for records in chunks:
            if await self._over() or not await self._take(records, _Page(AGAIN), None):
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
                    if self._met.again(row):
                        self._uncount(row)
                    else:
                        self._recorder.tally.expect(1)
                    why = "the record was deleted in Salesforce"
                    self._given += 1
                    self._recorder.add(Outcome(record, Status.GONE, FailureClass.DELETED, why, at=at))
            await self._recorder.room()

    async def _take(
        self, records: list[Record], page: _Page, reaches: Checkpoint | None, *, look: bool = False
    ) -> bool:
        """Decide about each record, and hand over. False where the limit was reached before the last one."""
        known = await self._ledger.known([record.id for record in records])
        ours = await self._ledger.ours([(each.id, each.url) for each in records if _unlike(each, known.get(each.id))])
        await self._routes.learn(self._planner.undecided(records, known))
        whole = True
        for place, record in enumerate(records, 1):
            if place % SHARE == 0:
                await yield_to_others()
            if self._allowance.spent and await self._over():
                whole = False
                break
            self._decide(record, known.get(record.id), page, ours.get(record.id), look=look)
        await self._ask_the_listing(page)
        if reaches is not None and whole:
            self._recorder.book.open(page.number, reaches, len(page.plans) + len(page.done))
        await self._tell(page)
        log.info("page", records=len(records), plans=len(page.plans), settled=len(page.done))
        await self._hand_over(page.plans)
        return whole

    def _decide(self, record: Record, row: Known | None, page: _Page, ours: Ours | None, *, look: bool) -> None:
        met = row is not None and self._met.again(row)
        if row is not None and met:
            self._recorder.tally.met_again(1)
            if row.run == self._met.run_id and _dealt_with(row, record, page.number):
                return
        decision = self._planner.plan(record, row, page.number, ours, force=page.number == AGAIN, look=look)
        if row is not None and met:
            if decision is None:
                return
            if isinstance(decision, Touch):
                page.touches.append(decision)
                return
            self._uncount(row)
        page.add(decision)
        if isinstance(decision, Plan | Outcome):
            self._allowance.take_one()

    async def _ask_the_listing(self, page: _Page) -> None:
        """What it says of the sources settles some plans without a request."""
        if not page.plans:
            return
        listed = await self._ledger.inventory([plan.source_id for plan in page.plans])
        if not listed:
            return
        plans, page.plans = page.plans, []
        for place, plan in enumerate(plans, 1):
            if place % SHARE == 0:
                await yield_to_others()
            facts = listed.get(plan.source_id)
            page.add(plan if facts is None else self._listed(plan, facts))

    async def _tell(self, page: _Page) -> None:
        """What is settled goes to the recorder."""
        self._recorder.unchanged(page.unchanged, page.touches)
        self._given += len(page.plans) + len(page.done)
        at = iso(self._clock.now())
        for outcome in page.done:
            self._recorder.add(replace(outcome, at=at) if isinstance(outcome, Outcome) else outcome)
        await self._recorder.room()

    def _uncount(self, row: Known) -> None:
        """A record that was counted is taken up once more: no record counts twice."""
        self._recorder.uncount(row, ended=row.run == self._met.run_id)

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
        await self._queue.put(plans)


def _unlike(record: Record, row: Known | None) -> bool:
    """Whether the record holds another link than its row says: only then the journal is asked about it."""
    return row is None or record.url != (row.our_url if row.status is Status.SWITCHED else row.url)


def _dealt_with(row: Known, record: Record, number: int) -> bool:
    """Whether what this very run has done with the record is enough: a delta overlaps the scan before it.

    A switched record that is to be proved anew has only been touched by then: its own switch has stamped it.
    """
    return row.modified == record.modified and not (number == AGAIN and row.status is Status.SWITCHED)

"""What a run counts: no record twice, however many feeds meet it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from engine.model.failures import FailureClass
from engine.model.outcome import Batch, Outcome, Status
from engine.model.plan import Plan
from engine.model.record import Page, Record
from engine.pipeline.allowance import Allowance
from engine.pipeline.intake import Intake, MetRows
from engine.pipeline.recorder import Recorder
from engine.pipeline.routes import Routes
from engine.pipeline.stop import Stop
from engine.pipeline.tally import Tally
from engine.pipeline.work_queue import WorkQueue
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.ledger import MemoryLedger
from tests.support.pipeline import PLANNER, World

RUN = 2
LATER = "2027-01-01T00:00:00.000Z"


def vendor(number: int, **changes: str) -> Record:
    url = f"https://vendor.s3.us-west-2.amazonaws.com/{number}.pdf"
    return replace(Record(f"a0X{number:012d}AAA", "n", url, "acc", "Acme", "2026-01-01T00:00:00.000Z"), **changes)


def ended(number: int, status: Status = Status.BACKED_UP) -> Outcome:
    plan = PLANNER.plan(vendor(number), None, 0)
    assert isinstance(plan, Plan)
    failure = FailureClass.SOURCE_MISSING if status is Status.FAILED else None
    return Outcome(plan.record, status, failure, key=plan.key, url=plan.url, attempts=1)


class Scene:
    """An intake whose crew is the test: what it hands over ends as ``how`` says, at once."""

    def __init__(self, how: Status = Status.BACKED_UP) -> None:
        self.how = how
        self.ledger = MemoryLedger(run_id=RUN)
        self.tally = Tally()
        self.recorder = Recorder(self.ledger, self.tally, 1000)
        self.queue = WorkQueue(20_000, 100)
        routes = Routes(World().routes._probe)
        self.intake = Intake(
            self.ledger,
            PLANNER,
            routes,
            self.queue,
            self.recorder,
            ManualClock(),
            Allowance(None, Stop()),
            MetRows(RUN),
        )

    async def before(self, *outcomes: Outcome) -> None:
        """What an earlier run has recorded."""
        self.ledger.run_id = RUN - 1
        await self.ledger.write(Batch([*outcomes]))
        self.ledger.run_id = RUN

    async def meet(self, *records: Record, look: bool = False) -> None:
        """One feed: so many records in scope, met, copied, recorded."""
        self.tally.expect(len(records))

        async def pages() -> AsyncIterator[Page]:
            yield Page([*records], records[-1].id)

        await self.intake.scan(pages(), look=look)
        while len(self.queue):
            await self.queue.refill()
            while self.queue.in_hand:
                work = self.queue.in_hand.pop()
                outcome = replace(ended(1, self.how), record=work.record, page=work.page, is_new=work.known is None)
                self.recorder.add(outcome)
        await self.recorder._flush()

    @property
    def counts(self) -> dict[str, int]:
        names = ("unchanged", "backed_up", "failed", "total", "done")
        found = {name: getattr(self.tally, name) for name in names} | {"gone": self.tally.ended[Status.GONE]}
        return {name: n for name, n in found.items() if n}

    def run_row(self) -> int:
        """What the run row comes to."""
        batches = [batch for batch in self.ledger.batches if batch.outcomes or batch.unchanged or batch.touches]
        return sum(len(b.outcomes) + len(b.touches) + len(b.looks) + b.unchanged - len(b.recounted) for b in batches)


async def test_a_record_that_two_feeds_meet_counts_once() -> None:
    """The rest of an interrupted scan, then what changed since it began: the same records."""
    scene = Scene()
    await scene.before(*(ended(n) for n in range(6)))
    scene.ledger.batches.clear()
    records = [vendor(n) for n in range(10)]
    await scene.meet(*records)
    await scene.meet(*records)

    assert scene.counts == {"unchanged": 6, "backed_up": 4, "total": 10, "done": 10}
    assert scene.run_row() == 10


async def test_a_record_that_is_only_restamped_meanwhile_counts_once() -> None:
    scene = Scene()
    await scene.before(ended(1))
    scene.ledger.batches.clear()
    await scene.meet(vendor(1), vendor(2))
    await scene.meet(vendor(1, modified=LATER), vendor(2, modified=LATER))
    await scene.meet(vendor(1, modified=LATER), vendor(2, modified=LATER))

    assert scene.counts == {"unchanged": 1, "backed_up": 1, "total": 2, "done": 2}
    assert scene.run_row() == 2


@pytest.mark.parametrize("how", [Status.FAILED, Status.BACKED_UP])
async def test_a_record_that_is_brought_on_twice_counts_as_it_ended(how: Status) -> None:
    scene = Scene(Status.FAILED)
    await scene.before(ended(1))
    scene.ledger.batches.clear()
    other = vendor(8).url
    await scene.meet(vendor(1), vendor(2))
    scene.how = how
    await scene.meet(vendor(1, url=other, modified=LATER), vendor(2, modified=LATER))

    assert scene.counts == {how.value: 2, "total": 2, "done": 2}
    assert scene.tally.failures == ({"source_missing": 2} if how is Status.FAILED else {})
    assert scene.run_row() == 2


async def test_a_record_that_is_deleted_while_the_run_goes_on_counts_as_gone_alone() -> None:
    scene = Scene()
    await scene.before(ended(1), ended(3))
    scene.ledger.batches.clear()
    await scene.meet(vendor(1), vendor(2))

    async def pages() -> AsyncIterator[Page]:
        yield Page([vendor(n) for n in (1, 2, 3, 4)], "", deleted=True)

    await scene.intake.gone(pages())
    await scene.recorder._flush()

    assert scene.counts == {"gone": 3, "total": 3, "done": 3}
    assert scene.run_row() == 3


def test_once_nobody_knows_how_many_there_are_nobody_does() -> None:
    tally = Tally()
    tally.expect(3)
    tally.expect(None)
    tally.expect(4)

    assert tally.total is None

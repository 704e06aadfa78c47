"""A small world for pipeline tests: fake stores, a sink for outcomes, and plans made by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from engine.limiting.retry import Retries
from engine.model.facts import Method, ObjectFacts, listed_facts
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.outcome import Batch, Duplicate, Outcome, Status
from engine.model.plan import Known, Plan, failed_write
from engine.model.record import Record
from engine.model.urls import source_rules
from engine.pipeline.allowance import Allowance
from engine.pipeline.copying import Copying
from engine.pipeline.placing import Target
from engine.pipeline.planning import Planner
from engine.pipeline.recorder import Recorder
from engine.pipeline.routes import Route, Routes
from engine.pipeline.stop import Stop
from engine.pipeline.tally import Tally
from engine.pipeline.transfer import Transfer
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.stores import ORIGIN, FakeDestination, FakeFastPath, FakeObject, FakeShortStream, FakeSource


def planner(url_length: int = 255) -> Planner:
    target = Target("ours", "us-east-1", None, "up/{record_id}{ext}", "https://ours/{key}", url_length)
    return Planner(source_rules(["vendor"], None, "us-west-2", []), target)


PLANNER = planner()


def record(number: int, url: str = "") -> Record:
    return Record(
        f"a0X{number:012d}AAA", f"File {number}", url or f"u{number}", "acc", "Acme", "2026-01-01T00:00:00.000Z"
    )


def location(key: str) -> Location:
    return Location(ORIGIN, f"https://vendor/{key}", bucket="vendor", key=key)


def plan(number: int, *, source_key: str = "", known: Known | None = None, duplicate: Duplicate | None = None) -> Plan:
    key = source_key or f"src/{number}.pdf"
    return Plan(
        record=record(number),
        source=location(key),
        source_id=sum(key.encode()) * 1000 + len(key),
        file_name=f"{number}.pdf",
        key=f"up/{number}.pdf",
        url=f"https://ours/up/{number}.pdf",
        known=known,
        duplicate=duplicate,
    )


def known(outcome: Outcome, row: int = 1) -> Known:
    """The row that an outcome leaves."""
    return Known(
        row=row,
        status=outcome.status,
        failure=outcome.failure.value if outcome.failure else "",
        url=outcome.record.url,
        our_url=outcome.url if outcome.proof else "",
        our_key=outcome.key if outcome.proof else "",
        modified=outcome.record.modified,
        account_id=outcome.record.account_id,
        account_name=outcome.record.account_name,
        name=outcome.record.name,
        source_etag=outcome.source_etag,
        destination_etag=outcome.destination_etag if outcome.proof else "",
        attempts=outcome.attempts,
        proof=outcome.proof.value if outcome.proof else "",
        failed_write="" if outcome.proof else failed_write(outcome.destination_etag, outcome.key),
        source_id=outcome.source_id if outcome.proof else 0,
    )


@dataclass
class MemoryLedger:
    """Keeps batches; knows nothing beforehand."""

    batches: list[Batch] = field(default_factory=list)
    barrier: asyncio.Event | None = None
    error: Exception | None = None

    async def known(self, ids: Sequence[str]) -> dict[str, Known]:
        return {}

    async def duplicates(self, source_ids: Sequence[int]) -> dict[int, Duplicate]:
        return {}

    async def inventory(self, source_ids: Sequence[int]) -> dict[int, ObjectFacts]:
        return {}

    async def write(self, batch: Batch) -> None:
        if self.barrier is not None:
            await self.barrier.wait()
        if self.error is not None:
            raise self.error
        self.batches.append(batch)

    @property
    def outcomes(self) -> dict[str, Outcome]:
        return {o.record.id: o for batch in self.batches for o in batch.outcomes}


class World:
    def __init__(
        self,
        method: Method = Method.STREAM,
        *,
        max_attempts: int = 5,
        max_bytes: int | None = None,
        fast_path: bool = False,
    ) -> None:
        self.clock = ManualClock()
        self.source = FakeSource()
        self.destination = FakeDestination(self.source)
        self.fast_path = FakeFastPath(self.destination, shut=not fast_path)
        self.short_stream = FakeShortStream(self.source, self.destination, shut=not fast_path)
        self.ledger = MemoryLedger()
        self.tally = Tally()
        self.recorder = Recorder(self.ledger, self.tally, 10)
        self.method = method

        async def probe(bucket: str, samples: Sequence[Location]) -> Route:
            return Route(self.method, self.source, "test")

        self.routes = Routes(probe)
        ours = FakeSource(objects=self.destination.objects)
        self.copying = Copying(
            self.destination,
            ours,
            location,
            max_bytes=max_bytes,
            fast_path=self.fast_path,
            short_stream=self.short_stream,
        )
        self._max_attempts = max_attempts
        self.next_run()

    def next_run(self, planner: Planner = PLANNER) -> None:
        """A run that remembers nothing of the ones before; the stores and the sink do."""
        self.transfer = Transfer(
            self.copying,
            planner,
            self.routes,
            self.recorder,
            Retries(self.clock, self._max_attempts),
            allowance=Allowance(None, Stop()),
        )

    def fill(self, *numbers: int) -> None:
        for number in numbers:
            self.source.objects[f"src/{number}.pdf"] = FakeObject(f"body {number}".encode() * 3)

    async def run(self, *plans: Plan) -> list[Outcome]:
        await self.routes.learn(p.source for p in plans)
        async with self.clock.running():
            return await asyncio.wait_for(asyncio.gather(*(self.transfer.run(p) for p in plans)), 5)


__all__ = ["FailureClass", "Status", "World", "known", "location", "plan", "record"]


WHEN = "2026-01-02T03:04:05.000Z"


def listed(made: FakeObject) -> ObjectFacts:
    return listed_facts(len(made.body), made.facts.etag, "STANDARD", WHEN)


def pinned(world: World, number: int = 1) -> Plan:
    return replace(plan(number), pinned=listed(world.source.objects[f"src/{number}.pdf"]))

"""``engine tune --real``: a bounded number of requests to the real endpoints. Reads only, unless writes are allowed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from engine.limiting.clock import Clock, SystemClock
from engine.model.command import Command
from engine.model.errors import Blocked, Refused, Transient, Usage
from engine.model.facts import Method, ObjectFacts, Proof
from engine.model.failures import FailureClass
from engine.model.outcome import Batch, Outcome, Status
from engine.model.plan import Plan
from engine.model.record import Record, Scope
from engine.pipeline.routes import SAMPLES, Route
from engine.pipeline.tuning import Point, choice, point
from engine.runs.shared.assembly import Services, assemble
from engine.runs.shared.bounds import bounds_of
from engine.runs.shared.preflight import check_org
from engine.runs.tune.tune import BATCH, Say, Sweep, TuneOptions
from engine.settings import Settings, TrackingSettings
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger

PREFIX = "engine-tune"
SMALL = 1_000_000
"""Bytes: larger files are not read or copied for a measurement."""
ROWS = 4000
"""Outcomes committed per batch size."""


async def tune_real(settings: Settings, options: TuneOptions, say: Say, clock: Clock | None = None) -> Sweep:
    """A bounded number of reads of sampled files at each concurrency. Raises Fatal; Usage where writes are barred."""
    clock = clock or SystemClock()
    if options.allow_writes and settings.migration.dry_run:
        raise Usage("--allow-writes would override migration.dry_run: true")
    bounds = bounds_of(settings.migration)
    token = f"{int(clock.random() * 1e9):09d}"
    found = Sweep("")
    with tempfile.TemporaryDirectory(prefix="engine-tune-") as room:
        aside = settings.model_copy(update={"tracking": TrackingSettings(database=Path(room) / "unused.db")})
        samples: list[tuple[Plan, ObjectFacts]] = []
        points: list[Point] = []
        for value in options.concurrency:
            say(f"concurrency {value:,}")
            limits = settings.migration.model_copy(update={"concurrency": value})
            wide = aside.model_copy(update={"migration": limits})
            async with assemble(wide, clock, transport="fast") as services:
                if not samples:
                    samples, route = await _samples(services, bounds.account_id, options.requests)
                    found.what = _what(route, options)
                    if not samples:
                        hint = (Command("analyze"), "   says what the links look like")
                        raise Blocked("no small file could be read", hint=hint)
                prefix = f"{PREFIX}/{token}/{value}" if options.allow_writes else ""
                work = _Work(
                    services, await services.probe(samples[0][0].source.bucket, [samples[0][0].source]), prefix
                )
                points.append(await work.point(value, samples, options.requests))
        found.points["concurrency"] = points
    if options.allow_writes:
        found.notes.append(f"probe copies lie under s3://{settings.destination.bucket}/{PREFIX}/{token}/: delete them")
    found.keep["batch_size"] = settings.migration.batch_size
    beside = settings.tracking.database.absolute().parent
    found.points["batch_size"] = [await _commits(beside, size, clock, say) for size in BATCH]
    found.derived["queue_size"] = 10 * choice(points).value
    found.notes.append("queue_size is ten plans per file in flight: a rule of thumb, not a measurement")
    return found


def _what(route: Route, options: TuneOptions) -> str:
    verb = "copies" if options.allow_writes else "HEADs" if route.method is Method.SERVER_COPY else "GETs"
    return f"{options.requests:,} {verb} per setting of sampled files up to {SMALL:,} bytes, by {route.method.value}"


async def _samples(services: Services, account: str | None, most: int) -> tuple[list[tuple[Plan, ObjectFacts]], Route]:
    """Small files of the first records, all of one bucket, and how they are read."""
    _, shape = await check_org(services.salesforce, Scope(account_id=account))
    planner = services.planner(shape, account)
    plans: list[Plan] = []
    async for page in services.salesforce.pages.pages(Scope(account_id=account)):
        plans += [plan for each in page.records if isinstance(plan := planner.plan(each, None, 0), Plan)]
        break
    bucket = plans[0].source.bucket if plans else ""
    mine = [plan for plan in plans if plan.source.bucket == bucket][:most]
    route = await services.probe(bucket, [plan.source for plan in mine[:SAMPLES]])

    async def look(plan: Plan) -> tuple[Plan, ObjectFacts] | None:
        try:
            if services.resolver is not None and route.method is Method.HTTP:
                plan = replace(plan, source=await services.resolver.resolve(plan.record))
            facts = await route.source.facts(plan.source)
        except (Refused, Transient):
            return None
        return (plan, facts) if facts.size is not None and facts.size <= SMALL and not facts.archived else None

    looked = [await asyncio.gather(*map(look, mine[at : at + 32])) for at in range(0, len(mine), 32)]
    return [each for chunk in looked for each in chunk if each is not None], route


class _Work:
    """What is measured: one read, or with a ``prefix`` one copy, of a sampled file."""

    def __init__(self, services: Services, route: Route, prefix: str) -> None:
        self._services = services
        self._route = route
        self._prefix = prefix
        self._refused = 0
        self._latencies: list[float] = []

    async def point(self, value: int, samples: Sequence[tuple[Plan, ObjectFacts]], requests: int) -> Point:
        """So many requests, ``value`` at a time."""
        jobs = iter(range(requests))
        clock = self._services.clock

        async def worker() -> None:
            for number in jobs:
                begun = clock.monotonic()
                if await self._answered(partial(self._once, *samples[number % len(samples)], number)):
                    self._latencies.append(clock.monotonic() - begun)

        begun = clock.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(value, requests)):
                group.create_task(worker())
        return point(value, clock.monotonic() - begun, self._latencies, self._refused)

    async def _answered(self, once: Callable[[], Awaitable[None]]) -> bool:
        try:
            await once()
        except Transient as error:
            self._refused += error.failure is FailureClass.THROTTLED
            return False
        except Refused:
            return False
        return True

    async def _once(self, plan: Plan, facts: ObjectFacts, number: int) -> None:
        route, destination = self._route, self._services.s3.destination
        if self._prefix and route.method is Method.SERVER_COPY:
            await destination.copy(plan.source, facts, f"{self._prefix}/{number}")
        elif route.method is Method.SERVER_COPY:
            await route.source.facts(plan.source)
        elif self._prefix:
            async with destination.room(facts.size) as room, route.source.open(plan.source, facts) as stream:
                await destination.store(stream, f"{self._prefix}/{number}", room=room)
        else:
            async with route.source.open(plan.source, facts) as stream:
                async for _ in stream.chunks():
                    pass


async def _commits(beside: Path, size: int, clock: Clock, say: Say) -> Point:
    """Outcomes per second that the disk of the tracking DB takes, in batches of this size."""
    say(f"batch size {size:,}")
    try:
        room = tempfile.TemporaryDirectory(prefix=".engine-tune-", dir=beside)
    except OSError as error:
        raise Blocked(f"{beside} cannot be written: {error.strerror}", hint="check tracking.database") from error
    with room as place:
        async with open_database(Path(place) / "tune.db", clock) as database:
            ledger = Ledger(database)
            await ledger.begin_run("tune", {})
            batches = [[_outcome(at) for at in range(start, start + size)] for start in range(0, ROWS, size)]
            begun = clock.monotonic()
            for outcomes in batches:
                await ledger.write(Batch(outcomes))
            seconds = clock.monotonic() - begun
    done = sum(map(len, batches))
    return Point(size, done / seconds if seconds > 0 else 0.0, done=done)


def _outcome(number: int) -> Outcome:
    record = Record(
        f"a0X{number:015d}", f"File {number}", f"https://vendor.test/{number}.pdf", "001000000000001AAA", "Acme", ""
    )
    copied = Outcome(record, Status.BACKED_UP, key=f"uploads/{number}.pdf", url=f"https://ours.test/{number}.pdf")
    return replace(copied, source_id=number, size=1000, method=Method.SERVER_COPY, proof=Proof.ETAG, is_new=True)

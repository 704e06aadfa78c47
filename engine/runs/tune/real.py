"""``engine tune --real``: a bounded number of requests to the real endpoints. Reads only, unless writes are allowed."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from itertools import count
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
from engine.runs.shared.assembly import Adapters, open_adapters
from engine.runs.shared.bounds import bounds_of
from engine.runs.shared.preflight import check_org
from engine.runs.tune.points import ROUNDS, Round
from engine.runs.tune.tune import BATCH, Say, TuneOptions, Tuning, in_rounds
from engine.settings import Settings
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger

PREFIX = "engine-tune"
SMALL = 1_000_000
"""Bytes: larger files are not read or copied for a measurement."""
SAMPLED = 200
"""Files that are checked, before any measurement, to find small ones."""
ROWS = 4000
"""Outcomes committed in a round of a batch size."""

File = tuple[Plan, ObjectFacts]


async def tune_real(settings: Settings, options: TuneOptions, say: Say, clock: Clock | None = None) -> Tuning:
    """Requests for sampled files at each concurrency. Raises Fatal; Usage where writes are barred."""
    clock = clock or SystemClock()
    if options.allow_writes and settings.migration.dry_run:
        raise Usage("--allow-writes would override migration.dry_run: true")
    migration = settings.migration
    found = Tuning("", {"concurrency": migration.concurrency, "batch_size": migration.batch_size})
    tried = within_requests(options, found.notes)
    token = f"{int(clock.random() * 1e9):09d}" if options.allow_writes else ""
    async with AsyncExitStack() as stack:
        work: dict[int, _Requests] = {}
        for value in tried:
            wide = migration.model_copy(update={"concurrency": value})
            opened = open_adapters(settings.model_copy(update={"migration": wide}), clock, transport="fast")
            adapters = await stack.enter_async_context(opened)
            if not work:
                files, route = await _sampled(adapters, bounds_of(migration).account_id)
                found.what = _what(route, options)
            source = files[0][0].source
            route = await adapters.probe(source.bucket, [source])
            work[value] = _Requests(adapters, route, files, f"{PREFIX}/{token}/{value}" if token else "")
        for value, requests in work.items():
            await requests.round(value, value)  # opens the connections, and does not count

        async def measure(_: str, value: int, __: int) -> Round:
            return await work[value].round(value, (options.requests - value) // ROUNDS)

        found.points["concurrency"] = await in_rounds("concurrency", tried, measure, say)
    if token:
        found.notes.append(f"probe copies lie under s3://{settings.destination.bucket}/{PREFIX}/{token}/: delete them")
    beside = settings.tracking.database.absolute().parent

    async def commits(_: str, value: int, __: int) -> Round:
        return await _commits(beside, value, clock)

    found.points["batch_size"] = await in_rounds("batch_size", sorted({*BATCH, migration.batch_size}), commits, say)
    found.derived["queue_size"] = 10 * found.use["concurrency"]
    found.notes.append("queue_size is ten plans per file in flight: a rule of thumb, not a measurement")
    return found


def within_requests(options: TuneOptions, notes: list[str]) -> list[int]:
    """The settings that so few requests can measure: each round takes at least two for every one in flight, and as
    many as are in flight open the connections first. Raises Usage where there is none."""
    needs = {value: (2 * ROUNDS + 1) * value for value in options.concurrency}
    tried = [value for value, need in needs.items() if need <= options.requests]
    left = [f"{value:,} (it takes --requests {need})" for value, need in needs.items() if need > options.requests]
    if not tried:
        raise Usage(f"--requests {options.requests} is too few for any --concurrency: {', '.join(left)}")
    if left:
        notes.append(f"not measured: concurrency {', '.join(left)}")
    return tried


def _what(route: Route, options: TuneOptions) -> str:
    verb = "copies" if options.allow_writes else "HEADs" if route.method is Method.SERVER_COPY else "GETs"
    return (
        f"at most {options.requests:,} {verb} per setting, of sampled files up to {SMALL:,} bytes, "
        f"by {route.method.value}"
    )


async def _sampled(adapters: Adapters, account: str | None) -> tuple[list[File], Route]:
    """Small files of the first records, all of one bucket, and how they are read. Raises Blocked if there are none."""
    _, shape = await check_org(adapters.salesforce, Scope(account_id=account))
    planner = adapters.planner(shape, account)
    plans: list[Plan] = []
    async for page in adapters.salesforce.pages.pages(Scope(account_id=account)):
        plans += [plan for each in page.records if isinstance(plan := planner.plan(each, None, 0), Plan)]
        break
    bucket = plans[0].source.bucket if plans else ""
    mine = [plan for plan in plans if plan.source.bucket == bucket][:SAMPLED]
    route = await adapters.probe(bucket, [plan.source for plan in mine[:SAMPLES]])

    async def small(plan: Plan) -> File | None:
        try:
            if adapters.resolver is not None and route.method is Method.HTTP:
                plan = replace(plan, source=await adapters.resolver.resolve(plan.record))
            facts = await route.source.facts(plan.source)
        except (Refused, Transient):
            return None
        return (plan, facts) if facts.size is not None and facts.size <= SMALL and not facts.archived else None

    looked = [await asyncio.gather(*map(small, mine[at : at + 32])) for at in range(0, len(mine), 32)]
    files = [each for chunk in looked for each in chunk if each is not None]
    if not files:
        hint = (Command("analyze"), "   says what the links look like")
        raise Blocked("no small file could be read", hint=hint)
    return files, route


class _Requests:
    """What is measured: one read, or with a ``prefix`` one copy, of a sampled file."""

    def __init__(self, adapters: Adapters, route: Route, files: Sequence[File], prefix: str) -> None:
        self._adapters = adapters
        self._route = route
        self._files = files
        self._prefix = prefix
        self._numbers = count()

    async def round(self, at_once: int, requests: int) -> Round:
        """So many requests, ``at_once`` at a time."""
        clock, refused = self._adapters.clock, 0
        latencies: list[float] = []
        jobs = iter(range(requests))

        async def worker() -> None:
            nonlocal refused
            for _ in jobs:
                number = next(self._numbers)
                begun = clock.monotonic()
                failure = await _failure_of(partial(self._once, *self._files[number % len(self._files)], number))
                refused += failure is FailureClass.THROTTLED
                if failure is None:
                    latencies.append(clock.monotonic() - begun)

        begun = clock.monotonic()
        async with asyncio.TaskGroup() as group:
            for _ in range(min(at_once, requests)):
                group.create_task(worker())
        seconds = clock.monotonic() - begun
        done = len(latencies)
        return Round(done / seconds if seconds > 0 else 0.0, done, refused, tuple(latencies))

    async def _once(self, plan: Plan, facts: ObjectFacts, number: int) -> None:
        route, destination = self._route, self._adapters.s3.destination
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


async def _failure_of(once: Callable[[], Awaitable[None]]) -> FailureClass | None:
    try:
        await once()
    except (Transient, Refused) as error:
        return error.failure
    return None


async def _commits(beside: Path, size: int, clock: Clock) -> Round:
    """Outcomes per second that the disk of the tracking DB takes, in batches of this size."""
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
    return Round(done / seconds if seconds > 0 else 0.0, done)


def _outcome(number: int) -> Outcome:
    record = Record(
        f"a0X{number:015d}", f"File {number}", f"https://vendor.test/{number}.pdf", "001000000000001AAA", "Acme", ""
    )
    copied = Outcome(record, Status.BACKED_UP, key=f"uploads/{number}.pdf", url=f"https://ours.test/{number}.pdf")
    return replace(copied, source_id=number, size=1000, method=Method.SERVER_COPY, proof=Proof.ETAG, is_new=True)

"""``engine verify``: is what the tracking DB claims really there?

| level  | asked of the destination                    | costs                              |
|--------|---------------------------------------------|------------------------------------|
| `list` | one listing; size and ETag of every copy    | a thousand copies a call           |
| `head` | HEAD with checksum mode, each copy          | a call per copy                    |
| `deep` | the bytes, hashed again; raises weak proofs | a call per copy, and all its bytes |

``--source`` asks the source side too: changed since the copy, or gone. What is not as recorded is written down so that
the next backup repairs it (``tracking/write/verdicts.py``). Salesforce is not asked at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from engine.limiting.clock import Clock, SystemClock
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, Paused, Refused, Transient
from engine.model.facts import Method
from engine.model.failures import FailureClass
from engine.model.urls import identity_hash
from engine.pipeline.routes import Route
from engine.runs.shared.bounds import bounds_of
from engine.runs.shared.lifecycle import Run, Start, live
from engine.runs.shared.preflight import check_stores
from engine.runs.shared.report import Ended
from engine.runs.shared.screen import Screen
from engine.runs.verify.check import Looking
from engine.runs.verify.record import Judging
from engine.runs.verify.report import Found, Lines, Symbol, VerifyReport, confidence
from engine.runs.verify.sampling import Draw, First, Sample
from engine.s3.api.answers import Listed
from engine.s3.api.survey import Bounds as Span
from engine.s3.transfer.source import S3Source
from engine.s3.transport import Transport
from engine.settings import Settings
from engine.tracking.read.copies import Copy, Met, mark
from engine.tracking.read.links import foreign
from engine.tracking.write.runs import Ending

Level = Literal["list", "head", "deep"]

LISTING_PAYS = 1000
"""Copies that one call of a listing looks at: fewer of them than calls are looked at one by one."""


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What the command line asks for; None: not given."""

    level: Level = "list"
    source: bool = False
    sample: Sample | None = None
    account: str | None = None
    limit: int | None = None
    report: Path | None = None
    report_all: bool = False
    transport: Transport = "fast"


async def verify(
    settings: Settings, options: VerifyOptions, screen: Screen, clock: Clock | None = None
) -> VerifyReport:
    """Look at the copies and report. Raises Fatal when it cannot start or go on."""
    start = Start(
        kind="verify",
        settings=settings,
        screen=screen,
        clock=clock or SystemClock(),
        command=Command("verify"),
        bounds=bounds_of(settings.migration, account=options.account, limit=options.limit),
        transport=options.transport,
    )
    return await live(start, partial(_checked, options=options))


async def _checked(run: Run, options: VerifyOptions) -> _Verify:
    lines = run.files.enter_context(Lines(options.report, everything=options.report_all))
    await check_stores(run.services)
    return _Verify(run, options, lines, await run.services.ledger.copies.count(run.bounds.account_id or ""))


class _Verify:
    facts: Mapping[str, object] = {}

    def __init__(self, run: Run, options: VerifyOptions, lines: Lines, total: int) -> None:
        services = run.services
        self._run = run
        self._services = services
        self._options = options
        self._bounds = run.bounds
        self._stop = run.stop
        self._copies = services.ledger.copies
        self._found = Found(lines)
        self._looking = Looking(services)
        self._judging = Judging(
            services,
            self._found,
            self._looking,
            run.screen,
            run.stop,
            source=options.source,
            deep=options.level == "deep",
        )
        self._total = self._judging.total = total

    async def work(self) -> None:
        ledger, options = self._services.ledger, self._options
        if self._run.id is not None:
            self._judging.verdicts = ledger.verdicts()
        self._found.foreign = await ledger.database.read(
            partial(foreign, form=self._services.settings.destination.form)
        )
        await self._patiently()
        found = self._found
        if options.sample is not None and found.checked and not found.wrong and not found.counts[Symbol.ERROR]:
            self._run.note(confidence(found.checked, self._total))
        if self._run.id is None:
            self._run.note("migration.dry_run is on: nothing was written down")

    async def _patiently(self) -> None:
        try:
            await self._look()
        except Transient as error:
            raise Paused(str(error), hint="start the same command again when the store is well") from error
        except Refused as error:
            raise Blocked(str(error), hint=(Command("doctor"), "   says which rights are missing")) from error

    async def _look(self) -> None:
        options = self._options
        if options.level == "list" and self._listing_pays():
            await self._list()
            return
        if options.level == "list" and self._total:
            self._run.note("so few of the copies are in scope that each was asked for by HEAD")
        async for copies in self._chosen():
            await self._judging.each(copies)

    def _listing_pays(self) -> bool:
        """A listing answers for all copies or for none."""
        return self._bounds.account_id is None and self._bounds.limit is None and self._options.sample is None

    async def _chosen(self) -> AsyncIterator[list[Copy]]:
        """The copies in scope, a chunk at a time."""
        account, drawn = self._bounds.account_id or "", self._options.sample
        most = self._total if self._bounds.limit is None else min(self._total, self._bounds.limit)
        pick = (
            First(most) if drawn is None else Draw(min(most, drawn.of(self._total)), self._total, self._services.clock)
        )
        async for rows in self._copies.rows(account):
            if self._stop.requested or pick.done:
                return
            if taken := pick.take(rows):
                yield await self._copies.of(taken)

    # level list

    async def _list(self) -> None:
        met = bytearray()
        await self._copies.seat()
        try:
            await self._survey_ours(met)
        finally:
            await self._copies.unseat()
        async for rows in self._copies.rows(seen=met):
            if self._stop.requested:
                return
            # what a listing lacks, or tells otherwise, is asked for by HEAD before it is called so
            await self._judging.each(await self._copies.of(rows), sources=False)
        if self._options.source and not self._stop.requested:
            await self._sources()

    async def _survey_ours(self, met: bytearray) -> None:
        async def put(rows: list[Listed], _: list[Span]) -> bool:
            found = await self._copies.meet_keys([(row.key, row.size, row.etag) for row in rows])
            mark(met, found.equal)
            self._found.unclaimed += found.unclaimed
            await self._equal(found)
            return not self._stop.requested

        destination = self._services.s3.destination
        try:
            await destination.survey(put, attempts=self._services.settings.migration.max_attempts)
        except Refused as error:
            if error.failure is not FailureClass.REJECTED:
                hint = ("grant s3:ListBucket on it, or look at each copy: ", Command("verify --level head"))
                raise Blocked(f"our bucket may not be listed: {error}", hint=hint) from error
            try:
                async for rows in destination.inventory():
                    if not await put(rows, []):
                        return
            except Refused as worse:
                self._run.note(f"our bucket could not be listed ({worse}); each copy was asked for by HEAD")

    async def _equal(self, found: Met) -> None:
        self._found.match(len(found.equal))
        if self._found.lines.everything:
            for copy in await self._copies.of(found.equal):
                self._found.lines.add(Symbol.MATCH, copy.record_id, copy.proved.key, "")
        if self._judging.verdicts is not None:
            await self._judging.verdicts.confirm(found.equal)
        self._judging.beat()

    async def _sources(self) -> None:
        """Whether the sources are still what was copied: by listing where they can be listed, else by HEAD."""
        fresh = bytearray()
        buckets: dict[str, Route] = {}
        async for rows in self._copies.rows():
            copies = await self._copies.of(rows)
            await self._looking.learn(copies)
            for copy in copies:
                at = self._looking.location(copy)
                if at is not None and at.bucket and at.bucket not in buckets:
                    buckets[at.bucket] = self._looking.route(at)
            if self._stop.requested or set(buckets) >= set(self._services.settings.source.buckets):
                break
        for bucket, route in buckets.items():
            if route.method is not Method.HTTP and isinstance(route.source, S3Source):
                await self._survey_source(bucket, route.source, fresh)
        async for rows in self._copies.rows(seen=fresh):
            if self._stop.requested:
                return
            await self._judging.sources(await self._copies.of(rows))

    async def _survey_source(self, bucket: str, source: S3Source, fresh: bytearray) -> None:
        async def put(rows: list[Listed], _: list[Span]) -> bool:
            prefix = f"s3://{bucket}/"
            found = await self._copies.meet_sources(
                [(identity_hash(prefix + row.key), row.size, row.etag) for row in rows]
            )
            mark(fresh, found.equal)
            self._judging.beat()
            return not self._stop.requested

        settings, clock = self._services.settings, self._services.clock
        try:
            await source.survey(bucket, [("", None)], put, clock=clock, attempts=settings.migration.max_attempts)
        except Refused as error:
            self._run.note(f"s3://{bucket} could not be listed ({error}); its objects were asked for one by one")

    def after_failure(self) -> Sequence[Advice]:
        safe = "What was verified until then is recorded; nothing was changed in any bucket or in Salesforce."
        return [safe, "The same command starts again."]

    def verdict(self) -> tuple[Ending, int]:
        found = self._found
        if found.wrong or found.foreign.count:
            return "completed_with_failures", 6
        return ("completed_with_failures", 3) if found.counts[Symbol.ERROR] else ("completed", 0)

    def report(self, ended: Ended) -> VerifyReport:
        options = self._options
        return VerifyReport(
            ended=ended,
            level=options.level,
            claimed=self._total,
            sampled=options.sample is not None,
            found=self._found,
            file=options.report,
            next_steps=self._found.next_steps(stopped=ended.stopped),
        )

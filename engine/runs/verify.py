"""``engine verify``: is what the tracking DB claims really there?

| level  | asked of the destination                    | costs                              |
|--------|---------------------------------------------|------------------------------------|
| `list` | one listing; size and ETag of every copy    | a thousand copies a call           |
| `head` | HEAD with checksum mode, each copy          | a call per copy                    |
| `deep` | the bytes, hashed again; raises weak proofs | a call per copy, and all its bytes |

``--source`` asks the source side too: changed since the copy, or gone. What is not as recorded is written down so that
the next backup repairs it (``tracking/verdicts.py``). Salesforce is not asked at all.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from engine import __version__
from engine.model.errors import Blocked, EngineError, Fatal, Paused, Refused, Transient
from engine.model.facts import Method
from engine.model.failures import FailureClass
from engine.model.urls import identity_hash
from engine.pacing.clock import Clock, SystemClock
from engine.pacing.many import each
from engine.pipeline.routes import Route
from engine.pipeline.stop import Stop
from engine.runs.assembly import Parts, assemble
from engine.runs.bounds import Bounds, bounds_of
from engine.runs.looking import Looking, Seen
from engine.runs.preflight import check_stores
from engine.runs.sampling import Draw, First, Sample
from engine.runs.screen import Screen
from engine.runs.signals import stopping
from engine.runs.verify_report import Found, Lines, Symbol, VerifyReport, confidence
from engine.s3.answers import Listed
from engine.s3.source import S3Source
from engine.s3.survey import Bounds as Span
from engine.s3.transport import Transport
from engine.settings import Settings
from engine.tracking.copies import Copy, Met, is_marked, mark
from engine.tracking.lock import RunLock
from engine.tracking.runs import Ending
from engine.tracking.verdicts import Verdict, Verdicts, Wrong

Level = Literal["list", "head", "deep"]

LISTING_PAYS = 1000
"""Copies that one call of a listing looks at: fewer of them than calls are looked at one by one."""
_BEAT_S = 10.0

log = structlog.get_logger()


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
    clock = clock or SystemClock()
    bounds = bounds_of(settings.migration, account=options.account, limit=options.limit, dry_run=None)
    stop = Stop()
    with (
        RunLock(settings.tracking.database, clock, "engine verify"),
        screen.logging(settings),
        stopping(stop, screen.say, settings.migration.drain_seconds),
        Lines(options.report, everything=options.report_all) as lines,
    ):
        async with assemble(settings, clock, transport=options.transport) as parts:
            return await _Verify(parts, options, bounds, screen, stop, lines).run()


class _Verify:
    def __init__(
        self, parts: Parts, options: VerifyOptions, bounds: Bounds, screen: Screen, stop: Stop, lines: Lines
    ) -> None:
        self._parts = parts
        self._options = options
        self._bounds = bounds
        self._screen = screen
        self._stop = stop
        self._copies = parts.ledger.copies
        self._found = Found(lines)
        self._looking = Looking(parts)
        self._verdicts: Verdicts | None = None
        self._notes: list[str] = []
        self._total = 0
        self._bad = bytearray()
        self._began = self._beaten = parts.clock.monotonic()

    async def run(self) -> VerifyReport:
        parts, ledger = self._parts, self._parts.ledger
        await check_stores(parts)
        self._total = await self._copies.count(self._bounds.account_id or "")
        run_id = None
        if not self._bounds.dry_run:
            run_id = await ledger.begin_run("verify", parts.settings.snapshot(), version=__version__)
            structlog.contextvars.bind_contextvars(run_id=run_id)
            self._verdicts = ledger.verdicts()
        log.info("run_started", version=__version__, level=self._options.level, copies=self._total)
        try:
            await self._patiently()
        except BaseException as error:
            await self._failed(run_id, error)
            raise
        return await self._ended(run_id)

    async def _patiently(self) -> None:
        try:
            await self._look()
        except Transient as error:
            raise Paused(str(error), hint="start the same command again when the store is well") from error
        except Refused as error:
            raise Blocked(str(error), hint="engine doctor   says which rights are missing") from error

    async def _look(self) -> None:
        options = self._options
        if options.level == "list" and self._listing_pays():
            await self._list()
            return
        if options.level == "list" and self._total:
            self._notes.append("so few of the copies are in scope that each was asked for by HEAD")
        async for copies in self._chosen():
            await self._each(copies)

    def _listing_pays(self) -> bool:
        """A listing answers for all copies or for none."""
        return self._bounds.account_id is None and self._bounds.limit is None and self._options.sample is None

    async def _chosen(self) -> AsyncIterator[list[Copy]]:
        """The copies in scope, a chunk at a time."""
        account, drawn = self._bounds.account_id or "", self._options.sample
        most = self._total if self._bounds.limit is None else min(self._total, self._bounds.limit)
        pick = First(most) if drawn is None else Draw(min(most, drawn.of(self._total)), self._total, self._parts.clock)
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
            await self._each(await self._copies.of(rows), sources=False)
        if self._options.source and not self._stop.requested:
            await self._sources()

    async def _survey_ours(self, met: bytearray) -> None:
        async def put(rows: list[Listed], _: list[Span]) -> bool:
            found = await self._copies.meet_keys([(row.key, row.size, row.etag) for row in rows])
            mark(met, found.equal)
            self._found.unclaimed += found.unclaimed
            await self._equal(found)
            return not self._stop.requested

        destination = self._parts.s3.destination
        try:
            await destination.survey(put, attempts=self._parts.settings.migration.max_attempts)
        except Refused as error:
            if error.failure is not FailureClass.REJECTED:
                hint = "grant s3:ListBucket on it, or look at each copy: engine verify --level head"
                raise Blocked(f"our bucket may not be listed: {error}", hint=hint) from error
            async for rows in destination.inventory():
                fresh = [row for row in rows if row.key]
                if not await put(fresh, []):
                    return

    async def _equal(self, found: Met) -> None:
        self._found.match(len(found.equal))
        if self._found.lines.everything:
            for copy in await self._copies.of(found.equal):
                self._found.lines.add(Symbol.MATCH, copy.record_id, copy.key, "")
        if self._verdicts is not None:
            await self._verdicts.confirm(found.equal)
        self._beat()

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
            if self._stop.requested or set(buckets) >= set(self._parts.settings.source.buckets):
                break
        for bucket, route in buckets.items():
            if route.method is not Method.HTTP and isinstance(route.source, S3Source):
                await self._survey_source(bucket, route.source, fresh)
        async for rows in self._copies.rows(seen=fresh):
            if self._stop.requested:
                return
            copies = await self._copies.of(rows)
            await self._looking.learn(copies)
            rest = [copy for copy in copies if not is_marked(self._bad, copy.row)]
            await self._judge(rest, self._source_only, again=True)

    async def _survey_source(self, bucket: str, source: S3Source, fresh: bytearray) -> None:
        async def put(rows: list[Listed], _: list[Span]) -> bool:
            prefix = f"s3://{bucket}/"
            found = await self._copies.meet_sources(
                [(identity_hash(prefix + row.key), row.size, row.etag) for row in rows]
            )
            mark(fresh, found.equal)
            self._beat()
            return not self._stop.requested

        settings, clock = self._parts.settings, self._parts.clock
        try:
            await source.survey(bucket, [("", None)], put, clock=clock, attempts=settings.migration.max_attempts)
        except Refused as error:
            self._notes.append(f"s3://{bucket} could not be listed ({error}); its objects were asked for one by one")

    async def _source_only(self, copy: Copy) -> Seen:
        if self._cannot_ask(copy):
            return Seen(copy, Symbol.MATCH)
        _, seen = await self._looking.source(copy)
        return seen

    def _cannot_ask(self, copy: Copy) -> bool:
        """Behind a resolver a source can only be asked by fetching a link, which is what a backup does."""
        at = self._looking.location(copy)
        if at is None or self._parts.resolve is None or self._looking.route(at).method is not Method.HTTP:
            return False
        note = "sources behind source.resolver were not asked: engine run backup --full looks at them"
        if note not in self._notes:
            self._notes.append(note)
        return True

    # one by one

    async def _each(self, copies: list[Copy], *, sources: bool | None = None) -> None:
        with_source = self._options.source if sources is None else sources
        deep = self._options.level == "deep"
        if with_source or deep:
            await self._looking.learn(copies)

        async def look(copy: Copy) -> Seen:
            ask = with_source and not self._cannot_ask(copy)
            work = self._looking.deep if deep else self._looking.shallow
            return await work(copy, with_source=ask)

        await self._judge(copies, look)

    async def _judge(
        self, copies: Sequence[Copy], look: Callable[[Copy], Awaitable[Seen]], *, again: bool = False
    ) -> None:
        """Look at each and write down what was found. ``again``: they have been counted as matches before."""
        looks: list[Seen] = []

        async def one(copy: Copy) -> None:
            if not self._stop.requested:
                looks.append(await look(copy))

        await each(copies, one, at_once=self._parts.settings.migration.concurrency)
        looks.sort(key=lambda seen: seen.copy.row)
        for seen in looks:
            self._tell(seen, again=again)
        if self._verdicts is not None:
            stands = [seen for seen in looks if seen.symbol in {Symbol.MATCH, Symbol.SOURCE_GONE}]
            if not again:
                await self._verdicts.confirm([seen.copy.row for seen in stands if seen.raised is None])
                await self._verdicts.raise_proofs([seen.raised for seen in stands if seen.raised is not None])
            await self._verdicts.condemn(
                [
                    Verdict(seen.copy.row, seen.copy.record_id, seen.copy.url, seen.wrong, seen.message)
                    for seen in looks
                    if seen.wrong is not None
                ]
            )
        self._beat()

    def _tell(self, seen: Seen, *, again: bool) -> None:
        found, copy = self._found, seen.copy
        if seen.symbol is Symbol.MATCH:
            found.raised += seen.raised is not None and seen.raised.proof != copy.proof
            if not again:
                found.add(Symbol.MATCH, copy.record_id, copy.key, seen.message)
            return
        if again:
            found.counts[Symbol.MATCH] -= 1
        found.add(seen.symbol, copy.record_id, copy.key, seen.message)
        found.changed_sources += seen.wrong is Wrong.SOURCE_CHANGED
        if seen.wrong is not None:
            mark(self._bad, [copy.row])
        if copy.switched and seen.wrong in {Wrong.MISSING, Wrong.DIFFERS}:
            found.broken_links += 1
        log.info("copy_not_as_recorded", record=copy.record_id, found=seen.symbol.word, why=seen.message)

    async def _failed(self, run_id: int | None, error: BaseException) -> None:
        message = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: see logs"
        log.error("run_failed", told=True, why=message)
        if run_id is None:
            return
        if isinstance(error, Fatal):
            error.hint = "\n  ".join(filter(None, [error.hint, "What was verified until then is recorded."]))
        try:
            await self._parts.ledger.end_run(run_id, "failed", message)
        except Fatal as second:
            log.error("run_not_closed", why=str(second))

    async def _ended(self, run_id: int | None) -> VerifyReport:
        found, stop, options = self._found, self._stop, self._options
        status: Ending
        if stop.requested:
            status, code = "stopped", stop.exit_code
        elif found.wrong:
            status, code = "completed_with_failures", 6
        elif found.counts[Symbol.ERROR]:
            status, code = "completed_with_failures", 3
        else:
            status, code = "completed", 0
        if run_id is not None:
            await self._parts.ledger.end_run(run_id, status, stop.reason or None)
        if options.sample is not None and found.checked and not found.wrong and not found.counts[Symbol.ERROR]:
            self._notes.append(confidence(found.checked, self._total))
        if run_id is None:
            self._notes.append("migration.dry_run is on: nothing was written down")
        report = VerifyReport(
            run_id=run_id,
            level=options.level,
            status=status,
            exit_code=code,
            reason=stop.reason,
            seconds=self._parts.clock.monotonic() - self._began,
            claimed=self._total,
            sampled=options.sample is not None,
            found=found,
            file=options.report,
            notes=self._notes,
            next_steps=self._next_steps(),
        )
        log.info("run_ended", **report.as_json())
        return report

    def _next_steps(self) -> list[str]:
        found = self._found
        steps = []
        conflicts = found.counts[Symbol.DIFFER] - found.changed_sources
        if found.counts[Symbol.MISSING] or found.changed_sources:
            steps.append("engine run backup --incremental   copies again what is missing or has changed")
        if conflicts:
            steps.append(
                "look at the objects that differ: they were left as they are. Move or delete those that are not wanted,"
                " then: engine run backup --incremental --retry-class key_conflict"
            )
        if found.counts[Symbol.ERROR]:
            steps.append("the same command again   for what could not be looked at")
        if self._stop.requested:
            steps.append("the same command again   starts from the beginning; what was found is recorded")
        return steps

    def _beat(self) -> None:
        now = self._parts.clock.monotonic()
        if now - self._beaten >= _BEAT_S and not self._screen.quiet:
            self._beaten = now
            self._screen.say(f"verify: {self._found.checked:,} of {self._total:,} copies looked at")

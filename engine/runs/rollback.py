"""The way back: put back exactly what a switch has changed, and nothing that somebody has edited since.

Every candidate is read first. Only a record that still holds our link gets its original back, byte for byte as the
journal, or the rollback file, holds it; a later edit stays and is told. Whatever the journal's seals do not vouch for
is refused before the first write.
"""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import structlog

from engine import __version__
from engine.model.change import Event, Standing, Step
from engine.model.errors import Blocked, EngineError, Fatal, Paused, Refused, Transient, Usage
from engine.model.ids import to18
from engine.model.location import Location
from engine.model.record import Scope
from engine.model.urls import parse_url
from engine.pacing.clock import Clock, SystemClock, iso
from engine.pacing.retry import retry
from engine.pipeline.changing import Change, Changing
from engine.pipeline.routes import Route
from engine.pipeline.stop import Stop
from engine.pipeline.switching import WINDOW, Counts, standing
from engine.runs.asking import Ask, Consent, Terminal
from engine.runs.assembly import Parts, assemble
from engine.runs.bounds import Bounds, bounds_of
from engine.runs.change_report import ChangeReport
from engine.runs.evidence import Evidence, gather_evidence
from engine.runs.moving import CutShort, beating, to_its_end
from engine.runs.preflight import check_org
from engine.runs.rollback_file import Restorable, read_rollback_file
from engine.runs.screen import Screen
from engine.runs.signals import stopping
from engine.salesforce.shape import Organization
from engine.settings import Settings
from engine.tracking import switchable
from engine.tracking.journal import Journal
from engine.tracking.lock import RunLock
from engine.tracking.runs import Ending
from engine.tracking.switchable import Undo, Undoable

PROBES = 20
"""Old links that are looked at before they are put back."""
DEAD_SHARE = 0.1
"""Of the probed links, more than this many dead ones stop a rollback."""
_SECONDS_A_CALL = 0.4

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class RollbackOptions:
    """What the command line asks for; None: not given."""

    file: Path | None = None
    """The rollback file; None: from the tracking DB."""
    execute: bool = False
    run: int | None = None
    wave: int | None = None
    account: str | None = None
    ids: Path | None = None
    since: str | None = None
    yes: bool = False
    force: bool = False
    strict: bool = False
    limit: int | None = None
    max_duration_s: float | None = None


async def rollback(
    settings: Settings, options: RollbackOptions, screen: Screen, clock: Clock | None = None, ask: Ask | None = None
) -> ChangeReport:
    """Look, or execute, and report. Raises Fatal when it cannot start, or cannot go on."""
    clock = clock or SystemClock()
    if options.execute and settings.migration.dry_run:
        raise Usage(
            "--execute would override migration.dry_run: true",
            hint="Set migration.dry_run to false to let runs write.",
        )
    bounds = bounds_of(
        settings.migration, account=options.account, limit=options.limit, dry_run=None if options.execute else True
    )
    ids = read_ids(options.ids)
    since = moment(options.since)
    stop = Stop()
    consent = Consent(screen, stop, ask or Terminal(), yes=options.yes)
    if options.execute:
        consent.must_be_possible()
    command = f"engine run rollback {'--execute' if options.execute else '--dry-run'}"
    with (
        RunLock(settings.tracking.database, clock, command),
        screen.logging(settings),
        stopping(stop, screen.say, settings.migration.drain_seconds),
    ):
        async with assemble(settings, clock, transport="fast") as parts:
            wanted = Undo(options.run, options.wave, bounds.account_id, ids, since)
            run = _Rollback(parts, options, bounds, wanted, screen, stop, consent)
            return await run.run()


@dataclass(slots=True)
class _Survey:
    """What the first read of all candidates found."""

    to_undo: int = 0
    counts: Counts = field(default_factory=Counts)
    samples: list[str] = field(default_factory=list)


class _Rollback:
    def __init__(
        self,
        parts: Parts,
        options: RollbackOptions,
        bounds: Bounds,
        wanted: Undo,
        screen: Screen,
        stop: Stop,
        consent: Consent,
    ) -> None:
        self._parts = parts
        self._options = options
        self._bounds = bounds
        self._wanted = wanted
        self._screen = screen
        self._stop = stop
        self._consent = consent
        self._settings = parts.settings
        self._clock = parts.clock
        self._notes: list[str] = []
        self._file: Restorable | None = None
        self._rows: array[int] = array("q")
        self._changing: Changing | None = None
        self._planned = 0

    async def run(self) -> ChangeReport:
        parts = self._parts
        organization, shape = await check_org(parts.salesforce, Scope(account_id=self._bounds.account_id))
        await parts.ledger.check_org(organization.id)
        if self._options.execute and not shape.url_updateable:
            raise Blocked(
                f"this user may not edit {shape.name}.{shape.url_field}",
                hint="Give the integration user edit access to that field (field-level security).",
            )
        evidence = await self._evidence(organization)
        if not self._options.execute:
            return await self._rehearse(evidence)
        run_id = await parts.ledger.begin_run(
            "rollback", self._settings.snapshot() | {"org_id": organization.id}, version=__version__
        )
        structlog.contextvars.bind_contextvars(run_id=run_id)
        started = self._clock.monotonic()
        log.info("run_started", version=__version__, org=organization.id, kind="rollback")
        journal = evidence.begin(run_id)
        survey = _Survey()
        try:
            await journal.export()
            found = await evidence.settle(journal)
            if found.total:
                self._notes.append(f"{found.total:,} links that an earlier run left in doubt were read: {found}")
            survey = await self._undo(organization, journal)
            await evidence.export(journal)
        except BaseException as error:
            await self._failed(run_id, error)
            raise
        self._notes += evidence.notes
        return await self._ended(run_id, started, survey)

    async def _evidence(self, organization: Organization) -> Evidence:
        """Check whatever the undo rests on, before anything else. Raises Differs, Blocked."""
        path = self._options.file
        evidence = await gather_evidence(self._parts, lost=path is not None)
        if path is None:
            return evidence
        read = self._file = read_rollback_file(path, evidence.key)
        asked = self._settings.salesforce
        if (read.header.get("org"), read.header.get("object"), read.header.get("field")) != (
            organization.id,
            asked.object,
            asked.url_field,
        ):
            raise Blocked(
                f"{path} belongs to the org {read.header.get('org')}, {read.header.get('object')}."
                f"{read.header.get('field')}, and not to where this login leads",
                hint="Log in to that org, with the same salesforce.object and url_field.",
            )
        if not read.complete:
            what = f"{path} has no last line: its run was killed, or lines were cut off"
            if not self._options.force:
                raise Blocked(what, hint="The DB knows more (--from-database). --force puts back what the file holds.")
            self._notes.append(what)
        return evidence

    # looking

    async def _rehearse(self, evidence: Evidence) -> ChangeReport:
        await self._select()
        survey = _Survey()
        async for _ in self._undoable(survey, None):
            if self._stop.requested:
                break
        self._notes += evidence.notes
        if evidence.checked.open:
            self._notes.append(f"{len(evidence.checked.open):,} links are in doubt; --execute reads them first")
        dead = await self._probe(survey.samples)
        if dead:
            self._notes.append(dead)
        needed = 2 * -(-survey.to_undo // 200)
        limits = self._parts.salesforce.limits
        survey.counts.done = survey.to_undo
        return ChangeReport(
            run_type="rollback",
            run_id=None,
            status="stopped" if self._stop.requested else "planned",
            exit_code=self._stop.exit_code,
            reason=self._stop.reason,
            seconds=needed * _SECONDS_A_CALL,
            planned=self._planned,
            counts=survey.counts,
            database=str(self._settings.tracking.database),
            dry_run=True,
            api_calls=needed,
            api_remaining=None if limits is None else max(0, limits.allowed - limits.used),
            notes=[*self._notes, "dry run: every record was read, nothing was written"],
            next_steps=["the same command with --execute puts them back"] if survey.to_undo else [],
        )

    async def _select(self) -> None:
        if self._file is None:
            self._rows = await switchable.undoable(self._parts.ledger.database, self._wanted)
            self._planned = len(self._rows)
        else:
            await self._narrow()
            self._planned = len(self._file.changes)

    async def _narrow(self) -> None:
        """Flags hold for a rollback file too. Accounts come from the DB, where it knows them."""
        read, wanted = self._file, self._wanted
        assert read is not None
        found = read.changes
        if wanted.run is not None and wanted.run != read.header.get("run"):
            raise Usage(f"--run {wanted.run}: the file is of run {read.header.get('run')}")
        if wanted.since is not None:
            raise Usage("--since goes with --from-database; a rollback file knows no times")
        if wanted.wave is not None:
            found = [each for each in found if each.wave == wanted.wave]
        if wanted.ids is not None:
            ids = set(wanted.ids)
            found = [each for each in found if each.id in ids]
        accounts: dict[str, str] = {}
        for start in range(0, len(found), WINDOW):
            chunk = [each.id for each in found[start : start + WINDOW]]
            accounts |= {name: row.account_id for name, row in (await self._parts.ledger.known(chunk)).items()}
        if wanted.account is not None:
            found = [each for each in found if accounts.get(each.id) == wanted.account]
            if not accounts:
                raise Usage("--account goes with a tracking DB that knows the records; this one is new")
        read.changes = sorted(
            (each._replace(account=accounts.get(each.id, "")) for each in found), key=lambda each: each.account
        )

    async def _chunks(self) -> AsyncIterator[list[Undoable]]:
        if self._file is not None:
            for start in range(0, len(self._file.changes), WINDOW):
                yield self._file.changes[start : start + WINDOW]
            return
        for rows in switchable.chunks(self._rows, WINDOW):
            yield await switchable.changes(self._parts.ledger.database, rows)

    async def _undoable(self, survey: _Survey, journal: Journal | None) -> AsyncIterator[list[Change]]:
        """The candidates that hold our link now, window by window; the others are written down as they stand."""
        links = self._parts.salesforce.links
        limit = self._bounds.limit
        async for chunk in self._chunks():
            try:
                held = await links.read([each.id for each in chunk])
            except Transient as error:
                raise Paused(
                    f"Salesforce does not answer: {error}", hint="Start the same command again later."
                ) from error
            steps: list[Step] = []
            ours: list[Change] = []
            for each in chunk:
                now = held[each.id]
                where = standing(now, each.old, each.new)
                if where is Standing.OURS:
                    if limit is None or survey.to_undo < limit:
                        survey.to_undo += 1
                        ours.append(Change(each.id, each.account, each.old, each.new, each.wave))
                    continue
                _count(survey.counts, where)
                if each.standing in {"", Standing.OURS}:  # news to the journal
                    event = Event.SETTLED if where is Standing.ORIGINAL else Event.KEPT
                    found = now.url if now is not None and where is Standing.EDITED else ""
                    steps.append(Step(each.id, each.old, each.new, event, each.wave, where, found=found, undo=True))
            if journal is not None:
                await journal.append(steps)
            room = PROBES - len(survey.samples)
            survey.samples += [change.old for change in _spread(ours, room)]
            if ours:
                yield ours

    # writing

    async def _undo(self, organization: Organization, journal: Journal) -> _Survey:
        await self._select()
        looked = _Survey()
        async for _ in self._undoable(looked, None):
            if self._stop.requested:
                return looked
        survey = _Survey()
        if looked.to_undo:
            dead = await self._probe(looked.samples)
            if dead and not self._options.force:
                raise Blocked(
                    dead,
                    hint="Nothing was written to Salesforce. Ask the vendor; --force puts the links back all the same.",
                )
            if dead:
                self._notes.append(dead)
            name = organization.name or organization.id
            what = f"About to put back {looked.to_undo:,} links of {name}; {looked.counts.edited:,} edited ones stay."
            if not await self._consent.typed(what, name):
                self._stop.request("not confirmed", Paused.exit_code)
                return looked
        self._changing = Changing(
            self._parts.salesforce.links,
            journal,
            self._clock,
            self._stop,
            undo=True,
            strict=self._options.strict,
            attempts=self._settings.migration.max_attempts,
            at_once=self._settings.migration.concurrency,
            size=self._settings.migration.batch_size,
        )
        async with beating(
            self._clock,
            self._stop,
            max_duration_s=self._options.max_duration_s,
            line=self._line,
            say=None if self._screen.quiet else self._screen.say,
        ):
            work = self._changing.run(self._undoable(survey, journal))
            try:
                await to_its_end(work, self._stop, self._clock, self._settings.migration.drain_seconds)
            except CutShort:
                self._notes.append("what was in flight did not end in time and was cut; the next start reads it first")
                await journal.flush()
        survey.counts.add(self._changing.counts)
        return survey

    async def _probe(self, originals: Sequence[str]) -> str:
        """A sentence when the old links are dead; empty when they live. Those not to be asked for do not count."""
        places: list[Location] = []
        for original in originals:
            try:
                places.append(parse_url(original, self._parts.rules))
            except Refused as refused:
                log.info("not_probed", why=str(refused))
        dead: list[str] = []
        by_bucket: dict[str, list[Location]] = {}
        for place in places:
            by_bucket.setdefault(place.bucket, []).append(place)
        for bucket, group in by_bucket.items():
            try:
                route = await self._parts.probe(bucket, group)
            except (EngineError, ValueError) as error:
                dead += [str(error)] * len(group)
                continue
            for place in group:
                if why := await self._dead(route, place):
                    dead.append(why)
        if len(dead) <= DEAD_SHARE * len(places):
            return ""
        return f"{len(dead)} of {len(places)} old links that were tried are dead (for example: {dead[0]})"

    async def _dead(self, route: Route, place: Location) -> str:
        try:
            await retry(lambda: route.source.facts(place), clock=self._clock, attempts=3)
        except (Refused, Transient) as error:
            return str(error)
        return ""

    def _line(self) -> str:
        counts = self._changing.counts if self._changing is not None else Counts()
        return f"rollback: {counts.done:,} put back, {counts.edited:,} edited ones left, {counts.failed:,} failed"

    async def _failed(self, run_id: int, error: BaseException) -> None:
        message = str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: see logs"
        log.error("run_failed", told=True, why=message)
        if isinstance(error, Fatal):
            safe = f"Every change is in the journal of {self._settings.tracking.database}."
            error.hint = "\n  ".join(filter(None, [error.hint, safe, "The same command goes on where it stopped."]))
        try:
            ending: Ending = "stopped" if isinstance(error, Paused) else "failed"
            await self._parts.ledger.end_run(run_id, ending, message)
        except Fatal as second:
            log.error("run_not_closed", why=str(second))

    async def _ended(self, run_id: int, started: float, survey: _Survey) -> ChangeReport:
        stop, counts = self._stop, survey.counts
        status: Ending
        if stop.requested:
            status, code = "stopped", stop.exit_code
        else:
            status, code = ("completed_with_failures", 3) if counts.failed else ("completed", 0)
        left = await self._parts.ledger.database.read(switchable.open_changes(run_id))
        await self._parts.ledger.end_run(run_id, status, stop.reason or None)
        steps = []
        if code in {Paused.exit_code, 130, 143}:
            steps.append("the same command goes on where it stopped")
        elif code == 3:
            steps.append(f"engine audit --run {run_id}   says why; the same command tries the rest again")
        report = ChangeReport(
            run_type="rollback",
            run_id=run_id,
            status=status,
            exit_code=code,
            reason=stop.reason,
            seconds=self._clock.monotonic() - started,
            planned=self._planned,
            counts=counts,
            database=str(self._settings.tracking.database),
            open=left,
            notes=[*self._notes, "every record that held another link than ours was left alone"],
            next_steps=steps,
        )
        log.info("run_ended", at=iso(self._clock.now()), **report.as_json())
        return report


def read_ids(path: Path | None) -> list[str] | None:
    """Ids from a file, one a line (the first word; a CSV's first cell). Raises Usage."""
    if path is None:
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise Usage(f"--ids {path} cannot be read: {type(error).__name__}") from error
    found = []
    for number, line in enumerate(lines, start=1):
        word = line.replace(",", " ").replace('"', " ").split()
        if not word:
            continue
        try:
            found.append(to18(word[0]))
        except ValueError as error:
            if number == 1 and word[0].lower() in {"id", "record_id", "doclist_entry_id"}:
                continue
            raise Usage(f"--ids {path}, line {number}: {error}") from error
    if not found:
        raise Usage(f"--ids {path} names no record")
    return found


def moment(text: str | None) -> str | None:
    """``--since`` in the journal's form. Raises Usage; a time without a zone is UTC."""
    if text is None:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError as error:
        raise Usage(f"--since {text!r} is no time", hint="Write 2026-11-22T10:00:00Z, or 2026-11-22.") from error
    aware = parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return aware.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _count(counts: Counts, where: Standing) -> None:
    match where:
        case Standing.ORIGINAL:
            counts.already += 1
        case Standing.EDITED:
            counts.edited += 1
        case Standing.GONE:
            counts.gone += 1


def _spread(changes: Sequence[Change], count: int) -> Iterator[Change]:
    """Some of them, from all over."""
    if count <= 0 or not changes:
        return iter(())
    step = max(1, len(changes) // count)
    return iter(changes[::step][:count])

"""``engine import-legacy FILE``: what the original scripts copied and moved, as far as it is proved.

1. FILE is read into a temporary DB, and closed again.
2. Our bucket and the sources are listed, a thousand objects a call, where that pays.
3. Two thousand keys at a time: copies are judged, by listing or by HEAD; records whose links the scripts may have moved
   are read in Salesforce; rows and journal entries are written.

Without ``--execute`` all of this is done but the writing. An import may be stopped at any time: the same command goes
on, and leaves alone what it finds done.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import tzinfo
from functools import partial
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.limiting.clock import Clock, SystemClock
from engine.model.command import Advice, Command, quoted
from engine.model.errors import Blocked, EngineError, Paused, Refused, Transient, Usage
from engine.model.old_copy import IMPORT
from engine.model.record import Scope
from engine.runs.journal.evidence import Evidence, note_a_lost_journal, note_other_journals
from engine.runs.legacy.chunks import Chunks
from engine.runs.legacy.gathering import gather
from engine.runs.legacy.listing import OldListings
from engine.runs.legacy.proving import Prover
from engine.runs.legacy.report import ImportReport
from engine.runs.legacy.rows import LONG_TEXT, Reading
from engine.runs.legacy.tally import Doubts, Tallied
from engine.runs.legacy.writing import Writing
from engine.runs.links.link_run import begin_journal, evidence_for, foresee
from engine.runs.shared.bounds import bounds_of
from engine.runs.shared.command import as_flags
from engine.runs.shared.lifecycle import Run, Start, live
from engine.runs.shared.preflight import check_own_org, check_stores
from engine.runs.shared.report import Ended
from engine.runs.shared.screen import Screen
from engine.settings import Settings
from engine.tracking.db.files import SIDE_FILES
from engine.tracking.db.legacy_scratch import LegacyScratch
from engine.tracking.read.legacy import original
from engine.tracking.write.runs import Ending


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """The flags; None: not given."""

    file: Path
    execute: bool = False
    timezone: str | None = None
    read_bytes: bool = False
    report: Path | None = None

    def again(self, *, execute: bool) -> Command:
        """The same command, to be typed."""
        words = as_flags(read_bytes=self.read_bytes, timezone=self.timezone, report=self.report, execute=execute)
        return Command(f"{IMPORT} {quoted(self.file)}{words}")


async def import_legacy(
    settings: Settings, options: ImportOptions, screen: Screen, clock: Clock | None = None
) -> ImportReport:
    """Import, or say what an import would do. Raises Fatal when it cannot start or go on."""
    zone = _zone(options.timezone)
    _apart(options)
    bounds = bounds_of(settings.migration, dry_run=not options.execute, writing="--execute")
    start = Start(
        kind=IMPORT,
        settings=settings,
        screen=screen,
        clock=clock or SystemClock(),
        command=options.again(execute=options.execute),
        bounds=bounds,
        may_create=True,
        looks=bounds.dry_run,
        untouched="Nothing was written.",
    )
    return await live(start, partial(_checked, settings=settings, options=options, zone=zone))


async def _checked(run: Run, *, settings: Settings, options: ImportOptions, zone: tzinfo | None) -> _Import:
    services = run.services
    tallied = Tallied(run.files.enter_context(Doubts(options.report)))
    tallied.file.zone = str(zone or services.clock.now().astimezone().tzname())
    ours = services.ours
    scratch = run.files.enter_context(LegacyScratch())
    with original(options.file):  # before anything that takes time
        pass
    organization, shape = await check_own_org(services, Scope())
    reading = Reading(services.rules, ours.link_template, ours.endpoint_url, zone, shape.url_length or LONG_TEXT)
    await check_stores(services)
    await gather(options.file, scratch, reading, tallied, run.bounds)
    evidence: Evidence | None = None
    if not tallied.file.may_have_moved:
        await note_a_lost_journal(services, run.note)
    elif run.bounds.dry_run:
        run.notes += await foresee(run)
    else:
        evidence = await evidence_for(run)
    await note_other_journals(services, run.note)
    listings = OldListings(run, settings.source, scratch, tallied.file.records)
    prover = Prover(services, listings, settings.migration.concurrency, read_bytes=options.read_bytes)
    places = services.planner(shape, None).places
    chunks = Chunks(services, options.file, reading, places, prover, tallied)
    return _Import(run, options, organization.id, scratch, listings, chunks, tallied, evidence)


def _zone(name: str | None) -> tzinfo | None:
    try:
        return None if name is None else ZoneInfo(name)
    except (OSError, ValueError, LookupError) as error:
        raise Usage(f"--timezone {name}: there is no such time zone", hint="Write Europe/Berlin, or UTC.") from error


def _apart(options: ImportOptions) -> None:
    """Raises Usage where the report would take the place of FILE, or of what SQLite keeps beside it."""
    if options.report is None:
        return
    try:
        same = options.report.exists() and options.report.samefile(options.file)
    except OSError:  # whichever is not there is told later
        same = False
    family = {f"{os.path.realpath(options.file)}{suffix}" for suffix in ("", *SIDE_FILES)}
    if same or os.path.realpath(options.report) in family:
        raise Usage(
            f"--report {options.report} is FILE itself, or belongs to it",
            hint="Nothing was written. Name another file for the report.",
        )


class _Import:
    def __init__(
        self,
        run: Run,
        options: ImportOptions,
        org: str,
        scratch: LegacyScratch,
        listings: OldListings,
        chunks: Chunks,
        tallied: Tallied,
        evidence: Evidence | None,
    ) -> None:
        self.facts: Mapping[str, object] = {"org_id": org, "again": str(options.again(execute=True))}
        self._run = run
        self._options = options
        self._org = org
        self._scratch = scratch
        self._listings = listings
        self._chunks = chunks
        self._tallied = tallied
        self._evidence = evidence

    async def work(self) -> None:
        try:
            await self._work()
        except Transient as error:
            again = self._options.again(execute=self._options.execute)
            raise Paused(str(error), hint=(again, "   goes on once that works")) from error
        except Refused as error:
            raise Blocked(str(error), hint=(Command("doctor"), "   says which rights are missing")) from error

    async def _work(self) -> None:
        run, tallied, evidence = self._run, self._tallied, self._evidence
        journal = None if evidence is None else await begin_journal(run, evidence, self._org)
        writing = Writing(run.services.ledger.database, run.id, journal)
        with run.screen.steps(run.services.clock) as say:
            await self._listings.take(say)
            try:
                for groups in self._scratch.groups():
                    if run.stop.requested:
                        break
                    await writing.put(*await self._chunks.decide(groups))
                    say(f"import: {tallied.done:,} of {tallied.file.records:,} records")
            except BaseException:
                with suppress(EngineError):  # what went wrong first is told
                    await writing.settled()
                raise
            await writing.settled()
        if journal is not None and evidence is not None:
            await evidence.export(journal)

    def after_failure(self) -> Sequence[Advice]:
        return ["What was imported until then is recorded.", (self._options.again(execute=True), "   goes on")]

    def verdict(self) -> tuple[Ending, int]:
        if self._run.id is None or not self._tallied.for_a_person:
            return "completed", 0
        return "completed_with_failures", 3

    def report(self, ended: Ended) -> ImportReport:
        if ended.dry_run and not ended.stopped:
            ended = replace(ended, status="planned")
            if doubts := self._tallied.for_a_person:
                told = "1 doubt needs a person" if doubts == 1 else f"{doubts:,} doubts need a person"
                ended.notes.append(f"--execute would end with exit code 3: {told}; a dry run at its end is always 0")
        return ImportReport(ended, self._options.file, self._tallied, self._options.again(execute=True))

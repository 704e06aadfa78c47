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
from engine.limiting.cooperative import yield_to_others
from engine.model.change import Held, LinkState, Step
from engine.model.command import Advice, Command, quoted
from engine.model.errors import Blocked, EngineError, Paused, Refused, Transient, Usage
from engine.model.failures import FailureClass
from engine.model.old_copy import IMPORT, Old, Unfit
from engine.model.record import Scope
from engine.pipeline.placing import Placing
from engine.runs.journal.evidence import Evidence, note_a_lost_journal, note_other_journals
from engine.runs.legacy import deciding
from engine.runs.legacy.deciding import Becomes, Verdict
from engine.runs.legacy.listing import OldListings
from engine.runs.legacy.proving import Prover
from engine.runs.legacy.report import Doubts, ImportReport, Tallied
from engine.runs.legacy.rows import LONG_TEXT, Reading
from engine.runs.legacy.writing import Writing
from engine.runs.links.link_run import begin_journal, evidence_for, foresee
from engine.runs.shared.bounds import Bounds, bounds_of
from engine.runs.shared.command import as_flags
from engine.runs.shared.lifecycle import Run, Start, live
from engine.runs.shared.preflight import check_own_org, check_stores
from engine.runs.shared.report import Ended
from engine.runs.shared.screen import Screen
from engine.settings import Settings
from engine.tracking.db.files import SIDE_FILES
from engine.tracking.db.legacy_scratch import LegacyScratch
from engine.tracking.read.legacy import original
from engine.tracking.write import legacy as imported
from engine.tracking.write.journal import Journal
from engine.tracking.write.runs import Ending

STRANGE = 20
"""So many records, of which Salesforce knows none, are those of another org."""


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
    tallied.zone = str(zone or services.clock.now().astimezone().tzname())
    ours = services.ours
    scratch = run.files.enter_context(LegacyScratch())
    with original(options.file):  # before anything that takes time
        pass
    organization, shape = await check_own_org(services, Scope())
    reading = Reading(services.rules, ours.link_template, ours.endpoint_url, zone, shape.url_length or LONG_TEXT)
    await check_stores(services)
    await _gather(options.file, scratch, reading, tallied, run.bounds)
    places = services.planner(shape, None).places
    evidence: Evidence | None = None
    if tallied.may_have_moved and run.bounds.dry_run:
        run.notes += await foresee(run)
    elif tallied.may_have_moved:
        evidence = await evidence_for(run)
    else:
        await note_a_lost_journal(services, run.note)
    await note_other_journals(services, run.note)
    return _Import(run, settings, options, scratch, reading, tallied, places, evidence, organization.id)


async def _gather(file: Path, scratch: LegacyScratch, reading: Reading, tallied: Tallied, bounds: Bounds) -> None:
    """Read FILE. Raises Usage, Blocked."""
    with original(file) as found:
        tallied.copied_file = found.copied
        tallied.switches, tallied.failed_before = found.switches(), found.failed()
        tallied.runs, tallied.unclosed = found.runs()
        elsewhere = wanted = 0
        for raw in found.rows():
            rows = [reading.row(each) for each in raw]
            tallied.read += len(rows)
            for row in rows:
                if isinstance(row, Unfit):
                    tallied.unfit(row)
            olds = [row for row in rows if isinstance(row, Old) and bounds.account_id in {None, row.account_id}]
            if bounds.limit is not None:
                olds = olds[: bounds.limit - wanted]
            elsewhere += sum(bool(old.link) and not reading.in_our_bucket(old.link) for old in olds)
            tallied.marked += sum(old.switched for old in olds)
            wanted += len(olds)
            scratch.add(olds)
            await yield_to_others()
    tallied.records = scratch.sort()
    tallied.duplicates, tallied.left_out = wanted - tallied.records, tallied.read - wanted - tallied.unfit_rows
    if wanted and elsewhere == wanted:
        raise Blocked(
            f"none of the {wanted:,} copies of {file} lies in s3://{reading.template.bucket}",
            hint="Set destination.bucket to the bucket that the original scripts wrote to. Nothing was written.",
        )


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
        settings: Settings,
        options: ImportOptions,
        scratch: LegacyScratch,
        reading: Reading,
        tallied: Tallied,
        places: Placing,
        evidence: Evidence | None,
        org: str,
    ) -> None:
        self.facts: Mapping[str, object] = {"org_id": org, "again": str(options.again(execute=True))}
        self._run = run
        self._options = options
        self._scratch = scratch
        self._reading = reading
        self._tallied = tallied
        self._places = places
        self._evidence = evidence
        self._org = org
        self._journal: Journal | None = None
        self._found = False
        """Salesforce knows at least one of the records."""
        self._listings = OldListings(run, settings.source, scratch, tallied.records)
        self._prover = Prover(run.services, settings.migration.concurrency, read_bytes=options.read_bytes)

    async def work(self) -> None:
        try:
            await self._work()
        except Transient as error:
            again = self._options.again(execute=self._options.execute)
            raise Paused(str(error), hint=(again, "   goes on once that works")) from error
        except Refused as error:
            raise Blocked(str(error), hint=(Command("doctor"), "   says which rights are missing")) from error

    async def _work(self) -> None:
        run, tallied = self._run, self._tallied
        if self._evidence is not None:
            self._journal = await begin_journal(run, self._evidence, self._org)
        writing = Writing(run.services.ledger.database, run.id, self._journal)
        with run.screen.steps(run.services.clock) as say:
            await self._listings.take(say)
            try:
                for groups in self._scratch.groups():
                    if run.stop.requested:
                        break
                    await writing.put(*await self._chunk(groups))
                    say(f"import: {tallied.done:,} of {tallied.records:,} records")
            except BaseException:
                with suppress(EngineError):  # what went wrong first is told
                    await writing.settled()
                raise
            await writing.settled()
        tallied.asked = self._prover.asked
        if self._journal is not None and self._evidence is not None:
            await self._evidence.export(self._journal)

    async def _chunk(self, groups: Sequence[Sequence[Old]]) -> tuple[list[Becomes], list[Step]]:
        """What is to be written of these records."""
        olds = [old for group in groups for old in group]
        known = await self._run.services.ledger.database.read(imported.known((old.id, old.url) for old in olds))
        held = await self._held(olds)
        states = {old.id: deciding.where(old, held[old.id]) for old in olds if old.id in held}
        verdicts = await self._judged([old for old in olds if old.id not in known])
        rows: list[Becomes] = []
        for group in groups:
            fresh = [old for old in group if old.id not in known]
            holder = next((old.id for old in group if old.id in known and known[old.id].key == old.key), "")
            shared = deciding.share([(old, verdicts[old.id]) for old in fresh], states, holder)
            rows += [self._row(old, verdict, states.get(old.id)) for old, verdict in zip(fresh, shared, strict=True)]
        # of a row that an import wrote before it was killed, the journal may still have to say all
        better = {name for name, row in known.items() if not row.imported}
        moved = [old for old in olds if deciding.journalled(old, states.get(old.id), known=old.id in better)]
        self._tallied.known += len(known)
        self._tallied.links_read += len(held)
        for old in moved:
            state = states[old.id]
            opens = state is not LinkState.OURS or bool(old.refused) or self._reading.opens(old.link, old.key)
            self._tallied.moved(old, state, opens=opens)
        for row in rows:
            found, holds = states.get(row.old.id), held.get(row.old.id)
            self._tallied.add(row, found, stuck=self._stuck(row.old, found, holds))
        return rows, [step for old in moved for step in deciding.steps(old, states[old.id], held[old.id])]

    async def _held(self, olds: Sequence[Old]) -> dict[str, Held | None]:
        """What the records hold whose links the scripts may have moved, and of which the journal knows nothing yet."""
        links = [old for old in olds if self._tallied.moved_by_them(old)]
        if not links:
            return {}
        database = self._run.services.ledger.database
        told = await database.read(imported.journalled((old.id, old.link) for old in links))
        wanted = [old.id for old in links if old.id not in told]
        self._tallied.journalled_before += len(told)
        held = await self._run.services.salesforce.links.read(wanted) if wanted else {}
        self._found = self._found or any(held.values())
        if not self._found and len(held) >= STRANGE:
            raise Blocked(
                f"this org knows none of the first {len(held):,} records of {self._options.file}",
                hint="Log in to the org that the original scripts worked on (salesforce.login_url), as a user who sees "
                "its records.",
            )
        return held

    def _stuck(self, old: Old, state: LinkState | None, held: Held | None) -> bool:
        """Whether its link was seen to be moved, and nothing is known that may be put back."""
        moved = state is LinkState.OURS or (held is not None and self._reading.in_our_bucket(held.url))
        return moved and deciding.lost(old)

    async def _judged(self, olds: Sequence[Old]) -> dict[str, Verdict]:
        ours, theirs = {}, {}
        if self._listings.taken:
            ours = self._scratch.ours(old.key for old in olds)
            theirs = self._scratch.theirs(old.source_id for old in olds if old.source_id)
        found = {old.id: deciding.judge(old, ours.get(old.key), theirs.get(old.source_id)) for old in olds}
        asked = [old for old in olds if found[old.id].open]
        return found | (await self._prover.prove(asked) if asked else {})

    def _row(self, old: Old, verdict: Verdict, state: LinkState | None) -> Becomes:
        link = self._places.url_of(old.key)
        if verdict.proof is not None and state is not LinkState.OURS and not self._places.fits(link):
            verdict = Verdict(failure=FailureClass.URL_TOO_LONG, message=str(self._places.too_long(link)))
        return deciding.becomes(old, verdict, state, link)

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

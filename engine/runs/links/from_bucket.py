"""The links of a rollback that needs neither the tracking DB nor its machine: from the journals in the bucket.

All journals of this key that belong to this org are read, the oldest first, unless one is named. Any value of ours may
be undone; what the record holds decides, as ever. A change whose end no row tells is in doubt, and is
read before anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.model.change import OPEN, OURS, Event, LinkState, Open
from engine.model.command import Advice
from engine.model.errors import Blocked, EngineError, Paused, Usage
from engine.runs.journal.batches import Row
from engine.runs.journal.in_bucket import BucketJournal, Found, journals_in
from engine.runs.journal.tips import passed_over
from engine.runs.links.rollback_lines import Restorable
from engine.runs.shared.assembly import Services
from engine.tracking.db.chain import Key
from engine.tracking.read import restorable
from engine.tracking.read.restorable import Line
from engine.tracking.read.switchable import Undo


@dataclass(slots=True)
class FromBucket:
    """What the journals in the bucket know of the way back."""

    restorable: Restorable
    open: list[Open] = field(default_factory=list)
    """Changes whose end no row tells."""
    notes: list[Advice] = field(default_factory=list)


@dataclass(slots=True)
class _Known:
    """What must be kept while the rows go by: what is open, what the org has made of links, and one run's links."""

    wanted: Undo
    open: dict[str, Open] = field(default_factory=dict)
    runs: set[int] = field(default_factory=set)
    kept: dict[tuple[str, str], tuple[Line, bool]] = field(default_factory=dict)
    """By record and value, and whether the org has made it: of the wanted run, as long as no later run has written the
    same; and what the org has made of a link, until that is known to be undone."""

    def take(self, rows: Sequence[Row]) -> list[Line]:
        """The links among them that need not be kept."""
        found: list[Line] = []
        for row in rows:
            record, new = row.doclist_entry_id, row.new_url
            if row.event in OURS:
                self.runs.add(row.run_id)
                self.kept.pop((record, new), None)
                line = Line(record, row.old_url, new, row.wave)
                if self.wanted.run not in {None, row.run_id} or row.at < (self.wanted.since or ""):
                    continue
                if self.wanted.run is None and row.event == Event.INTENDED:
                    found.append(line)
                else:
                    self.kept[record, new] = line, row.event == Event.REWRITTEN
            elif row.link_state == LinkState.ORIGINAL and self.kept.get((record, new), (None, False))[1]:
                del self.kept[record, new]  # from now on it is anybody's
            self._follow(row)
        return found

    def _follow(self, row: Row) -> None:
        """Whether the end of a change is known."""
        record, undo = row.doclist_entry_id, row.event == Event.UNDO_INTENDED
        if row.event in OPEN:
            self.open[record] = Open(record, row.old_url, row.new_url, row.wave, row.run_id, undo, row.at)
        else:
            self.open.pop(record, None)


async def read_from_bucket(
    services: Services, key: Key | None, own: tuple[str, str, str], wanted: Undo, *, name: str | None, force: bool
) -> FromBucket:
    """Read them. ``key``: None where there is none. ``own``: org, object and field of this login. ``name``: the one
    journal that is meant. ``force``: also what cannot be verified, or has gaps. Raises Usage, Blocked, Differs, Paused.
    """
    known, notes, strange, read = _Known(wanted), list[Advice](), list[str](), 0
    database = services.ledger.database
    await restorable.begin(database)
    chosen, others = await _chosen(services, key, name, force=force)
    if others:
        notes.append(f"not read, because they have another key than {services.journal_key}: {_names(others)}")
    for found in chosen:
        fits = key if found.of(key) else None
        if fits is None:
            notes.append(f"the journal {found.name} was not verified: its key is missing (--force)")
        journal = BucketJournal(services.s3, services.retries, fits, found, gaps=force)
        async for rows in journal.rows():
            assert journal.pins is not None
            if (journal.pins.org, journal.pins.object, journal.pins.field) != own:
                strange.append(f"{found.name} is of {journal.pins}")
                break
            await restorable.add(database, known.take(rows))
            read += len(rows)
        if journal.missing:
            lacking = ", ".join(f"{first:,} to {last:,}" for first, last in journal.missing)
            notes.append(f"rows {lacking} of the journal {found.name} are missing in the bucket: links that only they "
                         "name stay as they are")  # fmt: skip
        if journal.witness.passed_over:
            notes.append(passed_over(journal.witness.passed_over, journal.witness.examples))
    if strange and not read:
        raise Blocked(
            f"the bucket knows other links than those of this login: {'; '.join(strange)}",
            hint="Log in to that org, with the same salesforce.object and url_field.",
        )
    notes += [f"left alone: {each}" for each in strange]
    if wanted.run is not None and wanted.run not in known.runs:
        runs = ", ".join(map(str, sorted(known.runs))) or "none"
        raise Usage(f"--run {wanted.run}: no such switch is in the bucket", hint=f"switches in the bucket: {runs}")
    header: dict[str, Any] = {"org": own[0], "object": own[1], "field": own[2], "run": wanted.run}
    await restorable.add(database, [line for line, _ in known.kept.values()])
    await restorable.finish(database)
    return FromBucket(Restorable(header, narrowed=True), list(known.open.values()), notes)


async def _chosen(
    services: Services, key: Key | None, name: str | None, *, force: bool
) -> tuple[list[Found], list[Found]]:
    """The journals to read, the oldest first, and those that are left alone because of their keys."""
    bucket = services.s3.destination.bucket
    try:
        every = await journals_in(services.s3, services.retries)
    except EngineError as error:
        raise Paused(f"the bucket does not list its journals: {error}", hint="Start the same command again.") from error
    found = sorted((each for each in every.values() if each.batches), key=lambda each: each.batches[0].last_modified)
    wanted = [each for each in found if name in {None, each.name}]
    if name is not None and not wanted:
        raise Usage(f"--journal {name}: {bucket} has no rows of such a journal", hint=f"there are: {_names(found)}")
    mine = [each for each in wanted if force or each.of(key)]
    if not mine:
        raise Blocked(
            f"{bucket} holds no rows of a journal with this key; there are: {_names(found)}",
            hint="Put the key of that journal back (switch.journal_key_file). Where it is lost, --force puts back what "
            "those rows say, and nothing of it is verified.",
        )
    return mine, [each for each in wanted if each not in mine]


def _names(found: Sequence[Found]) -> str:
    return ", ".join(map(str, found)) or "none"

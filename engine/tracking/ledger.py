"""The tracking DB as the pipeline and the runs see it (``model/ports.py``: Ledger)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any, TypeVar

from engine.model.change import Ours
from engine.model.errors import Blocked
from engine.model.facts import ObjectFacts
from engine.model.outcome import Attempt, Batch, Duplicate, Outcome, Touch
from engine.model.plan import Known
from engine.model.record import IdRange, Record
from engine.model.text import storable
from engine.tracking.db.database import Database
from engine.tracking.read import lookups
from engine.tracking.read import scans as past_scans
from engine.tracking.read.copies import Copies
from engine.tracking.read.ours import ours
from engine.tracking.read.scans import Kind, Scan
from engine.tracking.write import outcomes, runs, scans
from engine.tracking.write.listings import Listings
from engine.tracking.write.verdicts import Verdicts

R = TypeVar("R")
T = TypeVar("T", Outcome, Touch, Attempt, Record)


class Ledger:
    """What is known, read and written. Every method raises Fatal when SQLite cannot go on.

    ``begin_run`` and ``begin_scan`` (or ``resume_scan``) name the run and scan that later writes belong to.
    """

    def __init__(self, database: Database) -> None:
        self._db = self.database = database
        self.listings = Listings(database)
        self.copies = Copies(database)
        self.run_id: int | None = None
        self.scan_id: int | None = None

    # for the pipeline

    async def known(self, ids: Sequence[str]) -> dict[str, Known]:
        """Rows of these records; one query a page."""
        return await lookups.known(self._db, ids, listed=self.listings.in_force)

    async def ours(self, held: Sequence[tuple[str, str]]) -> dict[str, Ours]:
        """Of these records, with what they hold: those that hold a value of ours, by the journal."""
        return await self._db.read(partial(ours, held=held)) if held else {}

    async def inventory(self, source_ids: Sequence[int]) -> dict[int, ObjectFacts]:
        """What the listing in force says of these sources; one query a page."""
        return await self.listings.facts(source_ids)

    async def duplicates(self, source_ids: Sequence[int]) -> dict[int, Duplicate]:
        """A proved copy per source, where one exists."""
        return await lookups.duplicates(self._db, source_ids)

    async def write(self, batch: Batch) -> None:
        """One transaction: rows, error rows, counters, run counts, checkpoint. Durable when it returns.

        Touches count as skipped in the run row, like ``batch.unchanged``; do not count them there as well.
        """
        try:
            await self._write(outcomes.record, batch=batch, run_id=self.run_id, scan_id=self.scan_id)
        except UnicodeEncodeError:
            # a lone surrogate in a name or URL; SQLite holds Unicode only, and one row must not stop a run
            await self._write(outcomes.record, batch=_cleaned(batch), run_id=self.run_id, scan_id=self.scan_id)

    def pending(self, failures: Sequence[str]) -> AsyncIterator[list[Record]]:
        """Records that are pending, then those that failed with one of these classes, in chunks of up to 2,000."""
        return lookups.pending(self._db, failures)

    def unproved(self) -> AsyncIterator[list[Record]]:
        """Switched records whose copies are to be proved anew, in chunks of up to 2,000."""
        return lookups.unproved(self._db)

    async def mark_gone(self, ids: Sequence[str]) -> int:
        """Mark records as deleted in Salesforce; returns how many rows changed."""
        return await self._write(outcomes.mark_gone, ids=ids, run_id=self.run_id)

    async def max_row(self) -> int:
        """The highest row in use; rows are dense from 1."""
        return await lookups.max_row(self._db)

    def rows_not_in(self, seen: bytearray, before_row: int) -> AsyncIterator[list[tuple[int, str]]]:
        """(row, record id) of live rows up to ``before_row`` whose bit (``seen[row >> 3] >> (row & 7)``) is not set."""
        return lookups.rows_not_in(self._db, seen, before_row)

    def verdicts(self) -> Verdicts:
        """Where the current run writes down what it found of copies."""
        assert self.run_id is not None, "begin_run comes first"
        return Verdicts(self._db, self.run_id)

    # runs

    async def check_org(self, org_id: str) -> None:
        """Raise Blocked when this DB is of another org, where its Ids would be other records."""
        noted = await self._noted("org_id")
        if noted not in {None, org_id}:
            raise Blocked(
                f"{self._db.path} follows the org {noted}, but this login leads to {org_id}",
                hint="Log in to that org, or give this one a DB of its own (tracking.database).",
            )

    async def check_pins(self, bucket: str, sobject: str, url_field: str) -> None:
        """Raise Blocked where this DB is of another bucket, object or field: what its rows hold of copies and links
        would be read as facts of others. A DB without such rows is pinned to nothing."""
        pins = [
            ("destination.bucket", bucket, "proof IS NOT NULL"),
            ("salesforce.object", sobject, "true"),
            ("salesforce.url_field", url_field, "true"),
        ]
        for name, now, rows in pins:
            noted = await self._noted(name)
            same = noted is None or (noted == now if name == "destination.bucket" else noted.lower() == now.lower())
            if not same and await self._db.fetch(f"SELECT 1 FROM file_migrations WHERE {rows} LIMIT 1"):
                raise Blocked(
                    f"{self._db.path} was made with {name}: {noted}, but the settings say {now}",
                    hint=f"Set {name}: {noted}, or give {now} a tracking DB of its own (tracking.database); begin that"
                    " one with a full backup.",
                )

    async def _noted(self, what: str) -> str | None:
        """The value of this setting in the latest run that had one."""
        rows = await self._db.fetch(
            "SELECT json_extract(config_snapshot, ?1) FROM migration_runs"
            " WHERE json_extract(config_snapshot, ?1) <> '' ORDER BY id DESC LIMIT 1",
            (f"$.{what}",),
        )
        return rows[0][0] if rows else None

    async def begin_run(self, run_type: str, config_snapshot: Mapping[str, object], *, version: str = "") -> int:
        """Open a run; runs that died are marked ``crashed``. Hold the run lock."""
        self.run_id = await self._write(runs.begin, run_type=run_type, config=config_snapshot, version=version)
        return self.run_id

    async def end_run(self, run_id: int, status: runs.Ending, error_message: str | None = None) -> None:
        """Close a run."""
        await self._write(runs.end, run_id=run_id, status=status, error_message=error_message)

    async def sample(self, facts: Mapping[str, object]) -> None:
        """Note figures of the current run, for trends. ``engine status`` shows the entry ``api``."""
        assert self.run_id is not None, "begin_run comes first"
        await self._write(runs.sample, run_id=self.run_id, facts=facts)

    async def note(self, facts: Mapping[str, object]) -> None:
        """Add facts to those that the current run began with."""
        assert self.run_id is not None, "begin_run comes first"
        await self._write(runs.note, run_id=self.run_id, facts=facts)

    # scans

    async def begin_scan(self, kind: Kind, scope_hash: str, *, restricted: bool, watermark: str) -> int:
        """Open a scan, which later checkpoints belong to. ``watermark`` is the server's time now."""
        assert self.run_id is not None, "begin_run comes first"
        scope = {"kind": kind, "scope_hash": scope_hash, "restricted": restricted, "watermark": watermark}
        self.scan_id = await self._write(scans.begin, run_id=self.run_id, **scope)
        return self.scan_id

    def resume_scan(self, scan: Scan) -> None:
        """Go on with an unfinished scan."""
        self.scan_id = scan.id

    async def unread_ranges(self, scan_id: int) -> list[IdRange]:
        """What is left to read of an unfinished full scan, each range behind its checkpoint."""
        return await past_scans.unread(self._db, scan_id)

    async def part_range(self, kept: IdRange, others: Sequence[IdRange]) -> list[IdRange]:
        """Note that a range ends sooner, and the ranges that it gave up. Returns those with numbers; durable then."""
        assert self.scan_id is not None, "begin_scan or resume_scan comes first"
        return await self._db.write(partial(scans.part, scan_id=self.scan_id, kept=kept, others=others))

    async def complete_scan(self) -> None:
        """The current scan has seen, and recorded, all of its scope."""
        assert self.scan_id is not None, "begin_scan or resume_scan comes first"
        await self._write(scans.complete, scan_id=self.scan_id)
        self.scan_id = None

    async def last_completed_scan(self, scope_hash: str) -> Scan | None:
        """The latest completed, unrestricted scan of this scope."""
        return await past_scans.last_completed(self._db, scope_hash)

    async def unfinished_full_scan(self, scope_hash: str) -> Scan | None:
        """The full scan of this scope that may be resumed."""
        return await past_scans.unfinished_full(self._db, scope_hash)

    async def _write(self, work: Callable[..., R], **values: object) -> R:
        return await self._db.write(partial(work, now=self._db.now(), **values))


def _cleaned(batch: Batch) -> Batch:
    return replace(
        batch,
        outcomes=[_clean(replace(outcome, record=_clean(outcome.record))) for outcome in batch.outcomes],
        touches=[replace(touch, record=_clean(touch.record)) for touch in batch.touches],
        attempts=[_clean(attempt) for attempt in batch.attempts],
    )


def _clean(value: T) -> T:
    texts = {f.name: text for f in fields(value) if type(text := getattr(value, f.name)) is str}
    changes: dict[str, Any] = {name: storable(text) for name, text in texts.items()}
    return replace(value, **changes)

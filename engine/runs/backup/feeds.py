"""What a backup looks at, in which order: scans with checkpoints, deletions, and what is to be tried again.

| command         | the tracking DB knows    | looked at                                               |
|-----------------|--------------------------|---------------------------------------------------------|
| `--full`        | anything                 | every record; then rows whose record has vanished       |
| `--full`        | (always, after that)     | switched records whose copy is to be proved anew        |
| `--incremental` | an interrupted full scan | the rest of it; then what changed since it began        |
| `--incremental` | no completed scan        | every record                                            |
| `--incremental` | a completed scan         | what changed since it began, less an overlap            |
| `--incremental` | (always, after those)    | deletions; then pending, interrupted, worth another try |

A full scan looks at the files of the records too, by listing or by HEAD; what follows it does not. A scan that is
restricted (account, limit, dry run) leaves no mark: it moves no watermark and proves no absence.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Protocol

from engine.limiting.clock import iso
from engine.model.errors import Paused, Usage
from engine.model.failures import WORTH_ANOTHER_TRY, FailureClass
from engine.model.outcome import Status
from engine.model.record import IdRange, Page, Record, Scope
from engine.pipeline.intake import Intake, MetRows
from engine.pipeline.paging import ParallelPages
from engine.pipeline.tally import Tally
from engine.runs.backup.inventory import Inventory
from engine.runs.shared.lifecycle import Run
from engine.settings import SalesforceSettings
from engine.tracking.read.scans import Scan

OVERLAP = timedelta(minutes=15)
"""A transaction may last ten minutes and becomes visible with the stamp of its start: a delta looks back further."""


class Wanted(Protocol):
    """The options that matter here."""

    @property
    def full(self) -> bool: ...

    @property
    def retry_classes(self) -> frozenset[FailureClass]: ...


def scope_hash(asked: SalesforceSettings, org_id: str) -> str:
    """Scans can follow each other only within one org, object, field and condition."""
    text = "\n".join([org_id, asked.object, asked.url_field, asked.account_field, asked.where or ""])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Feeds:
    """Feeds an Intake. ``met``: the rows that it has met."""

    def __init__(self, run: Run, wanted: Wanted, scope: str, tally: Tally, met: MetRows, inventory: Inventory) -> None:
        self._services = run.services
        self._ledger = run.services.ledger
        self._pages = run.services.salesforce.pages
        self._wanted = wanted
        self._bounds = run.bounds
        self._scope = scope
        self._tally = tally
        self._note = run.note
        self._met = met
        self._inventory = inventory

    async def run(self, intake: Intake) -> None:
        """The whole order of one run."""
        if self._wanted.full:
            await self._full(intake, None)
            if not intake.exhausted:
                await intake.again(self._unproved())
                await intake.settled()
        else:
            await self._incremental(intake)

    async def _full(self, intake: Intake, interrupted: Scan | None) -> None:
        rows_before = await self._ledger.max_row()
        scope = Scope(account_id=self._bounds.account_id)
        left = [IdRange(number=1)] if interrupted is None else await self._ledger.unread_ranges(interrupted.id)
        if self._bounds.whole:
            if interrupted is not None:
                self._ledger.resume_scan(interrupted)
                self._note(f"resumed the full scan of run {interrupted.run_id} where it stopped")
            else:
                watermark = iso(await self._services.salesforce.server_now())
                await self._ledger.begin_scan("full", self._scope, restricted=False, watermark=watermark)
        records = await self._count(scope, left)
        if self._bounds.whole:
            if interrupted is None:
                await self._ledger.sample({"kind": "scope", "scan": self._ledger.scan_id, "records": records})
            await self._inventory.prepare(records, resumed=interrupted is not None)
        done = await self._scan(intake, scope, left, records)
        await intake.settled()
        self._ledger.listings.lapse()
        if done and self._bounds.whole:
            if interrupted is None:
                await self._absent(rows_before)
            await self._ledger.complete_scan()

    async def _scan(self, intake: Intake, scope: Scope, left: list[IdRange], records: int | None) -> bool:
        """What is left of a full scan: side by side, with checkpoints, unless something restricts it."""
        if not self._bounds.whole:
            return await intake.scan(self._in_turn(scope, left), look=True)
        salesforce = self._services.salesforce
        async with ParallelPages(
            self._pages,
            scope,
            left,
            cut=salesforce.ranges,
            on_cut=self._ledger.part_range,
            clock=self._services.clock,
            expected=records,
        ) as pages:
            return await intake.scan(pages, look=True)

    async def _in_turn(self, scope: Scope, left: list[IdRange]) -> AsyncIterator[Page]:
        for each in left:
            async for page in self._pages.pages(replace(scope, after_id=each.after, until_id=each.until)):
                yield page

    async def _incremental(self, intake: Intake) -> None:
        last = await self._ledger.last_completed_scan(self._scope)
        interrupted = await self._ledger.unfinished_full_scan(self._scope)
        if interrupted is not None and last is not None and interrupted.id < last.id:
            interrupted = None
        if interrupted is not None or last is None:
            if interrupted is None:
                self._note("no completed scan yet: every record was read")
            await self._full(intake, interrupted)
            last = interrupted
        if last is not None and not intake.exhausted:
            await self._delta(intake, last)
        if not intake.exhausted:
            await intake.again(self._again())
            await intake.settled()

    async def _delta(self, intake: Intake, last: Scan) -> None:
        since = iso(datetime.fromisoformat(last.watermark) - OVERLAP)
        scope = Scope(account_id=self._bounds.account_id, since=since)
        if self._bounds.whole:
            watermark = iso(await self._services.salesforce.server_now())
            await self._ledger.begin_scan("incremental", self._scope, restricted=False, watermark=watermark)
        await self._count(scope)
        done = await intake.scan(self._pages.pages(scope))
        await intake.settled()
        if done and self._bounds.whole:
            await intake.gone(self._pages.pages(Scope(since=since, deleted=True)))
            await intake.settled()
            if not intake.exhausted:
                await self._ledger.complete_scan()

    async def _unproved(self) -> AsyncIterator[list[Record]]:
        async for records in self._ledger.unproved():
            yield self._mine(records)

    async def _again(self) -> AsyncIterator[list[Record]]:
        classes = [each.value for each in WORTH_ANOTHER_TRY | self._wanted.retry_classes]
        async for records in self._ledger.pending(classes):
            yield self._mine(records)

    def _mine(self, records: list[Record]) -> list[Record]:
        """Those in scope, which are expected from now on."""
        account = self._bounds.account_id
        mine = [each for each in records if account is None or each.account_id == account]
        self._tally.expect(len(mine))
        return mine

    async def _absent(self, rows_before: int) -> None:
        """Rows that the scan did not meet: gone, if Salesforce says so when asked for them by Id."""
        async for rows in self._ledger.rows_not_in(self._met.bitmap, rows_before):
            ids = [name for _, name in rows]
            living = await self._pages.existing(ids)
            vanished = [name for name in ids if name not in living]
            if vanished:
                gone = await self._ledger.mark_gone(vanished)
                self._tally.ended[Status.GONE] += gone
                self._tally.expect(gone)

    async def _count(self, scope: Scope, left: Sequence[IdRange] = (IdRange(),)) -> int | None:
        """Records in scope; None when there are too many to count in one call. The display then does without."""
        records = None
        with suppress(Paused, Usage):  # too slow, or ranges too many for one question
            records = await self._pages.count(scope, left) if left else 0
        self._tally.expect(records)
        return records

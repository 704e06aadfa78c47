"""Journals read from the destination bucket alone, in the order of their chains: the way back when the machine is lost.

With the key every row is verified. What does not carry our HMAC is passed over; where that, or something that was
deleted, leaves a gap, the reading is refused unless gaps are allowed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from engine.limiting.retry import Retries
from engine.model.change import GENESIS, ChainTip
from engine.model.errors import Differs, EngineError, Paused, Refused
from engine.runs.journal import batches
from engine.runs.journal.batches import Batch, Pins, Row, first_row, read_batch
from engine.runs.journal.own_objects import JOURNALS, content_of, listing
from engine.runs.journal.tips import Witness, latest_tip
from engine.s3.api.answers import Listed
from engine.s3.open import S3
from engine.tracking.db import chain
from engine.tracking.db.chain import Key


@dataclass(slots=True)
class Found:
    """What lies in the folder of one journal: what may be batches and tips, by name, in the order of the rows."""

    name: str
    batches: list[Listed] = field(default_factory=list)
    tips: list[Listed] = field(default_factory=list)

    def of(self, key: Key | None) -> bool:
        """Whether it was written with this key."""
        return key is not None and self.name.startswith(f"{key.fingerprint}-")

    def __str__(self) -> str:
        return f"{self.name} ({len(self.batches):,} batches)"


async def journals_in(s3: S3, retries: Retries) -> dict[str, Found]:
    """All journals in the bucket, of whatever key, by name. Raises EngineError."""
    found: dict[str, Found] = {}
    for row in await listing(s3, retries, JOURNALS):
        journal, _, name = row.key.removeprefix(JOURNALS).partition("/")
        place = found.setdefault(journal, Found(journal))
        if batches.NAME.fullmatch(name) and row.size <= batches.LONGEST:
            place.batches.append(row)
        elif name.endswith(".json"):
            place.tips.append(row)
    return found


@dataclass(slots=True)
class BucketJournal:
    """One journal, read from its batches. ``key``: None where nothing can be verified. ``gaps``: they are allowed."""

    s3: S3
    retries: Retries
    key: Key | None
    found: Found
    gaps: bool = False
    tip: ChainTip = GENESIS
    """How far it was read; what goes before is known."""
    pins: Pins | None = None
    missing: list[tuple[int, int]] = field(default_factory=list)
    """First and last rows of each gap."""
    witness: Witness = field(default_factory=Witness)
    """What was passed over."""

    async def rows(self) -> AsyncIterator[list[Row]]:
        """The rows behind ``tip``, batch by batch. Raises Differs, Paused, and other EngineError."""
        for listed in self._from(self.found.batches):
            batch = await self._read(listed)
            if batch is not None and (rows := self._next(batch, listed.key)):
                self.tip, self.pins = batch.tip, self.pins or batch.pins
                yield rows
        if self.key is not None:
            end = await latest_tip(self.s3, self.retries, self.key, self.found.tips, self.witness)
            if end is not None and end.rows > self.tip.rows:
                self._lacks(end.rows)

    def _from(self, found: Sequence[Listed]) -> Sequence[Listed]:
        """Without the batches that lie wholly before ``tip``."""
        first = 0
        for place, listed in enumerate(found):
            if first_row(listed) <= self.tip.rows + 1:
                first = place
        while first and first_row(found[first - 1]) == first_row(found[first]):
            first -= 1
        return found[first:]

    async def _read(self, listed: Listed) -> Batch | None:
        where = f"{self.s3.destination.bucket}/{listed.key}"
        try:
            batch = read_batch(self.key, await content_of(self.s3, self.retries, listed), listed.key)
        except (Differs, Refused):
            batch = None
        except EngineError as error:
            raise Paused(f"the bucket does not give {where}: {error}", hint="Start the same command again.") from error
        if batch is None or batch.rows[0].id != first_row(listed):
            self.witness.pass_over(where)
            return None
        return batch

    def _next(self, batch: Batch, where: str) -> list[Row]:
        """Its rows that are news. Raises Differs."""
        known = self.tip
        if batch.before.rows > known.rows:
            self._lacks(batch.before.rows)
        else:
            at = known.rows - batch.before.rows
            there = batch.before if at == 0 else ChainTip(*_place(batch, at))
            if there.rows == known.rows and there.hash != known.hash:
                raise Differs(
                    f"{where} contradicts row {known.rows} of the journal: it was begun anew from an older copy, or "
                    "changed",
                    hint=chain.SAFE,
                )
        return [row for row in batch.rows if row.id > known.rows]

    def _lacks(self, until: int) -> None:
        gap = (self.tip.rows + 1, until)
        if not self.gaps:
            passed = f"; passed over: {', '.join(self.witness.examples)}" if self.witness.examples else ""
            raise Differs(
                f"the bucket lacks the rows {gap[0]:,} to {gap[1]:,} of the journal {self.found.name}{passed}",
                hint="nothing was written to Salesforce. Bring the objects back (an earlier version of them, where the "
                "bucket keeps versions), or the tracking DB. A rollback with --force does without them.",
            )
        self.missing.append(gap)


def _place(batch: Batch, at: int) -> tuple[int, str]:
    """Number and HMAC of its row at this place, counted from 1, or of its last one."""
    row = batch.rows[min(at, len(batch.rows)) - 1]
    return row.id, row.hash

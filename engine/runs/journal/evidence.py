"""The journal of a run, with what proves it whole: its key, its exported chain tips, and no change left open.

Before a run writes anything, the key is there, and the chain holds from the first row to the last. No exported tip,
beside the DB or in the destination bucket, is of a later row or of another one. After each wave the tip goes to the
bucket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from engine.limiting.clock import iso
from engine.model.change import GENESIS, ChainTip, LinkState, Open
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, Differs, EngineError, Paused, Transient
from engine.model.facts import ContentHeaders, ObjectFacts, Occupied
from engine.pipeline.changing import settle
from engine.pipeline.doubts import clock_time, deadline, wait_until
from engine.pipeline.stop import Stop
from engine.runs.journal.tips import journals_of, own, tip_in_bucket, tip_key
from engine.runs.shared.assembly import Services
from engine.s3.transfer.blocks import InMemory
from engine.tracking.db import chain
from engine.tracking.db.chain import Key
from engine.tracking.read import journal
from engine.tracking.read.journal import Checked
from engine.tracking.write.journal import Journal

UNSETTLED = "no link was changed; what is still in doubt is read first by the next run"
"""What remains after a stop that came while the open changes of an earlier run were settled."""
_JSON = ContentHeaders(content_type="application/json")
_NDJSON = ContentHeaders(content_type="application/x-ndjson")


@dataclass(slots=True)
class Evidence:
    """A journal that was found whole. ``begin`` opens it for a run."""

    services: Services
    key: Key
    checked: Checked
    notes: list[Advice] = field(default_factory=list)
    doubtful: dict[str, Open] = field(default_factory=dict)
    """Changes of earlier runs that Salesforce may still be at, by record; once ``settle`` has read them."""

    def begin(self, run_id: int) -> Journal:
        """The journal of this run."""
        opened = Journal(self.services.ledger.database, self.key, run_id)
        opened.tip = self.checked.tip
        return opened

    async def settle(self, opened: Journal) -> str:
        """Read what earlier runs left open, and write down where those links stand, before anything else. What
        Salesforce may still be at stays ``doubtful``. Returns what was found, for a person; empty where nothing was
        open. Raises Fatal."""
        found = await self._read(opened, self.checked.open)
        count, parts = len(self.checked.open), [f"{found[state]:,} {state}" for state in LinkState if found[state]]
        if self.doubtful:
            parts.append(f"{len(self.doubtful):,} in doubt until {clock_time(self.until)}")
        return f"{count:,} links that an earlier run left in doubt were read: {', '.join(parts)}" if count else ""

    @property
    def until(self) -> datetime:
        """When the last of the doubtful changes can be settled."""
        now = self.services.clock.now()
        return max((self.until_of(change) for change in self.doubtful.values()), default=now)

    async def settle_late(self, opened: Journal, stop: Stop, say: Callable[[str], None]) -> None:
        """Wait for Salesforce to finish with the doubtful changes, unless a stop is asked for. Raises Fatal."""
        clock = self.services.clock
        while self.doubtful and not stop.requested:
            until = min(self.until_of(change) for change in self.doubtful.values())
            await wait_until(until, len(self.doubtful), clock, stop, say)
            if not stop.requested:
                await self._read(opened, list(self.doubtful.values()))

    def until_of(self, change: Open) -> datetime:
        """When Salesforce cannot be at this change any more."""
        return deadline(change.at, self.services.settle_after_s, self.services.clock.now())

    async def _read(self, opened: Journal, changes: Sequence[Open]) -> Counter[LinkState]:
        clock = self.services.clock
        try:
            found, doubtful = await settle(
                self.services.salesforce.links, opened, changes, lambda change: self.until_of(change) <= clock.now()
            )
        except Transient as error:
            raise Paused(
                f"{len(changes):,} link changes of an earlier run are in doubt; Salesforce does not answer: {error}",
                hint="What is in doubt is in the journal. Start the same command again when Salesforce answers.",
            ) from error
        self.doubtful.clear()
        self.doubtful |= {change.id: change for change in doubtful}
        return found

    async def export(self, opened: Journal) -> None:
        """Put the tip into the destination bucket, as a new object. A failure is noted, and stops nothing."""
        tip = opened.tip
        if tip == GENESIS:
            return
        name = await self.services.ledger.database.read(journal.first_hash)
        document = chain.tip_document(self.key, tip, iso(self.services.clock.now()))
        why = await store(self.services, tip_key(self.key, name, tip.rows), document, _JSON)
        if why:
            self.notes.append(f"the journal's chain tip could not be put into the bucket: {why}")


async def gather_evidence(services: Services, *, lost: bool = False) -> Evidence:
    """Check the journal against its key and its tips. Changes nothing, but makes a key for a new journal.

    ``lost``: the tracking DB is known to be lost, so an empty one is expected. Raises Differs, Blocked.
    """
    database = services.ledger.database
    first = await database.read(journal.first_hash)
    key = chain.load_key(services.journal_key, may_create=not first, files=database.files)
    notes: list[Advice] = []
    tips: list[ChainTip] = []
    beside = chain.tip_path(database.path)
    if beside.exists():
        tip = chain.read_tip(key, beside.read_bytes(), str(beside))
        if first or not tip.rows:
            tips.append(tip)
        elif not lost:
            raise Differs(
                f"the journal of this tracking DB is empty, but {beside} is of row {tip.rows:,}: this is not the DB of "
                "the earlier switches",
                hint=f"bring that DB back; if it is lost for good, undo from a rollback file, or move {beside} away",
            )
        else:
            kept = beside.with_name(f"{beside.name}.lost-{tip.rows}")
            database.files.rename(beside, kept)
            notes.append(f"the chain tip of the lost journal is kept as {kept}")
    if first:
        witness = await tip_in_bucket(services.s3, key, first)
        tips += [] if witness.tip is None else [witness.tip]
        notes += witness.notes
        if not tips:
            raise chain.tip_missing(beside)
    elif not lost and (where := await journals_of(services.s3, key)):
        notes.append(
            f"no link was ever changed by this tracking DB, but {where} holds chain tips of a journal with this key: if"
            " links were switched before, this DB is an older copy or another one"
        )
    checked = await journal.check(database, key, tips)
    _no_bulk_job(checked)
    return Evidence(services, key, checked, notes)


def _no_bulk_job(checked: Checked) -> None:
    """Raises Blocked: while a bulk job may still change a record, reading the record settles nothing."""
    if jobs := {change.job for change in checked.open if change.job}:
        raise Blocked(
            f"changes of this journal still travel in bulk job {', '.join(sorted(jobs))}",
            hint=(
                "Finish them with the engine version that began them (",
                Command("run rollback"),
                "), then come back.",
            ),
        )


async def store(services: Services, key: str, content: bytes, headers: ContentHeaders = _NDJSON) -> str:
    """Put a new object into the destination bucket. Returns why that failed; empty where it is there, or was."""

    async def once() -> None:
        try:
            await services.s3.destination.store(InMemory(ObjectFacts(len(content), headers=headers), content), key)
        except Occupied as taken:
            if taken.facts.size != len(content) or not await _holds(services, key, content):
                raise

    try:
        await services.retries.of(once)
    except EngineError as error:
        return str(error)
    except Occupied:
        return f"{key} is taken by something else"
    return ""


async def _holds(services: Services, key: str, content: bytes) -> bool:
    """Whether exactly this lies under the key: then only an answer was lost."""
    at = 0
    async with services.s3.ours.open(own(services.s3, key), ObjectFacts(len(content))) as reading:
        async for chunk in reading.chunks():
            if content[at : at + len(chunk)] != chunk:
                return False
            at += len(chunk)
    return at == len(content)


async def settle_first(services: Services, run_id: int, note: Callable[[Advice], None]) -> None:
    """For runs that change no links: what a killed switch or rollback left open is settled before anything else."""
    if not await services.ledger.database.read(journal.perhaps_open):
        return
    try:
        evidence = await gather_evidence(services)
    except (Blocked, Differs) as error:
        # a backup goes by what Salesforce says; only links may not change on a journal that does not hold
        note((f"link changes that a switch or rollback left open stay so: {error}. See ", Command("audit")))
        return
    found = await evidence.settle(evidence.begin(run_id))
    for text in [*evidence.notes, found] if found else evidence.notes:
        note(text)

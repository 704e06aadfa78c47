"""The journal of a run, with what proves it whole: its key, its exported chain tips, and no change left open.

Before a run writes anything, the key is there, and the chain holds from the first row to the last. No exported tip,
beside the DB or in the destination bucket, is of a later row or of another one. After each wave the tip goes to the
bucket.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from engine.model.change import GENESIS, ChainTip, LinkState, Open
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, Differs, EngineError, Paused, Transient
from engine.pipeline.changing import settle
from engine.pipeline.doubts import clock_time, deadline, wait_out
from engine.pipeline.stop import Stop
from engine.runs.journal.batches import Pins
from engine.runs.journal.off_box import OffBox
from engine.runs.journal.own_objects import JSON, get, put, store
from engine.runs.journal.tips import Witness, journals_of, journals_of_others, tip_key, witness_of
from engine.runs.shared.assembly import Services
from engine.salesforce.server_time import ServerTime
from engine.tracking.db import chain
from engine.tracking.db.chain import Key
from engine.tracking.read import journal
from engine.tracking.read.journal import Checked
from engine.tracking.write.journal import Journal

KEYS = (
    "to begin a journal all the same, give it a key of its own: set switch.journal_key_file to a file that does not"
    " exist yet, and keep the old key with the old journal. Where a chain tip of the old one (….journal-head.json)"
    " still lies beside the tracking DB, move it away too"
)
UNSETTLED = "no link was changed; what is still in doubt is read first by the next run"
"""What remains after a stop that came while the open changes of an earlier run were settled."""


@dataclass(slots=True)
class Evidence:
    """A journal that was found whole. ``begin`` opens it for a run."""

    services: Services
    key: Key
    checked: Checked
    witness: Witness
    notes: list[Advice] = field(default_factory=list)
    doubtful: dict[str, Open] = field(default_factory=dict)
    """Changes of earlier runs that Salesforce may still be at, by record; once ``settle`` has read them."""
    _seen: datetime | None = None
    """When the open changes were first looked at, by Salesforce's clock: none was intended later."""

    async def begin(self, run_id: int, org: str) -> Journal:
        """The journal of this run, which is in the bucket as far as it goes. Raises Blocked, Paused, other Fatal."""
        services, tip = self.services, self.checked.tip
        opened = Journal(services.ledger.database, self.key, run_id, services.salesforce.session.time.stamp)
        opened.tip = tip
        await opened.export()
        if services.off_box:
            pins = Pins(org, *services.object_and_field, services.ours.bucket)
            first = await services.ledger.database.read(journal.first_hash)
            off_box = opened.off_box = OffBox(
                partial(put, services), partial(get, services.s3, services.retries), self.key, pins, first
            )
            if holes := await off_box.catch_up(services.ledger.database, self.witness, self.checked):
                count = sum(last - first + 1 for first, last in holes)
                lacked = f"{count:,} rows of the journal were missing in the bucket, from row {holes[0][0]:,} on"
                self.notes.append(
                    f"{lacked}, and are there again: somebody, or a lifecycle rule, deletes objects of .engine/journal/"
                )
        return opened

    async def settle(self, opened: Journal) -> str:
        """Read what earlier runs left open, and write down where those links stand, before anything else. What
        Salesforce may still be at stays ``doubtful``. Returns what was found, for a person; empty where nothing was
        open. Raises Fatal."""
        found = await self._read(opened, self.checked.open)
        count, parts = len(self.checked.open), [f"{found[state]:,} {state}" for state in LinkState if found[state]]
        if self.doubtful:
            parts.append(f"{len(self.doubtful):,} in doubt until {clock_time(self._time.here(self.until))}")
        return f"{count:,} links that an earlier run left in doubt were read: {', '.join(parts)}" if count else ""

    def also_open(self, changes: Sequence[Open]) -> None:
        """Open changes of other journals are settled too, unless this one has a later one of the record."""
        own = {change.id for change in self.checked.open}
        others = [change for change in changes if change.id not in own]
        self.checked = replace(self.checked, open=[*self.checked.open, *others])

    @property
    def until(self) -> datetime:
        """When the last of the doubtful changes can be settled, by Salesforce's clock."""
        return max((self.until_of(change) for change in self.doubtful.values()), default=self._time.earliest())

    @property
    def _time(self) -> ServerTime:
        return self.services.salesforce.session.time

    async def settle_late(self, opened: Journal, stop: Stop, say: Callable[[str], None]) -> None:
        """Wait for Salesforce to finish with the doubtful changes, unless a stop is asked for. Raises Fatal."""
        while self.doubtful and not stop.requested:
            first = min(self.until_of(change) for change in self.doubtful.values())
            left_s = partial(self._left_s, first)
            await wait_out(left_s, len(self.doubtful), self.services.clock, stop, say)
            if not stop.requested:
                await self._read(opened, list(self.doubtful.values()))

    def until_of(self, change: Open) -> datetime:
        """When Salesforce cannot be at this change any more, by its own clock."""
        self._seen = self._seen or self._time.earliest()
        return deadline(change.at, self.services.settle_after_s, self._seen)

    def _left_s(self, until: datetime) -> float:
        return (until - self._time.earliest()).total_seconds()

    async def _read(self, opened: Journal, changes: Sequence[Open]) -> Counter[LinkState]:
        try:
            found, doubtful = await settle(
                self.services.salesforce.links, opened, changes, lambda change: self._left_s(self.until_of(change)) <= 0
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
        at = await self.services.ledger.database.read(journal.last_at)  # the same bytes each time: it may be there
        document = chain.tip_document(self.key, tip, at)
        why = await store(self.services, tip_key(self.key, name, tip.rows), document, JSON)
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
            raise _empty(f"{beside} is of row {tip.rows:,}", f"undo from a rollback file, or move {beside} away")
        else:
            kept = beside.with_name(f"{beside.name}.lost-{tip.rows}")
            database.files.rename(beside, kept)
            notes.append(f"the chain tip of the lost journal is kept as {kept}")
    witness = Witness()
    if first:
        witness = await witness_of(services.s3, services.retries, key, first)
        tips += witness.tips
        notes += witness.notes
        if not tips:
            raise chain.tip_missing(beside)
    elif not lost:
        try:
            where, with_rows = await journals_of(services.s3, services.retries, key)
        except EngineError as error:
            where, with_rows = "", False
            notes.append(f"the bucket does not say whether it knows of earlier switches: {error}")
        if where:
            raise _empty(
                f"{where} holds {'rows' if with_rows else 'chain tips'} of a journal with this key",
                KEYS,
                rows=with_rows,
            )
    checked = await journal.check(database, key, tips)
    _no_bulk_job(checked)
    return Evidence(services, key, checked, witness, notes)


async def note_other_journals(services: Services, note: Callable[[Advice], None]) -> None:
    """For a DB without a journal yet: which journals the bucket keeps that were written with other keys."""
    if await services.ledger.database.read(journal.first_hash):
        return
    with suppress(EngineError):  # it refuses nothing: a journal may begin anew with a key of its own
        key = services.journal_key
        own = chain.load_key(key, may_create=False).fingerprint if key.exists() else ""
        if others := await journals_of_others(services.s3, services.retries, own):
            shown = ", ".join(others[:3]) + (", …" if len(others) > 3 else "")
            lost = "If that DB is lost, set switch.journal_key_file to its key, then "
            what = (
                f"the bucket also keeps the journal {shown}, of another tracking DB: what that has switched, this one"
            )
            note((f"{what} does not know. {lost}", Command("db rebuild --from-bucket")))


async def has_journal(services: Services) -> bool:
    """Whether there is a journal, or was one: a key, or rows. A look at it then makes no new key."""
    return services.journal_key.exists() or bool(await services.ledger.database.read(journal.first_hash))


def _empty(what: str, otherwise: str, *, rows: bool = True) -> Differs:
    """Another DB than this one knows the way back of links that were switched before. ``rows``: so may the bucket."""
    from_bucket: Advice = (
        Command("db rebuild --from-bucket"),
        "   makes it anew from the bucket\n  ",
        Command("run rollback --from-bucket"),
        "   undoes without it",
    )
    return Differs(
        f"the journal of this tracking DB is empty, but {what}: this is not the DB of the earlier switches",
        hint=(
            "nothing was written to Salesforce. Bring that DB back; if it is lost for good:\n  ",
            from_bucket if rows else (Command("run rollback --rollback-file FILE"), "   undoes with a file of the run"),
            f"\n  {otherwise}",
        ),
    )


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


async def settle_first(services: Services, run_id: int, org: str, note: Callable[[Advice], None]) -> None:
    """For runs that change no links: what a killed switch or rollback left open is settled before anything else."""
    if not await services.ledger.database.read(journal.perhaps_open):
        await note_a_lost_journal(services, note)
        return
    try:
        evidence = await gather_evidence(services)
    except (Blocked, Differs) as error:
        # a backup goes by what Salesforce says; only links may not change on a journal that does not hold
        note((f"link changes that a switch or rollback left open stay so: {error}. See ", Command("audit")))
        return
    found = await evidence.settle(await evidence.begin(run_id, org))
    for text in [*evidence.notes, found] if found else evidence.notes:
        note(text)


async def note_a_lost_journal(services: Services, note: Callable[[Advice], None]) -> None:
    """Without its journal a DB takes our own links for somebody's, and leaves them alone."""
    first = await services.ledger.database.read(journal.first_hash)
    if first or not services.journal_key.exists():
        return
    with suppress(EngineError):  # the next switch or rollback asks again, and insists
        key = chain.load_key(services.journal_key, may_create=False)
        where, with_rows = await journals_of(services.s3, services.retries, key)
        if with_rows:
            note((f"the rows in {where} know of earlier switches, this tracking DB does not; ",
                  Command("db rebuild --from-bucket"), "   brings them back"))  # fmt: skip

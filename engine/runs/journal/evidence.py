"""The journal of a run, with what proves it whole: its key, its exported heads, and the settling of what was left open.

Before a run writes anything: the key is there, the chain holds from the first row to the last, and no exported head,
beside the DB or in the destination bucket, has seen more rows or others. After each wave the head goes to the bucket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from engine.limiting.clock import iso
from engine.limiting.retry import retry
from engine.model.change import GENESIS, ChainTip, Change, LinkState, Open, Step
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, Differs, EngineError, Paused, Transient
from engine.model.facts import ContentHeaders, ObjectFacts, Occupied
from engine.pipeline.changing import settle
from engine.runs.journal.tips import head_key, journals_of, own, remote_head
from engine.runs.shared.assembly import Services
from engine.s3.transfer.blocks import InMemory
from engine.tracking.db import chain
from engine.tracking.db.chain import Key
from engine.tracking.read import journal
from engine.tracking.read.journal import Checked
from engine.tracking.write.journal import Journal

UNSETTLED = "no link was changed; what is still in doubt is read first by the next run"
"""What a stop leaves that came while an earlier run's changes were settled."""
_JSON = ContentHeaders(content_type="application/json")
_NDJSON = ContentHeaders(content_type="application/x-ndjson")


@dataclass(slots=True)
class Settled:
    """What a run before left open, and where it was found."""

    ours: int = 0
    original: int = 0
    edited: int = 0
    gone: int = 0

    @property
    def total(self) -> int:
        return self.ours + self.original + self.edited + self.gone

    def __str__(self) -> str:
        parts = [(self.ours, "ours"), (self.original, "the original"), (self.edited, "edited"), (self.gone, "gone")]
        return ", ".join(f"{count:,} {name}" for count, name in parts if count)


@dataclass(slots=True)
class Evidence:
    """A journal that was found whole. ``begin`` opens it for a run."""

    services: Services
    key: Key
    checked: Checked
    notes: list[Advice] = field(default_factory=list)

    def begin(self, run_id: int) -> Journal:
        """The journal of this run."""
        opened = Journal(self.services.ledger.database, self.key, run_id)
        opened.head = self.checked.head
        return opened

    async def settle(self, opened: Journal) -> Settled:
        """Read what earlier runs left open, and write down where it stands. Raises Fatal; nothing else may go first."""
        found = Settled()

        async def count(step: Step) -> None:
            assert step.link_state is not None
            name = LinkState(step.link_state).value
            setattr(found, name, getattr(found, name) + 1)

        changes = [(_change(each), each.undo) for each in self.checked.open]
        try:
            await settle(self.services.salesforce.links, opened, changes, count)
        except Transient as error:
            raise Paused(
                f"{len(changes):,} link changes of an earlier run are in doubt; Salesforce does not answer: {error}",
                hint="Nothing else was done. Start the same command again when Salesforce answers.",
            ) from error
        return found

    async def export(self, opened: Journal) -> None:
        """Put the head into the destination bucket, as a new object. What fails is noted, and stops nothing."""
        head = opened.head
        if head == GENESIS:
            return
        name = await self.services.ledger.database.read(journal.first_hash)
        document = chain.tip_document(self.key, head, iso(self.services.clock.now()))
        why = await store(self.services, head_key(self.key, name, head.rows), document, _JSON)
        if why:
            self.notes.append(f"the journal's head could not be put into the bucket: {why}")


async def gather_evidence(services: Services, *, lost: bool = False) -> Evidence:
    """Check the journal against its key and its heads. Changes nothing but makes a key for a new journal.

    ``lost``: the tracking DB is known to be lost, so that an empty one is no surprise. Raises Differs, Blocked.
    """
    database, settings = services.ledger.database, services.settings
    first = await database.read(journal.first_hash)
    key = chain.load_key(
        chain.key_path(settings.tracking.database, settings.switch.journal_key_file), may_create=not first
    )
    notes: list[Advice] = []
    heads: list[ChainTip] = []
    local = chain.tip_path(settings.tracking.database)
    if local.exists():
        head = chain.read_tip(key, local.read_bytes(), str(local))
        if first or not head.rows:
            heads.append(head)
        elif not lost:
            raise Differs(
                f"this tracking DB has an empty journal, but {local} has seen {head.rows:,} rows: it is not the DB of "
                "the earlier switches",
                hint=f"bring that DB back; if it is lost for good, undo from a rollback file, or move {local} away",
            )
        else:
            kept = local.with_name(f"{local.name}.lost-{head.rows}")
            local.replace(kept)
            notes.append(f"the head of the lost journal is kept as {kept}")
    if first:
        witness = await remote_head(services.s3, key, first)
        heads += [] if witness.head is None else [witness.head]
        notes += witness.notes
        if not heads:
            raise Differs(f"the journal's exported head {local} is missing", hint=("bring it back; ", chain.SAFE))
    elif not lost and (where := await journals_of(services.s3, key)):
        notes.append(
            f"this tracking DB knows of no link that was ever changed, but {where} holds heads of a journal with this"
            " key: if links were switched before, this DB is an older copy or another one"
        )
    checked = await journal.check(database, key, heads)
    _no_bulk_job(checked)
    return Evidence(services, key, checked, notes)


def _no_bulk_job(checked: Checked) -> None:
    """Raises Blocked: while a bulk job may still change a record, reading the record settles nothing."""
    if jobs := {each.job for each in checked.open if each.job}:
        raise Blocked(
            f"changes of this journal still travel in bulk job {', '.join(sorted(jobs))}",
            hint=(
                "Finish them with the engine version that began them (",
                Command("run rollback"),
                "), then come back.",
            ),
        )


async def store(services: Services, key: str, content: bytes, headers: ContentHeaders = _NDJSON) -> str:
    """Put a new object into the destination bucket; why not, where that fails. An equal one that is there is fine."""

    async def once() -> None:
        try:
            await services.s3.destination.store(InMemory(ObjectFacts(len(content), headers=headers), content), key)
        except Occupied as taken:
            if taken.facts.size != len(content) or not await _holds(services, key, content):
                raise

    try:
        await retry(once, clock=services.clock, attempts=services.settings.migration.max_attempts)
    except EngineError as error:
        return str(error)
    except Occupied:
        return f"{key} is taken by something else"
    return ""


async def _holds(services: Services, key: str, content: bytes) -> bool:
    """Whether just this lies under the key: a lost answer, and not what somebody else has put there."""
    at = 0
    async with services.s3.ours.open(own(services.s3, key), ObjectFacts(len(content))) as reading:
        async for chunk in reading.chunks():
            if content[at : at + len(chunk)] != chunk:
                return False
            at += len(chunk)
    return at == len(content)


def _change(each: Open) -> Change:
    return Change(each.id, "", each.old, each.new, each.wave)


async def settle_first(services: Services, run_id: int, note: Callable[[Advice], None]) -> None:
    """For runs that change no links: what a killed switch or rollback left open is settled before anything else."""
    if not await services.ledger.database.read(journal.perhaps_open):
        return
    try:
        evidence = await gather_evidence(services)
    except (Blocked, Differs) as error:
        # a backup goes by what Salesforce says; only links may not move on a journal that does not hold
        note((f"link changes that a switch or rollback left open stay so: {error}. See ", Command("audit")))
        return
    found = await evidence.settle(evidence.begin(run_id))
    for text in evidence.notes:
        note(text)
    if found.total:
        note(f"{found.total:,} link changes that a switch or rollback left open were read: {found}")

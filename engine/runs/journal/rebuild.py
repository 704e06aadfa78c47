"""``engine db rebuild --from-bucket``: the journal of a lost or older tracking DB, from what the bucket keeps of it.

Rows that are missing here are added to the chain exactly as they were, each checked against the key, and the records'
rows follow them as they did in the run. A DB that was lost gets the rows of all records that the journal names; their
copies count as unproved, and the next backup proves them. Whatever was committed before a stop or a kill stays, and the
same command goes on behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from engine.limiting.clock import Clock, SystemClock, iso
from engine.limiting.side_by_side import side_by_side
from engine.model.change import ChainTip, Event
from engine.model.command import Advice, Command
from engine.model.errors import Blocked, Differs, EngineError, Paused, Transient, Usage
from engine.model.record import Scope
from engine.runs.journal.batches import Pins, Row
from engine.runs.journal.evidence import KEYS
from engine.runs.journal.in_bucket import BucketJournal, Found, journals_in
from engine.runs.journal.own_objects import folder
from engine.runs.journal.tips import passed_over
from engine.runs.shared.assembly import Services, assemble
from engine.runs.shared.command import to_type
from engine.runs.shared.preflight import check_own_org
from engine.runs.shared.screen import Screen
from engine.settings import Settings
from engine.tracking.db import chain
from engine.tracking.db.chain import Key
from engine.tracking.db.lock import RunLock
from engine.tracking.read import journal
from engine.tracking.write import rebuild as rows_back
from engine.tracking.write.rebuild import Copy

AGAIN = Command("db rebuild --from-bucket")
HEADS_AT_ONCE = 16


@dataclass(slots=True)
class Rebuilt:
    """What came back."""

    database: str
    journal: str = ""
    rows: int = 0
    """Of the journal now."""
    added: int = 0
    runs: list[int] = field(default_factory=list)
    """Whose rows were added."""
    records: int = 0
    """Records without a proved copy that the added rows name."""
    unformed: int = 0
    """Links among them that the settings' bucket and template do not make of any key."""
    notes: list[Advice] = field(default_factory=list)
    exit_code: int = 0

    def as_json(self) -> dict[str, Any]:
        return {
            "database": self.database,
            "journal": self.journal,
            "rows": self.rows,
            "added": self.added,
            "run_ids": self.runs,
            "runs": self.runs,
            "record_count": self.records,
            "records": self.records,
            "unformed": self.unformed,
            "notes": [to_type(note) for note in self.notes],
        }

    @property
    def next_steps(self) -> list[Advice]:
        steps: list[Advice] = []
        if self.records:
            steps.append((Command("run backup --full"), "   looks at every record, and proves the copies again"))
        return [*steps, (Command("run rollback --from-database"), "   shows what an undo would do")]

    def lines(self) -> list[str]:
        """The same for a person."""
        if self.added:
            what = f"added {self.added:,} rows of run {', '.join(map(str, self.runs))}; it has {self.rows:,} now"
        else:
            what = f"nothing was missing: {self.rows:,} rows, as in the bucket"
        lines = [f"The journal {self.journal}: {what}"]
        if self.records:
            lines.append(f"  {self.records:,} records are known again by their links; their copies are not proved yet")
        return lines + [f"  {to_type(note)}" for note in self.notes]


async def rebuild(settings: Settings, screen: Screen, name: str | None = None, clock: Clock | None = None) -> Rebuilt:
    """Add what is missing. ``name``: the journal that is meant, where the bucket keeps several. Raises Fatal."""
    clock = clock or SystemClock()
    if settings.migration.dry_run:
        raise Usage("migration.dry_run is set: no command writes anything", hint="unset it to rebuild the tracking DB")
    with RunLock(settings.tracking.database, clock, str(AGAIN)), screen.logging(settings):
        async with assemble(settings, clock, transport="fast") as services:
            try:
                return await _Rebuild(services, settings.snapshot()).run(name)
            except Transient as error:
                raise Paused(f"the bucket does not answer: {error}", hint=(AGAIN, "   goes on")) from error


class _Rebuild:
    def __init__(self, services: Services, config: dict[str, Any]) -> None:
        self._services = services
        self._database = services.ledger.database
        self._config = config
        self._rebuilt = Rebuilt(str(self._database.path))

    async def run(self, name: str | None) -> Rebuilt:
        services, rebuilt = self._services, self._rebuilt
        organization, _ = await check_own_org(services, Scope())
        here = Pins(organization.id, *services.object_and_field, services.ours.bucket)
        self._config |= {"org_id": organization.id}
        key = chain.load_key(services.journal_key, may_create=False)
        first = await self._database.read(journal.first_hash)
        known = (await journal.check(self._database, key, [])).tip
        found = await self._chosen(key, folder(key, first).split("/")[-2] if first else name)
        reading = BucketJournal(services.s3, services.retries, key, found, tip=known)
        async for rows in reading.rows():
            if reading.pins != here:
                raise Blocked(
                    f"the journal {found.name} is of {reading.pins}; here it is {here}",
                    hint="Log in to that org, with the same salesforce.object, salesforce.url_field and "
                    "destination.bucket.",
                )
            await self._add(rows)
        if not reading.tip.rows:
            raise Differs(
                f"the journal {found.name} holds no row that carries our HMAC: "
                f"{passed_over(reading.witness.passed_over, reading.witness.examples)}",
                hint="nothing was added. Bring the objects back (an earlier version of them, where the bucket keeps "
                f"versions), or the tracking DB; {KEYS}",
            )
        rebuilt.journal, rebuilt.rows = found.name, reading.tip.rows
        if reading.witness.passed_over:
            rebuilt.notes.append(passed_over(reading.witness.passed_over, reading.witness.examples))
        self._export(key, reading.tip)
        return rebuilt

    async def _chosen(self, key: Key, name: str | None) -> Found:
        bucket = self._services.s3.destination.bucket
        found = [
            each
            for each in (await journals_in(self._services.s3, self._services.retries)).values()
            if each.of(key) and each.batches
        ]
        wanted = [each for each in found if name in {None, each.name}]
        if not wanted:
            raise Blocked(
                f"{bucket} holds no rows of {'a journal with this key' if name is None else f'the journal {name}'}",
                hint="They are put there with switch.off_box: always. Undo from a rollback file, or bring the DB back.",
            )
        if len(wanted) > 1:
            raise Usage(
                f"{bucket} holds {len(wanted)} journals of this key: {', '.join(map(str, wanted))}",
                hint=(AGAIN, f" --journal {wanted[-1].name}   takes that one"),
            )
        return wanted[0]

    async def _add(self, rows: Sequence[Row]) -> None:
        """Add them in one transaction, with what they mean."""
        intents = {row.doclist_entry_id: row for row in rows if row.event == Event.INTENDED}
        unproved = await self._database.read(rows_back.without_proof(list(intents)))
        copies = await self._copies([intents[record].new_url for record in unproved])
        await self._database.write(partial(rows_back.add, rows=rows, copies=copies, config=self._config))
        rebuilt = self._rebuilt
        rebuilt.added += len(rows)
        rebuilt.records += len(unproved)
        rebuilt.unformed += sum(copy.key is None for copy in copies.values())
        rebuilt.runs += sorted({row.run_id for row in rows} - set(rebuilt.runs))

    async def _copies(self, links: Sequence[str]) -> dict[str, Copy]:
        """What the bucket says of the objects behind these links."""
        services, found = self._services, dict[str, Copy]()

        async def look(link: str) -> None:
            key = services.ours.link_template.key(link)
            facts = None
            if key is not None:
                try:
                    facts = await services.retries.of(partial(services.s3.destination.facts, key))
                except EngineError as error:
                    if isinstance(error, Transient):
                        raise
            found[link] = Copy(key) if facts is None else Copy(key, facts.size or 0, facts.etag)

        await side_by_side(links, look, at_once=HEADS_AT_ONCE)
        return found

    def _export(self, key: Key, tip: ChainTip) -> None:
        """The tip beside the DB, unless one is there that knows more. Raises Differs."""
        beside = chain.tip_path(self._database.path)
        if beside.exists():
            there = chain.read_tip(key, beside.read_bytes(), str(beside))
            if there.rows > tip.rows:
                raise Differs(
                    f"{beside} is of row {there.rows}, and the bucket holds no more than {tip.rows} rows",
                    hint=("What the bucket holds was added. Bring the latest DB back, or undo from a rollback file: ",
                          Command("run rollback --rollback-file FILE")),
                )  # fmt: skip
        if unformed := self._rebuilt.unformed:
            self._rebuilt.notes.append(
                f"{unformed:,} links are not made by destination.url_template: those records stay pending until it is "
                "again the one that made them; a rollback knows them all the same"
            )
        chain.write_tip(beside, chain.tip_document(key, tip, iso(self._services.clock.now())))

"""What is to be written of the scripts' records, decided some thousands at a time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.model.change import Held, LinkState, Step
from engine.model.errors import Blocked
from engine.model.failures import FailureClass
from engine.model.old_copy import Old
from engine.pipeline.placing import Placing
from engine.runs.legacy import deciding
from engine.runs.legacy.deciding import Becomes, Judgement
from engine.runs.legacy.proving import Prover
from engine.runs.legacy.rows import Reading
from engine.runs.legacy.tally import Tallied
from engine.runs.shared.assembly import Services
from engine.tracking.write import legacy as imported

STRANGE = 20
"""So many records, of which Salesforce knows none, are those of another org."""


class Chunks:
    """Of one import. ``file``: where the records come from."""

    def __init__(
        self, services: Services, file: Path, reading: Reading, places: Placing, prover: Prover, tallied: Tallied
    ) -> None:
        self._services = services
        self._file = file
        self._reading = reading
        self._places = places
        self._prover = prover
        self._tallied = tallied
        self._found = False
        """Salesforce knows at least one of the records."""

    async def decide(self, groups: Sequence[Sequence[Old]]) -> tuple[list[Becomes], list[Step]]:
        """The rows and the journal entries of these records, a group to a key. Raises Blocked and other Fatal."""
        olds = [old for group in groups for old in group]
        known = await self._services.ledger.database.read(imported.known((old.id, old.url) for old in olds))
        held = await self._held(olds)
        states = {old.id: deciding.where(old, held[old.id]) for old in olds if old.id in held}
        judgements = await self._prover.judgements([old for old in olds if old.id not in known])
        rows: list[Becomes] = []
        for group in groups:
            fresh = [old for old in group if old.id not in known]
            holder = next((old.id for old in group if old.id in known and known[old.id].key == old.key), "")
            shared = deciding.share([(old, judgements[old.id]) for old in fresh], states, holder)
            rows += [
                self._row(old, judgement, states.get(old.id)) for old, judgement in zip(fresh, shared, strict=True)
            ]
        # of a row that an import wrote before it was killed, the journal may still have to say all
        better = {name for name, row in known.items() if not row.imported}
        moved = [old for old in olds if deciding.journalled(old, states.get(old.id), known=old.id in better)]
        self._tallied.known += len(known)
        self._tallied.asked = self._prover.asked
        self._tallied.links.read += len(held)
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
        links = [old for old in olds if self._tallied.file.moved_by_them(old)]
        if not links:
            return {}
        database = self._services.ledger.database
        told = await database.read(imported.journalled((old.id, old.link) for old in links))
        wanted = [old.id for old in links if old.id not in told]
        self._tallied.links.journalled_before += len(told)
        held = await self._services.salesforce.links.read(wanted) if wanted else {}
        self._found = self._found or any(held.values())
        if not self._found and len(held) >= STRANGE:
            raise Blocked(
                f"this org knows none of the first {len(held):,} records of {self._file}",
                hint="Log in to the org that the original scripts worked on (salesforce.login_url), as a user who sees "
                "its records.",
            )
        return held

    def _stuck(self, old: Old, state: LinkState | None, held: Held | None) -> bool:
        """Whether its link was seen to be moved, and nothing is known that may be put back."""
        moved = state is LinkState.OURS or (held is not None and self._reading.in_our_bucket(held.url))
        return moved and deciding.lost(old)

    def _row(self, old: Old, judgement: Judgement, state: LinkState | None) -> Becomes:
        link = self._places.url_of(old.key)
        if judgement.proof is not None and state is not LinkState.OURS and not self._places.fits(link):
            judgement = Judgement(failure=FailureClass.URL_TOO_LONG, message=str(self._places.too_long(link)))
        return deciding.becomes(old, judgement, state, link)

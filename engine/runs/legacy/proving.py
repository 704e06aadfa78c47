"""Proves old copies: by listings and, where these say too little, by a HEAD of both sides or, if wanted, all bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from engine.limiting.side_by_side import side_by_side
from engine.model.copy import ProvedCopy
from engine.model.errors import Refused, Transient
from engine.model.facts import ObjectFacts, Proof
from engine.model.failures import FailureClass
from engine.model.old_copy import Old
from engine.model.outcome import Status
from engine.pipeline.presence import closed
from engine.pipeline.verify import Mismatch, prove
from engine.runs.legacy.deciding import Judgement, judge, other_file
from engine.runs.legacy.listing import OldListings
from engine.runs.shared.assembly import Services
from engine.runs.verify.sources import CopySources
from engine.tracking.read.copies import Copy

AT_ONCE = 64
"""Copies asked about side by side, at most."""
_NO_SUM = "neither side states a sum that the other one states too; --read-bytes compares all bytes"


class Prover:
    """Of one import. ``read_bytes``: sources and objects are read, where nothing else proves a copy."""

    def __init__(self, services: Services, listings: OldListings, at_once: int, *, read_bytes: bool) -> None:
        self._services = services
        self._listings = listings
        self._sources = CopySources(services)
        self._at_once = min(at_once, AT_ONCE)
        self._read_bytes = read_bytes
        self.asked = 0
        """Copies that were looked at by HEAD."""

    async def judgements(self, olds: Sequence[Old]) -> dict[str, Judgement]:
        """By record. Raises Fatal only: a store that is silent about a copy leaves it unproved."""
        ours, theirs = self._listings.facts(olds)
        found = {old.id: judge(old, ours.get(old.key), theirs.get(old.source_id)) for old in olds}
        asked = [old for old in olds if found[old.id].open]
        return found | (await self._by_head(asked) if asked else {})

    async def _by_head(self, olds: Sequence[Old]) -> dict[str, Judgement]:
        found: dict[str, Judgement] = {}
        copies = {old.id: _claim(old) for old in olds}
        await self._sources.learn(copies.values())

        async def look(old: Old) -> None:
            self.asked += 1
            try:
                found[old.id] = await self._look(old, copies[old.id])
            except (Refused, Transient) as error:
                found[old.id] = Judgement(failure=error.failure, message=str(error))

        await side_by_side(olds, look, at_once=self._at_once)
        return found

    async def _look(self, old: Old, copy: Copy) -> Judgement:
        services = self._services
        ours = await services.retries.of(partial(services.s3.destination.facts, old.key))
        if ours is None:
            return Judgement(failure=FailureClass.COPY_MISSING, message=f"there is no object {old.key}")
        if (problem := closed(ours)) is not None:
            return Judgement(failure=FailureClass.ARCHIVED, message=problem.message, ours=ours)
        try:
            theirs = await self._sources.facts(copy)
        except (Refused, Transient) as error:
            why = f"the source: {error}; what lies under {old.key} was left as it is"
            return Judgement(failure=error.failure, message=why, ours=ours)
        try:
            proof, sha256 = prove(theirs, ours), ""
            if proof is None and self._read_bytes:
                proof, sha256 = await self._by_bytes(old, copy, theirs, ours)
        except Mismatch:
            return other_file(old, ours, theirs)
        if proof is None:
            return Judgement(failure=FailureClass.UNPROVED, message=_NO_SUM, ours=ours, theirs=theirs)
        return Judgement(proof, ours=ours, theirs=theirs, sha256=sha256)

    async def _by_bytes(self, old: Old, copy: Copy, theirs: ObjectFacts, ours: ObjectFacts) -> tuple[Proof | None, str]:
        """Our bytes against what the source states; where that is not enough, against its bytes. Raises Mismatch."""
        place = self._services.locate(old.key)
        parts = await self._sources.parts(copy, theirs)
        sums = dict(await self._sources.sums_at(self._services.s3.ours, place, ours, parts))
        held = replace(ours, checksums=tuple({**dict(ours.checksums), **sums}.items()))
        proof = prove(theirs, held) or prove(theirs, held, await self._sources.sums(copy))
        return proof, sums["sha256"]


def _claim(old: Old) -> Copy:
    """What the scripts claim, as a verification knows claims."""
    proved = ProvedCopy(old.key, old.size or 0, "", "", Proof.SIZE)
    return Copy(0, old.id, Status.BACKED_UP, old.url, "", "", "", "", proved)

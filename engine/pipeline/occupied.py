"""A taken destination key is never overwritten. What lies there is compared first:

| what lies under the key                          | what happens                                            |
|--------------------------------------------------|---------------------------------------------------------|
| the source's bytes, proved                       | adopted: a lost answer, a killed run, a lost DB         |
| the same, in an archive, of a row that failed so | ``archived``, until it can be opened                    |
| nothing to compare by                            | both are read and hashed; equal: adopted                |
| our own copy of what the source held earlier     | the new content goes to ``{stem}~{etag8}{ext}``         |
| a write of ours that failed its proof            | replaced, on condition that it is still the same object |
| anything else; any of them behind our own link   | ``key_conflict``                                        |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from engine.model.errors import OwnCopy, Refused
from engine.model.facts import Method, ObjectFacts, Proof
from engine.model.failures import FailureClass
from engine.model.keys import fill_changed, holds
from engine.model.location import Location
from engine.model.plan import failed_write
from engine.model.ports import Destination, Source
from engine.pipeline.digest import ALWAYS, Sums, digest
from engine.pipeline.one_try import Copied, Job, Taken
from engine.pipeline.presence import closed
from engine.pipeline.verify import Mismatch, plain_proof, prove


class TakenKeys:
    """Finds out what lies under a key. ``reader`` reads our own objects, ``locate`` says where they lie."""

    def __init__(self, destination: Destination, reader: Source, locate: Callable[[str], Location]) -> None:
        self._destination = destination
        self._reader = reader
        self._locate = locate

    async def settle(self, job: Job, taken: Taken) -> Copied | None:
        """Adopt what lies there, or raise Refused. None: try once more, with the key and the permission to replace that
        the job's memory holds now."""
        plan, memory, known = job.plan, job.memory, job.plan.known
        facts, found, computed = taken.facts, taken.found, taken.computed
        if facts is memory.pinned and plain_proof(facts, found) is None:
            memory.unpin(plan)
            return None
        if (proof := await self._equal(job, facts, memory.key, found, computed)) is not None:
            if known is not None and known.failure == FailureClass.ARCHIVED and (problem := closed(found)) is not None:
                raise OwnCopy(FailureClass.ARCHIVED, problem.message)
            return _adopted(memory.key, facts, found, proof, computed)
        ours = known is not None and known.our_key == memory.key and known.destination_etag == found.etag
        spoilt = known is not None and (
            known.failed_write == failed_write(found.etag, memory.key) or (ours and not known.proof)
        )
        if spoilt and memory.bad_etag is None:
            memory.bad_etag = found.etag
            return None
        if known is not None and plan.record.url == known.our_url:
            why = f"our link leads to {memory.key}, which holds other content by now: restore that object's version in"
            raise Refused(FailureClass.KEY_CONFLICT, f"{why} the bucket, or put the link back with a rollback")
        if memory.key == plan.key:
            named = str(plan.source_id) if plan.by_link else job.location.identity  # links are others each time
            version = facts.etag or f"{named}|{facts.size}|{facts.last_modified}"
            other = fill_changed(plan.changed_key, version)
            if ours or (known is not None and known.proof and holds(known.our_key, plan.key, plan.room)):
                memory.key = other
                return None
            second = await self._destination.facts(other)
            if second is not None and (proof := await self._equal(job, facts, other, second, computed)) is not None:
                return _adopted(other, facts, second, proof, computed)
        msg = f"the destination key {memory.key} holds other content; it was left as it is"
        raise Refused(FailureClass.KEY_CONFLICT, msg)

    async def _equal(self, job: Job, facts: ObjectFacts, key: str, found: ObjectFacts, computed: Sums) -> Proof | None:
        """What proves that ``found`` holds the source's bytes; None: nothing does. Where sums do not tell, the source
        is read unless it has been, and our object last."""
        try:
            if (proof := prove(facts, found, computed)) is not None:
                return proof
            if found.size == 0 == facts.size:
                return Proof.SIZE
            if not ALWAYS & dict(computed).keys():  # a CRC alone, say, which our object may not state
                computed = await digest(job.route.source, job.location)
                if (proof := prove(facts, found, computed)) is not None:
                    return proof
            if found.archived:
                return None
            ours = await digest(self._reader, self._locate(key))
            sums = {**dict(found.checksums), **dict(ours)}
            return prove(facts, replace(found, checksums=tuple(sums.items())), computed)
        except Mismatch:
            return None


def _adopted(key: str, facts: ObjectFacts, found: ObjectFacts, proof: Proof, computed: Sums) -> Copied:
    if facts.size is None:
        facts = replace(facts, size=found.size)
    return Copied(Method.ADOPTED, key, facts, found, proof, computed)

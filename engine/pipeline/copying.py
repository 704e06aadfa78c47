"""One try at one plan: read, write, prove. Raises Transient or Refused; the loop around it is in ``transfer.py``.

A taken destination key is never overwritten. What lies there is compared first:

| what lies under the key                          | what happens                                            |
|--------------------------------------------------|---------------------------------------------------------|
| the source's bytes, proved                       | adopted: a lost answer, a killed run, a lost DB         |
| nothing to compare by                            | both are read and hashed; equal: adopted                |
| our own copy of what the source held earlier     | the new content goes to ``{stem}~{etag8}{ext}``         |
| a write of ours that failed its proof            | replaced, on condition that it is still the same object |
| anything else; any of them behind our own link   | ``key_conflict``                                        |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any

from engine.model.errors import Refused, Transient
from engine.model.facts import Method, ObjectFacts, Occupied, Proof, Stored, Uncopyable
from engine.model.failures import FailureClass
from engine.model.keys import fill_changed, holds
from engine.model.location import Location
from engine.model.outcome import Duplicate
from engine.model.plan import Plan, failed_write
from engine.model.ports import Destination, FastPath, Room, Source
from engine.model.value import value
from engine.pipeline.digest import Sums, digest
from engine.pipeline.routes import Route
from engine.pipeline.verify import Mismatch, prove

Renew = Callable[[], Awaitable[Location]]
"""Gets a fresh link, where links soon expire."""


@value
class Copied:
    """A proved copy."""

    method: Method
    key: str
    source: ObjectFacts
    copy: ObjectFacts
    proof: Proof
    computed: tuple[tuple[str, str], ...] = ()
    read_bytes: int = 0


@dataclass(slots=True)
class Memory:
    """What earlier tries at the same plan have learnt."""

    pinned: ObjectFacts | None
    """What a listing said of the source, as long as nothing speaks against it."""
    key: str
    bad_etag: str | None = None
    """ETag of a write of ours that failed its proof: the only thing a later try may replace."""
    tries: int = 0
    answered: bool = False
    """In the latest try the source has told what it is: what fails from there on may not be its fault."""

    doubted: bool = False
    """The source was not what was said of it before: it must say the same twice now."""

    def unpin(self, plan: Plan) -> None:
        """Forget what the listing said, and the key chosen by it."""
        self.pinned, self.doubted, self.key = None, True, plan.key


class _Retarget(Exception):
    """The key or the permission to replace has changed in memory: go round once more."""


class _Crowded(Exception):
    """There is no memory now for the stream that was opened; its source is ``facts``."""

    def __init__(self, facts: ObjectFacts) -> None:
        super().__init__()
        self.facts = facts


class _Taken(Exception):
    """The destination key holds ``found``; the source is ``facts``, its bytes ``computed`` if they have been read."""

    def __init__(self, facts: ObjectFacts, found: ObjectFacts, computed: Sums = ()) -> None:
        super().__init__()
        self.facts = facts
        self.found = found
        self.computed = computed


@value
class _Job:
    plan: Plan
    location: Location
    route: Route
    memory: Memory
    renew: Renew | None = None


class Copying:
    """Everything one try needs; stateless between plans."""

    def __init__(
        self,
        destination: Destination,
        destination_reader: Source,
        locate: Callable[[str], Location],
        *,
        max_bytes: int | None,
        fast_path: FastPath | None = None,
    ) -> None:
        self._fast_path = fast_path
        self._destination = destination
        self._reader = destination_reader
        self._locate = locate
        self._max_bytes = max_bytes
        self._keys_are_taken = False

    def quick(self, plan: Plan, memory: Memory) -> Coroutine[Any, Any, Copied | None] | None:
        """The short way of ``copy`` by the server, for a plan met for the first time; None where there is none.

        It comes to None where ``copy`` must see to it.
        """
        facts = memory.pinned
        if self._fast_path is None or facts is None or plan.known is not None or plan.duplicate is not None:
            return None
        copying = self._fast_path.copy(plan.source, facts, plan.key)
        return None if copying is None else self._quickly(copying, facts, memory)

    async def _quickly(
        self, copying: Coroutine[Any, Any, Stored | None], facts: ObjectFacts, memory: Memory
    ) -> Copied | None:
        stored = await copying
        if stored is None:
            return None
        proof = _plain_proof(facts, stored.facts)
        if proof is None:
            memory.bad_etag = stored.facts.etag or None  # ours: the usual way may write it anew, and finds other proofs
            return None
        return Copied(Method.SERVER_COPY, memory.key, facts, stored.facts, proof)

    async def copy(
        self, plan: Plan, location: Location, route: Route, memory: Memory, renew: Renew | None = None
    ) -> Copied:
        """Copy from the source itself."""
        job = _Job(plan, location, route, memory, renew)
        attempt = self._server_copy if route.method is Method.SERVER_COPY else self._stream
        for _ in range(4):
            try:
                try:
                    return await attempt(job)
                except _Taken as taken:  # by now no stream is open: comparing opens others, and both sides are counted
                    return await self._settle(job, taken)
            except _Retarget:
                continue
            except Transient as error:
                if error.failure is not FailureClass.SOURCE_CHANGED or memory.pinned is None:
                    raise
                memory.unpin(plan)  # it changed since it was listed, which is no failure
        msg = f"the destination key {memory.key} keeps changing under our hands"
        raise Refused(FailureClass.KEY_CONFLICT, msg)

    async def copy_duplicate(self, plan: Plan, duplicate: Duplicate, memory: Memory) -> Copied | None:
        """Copy another record's proved copy; None when it is no longer there as recorded or cannot be read (archived),
        or our key is taken by what is not proved to equal it: then the source itself is to be asked."""
        facts = await self._destination.facts(duplicate.key)
        if facts is None or facts.etag != duplicate.destination_etag or facts.archived:
            return None
        try:
            stored = await self._destination.copy_within(duplicate.key, facts, plan.key)
        except Occupied as taken:
            if (proof := _plain_proof(facts, taken.facts)) is None:
                return None
            stored = Stored(taken.facts)
        except Uncopyable:
            return None
        else:
            try:
                proof = prove(facts, stored.facts)
            except Mismatch:
                memory.bad_etag = stored.facts.etag or None
                return None
        weakest = max(proof or Proof.SIZE, duplicate.proof, key=list(Proof).index)
        source = replace(facts, etag=duplicate.source_etag)
        return Copied(
            Method.TWIN,
            plan.key,
            source,
            stored.facts,
            weakest,
            (("sha256", duplicate.sha256),) if duplicate.sha256 else (),
        )

    async def _server_copy(self, job: _Job) -> Copied:
        memory = job.memory
        facts = memory.pinned or await job.route.source.facts(job.location)
        self._aim(job, facts)
        try:
            stored = await self._destination.copy(job.location, facts, memory.key, replace_etag=memory.bad_etag)
        except Occupied as taken:
            raise _Taken(facts, taken.facts) from None
        except Uncopyable:
            return await self._stream(replace(job, route=replace(job.route, method=Method.STREAM)))
        return await self._accepted(job, facts, stored)

    async def _stream(self, job: _Job) -> Copied:
        """Memory comes first: a body that is open while its reader waits is soon cut off by its server."""
        if self._keys_are_taken and job.memory.bad_etag is None:
            await self._look_first(job)
        wanted = job.memory.pinned
        if wanted is None and job.memory.doubted:
            wanted = await job.route.source.facts(job.location)  # an answer that went astray would not agree with it
        async with self._destination.room(None if wanted is None else wanted.size) as room:
            for _ in range(3):
                try:
                    return await self._through(job, wanted, room)
                except _Crowded as crowded:
                    wanted = crowded.facts
                await room.wait_for(wanted.size)
                if job.renew is not None:
                    job = replace(job, location=await job.renew())
        msg = "the source tells another length each time it is asked"
        raise Transient(FailureClass.NETWORK, msg)

    async def _look_first(self, job: _Job) -> None:
        """Where one key after the other is found taken, after the loss of a DB, no body is read for nothing."""
        memory = job.memory
        facts = memory.pinned or await job.route.source.facts(job.location)
        self._aim(job, facts)
        found = await self._destination.facts(memory.key)
        self._keys_are_taken = found is not None
        if found is not None:
            raise _Taken(facts, found)

    async def _through(self, job: _Job, wanted: ObjectFacts | None, room: Room) -> Copied:
        memory = job.memory
        async with job.route.source.open(job.location, wanted) as stream:
            facts = stream.facts
            self._aim(job, facts)
            if not await room.fits(facts.size):
                raise _Crowded(facts)
            try:
                stored = await self._destination.store(stream, memory.key, replace_etag=memory.bad_etag, room=room)
            except Occupied as taken:
                self._keys_are_taken = True
                raise _Taken(facts, taken.facts, taken.computed) from None
            return await self._accepted(job, facts, stored)

    def _aim(self, job: _Job, facts: ObjectFacts) -> None:
        """Whether the source may be copied at all, and to which key: content that changed since goes to another."""
        job.memory.answered = True
        if facts.archived:
            msg = f"the object is archived ({facts.storage_class}); ask the vendor to restore it"
            raise Refused(FailureClass.ARCHIVED, msg)
        if self._max_bytes is not None and facts.size is not None and facts.size > self._max_bytes:
            msg = f"{facts.size} bytes, more than migration.max_file_size_mb allows"
            raise Refused(FailureClass.TOO_LARGE, msg)
        memory, known = job.memory, job.plan.known
        if (
            known is not None
            and known.proof
            and known.our_key == memory.key == job.plan.key
            and facts.etag
            and known.source_etag not in {"", facts.etag}
            and (job.location.in_s3 or facts.size != known.size)  # another web server may give another ETag
        ):
            if job.plan.record.url == known.our_url:
                msg = "the copy behind our link is gone or differs, and its source has changed since: no copy under"
                raise Refused(
                    FailureClass.SOURCE_CHANGED, f"{msg} another key mends that link; engine verify says what does"
                )
            memory.key = fill_changed(job.plan.changed_key, facts.etag)

    async def _accepted(self, job: _Job, facts: ObjectFacts, stored: Stored) -> Copied:
        """The copy, once it is proved. Raises Transient where it differs."""
        memory = job.memory
        try:
            if facts is memory.pinned:
                facts, proof = await self._judge(job, facts, stored)
            else:
                facts = replace(facts, size=facts.size if facts.size is not None else stored.read_bytes)
                proof = prove(facts, stored.facts, stored.computed)
        except Mismatch as error:
            memory.bad_etag = stored.facts.etag or None
            msg = f"the copy differs from the source in {error}"
            raise Transient(FailureClass.CHECKSUM_MISMATCH, msg) from error
        proof = proof or Proof.SIZE
        return Copied(job.route.method, memory.key, facts, stored.facts, proof, stored.computed, stored.read_bytes)

    async def _judge(self, job: _Job, listed: ObjectFacts, stored: Stored) -> tuple[ObjectFacts, Proof | None]:
        """``prove`` for a source known from a listing only, which says nothing of checksums and of SSE-KMS: where ETags
        do not settle it, both sides are looked at. Raises Differs, Transient, Refused."""
        differs = False
        try:
            if (proof := prove(listed, stored.facts)) is not None:
                return listed, proof
        except Mismatch:
            differs = True
        job.memory.pinned = None
        source = await job.route.source.facts(job.location)
        if source.etag != listed.etag:
            job.memory.bad_etag = stored.facts.etag or None
            raise Transient(FailureClass.SOURCE_CHANGED, "the source changed while it was copied")
        copy = await self._destination.facts(job.memory.key) if differs else None
        return source, prove(source, copy or stored.facts)

    async def _settle(self, job: _Job, taken: _Taken) -> Copied:
        """The key is taken: adopt, find another key, replace our own bad write, or give up. See the module's table."""
        plan, memory, known = job.plan, job.memory, job.plan.known
        facts, found, computed = taken.facts, taken.found, taken.computed
        if facts is memory.pinned and _plain_proof(facts, found) is None:
            memory.unpin(plan)
            raise _Retarget
        if (proof := await self._equal(job, facts, memory.key, found, computed)) is not None:
            return _adopted(memory.key, facts, found, proof, computed)
        ours = known is not None and known.our_key == memory.key and known.destination_etag == found.etag
        spoilt = known is not None and (
            known.failed_write == failed_write(found.etag, memory.key) or (ours and not known.proof)
        )
        if spoilt and memory.bad_etag is None:
            memory.bad_etag = found.etag
            raise _Retarget
        if known is not None and plan.record.url == known.our_url:
            msg = f"our link leads to {memory.key}, which holds other content by now: restore that object's version in"
            raise Refused(FailureClass.KEY_CONFLICT, f"{msg} the bucket, or put the link back with engine run rollback")
        if memory.key == plan.key:
            named = str(plan.source_id) if plan.by_link else job.location.identity  # links are others each time
            version = facts.etag or f"{named}|{facts.size}|{facts.last_modified}"
            other = fill_changed(plan.changed_key, version)
            if ours or (known is not None and known.proof and holds(known.our_key, plan.key, plan.room)):
                memory.key = other
                raise _Retarget
            second = await self._destination.facts(other)
            if second is not None and (proof := await self._equal(job, facts, other, second, computed)) is not None:
                return _adopted(other, facts, second, proof, computed)
        msg = f"the destination key {memory.key} holds other content; it was left as it is"
        raise Refused(FailureClass.KEY_CONFLICT, msg)

    async def _equal(self, job: _Job, facts: ObjectFacts, key: str, found: ObjectFacts, computed: Sums) -> Proof | None:
        """What proves that ``found`` holds the source's bytes; None: nothing does. Where sums do not tell, the source
        is read unless it has been, and our object last."""
        try:
            if (proof := prove(facts, found, computed)) is not None:
                return proof
            if found.size == 0 == facts.size:
                return Proof.SIZE
            if not computed:
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


def _plain_proof(listed: ObjectFacts, found: ObjectFacts) -> Proof | None:
    """What a listing alone proves, if anything: it lacks checksums, and under SSE-KMS its ETags are no MD5."""
    try:
        return prove(listed, found)
    except Mismatch:
        return None

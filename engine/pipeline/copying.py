"""One try at one plan: read, write, prove. Raises Transient or Refused; the loop around it is in ``transfer.py``."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

from engine.model.errors import Refused, Transient
from engine.model.facts import Method, ObjectFacts, Occupied, Proof, Stored, Uncopyable
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.outcome import Duplicate
from engine.model.plan import Plan
from engine.model.ports import Destination, FastPath, Room, ShortStream, Source
from engine.pipeline.occupied import TakenKeys
from engine.pipeline.one_try import Copied, Job, Memory, Renew, Taken
from engine.pipeline.routes import Route
from engine.pipeline.verify import Mismatch, plain_proof, prove


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
        short_stream: ShortStream | None = None,
    ) -> None:
        self._fast_path = fast_path
        self._short_stream = short_stream
        self._destination = destination
        self._taken_keys = TakenKeys(destination, destination_reader, locate)
        self._max_bytes = max_bytes
        self._keys_are_taken = False

    def quick(self, plan: Plan, memory: Memory, method: Method) -> Coroutine[Any, Any, Copied | None] | None:
        """The short way of ``copy`` by this method, for a plan met for the first time; None where there is none.

        It comes to None where ``copy`` must see to it.
        """
        facts = memory.pinned
        if facts is None or plan.known is not None or plan.duplicate is not None:
            return None
        if method is Method.STREAM and self._short_stream is not None and not (self._keys_are_taken or plan.repeated):
            streaming = self._short_stream.copy(plan.source, facts, plan.key)
            return None if streaming is None else self._shortly(streaming, memory)
        if method is not Method.SERVER_COPY or self._fast_path is None:
            return None
        copying = self._fast_path.copy(plan.source, facts, plan.key)
        return None if copying is None else self._quickly(copying, facts, memory)

    async def _quickly(
        self, copying: Coroutine[Any, Any, Stored | None], facts: ObjectFacts, memory: Memory
    ) -> Copied | None:
        stored = await copying
        if stored is None:
            return None
        proof = plain_proof(facts, stored.facts)
        if proof is None:
            memory.bad_etag = stored.facts.etag or None  # ours: the usual way may write it anew, and finds other proofs
            return None
        return Copied(Method.SERVER_COPY, memory.key, facts, stored.facts, proof)

    async def _shortly(
        self, streaming: Coroutine[Any, Any, tuple[ObjectFacts, Stored] | None], memory: Memory
    ) -> Copied | None:
        if (done := await streaming) is None:
            return None
        facts, stored = done
        try:
            proof = prove(facts, stored.facts, stored.computed)
        except Mismatch:
            memory.bad_etag = stored.facts.etag or None
            return None
        proof = proof or Proof.SIZE
        return Copied(Method.STREAM, memory.key, facts, stored.facts, proof, stored.computed, stored.read_bytes)

    async def copy(
        self, plan: Plan, location: Location, route: Route, memory: Memory, renew: Renew | None = None
    ) -> Copied:
        """Copy from the source itself."""
        job = Job(plan, location, route, memory, renew)
        attempt = self._server_copy if route.method is Method.SERVER_COPY else self._stream
        for _ in range(4):
            try:
                try:
                    return await attempt(job)
                except Taken as taken:  # by now no stream is open: comparing opens others, and both sides are counted
                    if (adopted := await self._taken_keys.settle(job, taken)) is not None:
                        return adopted
            except Transient as error:
                if error.failure is not FailureClass.SOURCE_CHANGED or memory.pinned is None:
                    raise
                memory.unpin(plan)  # it changed since it was listed, which is no failure
        msg = f"the destination key {memory.key} changes again and again while it is checked"
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
            if taken.facts.archived or (proof := plain_proof(facts, taken.facts)) is None:
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
            Method.DUPLICATE,
            plan.key,
            source,
            stored.facts,
            weakest,
            (("sha256", duplicate.sha256),) if duplicate.sha256 else (),
        )

    async def _server_copy(self, job: Job) -> Copied:
        memory = job.memory
        facts = memory.pinned or await job.route.source.facts(job.location)
        job.aim(facts, self._max_bytes)
        try:
            stored = await self._destination.copy(job.location, facts, memory.key, replace_etag=memory.bad_etag)
        except Occupied as taken:
            raise Taken(facts, taken.facts) from None
        except Uncopyable:
            return await self._stream(replace(job, route=replace(job.route, method=Method.STREAM)))
        return await self._accepted(job, facts, stored)

    async def _stream(self, job: Job) -> Copied:
        """Memory comes first: a body that is open while its reader waits is soon cut off by its server."""
        if (self._keys_are_taken or job.plan.repeated) and job.memory.bad_etag is None:
            await self._look_first(job)
        wanted = job.memory.pinned
        if wanted is None and job.memory.doubted:
            wanted = await job.route.source.facts(job.location)  # an answer that went astray would not agree with it
        async with self._destination.room(None if wanted is None else wanted.size) as room:
            for _ in range(3):
                done = await self._through(job, wanted, room)
                if isinstance(done, Copied):
                    return done
                wanted = done
                await room.wait_for(wanted.size)
                if job.renew is not None:
                    job = replace(job, location=await job.renew())
        msg = "the source states a different length each time"
        raise Transient(FailureClass.NETWORK, msg)

    async def _look_first(self, job: Job) -> None:
        """Where one key after the other is found taken, after the loss of a DB, no body is read for nothing."""
        memory = job.memory
        facts = memory.pinned or await job.route.source.facts(job.location)
        job.aim(facts, self._max_bytes)
        found = await self._destination.facts(memory.key)
        self._keys_are_taken = found is not None
        if found is not None:
            raise Taken(facts, found)

    async def _through(self, job: Job, wanted: ObjectFacts | None, room: Room) -> Copied | ObjectFacts:
        """The copy; where there is no memory now for the stream that was opened, what its source is."""
        memory = job.memory
        async with job.route.source.open(job.location, wanted) as stream:
            facts = stream.facts
            job.aim(facts, self._max_bytes)
            if not await room.fits(facts.size):
                return facts
            try:
                stored = await self._destination.store(stream, memory.key, replace_etag=memory.bad_etag, room=room)
            except Occupied as taken:
                self._keys_are_taken = True
                raise Taken(facts, taken.facts, taken.computed) from None
            return await self._accepted(job, facts, stored)

    async def _accepted(self, job: Job, facts: ObjectFacts, stored: Stored) -> Copied:
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

    async def _judge(self, job: Job, listed: ObjectFacts, stored: Stored) -> tuple[ObjectFacts, Proof | None]:
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

"""A stream into the destination: one PUT while it is small, a multipart upload when it is not; sums over every byte."""

from __future__ import annotations

from collections.abc import Sequence

from engine.model.facts import ObjectFacts, Occupied, Stored
from engine.model.ports import ByteStream
from engine.s3.api.answers import Answer, Bytes, Fields
from engine.s3.transfer.blocks import Blocks, Spend
from engine.s3.transfer.copying import PartTry
from engine.s3.transfer.facts import request_headers, sum_header, tagging, written
from engine.s3.transfer.guard import Guard
from engine.s3.transfer.hashing import Sums, computable, hashed, md5_of
from engine.s3.transfer.in_parts import PartStorer, Passing, StoreTraits
from engine.s3.transfer.memory import Memory, Room
from engine.s3.transfer.multipart import Multipart
from engine.s3.transfer.parts import MIN_PART
from engine.s3.transfer.promised import check, names_md5, wrong_length
from engine.s3.transfer.target import Bucket, WritePolicy


class Storer:
    """Writes streams into one bucket."""

    def __init__(
        self,
        bucket: Bucket,
        guard: Guard,
        multipart: Multipart,
        policy: WritePolicy,
        part_try: PartTry,
        memory: Memory,
        spend: Spend | None,
    ) -> None:
        self._bucket = bucket
        self._guard = guard
        self._policy = policy
        self.memory = memory
        self._spend = spend
        self._traits = StoreTraits()
        self._parts = PartStorer(bucket, multipart, policy, part_try, memory, self._traits)

    def room(self) -> Room:
        """Room for one stream to come; whoever takes it releases it."""
        return Room(self.memory)

    async def whole(self, facts: ObjectFacts, key: str, body: memoryview) -> Stored:
        """Write what is in memory as a whole, at a free key. Raises as ``store``."""
        if self._spend is not None:
            await self._spend(len(body))
        return await self._put(facts, key, None, body, ())

    async def store(self, stream: ByteStream, key: str, replace_etag: str | None, room: Room) -> Stored:
        """``room`` fits the stream; what is left of it stays its owner's. Raises Occupied, StoreError, EngineError."""
        facts, sizes = stream.facts, self._policy.sizes
        # where the source states a checksum of the whole, its ETag of parts adds no proof
        parts = () if not facts.etag_parts or computable(dict(facts.checksums)) else await stream.parts()
        if stream.whole is not None and len(stream.whole) <= sizes.part:
            if self._spend is not None:
                await self._spend(len(stream.whole))
            return await self._put(facts, key, replace_etag, stream.whole, parts)
        size = facts.size
        first = sizes.first(size)
        as_made = len(parts) > 1 and min(parts[:-1]) >= MIN_PART and max(parts) <= first
        blocks = Blocks(stream.chunks(), self._spend, stream.fill)
        claim = room.first(size)
        if as_made and first != size:
            claim.narrow(parts[0])
        sums = self._wanted(facts, () if as_made else parts)
        passing = Passing(facts, key, replace_etag, blocks, sums, claim, as_made)
        try:
            block = await claim.fill(blocks)
            if await blocks.at_end() and not (as_made and len(block) == size):
                return await self._put(facts, key, replace_etag, block, parts)
            if first == size and not as_made:
                raise wrong_length(facts, key, f"more than {first}")
            await self._guard.must_be_free(key, unless=replace_etag)
            return await self._parts.store(passing, block, parts)
        finally:
            passing.claim.release()
            await blocks.close()

    def _wanted(self, source: ObjectFacts, parts: Sequence[int]) -> Sums:
        """What is to be summed of a stream that goes by parts: its MD5 only where the source states nothing else that
        can be computed, for it costs as much as everything else together."""
        names = set(computable(dict(source.checksums)))
        if not names and names_md5(source):
            names.add("md5")
        # composites of SHA-256 prove the parts, so that of the whole is only for the record
        names |= self._policy.of_all if self._policy.crc or self._policy.file_hash else set()
        return Sums(sorted(names), parts)

    async def _put(
        self, source: ObjectFacts, key: str, replace_etag: str | None, body: Bytes, parts: Sequence[int]
    ) -> Stored:
        traits, bucket, policy = self._traits, self._bucket, self._policy
        names = policy.of_all | set(computable(dict(source.checksums)))
        # a store that shows no checksums shows an MD5 at best, and the source's own will do to compare that with
        if not (traits.shows_sums or names_md5(source)):
            names |= {"md5"}
        sums = Sums(sorted(names), parts)
        await sums.add(body)
        computed = sums.computed()
        check(source, computed, sums.size, key)
        digest, sha256 = sums.of(policy.checksum), sums.of("sha256")
        assert digest is not None
        name, value = sum_header(policy.checksum, digest)
        headers = {**request_headers(source.headers), **policy.placed, **bucket.always}

        async def send(more: Fields) -> Answer:
            async def tagged(tags: Fields) -> Answer:
                async def put(sums: Fields) -> Answer:
                    asked = {**headers, **more, **sums, **tags}
                    signed = await bucket.signed(body, sha256, summed=bool(sums))
                    return await bucket.client.put(bucket.name, key, body, asked, sha256=signed)

                return await traits.sums.send(put, {name: value})

            return await policy.tags.send(tagged, tagging(source.headers), bucket.name)

        try:
            answer = await self._guard.write(key, send, replace_etag=replace_etag)
        except Occupied as taken:
            raise Occupied(taken.facts, computed) from None
        traits.shows_sums = traits.shows_sums or name in answer.fields
        facts = written(answer, len(body), source.headers)
        if names_md5(source) and not facts.etag_is_md5:  # SSE-KMS, say: only an MD5 of ours can tell
            computed += (("md5", (await hashed(len(body), lambda: md5_of(body))).hex()),)
        return Stored(facts, len(body), computed)

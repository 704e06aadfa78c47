"""A stream into the destination: one PUT while it is small, parts in flight when it is not; sums over every byte.

Memory: at most four parts in flight and one being filled per file, all within the shared byte budget; beyond it at most
a quarter as much is kept to be used again. Room for the first block comes before the stream is opened; a part holds its
claim until it is stored and needs no other to get there, so files cannot lock each other out. As many files go by parts
at once as may have two parts each: more would wait for memory with their bodies open.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, repeat
from typing import Protocol

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.side_by_side import first_of
from engine.model.errors import Transient
from engine.model.facts import ObjectFacts, Occupied, Stored
from engine.model.failures import FailureClass
from engine.model.sums import multipart_etag
from engine.s3.api.answers import Answer, Bytes, Fields, Fill, Part
from engine.s3.api.client import S3Client
from engine.s3.api.sigv4 import UNSIGNED
from engine.s3.transfer.blocks import Blocks, Buffers, MemoryClaim, Room, Spend
from engine.s3.transfer.copying import PartTry
from engine.s3.transfer.extras import Extra, Tags
from engine.s3.transfer.facts import etag_is_md5, request_headers, sum_header, tagging, written
from engine.s3.transfer.guard import Guard
from engine.s3.transfer.hashing import Sums, composite_sha256, computable, crc64nvme, hashed
from engine.s3.transfer.multipart import Multipart, Upload
from engine.s3.transfer.parts import MIN_PART, growing, part_size

PARTS_AT_ONCE = 4


class ByteStream(Protocol):
    """An object being read; see ``model/ports.py``."""

    @property
    def facts(self) -> ObjectFacts: ...

    @property
    def whole(self) -> bytes | None: ...

    def chunks(self) -> AsyncIterator[Bytes]: ...

    @property
    def fill(self) -> Fill | None: ...

    async def parts(self) -> Sequence[int]: ...


@dataclass(slots=True)
class Passing:
    """One stream on its way, and what has been summed of it so far."""

    facts: ObjectFacts
    key: str
    replace_etag: str | None
    blocks: Blocks
    sums: Sums
    claim: MemoryClaim
    as_made: bool = False
    """It is stored in the very parts that its source was made of: then their MD5s make the source's ETag."""
    md5s: dict[int, bytes] = field(default_factory=dict)
    """By part: where the store shows no checksums of parts, or the source's ETag is made of them."""
    confirmed: int = 0
    """Parts whose MD5 ETag the store has shown, of bytes that are known to be ours."""
    sha256s: list[bytes] = field(default_factory=list)
    """Of each part, where they are what proves it."""


class Storer:
    """Writes streams into one bucket. ``checksum``: ``sha256`` or ``crc64nvme``; ``put_limit`` bytes go by one PUT."""

    def __init__(
        self,
        client: S3Client,
        bucket: str,
        guard: Guard,
        multipart: Multipart,
        *,
        always: Fields,
        placed: Fields,
        part_try: PartTry,
        budget: BytesInFlight,
        part_bytes: int,
        put_limit: int,
        checksum: str,
        spend: Spend | None,
        tags: Tags,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._guard = guard
        self._multipart = multipart
        self._always = always
        self._placed = placed
        self._part_try = part_try
        self._budget = budget
        self._buffers = Buffers(part_bytes, budget.capacity // 4)
        self._lanes = asyncio.Semaphore(max(1, budget.capacity // (2 * part_bytes)))
        self._part_bytes = part_bytes
        self._put_limit = put_limit
        self._crc = checksum == "crc64nvme"
        self._checksum = checksum
        self._spend = spend
        self._shows_sums = False  # MD5s are computed until the store has answered a write with its checksum
        self._shows_parts: bool | None = None  # the same of parts: whether the store has compared what it got
        self._sums = Extra()  # whether writes carry a checksum header
        self._tags = tags

    def room(self) -> Room:
        """Room for one stream to come; whoever takes it releases it."""
        return Room(self._budget, self._buffers, self._lanes, self._first, self._in_parts)

    def _first(self, size: int | None) -> int:
        if size is not None and not self._in_parts(size):
            return size
        return self._part_bytes if size is None else part_size(size, self._part_bytes)

    def _in_parts(self, size: int | None) -> bool:
        return size is None or size > self._put_limit

    async def store(self, stream: ByteStream, key: str, replace_etag: str | None, room: Room) -> Stored:
        """``room`` fits the stream; what of it is not used is left to its owner. Raises Occupied, StoreError,
        EngineError."""
        facts = stream.facts
        # where the source states a checksum of the whole, its ETag of parts adds nothing that could be told from it
        parts = () if not facts.etag_parts or computable(dict(facts.checksums)) else await stream.parts()
        if stream.whole is not None and len(stream.whole) <= self._part_bytes:
            if self._spend is not None:
                await self._spend(len(stream.whole))
            return await self._put(facts, key, replace_etag, stream.whole, parts)
        size = facts.size
        first = self._first(size)
        as_made = len(parts) > 1 and min(parts[:-1]) >= MIN_PART and max(parts) <= first
        blocks = Blocks(stream.chunks(), self._spend, stream.fill)
        claim = room.memory(size)
        if as_made and first != size:
            claim.narrow(parts[0])
        passing = Passing(
            facts, key, replace_etag, blocks, self._wanted(facts, () if as_made else parts), claim, as_made
        )
        try:
            block = await claim.fill(blocks)
            if await blocks.at_end() and not (as_made and len(block) == size):
                return await self._put(facts, key, replace_etag, block, parts)
            if first == size and not as_made:
                raise _wrong_length(facts, key, f"more than {first}")
            await self._guard.must_be_free(key, unless=replace_etag)
            return await self._by_parts(passing, self._pieces(passing, block, parts))
        finally:
            passing.claim.release()
            await blocks.close()

    def _wanted(self, source: ObjectFacts, parts: Sequence[int]) -> Sums:
        """What is to be summed of a stream that goes by parts: its MD5 only where the source states nothing else that
        can be computed, for it costs as much as everything else together."""
        names = set(computable(dict(source.checksums)))
        if not names and _names_md5(source):
            names.add("md5")
        if self._crc:
            names.add("crc64nvme")
        return Sums(sorted(names), parts)

    async def _put(
        self, source: ObjectFacts, key: str, replace_etag: str | None, body: Bytes, parts: Sequence[int]
    ) -> Stored:
        names = set(computable(dict(source.checksums)))
        if self._crc:
            names.add("crc64nvme")
        # a store that shows no checksums shows an MD5 at best, and the source's own will do to compare that with
        if not (self._shows_sums or _names_md5(source)):
            names.add("md5")
        sums = Sums(sorted(names), parts)
        await sums.add(body)
        computed = _check(source, sums.computed(), sums.size, key)
        digest = sums.sha256
        name, value = sum_header(self._checksum, (sums.crc64nvme or digest) if self._crc else digest)
        headers = {**request_headers(source.headers), **self._placed, **self._always}
        sha256 = digest.hex()

        async def send(more: Fields) -> Answer:
            async def tagged(tags: Fields) -> Answer:
                async def put(sums: Fields) -> Answer:
                    asked = {**headers, **more, **sums, **tags}
                    return await self._client.put(self._bucket, key, body, asked, sha256=sha256)

                return await self._sums.send(put, {name: value})

            return await self._tags.send(tagged, tagging(source.headers), self._bucket)

        try:
            answer = await self._guard.write(key, send, replace_etag=replace_etag)
        except Occupied as taken:
            raise Occupied(taken.facts, computed) from None
        self._shows_sums = self._shows_sums or name in answer.fields
        facts = written(answer, len(body), source.headers)
        if _names_md5(source) and not facts.etag_is_md5:  # SSE-KMS, say: only an MD5 of ours can tell
            md5 = await hashed(len(body), lambda: hashlib.md5(body, usedforsecurity=False).hexdigest())
            computed += (("md5", md5),)
        return Stored(facts, len(body), computed)

    async def _pieces(
        self, passing: Passing, block: Bytes, parts: Sequence[int]
    ) -> AsyncIterator[tuple[Bytes, MemoryClaim | None]]:
        """What each part takes, and the claim that it lets go of: none where the first block was all of it."""
        size = passing.facts.size
        sizes = growing(self._part_bytes) if size is None else repeat(part_size(size, self._part_bytes))
        if passing.as_made and len(block) == size:
            for nbytes in parts:
                yield block[:nbytes], None
                block = block[nbytes:]
            return
        for nbytes in islice(parts if passing.as_made else sizes, 1, None):
            yield block, passing.claim
            block = b""
            if await passing.blocks.at_end():
                return
            passing.claim = await MemoryClaim.more(self._budget, nbytes, self._buffers)
            block = await passing.claim.fill(passing.blocks)
        yield block, passing.claim
        if not await passing.blocks.at_end():
            raise _wrong_length(passing.facts, passing.key, "more than its parts hold")

    async def _by_parts(self, passing: Passing, pieces: AsyncIterator[tuple[Bytes, MemoryClaim | None]]) -> Stored:
        limiter = asyncio.Semaphore(PARTS_AT_ONCE)
        headers = {**request_headers(passing.facts.headers), **self._placed}
        by_md5 = not self._shows_parts
        kind = "FULL_OBJECT" if self._crc else "COMPOSITE"
        named = {"x-amz-checksum-algorithm": self._checksum.upper(), "x-amz-checksum-type": kind}
        if not self._declares:
            named = {}
        begun = self._multipart.begin(passing.key, headers, sums=named, tags=tagging(passing.facts.headers))
        async with begun as upload:
            try:
                async with asyncio.TaskGroup() as parts:
                    number = 0
                    async for block, claim in pieces:
                        number += 1
                        digest = await self._sum(passing, number, block, by_md5=by_md5)
                        await limiter.acquire()
                        part = parts.create_task(self._part(upload, number, block, digest, passing))
                        part.add_done_callback(partial(_over, claim, limiter))
                        del block  # its memory is the part's alone
                        if self._shows_parts is None:
                            await asyncio.wait({part})  # its answer may spare us the MD5s of all others
                        by_md5 = by_md5 and not self._shows_parts
            except BaseExceptionGroup as group:
                raise first_of(group) from None
            computed = passing.sums.computed()
            if passing.as_made:
                made = multipart_etag(passing.md5s[part.number] for part in upload.in_order())
                computed += (("source-etag", made),)
            _check(passing.facts, computed, passing.sums.size, passing.key)
            try:
                answer = await self._multipart.finish(
                    upload, passing.sums.size, self._closing(passing), replace_etag=passing.replace_etag
                )
            except Occupied as taken:
                raise Occupied(taken.facts, computed) from None
        return await self._stored(passing, upload, answer, computed)

    async def _sum(self, passing: Passing, number: int, block: Bytes, *, by_md5: bool) -> bytes:
        """Take a part into the sums of the whole, and beside that compute its own; returns its checksum."""

        def own() -> bytes:
            if by_md5:
                passing.md5s[number] = hashlib.md5(block, usedforsecurity=False).digest()
            return crc64nvme(block).to_bytes(8, "big") if self._crc else hashlib.sha256(block).digest()

        _, digest = await asyncio.gather(passing.sums.add(block), hashed(len(block), own))
        if not self._crc:
            passing.sha256s.append(digest)
        return digest

    async def _part(
        self,
        upload: Upload,
        number: int,
        block: Bytes,
        digest: bytes,
        passing: Passing,
    ) -> None:
        name, value = sum_header(self._checksum, digest)

        async def put(summed: Fields) -> Answer:
            # the signature covers the header with the part's CRC: the store itself compares the bytes with that
            payload = UNSIGNED if self._crc and summed else digest.hex()
            if self._crc and not summed:
                payload = await hashed(len(block), lambda: hashlib.sha256(block).hexdigest())
            return await self._client.upload_part(
                self._bucket, upload.key, upload.id, number, block, {**self._always, **summed}, sha256=payload
            )

        async def send() -> Answer:
            return await self._sums.send(put, {name: value})

        answer = await self._part_try(send, f"PUT part {number} of", upload.key)
        shown = answer.fields.get(name)
        if shown not in {None, value}:
            message = f"part {number} of s3://{self._bucket}/{upload.key} arrived with another {self._checksum}"
            raise Transient(FailureClass.CHECKSUM_MISMATCH, message)
        self._shows_parts = shown is not None
        self._shows_sums = self._shows_sums or self._shows_parts
        is_md5, md5 = etag_is_md5(answer.etag, answer.fields), passing.md5s.get(number)
        if md5 is not None and is_md5 and answer.etag != md5.hex():
            message = f"part {number} of s3://{self._bucket}/{upload.key} arrived with another MD5"
            raise Transient(FailureClass.CHECKSUM_MISMATCH, message)
        if is_md5 and (shown is not None or md5 is not None):
            passing.confirmed += 1
        if passing.as_made and md5 is None:
            if is_md5 and shown is not None:
                passing.md5s[number] = bytes.fromhex(answer.etag)
            else:  # under SSE-KMS the store's ETag is no MD5, and only ours can be held against the source's
                passing.md5s[number] = await hashed(
                    len(block), lambda: hashlib.md5(block, usedforsecurity=False).digest()
                )
        upload.parts.append(Part(number, answer.etag, (self._checksum, value) if self._declares else None))

    @property
    def _declares(self) -> bool:
        """Whether uploads and their parts name checksums."""
        return self._sums.taken is not False and self._multipart.sums.taken is not False

    def _closing(self, passing: Passing) -> dict[str, str]:
        """What lets the store itself prove the whole, where it can: its size, and its CRC."""
        if not self._declares:
            return {}
        closing = {"x-amz-mp-object-size": str(passing.sums.size)}
        if self._crc and passing.sums.crc64nvme is not None:
            name, value = sum_header("crc64nvme", passing.sums.crc64nvme)
            closing |= {name: value, "x-amz-checksum-type": "FULL_OBJECT"}
        return closing

    async def _stored(
        self, passing: Passing, upload: Upload, answer: Answer, computed: tuple[tuple[str, str], ...]
    ) -> Stored:
        facts = written(answer, passing.sums.size, passing.facts.headers)
        if passing.confirmed == len(upload.parts) and upload.etag() == facts.etag:
            # the store compared each part with its checksum, or showed our MD5 of it, and made the whole of just these
            computed += (("etag", facts.etag),)
        elif not facts.checksums and (found := await self._guard.look(passing.key)) is not None:
            facts = found  # a HEAD may show what the answer kept quiet of
        if facts.checksum("sha256-composite"):
            computed += (("sha256-composite", composite_sha256(passing.sha256s)),)
        return Stored(facts, passing.sums.size, computed)


def _over(claim: MemoryClaim | None, limiter: asyncio.Semaphore, _part: asyncio.Task[None]) -> None:
    """A part is done with, one way or another; also one that was cut short before it began."""
    if claim is not None:
        claim.release()
    limiter.release()


def _check(
    facts: ObjectFacts, computed: tuple[tuple[str, str], ...], size: int, key: str
) -> tuple[tuple[str, str], ...]:
    """All bytes have been read: are they as many, and the ones, that the source promised? Nothing is stored yet.

    Returns the sums, as (algorithm, hex).
    """
    if facts.size is not None and size != facts.size:
        raise _wrong_length(facts, key, str(size))
    promised = dict(facts.checksums)
    if _names_md5(facts):
        promised["md5"] = facts.etag
    if facts.etag_parts:
        promised["source-etag"] = facts.etag
    for algorithm, digest in computed:
        if promised.get(algorithm, digest) != digest:
            message = f"the source's {algorithm} does not fit the bytes read for {key}"
            raise Transient(FailureClass.CHECKSUM_MISMATCH, message)
    return computed


def _names_md5(facts: ObjectFacts) -> bool:
    return facts.etag_is_md5 and etag_is_md5(facts.etag, {})


def _wrong_length(facts: ObjectFacts, key: str, came: str) -> Transient:
    promised = "an unknown number" if facts.size is None else str(facts.size)
    return Transient(FailureClass.NETWORK, f"{came} of {promised} bytes came for {key}")

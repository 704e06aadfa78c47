"""A stream into the destination by a multipart upload: parts in flight, and sums over every byte.

At most ``PARTS_AT_ONCE`` parts of a file are in flight, and one more is being filled.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, repeat

from engine.limiting.side_by_side import first_of
from engine.model.errors import Transient
from engine.model.facts import ObjectFacts, Occupied, Stored
from engine.model.failures import FailureClass
from engine.model.object_headers import etag_is_md5
from engine.model.sums import multipart_etag
from engine.s3.api.answers import Answer, Bytes, Fields, Part
from engine.s3.transfer.blocks import Blocks
from engine.s3.transfer.copying import PartTry
from engine.s3.transfer.extras import Extra
from engine.s3.transfer.facts import request_headers, sum_header, tagging, written
from engine.s3.transfer.hashing import INLINE, QUICK, Sums, composite_sha256, crc64nvme, hashed, md5_of
from engine.s3.transfer.memory import Memory, MemoryClaim
from engine.s3.transfer.multipart import Multipart, Upload
from engine.s3.transfer.parts import PARTS_AT_ONCE, growing, part_size
from engine.s3.transfer.promised import check, wrong_length
from engine.s3.transfer.target import Bucket, WritePolicy

Pieces = AsyncIterator[tuple[Bytes, MemoryClaim | None]]
"""What each part takes, and the claim that it lets go of: None where the first block was all of it."""


@dataclass(slots=True)
class Passing:
    """One stream on its way, and its sums so far."""

    facts: ObjectFacts
    key: str
    replace_etag: str | None
    blocks: Blocks
    sums: Sums
    claim: MemoryClaim
    as_made: bool = False
    """It is stored in the very parts that its source was made of, whose MD5s make the source's ETag."""
    md5s: dict[int, bytes] = field(default_factory=dict)
    """By part: where the store shows no checksums of parts, or the source's ETag is made of them."""
    confirmed: int = 0
    """Parts whose MD5 the store has shown as ETag, of bytes that are known to be ours."""
    sha256s: list[bytes] = field(default_factory=list)
    """Of each part, where they are what proves it."""


class StoreTraits:
    """What the store's answers have shown of how it proves what was written."""

    def __init__(self) -> None:
        self.sums = Extra()
        """Whether writes carry a checksum header."""
        self.shows_sums = False
        """Its answers show checksums. MD5s are computed until one did."""
        self.shows_parts: bool | None = None
        """Its answers to parts do."""


class PartStorer:
    """Writes streams into one bucket by parts."""

    def __init__(
        self,
        bucket: Bucket,
        multipart: Multipart,
        policy: WritePolicy,
        part_try: PartTry,
        memory: Memory,
        traits: StoreTraits,
    ) -> None:
        self._bucket = bucket
        self._multipart = multipart
        self._policy = policy
        self._part_try = part_try
        self._memory = memory
        self._traits = traits

    async def store(self, passing: Passing, block: Bytes, parts: Sequence[int]) -> Stored:
        """``block`` is the first one; ``parts``: sizes of the parts that the source was made of. Raises Occupied,
        StoreError, EngineError."""
        headers = {**request_headers(passing.facts.headers), **self._policy.placed}
        tags = tagging(passing.facts.headers)
        async with self._multipart.begin(passing.key, headers, sums=self._declared(), tags=tags) as upload:
            await self._send(upload, passing, self._pieces(passing, block, parts))
            computed = passing.sums.computed()
            if passing.as_made:
                made = multipart_etag(passing.md5s[part.number] for part in upload.in_order())
                computed += (("source-etag", made),)
            check(passing.facts, computed, passing.sums.size, passing.key)
            try:
                answer = await self._multipart.finish(
                    upload, passing.sums.size, self._closing(passing), replace_etag=passing.replace_etag
                )
            except Occupied as taken:
                raise Occupied(taken.facts, computed) from None
        return await self._stored(passing, upload, answer, computed)

    async def _pieces(self, passing: Passing, block: Bytes, parts: Sequence[int]) -> Pieces:
        size, wished = passing.facts.size, self._policy.sizes.part
        if passing.as_made and len(block) == size:
            for nbytes in parts:
                yield block[:nbytes], None
                block = block[nbytes:]
            return
        sizes = parts if passing.as_made else growing(wished) if size is None else repeat(part_size(size, wished))
        for nbytes in islice(sizes, 1, None):
            yield block, passing.claim
            block = b""
            if await passing.blocks.at_end():
                return
            passing.claim = await self._memory.more(nbytes)
            block = await passing.claim.fill(passing.blocks)
        yield block, passing.claim
        if not await passing.blocks.at_end():
            raise wrong_length(passing.facts, passing.key, "more than its parts hold")

    async def _send(self, upload: Upload, passing: Passing, pieces: Pieces) -> None:
        """Send the parts side by side. Raises the first failure."""
        under_way = asyncio.Semaphore(PARTS_AT_ONCE)
        by_md5, number = not self._traits.shows_parts, 0
        try:
            async with asyncio.TaskGroup() as parts:
                async for block, claim in pieces:
                    number += 1
                    digest = await self._sum(passing, number, block, by_md5=by_md5)
                    await under_way.acquire()
                    part = parts.create_task(self._part(upload, number, block, digest, passing))
                    part.add_done_callback(partial(_over, claim, under_way))
                    del block  # its memory is the part's alone
                    if self._traits.shows_parts is None:
                        await asyncio.wait({part})  # its answer may spare us the MD5s of all others
                    by_md5 = by_md5 and not self._traits.shows_parts
        except BaseExceptionGroup as group:
            raise first_of(group) from None

    async def _sum(self, passing: Passing, number: int, block: Bytes, *, by_md5: bool) -> bytes:
        """Add a part to the sums of the whole, and compute its own; returns its checksum."""

        def own() -> bytes:
            if by_md5:
                passing.md5s[number] = md5_of(block)
            return crc64nvme(block).to_bytes(8, "big") if self._policy.crc else hashlib.sha256(block).digest()

        inline = QUICK if self._policy.crc and not by_md5 else INLINE
        _, digest = await asyncio.gather(passing.sums.add(block), hashed(len(block), own, inline=inline))
        if not self._policy.crc:
            passing.sha256s.append(digest)
        return digest

    async def _part(self, upload: Upload, number: int, block: Bytes, digest: bytes, passing: Passing) -> None:
        crc, checksum = self._policy.crc, self._policy.checksum
        name, value = sum_header(checksum, digest)
        what = f"part {number} of {self._bucket}/{upload.key}"

        async def put(summed: Fields) -> Answer:
            signed = await self._bucket.signed(block, None if crc else digest, summed=bool(summed))
            headers = {**self._bucket.always, **summed}
            return await self._bucket.client.upload_part(
                self._bucket.name, upload.key, upload.id, number, block, headers, sha256=signed
            )

        async def send() -> Answer:
            return await self._traits.sums.send(put, {name: value})

        answer = await self._part_try(send, f"PUT part {number} of", upload.key)
        shown = answer.fields.get(name)
        if shown not in {None, value}:
            raise Transient(FailureClass.CHECKSUM_MISMATCH, f"{what} arrived with another {checksum}")
        self._traits.shows_parts = shown is not None
        self._traits.shows_sums = self._traits.shows_sums or self._traits.shows_parts
        is_md5, md5 = etag_is_md5(answer.etag, answer.fields), passing.md5s.get(number)
        if md5 is not None and is_md5 and answer.etag != md5.hex():
            raise Transient(FailureClass.CHECKSUM_MISMATCH, f"{what} arrived with another MD5")
        if is_md5 and (shown is not None or md5 is not None):
            passing.confirmed += 1
        if passing.as_made and md5 is None:
            # under SSE-KMS the store's ETag is no MD5, and only ours can be compared with the source's
            told = is_md5 and shown is not None
            passing.md5s[number] = (
                bytes.fromhex(answer.etag) if told else await hashed(len(block), lambda: md5_of(block))
            )
        upload.parts.append(Part(number, answer.etag, (checksum, value) if self._declares else None))

    @property
    def _declares(self) -> bool:
        """Whether uploads and their parts name checksums."""
        return self._traits.sums.taken is not False and self._multipart.sums.taken is not False

    def _declared(self) -> dict[str, str]:
        """The checksum that an upload announces when it is begun."""
        kind = "FULL_OBJECT" if self._policy.crc else "COMPOSITE"
        named = {"x-amz-checksum-algorithm": self._policy.checksum.upper(), "x-amz-checksum-type": kind}
        return named if self._declares else {}

    def _closing(self, passing: Passing) -> dict[str, str]:
        """What lets the store itself check the whole: its size, and its CRC."""
        if not self._declares:
            return {}
        closing = {"x-amz-mp-object-size": str(passing.sums.size)}
        if self._policy.crc and (crc := passing.sums.of("crc64nvme")) is not None:
            name, value = sum_header("crc64nvme", crc)
            closing |= {name: value, "x-amz-checksum-type": "FULL_OBJECT"}
        return closing

    async def _stored(
        self, passing: Passing, upload: Upload, answer: Answer, computed: tuple[tuple[str, str], ...]
    ) -> Stored:
        facts = written(answer, passing.sums.size, passing.facts.headers)
        if passing.confirmed == len(upload.parts) and upload.etag() == facts.etag:
            # the store compared each part with its checksum, or showed our MD5 of it, and made the whole of just these
            computed += (("etag", facts.etag),)
        elif not facts.checksums and (found := await self._bucket.look(passing.key)) is not None:
            facts = found  # a HEAD may show what the answer did not say
        if facts.checksum("sha256-composite"):
            computed += (("sha256-composite", composite_sha256(passing.sha256s)),)
        return Stored(facts, passing.sums.size, computed)


def _over(claim: MemoryClaim | None, under_way: asyncio.Semaphore, _part: asyncio.Task[None]) -> None:
    """A part has ended, well or not; also one that was cancelled before it began."""
    if claim is not None:
        claim.release()
    under_way.release()

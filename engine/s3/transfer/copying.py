"""Server-side copies: one CopyObject, or UploadPartCopy ranges of what is too large for one. No byte passes here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import accumulate

from engine.limiting.side_by_side import side_by_side
from engine.model.errors import Transient
from engine.model.facts import ObjectFacts, Stored, Uncopyable
from engine.model.failures import FailureClass
from engine.model.percent import quoted
from engine.model.value import value
from engine.s3.api.answers import Answer, Fields, Part, StoreError
from engine.s3.api.client import S3Client
from engine.s3.transfer.extras import WITHOUT_TAGS, Tags
from engine.s3.transfer.facts import facts_of, request_headers, tagging, written
from engine.s3.transfer.guard import Guard
from engine.s3.transfer.multipart import Multipart, Upload
from engine.s3.transfer.parts import MAX_PART, MIN_PART, part_size, ranges
from engine.s3.transfer.sizes import part_sizes, size_by_range
from engine.s3.transfer.source import WITH_SUMS

PARTS_AT_ONCE = 8
PartTry = Callable[[Callable[[], Awaitable[Answer]], str, str], Awaitable[Answer]]
"""Runs one part's request, again if it fails; raises EngineError. The text names it for a person."""


@value
class Original:
    """What is copied: ``etag`` pins it, ``version_id`` names a version, ``headers`` are those of reading it."""

    bucket: str
    key: str
    facts: ObjectFacts
    version_id: str | None
    headers: Fields

    @property
    def asks(self) -> dict[str, str]:
        """The headers that name and pin the source of a copy."""
        name = f"{self.bucket}/{quoted(self.key)}"
        asks = {"x-amz-copy-source": f"{name}?versionId={self.version_id}" if self.version_id else name}
        if self.facts.etag:
            asks["x-amz-copy-source-if-match"] = f'"{self.facts.etag}"'
        return asks | as_of_the_source(self.headers)


_SOURCE_NAMES = {
    "x-amz-request-payer": "x-amz-request-payer",
    "x-amz-expected-bucket-owner": "x-amz-source-expected-bucket-owner",
}


def as_of_the_source(headers: Fields) -> dict[str, str]:
    """The headers of reading an object, as a request that copies it says them."""
    return {theirs: headers[name] for name, theirs in _SOURCE_NAMES.items() if name in headers}


class Copier:
    """Copies inside one service into one bucket. ``placed``: storage class, encryption; ``always``: the owner check."""

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
        limit: int,
        part_bytes: int,
        tags: Tags,
    ) -> None:
        self._client = client
        self._bucket = bucket
        self._guard = guard
        self._multipart = multipart
        self._always = always
        self._placed = placed
        self._whole = {**placed, **always, "x-amz-metadata-directive": "COPY"}
        self._part_try = part_try
        self._limit = limit
        self._part_bytes = part_bytes
        self._tags = tags

    async def copy(self, original: Original, key: str, replace_etag: str | None, *, tags: bool = True) -> Stored:
        """``tags`` off: they are left behind. Raises Occupied, Uncopyable, StoreError, EngineError."""
        size, of_parts = original.facts.size, original.facts.etag_parts > 0
        if size is None or size > self._limit or of_parts:
            original = await self._looked(original)
            size = original.facts.size
        if size is None:
            name = f"s3://{original.bucket}/{original.key}"
            raise Transient(FailureClass.NETWORK, f"the store does not say how large {name} is")
        if size > self._limit:
            spans = await self._as_made(original) or ranges(size, part_size(size, self._part_bytes))
            return await self._by_parts(original, size, spans, key, replace_etag)
        # only the same parts make the same ETag, and that alone proves the copy where no checksum of the whole is known
        if of_parts and not original.facts.checksums and (spans := await self._as_made(original)):
            try:
                return await self._by_parts(original, size, spans, key, replace_etag)
            except Uncopyable:
                pass  # a copy in one piece is allowed where one in parts may not be
        facts = original.facts
        tags = tags and self._tags.carried(original.bucket)
        headers = original.asks | self._whole | ({} if tags else WITHOUT_TAGS)

        async def send(more: Fields) -> Answer:
            return await self._client.copy(self._bucket, key, {**headers, **more}, size=size)

        async def moved() -> None:
            await self._must_not_have_moved(original)

        answer = await self._guard.write(key, send, replace_etag=replace_etag, otherwise=moved)
        return Stored(await self._seen(written(answer, size), facts, key))

    def fixed(self, source_headers: Fields) -> dict[str, str]:
        """What every CopyObject carries, whatever it copies."""
        return {**as_of_the_source(source_headers), **self._whole, **({} if self._tags.keep else WITHOUT_TAGS)}

    async def look(self, original: Original) -> ObjectFacts:
        """The source as the destination's credentials see it. Raises StoreError."""
        headers = {**WITH_SUMS, **original.headers}
        where, version = (self._client, original.bucket, original.key), original.version_id
        answer = await self._client.head(original.bucket, original.key, headers, version_id=version)
        facts = facts_of(answer.fields)
        if facts.size is None:
            facts = replace(facts, size=await size_by_range(*where, original.headers, version_id=version))
        return facts

    async def _looked(self, original: Original) -> Original:
        found, known = await self.look(original), original.facts
        moved = known.etag and found.etag != known.etag
        if moved or (known.size is not None and found.size != known.size):
            raise Transient(FailureClass.SOURCE_CHANGED, f"s3://{original.bucket}/{original.key} changed meanwhile")
        return Original(original.bucket, original.key, found, original.version_id, original.headers)

    async def _as_made(self, original: Original) -> list[tuple[int, int]]:
        """The ranges of the parts that the source was made of; none where they are unknown or cannot be made again."""
        facts = original.facts
        headers = {**original.headers, "if-match": f'"{facts.etag}"'}
        where = (self._client, original.bucket, original.key, headers)
        count, version = facts.etag_parts, original.version_id
        sizes = await part_sizes(*where, count=count, size=facts.size, version_id=version)
        if not facts.size or not sizes or min(sizes[:-1], default=MIN_PART) < MIN_PART or max(sizes) > MAX_PART:
            return []
        ends = list(accumulate(sizes))
        return [(end - size, end - 1) for end, size in zip(ends, sizes, strict=True)]

    async def _by_parts(
        self, original: Original, size: int, spans: list[tuple[int, int]], key: str, replace_etag: str | None
    ) -> Stored:
        """Multipart copies carry nothing over by themselves: content headers and metadata are set anew."""
        await self._guard.must_be_free(key, unless=replace_etag)
        found = original.facts
        headers = {**request_headers(found.headers), **self._placed}
        named: Fields = {}
        if found.tags:
            pairs = await self._tags.read(
                self._client, original.bucket, original.key, original.headers, version_id=original.version_id
            )
            named = tagging(replace(found.headers, tags=pairs))
        async with self._multipart.begin(key, headers, sums=_same_sums(found), tags=named) as upload:

            async def part(numbered: tuple[int, tuple[int, int]]) -> None:
                await self._part(upload, original, *numbered, size=size)

            await side_by_side(enumerate(spans, 1), part, at_once=PARTS_AT_ONCE)
            answer = await self._multipart.finish(upload, size, {}, replace_etag=replace_etag)
        return Stored(await self._seen(written(answer, size), found, key))

    async def _seen(self, copy: ObjectFacts, source: ObjectFacts, key: str) -> ObjectFacts:
        """What the store holds now. Where neither ETag nor checksum ties it to the source, no size is taken on trust:
        a Swift whose filters stand in the wrong order copies the list of an object's parts in place of the object."""
        comparable = (copy.etag_is_md5 and source.etag_is_md5) or source.etag_parts
        if (comparable and copy.etag == source.etag) or set(copy.checksums) & set(source.checksums):
            return copy
        found = await self._guard.look(key)
        if found is None:
            raise StoreError("BadAnswer", 0, "the copy is not there, though the store said so")
        return found

    async def _part(self, upload: Upload, original: Original, number: int, span: tuple[int, int], *, size: int) -> None:
        first, last = span
        headers = {**original.asks, **self._always}
        if last - first + 1 < size:  # small objects have no ranges to copy
            headers["x-amz-copy-source-range"] = f"bytes={first}-{last}"

        async def send() -> Answer:
            try:
                return await self._client.upload_part_copy(
                    self._bucket, upload.key, upload.id, number, headers, size=last - first + 1
                )
            except StoreError as error:
                # the source was looked at and the upload begun, so both may be used: Ceph denies this request alone
                if error.unsupported or (error.status == 403 and error.code == "AccessDenied"):
                    raise Uncopyable(str(error)) from None
                raise

        answer = await self._part_try(send, f"COPY part {number} to", upload.key)
        upload.parts.append(Part(number, answer.etag))

    async def _must_not_have_moved(self, original: Original) -> None:
        try:
            found = await self.look(original)
        except StoreError as error:
            if error.missing:
                raise Transient(FailureClass.SOURCE_CHANGED, "the source vanished while it was copied") from None
            raise
        if original.facts.etag and found.etag != original.facts.etag:
            raise Transient(FailureClass.SOURCE_CHANGED, f"s3://{original.bucket}/{original.key} changed meanwhile")


def _same_sums(found: ObjectFacts) -> Fields:
    """Ask the copy to carry the source's own full-object CRC, so that both sides can be compared."""
    for algorithm in ("crc64nvme", "crc32c", "crc32"):
        if found.checksum(algorithm):
            return {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": "FULL_OBJECT"}
    return {}

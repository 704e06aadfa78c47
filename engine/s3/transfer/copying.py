"""Server-side copies: one CopyObject, or UploadPartCopy of ranges for what is too large. No byte comes through here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import accumulate

from engine.limiting.side_by_side import side_by_side
from engine.model.errors import Transient
from engine.model.facts import ObjectFacts, Stored, Uncopyable
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.percent import quoted
from engine.model.value import value
from engine.s3.api.answers import Answer, Fields, Part, StoreError
from engine.s3.transfer.extras import WITHOUT_TAGS
from engine.s3.transfer.facts import request_headers, tagging, written
from engine.s3.transfer.guard import Guard
from engine.s3.transfer.multipart import Multipart, Upload
from engine.s3.transfer.object_ref import ObjectRef
from engine.s3.transfer.parts import MAX_PART, MIN_PART, part_size, ranges
from engine.s3.transfer.target import Bucket, WritePolicy

PARTS_AT_ONCE = 8
PartTry = Callable[[Callable[[], Awaitable[Answer]], str, str], Awaitable[Answer]]
"""Sends one part's request, again if it fails; raises EngineError. The texts name the operation, and the key."""


@value
class Original:
    """What is copied. ``facts.etag`` pins it."""

    ref: ObjectRef
    facts: ObjectFacts

    @property
    def asks(self) -> dict[str, str]:
        """The headers that name and pin the source of a copy."""
        ref = self.ref
        name = f"{ref.bucket}/{quoted(ref.key)}"
        asks = {"x-amz-copy-source": f"{name}?versionId={ref.version_id}" if ref.version_id else name}
        if self.facts.etag:
            asks["x-amz-copy-source-if-match"] = f'"{self.facts.etag}"'
        return asks | as_of_the_source(ref.headers)


_SOURCE_NAMES = {
    "x-amz-request-payer": "x-amz-request-payer",
    "x-amz-expected-bucket-owner": "x-amz-source-expected-bucket-owner",
}


def as_of_the_source(headers: Fields) -> dict[str, str]:
    """The headers of reading an object, under the names that they have in a request to copy it."""
    return {theirs: headers[name] for name, theirs in _SOURCE_NAMES.items() if name in headers}


class Copier:
    """Copies inside one service into one bucket."""

    def __init__(
        self,
        bucket: Bucket,
        guard: Guard,
        multipart: Multipart,
        policy: WritePolicy,
        part_try: PartTry,
        source_headers: Fields,
    ) -> None:
        """``source_headers`` are those of reading a source object: request payer, its bucket's expected owner."""
        self._bucket = bucket
        self._guard = guard
        self._multipart = multipart
        self._policy = policy
        self._whole = {**policy.placed, **bucket.always, "x-amz-metadata-directive": "COPY"}
        self._part_try = part_try
        self._source_headers = source_headers

    def original(self, source: Location, facts: ObjectFacts) -> Original:
        """A source object, read with the destination's credentials."""
        ref = ObjectRef(self._bucket.client, source.bucket, source.key, self._source_headers, source.version_id)
        return Original(ref, facts)

    async def copy(self, original: Original, key: str, replace_etag: str | None, *, tags: bool = True) -> Stored:
        """``tags`` off: they are left behind. Raises Occupied, Uncopyable, StoreError, EngineError."""
        size, of_parts, sizes = original.facts.size, original.facts.etag_parts > 0, self._policy.sizes
        if size is None or size > sizes.copy_limit or of_parts:
            original = await self._looked(original)
            size = original.facts.size
        if size is None:
            raise Transient(FailureClass.NETWORK, f"the store does not say how large {original.ref} is")
        if size > sizes.copy_limit:
            spans = await self._as_made(original) or ranges(size, part_size(size, sizes.copy_part))
            return await self._by_parts(original, size, spans, key, replace_etag)
        # Only the same parts make the same ETag, and it alone proves the copy where no checksum of the whole is known.
        if of_parts and not original.facts.checksums and (spans := await self._as_made(original)):
            try:
                return await self._by_parts(original, size, spans, key, replace_etag)
            except Uncopyable:
                pass  # a copy in one piece may be allowed where one in parts is not
        tags = tags and self._policy.tags.carried(original.ref.bucket)
        headers = original.asks | self._whole | ({} if tags else WITHOUT_TAGS)

        async def send(more: Fields) -> Answer:
            return await self._bucket.client.copy(self._bucket.name, key, {**headers, **more}, size=size)

        async def unchanged() -> None:
            await self._must_be_unchanged(original)

        answer = await self._guard.write(key, send, replace_etag=replace_etag, otherwise=unchanged)
        return Stored(await self._confirmed(written(answer, size), original.facts, key))

    def fixed(self) -> dict[str, str]:
        """What every CopyObject carries, whatever it copies."""
        tags = {} if self._policy.tags.keep else WITHOUT_TAGS
        return {**as_of_the_source(self._source_headers), **self._whole, **tags}

    async def _looked(self, original: Original) -> Original:
        found, known = await original.ref.facts(), original.facts
        changed = known.etag and found.etag != known.etag
        if changed or (known.size is not None and found.size != known.size):
            raise _source_changed(original)
        return Original(original.ref, found)

    async def _as_made(self, original: Original) -> list[tuple[int, int]]:
        """The ranges of the parts that the source was made of; empty where they are unknown or cannot be made again."""
        sizes = await original.ref.part_sizes(original.facts)
        if not any(sizes) or min(sizes[:-1], default=MIN_PART) < MIN_PART or max(sizes) > MAX_PART:
            return []
        ends = list(accumulate(sizes))
        return [(end - size, end - 1) for end, size in zip(ends, sizes, strict=True)]

    async def _by_parts(
        self, original: Original, size: int, spans: list[tuple[int, int]], key: str, replace_etag: str | None
    ) -> Stored:
        """A multipart copy carries nothing over by itself: content headers, metadata and tags are set anew."""
        await self._guard.must_be_free(key, unless=replace_etag)
        found = original.facts
        headers = {**request_headers(found.headers), **self._policy.placed}
        named: Fields = {}
        if found.headers.tag_count:
            named = tagging(replace(found.headers, tags=await self._policy.tags.read(original.ref)))
        async with self._multipart.begin(key, headers, sums=_same_sums(found), tags=named) as upload:

            async def part(numbered: tuple[int, tuple[int, int]]) -> None:
                await self._part(upload, original, *numbered, size=size)

            await side_by_side(enumerate(spans, 1), part, at_once=PARTS_AT_ONCE)
            answer = await self._multipart.finish(upload, size, {}, replace_etag=replace_etag)
        return Stored(await self._confirmed(written(answer, size), found, key))

    async def _confirmed(self, copy: ObjectFacts, source: ObjectFacts, key: str) -> ObjectFacts:
        """What the store holds now. Where neither ETag nor checksum ties it to the source, its size is looked at again:
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
        headers = {**original.asks, **self._bucket.always}
        if last - first + 1 < size:  # small objects have no ranges to copy
            headers["x-amz-copy-source-range"] = f"bytes={first}-{last}"

        async def send() -> Answer:
            try:
                return await self._bucket.client.upload_part_copy(
                    self._bucket.name, upload.key, upload.id, number, headers, size=last - first + 1
                )
            except StoreError as error:
                # The source was looked at and the upload begun, so both may be used: Ceph denies this request alone.
                if error.unsupported or (error.status == 403 and error.code == "AccessDenied"):
                    raise Uncopyable(str(error)) from None
                raise

        answer = await self._part_try(send, f"COPY part {number} to", upload.key)
        upload.parts.append(Part(number, answer.etag))

    async def _must_be_unchanged(self, original: Original) -> None:
        try:
            found = await original.ref.facts()
        except StoreError as error:
            if error.missing:
                raise Transient(FailureClass.SOURCE_CHANGED, "the source vanished while it was copied") from None
            raise
        if original.facts.etag and found.etag != original.facts.etag:
            raise _source_changed(original)


def _source_changed(original: Original) -> Transient:
    return Transient(FailureClass.SOURCE_CHANGED, f"{original.ref} changed meanwhile")


def _same_sums(found: ObjectFacts) -> Fields:
    """Ask the copy to carry the source's own full-object CRC, so that both sides can be compared."""
    for algorithm in ("crc64nvme", "crc32c", "crc32"):
        if found.checksum(algorithm):
            return {"x-amz-checksum-algorithm": algorithm.upper(), "x-amz-checksum-type": "FULL_OBJECT"}
    return {}

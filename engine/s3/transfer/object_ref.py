"""One object of a bucket, and what a plain HEAD does not tell of it: its size at some stores, its parts, its tags."""

from __future__ import annotations

from dataclasses import replace

from engine.limiting.side_by_side import side_by_side
from engine.model.facts import ObjectFacts, whole_size
from engine.model.value import value
from engine.s3.api.answers import Fields, StoreError
from engine.s3.api.client import S3Client
from engine.s3.transfer.facts import facts_of

WITH_SUMS = {"x-amz-checksum-mode": "ENABLED"}
PARTS_AT_ONCE = 8
_NO_SUCH_QUESTION = frozenset({400, 405, 416, 501})


@value
class ObjectRef:
    """An object, and how it is asked for: by which client, with which headers on every request.

    All methods raise StoreError.
    """

    client: S3Client
    bucket: str
    key: str
    headers: Fields
    version_id: str | None = None

    async def facts(self, *, composites: bool = False) -> ObjectFacts:
        """HEAD with checksums; for ``composites`` see ``facts_of``."""
        headers = {**WITH_SUMS, **self.headers}
        answer = await self.client.head(self.bucket, self.key, headers, version_id=self.version_id)
        facts = facts_of(answer.fields, composites=composites)
        return replace(facts, size=await self._size()) if facts.size is None else facts

    async def _size(self) -> int | None:
        """The size in bytes that a GET of the first byte tells; None where even that does not tell it."""
        first = {**self.headers, "range": "bytes=0-0"}
        try:
            async with self.client.get(self.bucket, self.key, first, version_id=self.version_id) as answer:
                if (found := answer.fields.get("content-range")) is not None:
                    return whole_size(found)
                length = answer.fields.get("content-length", "")
                return int(length) if length.isdecimal() else None
        except StoreError as error:
            if error.status == 416:
                return 0  # an empty object has no first byte
            raise

    async def part_sizes(self, facts: ObjectFacts) -> tuple[int, ...]:
        """Sizes in bytes of the parts that the object was made of, by a HEAD each; empty where the store does not tell.

        ``facts`` say how many parts there are, and pin the object.
        """
        size, count = facts.size, facts.etag_parts
        if size is None or count < 1:
            return ()
        if count == 1:
            return (size,)
        headers = {**self.headers, "if-match": f'"{facts.etag}"'}
        sizes = [0] * count

        async def ask(number: int) -> None:
            answer = await self.client.head(self.bucket, self.key, headers, version_id=self.version_id, part=number)
            length = answer.fields.get("content-length", "")
            if answer.fields.get("x-amz-mp-parts-count") != str(count) or not length.isdecimal():
                raise StoreError("NoParts", 501, "the store does not tell an object's parts")
            sizes[number - 1] = int(length)

        try:
            await ask(1)
            await side_by_side(range(2, count + 1), ask, at_once=PARTS_AT_ONCE)
        except StoreError as error:
            if error.status in _NO_SUCH_QUESTION:
                return ()
            raise
        return tuple(sizes) if sum(sizes) == size and all(sizes) else ()

    async def tags(self) -> tuple[tuple[str, str], ...]:
        """Its tags: names and values."""
        return await self.client.tags(self.bucket, self.key, self.headers, version_id=self.version_id)

    def __str__(self) -> str:
        """For a person."""
        return f"s3://{self.bucket}/{self.key}"

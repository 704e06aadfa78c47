"""The vendor's side: HEAD, GET and List, nothing else (I8)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from engine.limiting.retry import Retries
from engine.model.errors import Blocked, EngineError, Operation, Refused, Transient
from engine.model.facts import ObjectFacts
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.ports import Fill
from engine.s3.api.answers import Bytes, Fields, Listed, ListingPage, StoreError, StreamedAnswer
from engine.s3.api.client import WHOLE, S3Client
from engine.s3.api.faults import Patience, Side
from engine.s3.api.listing import pages
from engine.s3.api.survey import WORKERS, Bounds, Put, Survey
from engine.s3.transfer.blocks import AskParts, InMemory
from engine.s3.transfer.extras import Tags
from engine.s3.transfer.facts import facts_of
from engine.s3.transfer.object_ref import WITH_SUMS, ObjectRef

Translate = Callable[[StoreError, Operation], EngineError]
"""See ``Patience.translate``."""


class S3Source:
    """Fits ``ports.Source``. ``always`` are the headers of every request: request payer, expected bucket owner.

    ``patience`` knows the keys that ``client`` signs with; ``side`` says whose objects these are. With ``tags``, an
    object that is opened comes with its tags.
    """

    def __init__(
        self,
        client: S3Client,
        patience: Patience,
        always: Fields,
        *,
        side: Side = Side.SOURCE,
        tags: Tags | None = None,
    ) -> None:
        self._client = client
        self._patience = patience
        self.always = always
        self._side = side
        self._tags = tags

    def _translate(self, error: StoreError, operation: Operation) -> EngineError:
        return self._patience.translate(error, operation, side=self._side)

    async def facts(self, location: Location) -> ObjectFacts:
        """HEAD with checksums. An archived object is refused here, before it is to be read."""
        facts = await self.look(location)
        if facts.archived:
            kind = facts.storage_class
            raise Refused(FailureClass.ARCHIVED, f"{shown(location)} lies in {kind}: it must be restored first")
        return facts

    async def look(self, location: Location) -> ObjectFacts:
        """The same where the object is not to be read: an archived one is described like any other."""
        try:
            return await self._ref(location).facts()
        except StoreError as error:
            raise self._translate(error, Operation("HEAD", shown(location))) from None

    @asynccontextmanager
    async def open(self, location: Location, facts: ObjectFacts | None) -> AsyncIterator[Reading | InMemory]:
        """GET, pinned by the ETag. A version, which needs a right of its own (s3:GetObjectVersion), is named only where
        the URL names one, or where there is no ETag."""
        operation = Operation("GET", shown(location))
        headers = {**WITH_SUMS, **self.always}
        version, size = location.version_id, None if facts is None else facts.size
        if facts is not None and facts.etag:
            headers["if-match"] = f'"{facts.etag}"'
        elif facts is not None:
            version = version or facts.version_id
        try:
            if size is not None and size <= WHOLE:
                told, body = await self._client.read(
                    location.bucket, location.key, headers, version_id=version, size=size
                )
                found = bound(facts_of(told.fields), facts, operation)
                _whole(found, len(body), operation)
                found = await self.tagged(found, location)
                yield InMemory(found, body, partial(self.parts, location, found))
                return
            async with self._client.get(location.bucket, location.key, headers, version_id=version) as answer:
                found = bound(facts_of(answer.fields), facts, operation)
                if found.size is None or not found.etag:
                    found = bound(found, await self.look(location), operation)
                found = await self.tagged(found, location)
                yield Reading(answer, found, self._translate, operation, partial(self.parts, location, found))
        except StoreError as error:
            raise self._translate(error, operation) from None

    async def tagged(self, facts: ObjectFacts, at: Location) -> ObjectFacts:
        """What an answer says of an object, with its tags where they are copied. Raises StoreError."""
        if self._tags is None or not facts.headers.tag_count:
            return facts
        return replace(facts, headers=replace(facts.headers, tags=await self._tags.read(self._ref(at))))

    async def parts(self, location: Location, facts: ObjectFacts) -> Sequence[int]:
        """Sizes of the parts that the object was made of; none where the store does not tell."""
        try:
            return await self._ref(location).part_sizes(facts)
        except StoreError as error:
            raise self._translate(error, Operation("HEAD of the parts of", shown(location))) from None

    def _ref(self, location: Location) -> ObjectRef:
        return ObjectRef(self._client, location.bucket, location.key, self.always, location.version_id)

    async def check(self, bucket: str) -> None:
        """HEAD the bucket. Raises Blocked where it does not exist, lives elsewhere or does not take the keys,
        Transient where nobody answers. A denial is no failure: the probe finds out how objects may be read."""
        try:
            await self._client.head_bucket(bucket, self.always)
        except StoreError as error:
            if error.status == 404:
                raise Blocked(
                    f"the source bucket s3://{bucket} does not exist",
                    hint="check source.buckets and source.endpoint_url; delete a bucket that is gone for good there",
                ) from None
            found = self._translate(error, Operation("HEAD", f"s3://{bucket}"))
            if not isinstance(found, Refused):
                raise found from None

    async def inventory(self, bucket: str, prefix: str = "") -> AsyncIterator[list[Listed]]:
        """All objects of a bucket below a prefix, in key order, 1,000 a page."""
        try:
            async for rows in pages(self._client, bucket, prefix, self.always):
                yield rows
        except StoreError as error:
            raise self._translate(error, Operation("LIST", f"s3://{bucket}/{prefix}")) from None

    async def page(self, bucket: str, after: str, token: str, limit: int) -> ListingPage:
        """One page of a bucket's listing: behind a key, or from a token on. Raises Refused, Transient, Blocked."""
        try:
            page = await self._client.list_objects(bucket, "", token, self.always, after=after, limit=limit)
        except StoreError as error:
            raise self._translate(error, Operation("LIST", f"s3://{bucket}")) from None
        return page

    async def survey(
        self, bucket: str, spans: Iterable[Bounds], put: Put, retries: Retries, *, workers: int = WORKERS
    ) -> bool:
        """List what ``spans`` cover of a bucket, in parallel; see ``survey.py``. Pages that fail are asked for again.

        Returns False when ``put`` had enough. Raises EngineError, and what ``put`` raises.
        """

        async def ask(after: str, token: str, limit: int) -> ListingPage:
            return await retries.of(lambda: self.page(bucket, after, token, limit))

        return await Survey(ask, spans, workers=workers).run(put)


class Reading:
    """Fits ``ports.ByteStream``."""

    whole: bytes | None = None

    def __init__(
        self,
        answer: StreamedAnswer,
        facts: ObjectFacts,
        translate: Translate,
        operation: Operation,
        parts: AskParts,
    ) -> None:
        self._answer = answer
        self._translate = translate
        self.parts = parts
        self._operation = operation
        self._seen = 0
        self.facts = facts

    @property
    def fill(self) -> Fill | None:
        return None if self._answer.fill is None else self._fill

    async def chunks(self) -> AsyncIterator[Bytes]:
        """To the true end. Raises Transient where the body is too short or too long."""
        try:
            async for chunk in self._answer.chunks():
                self._seen += len(chunk)
                yield chunk
        except StoreError as error:
            raise self._translate(error, self._operation) from None
        _whole(self.facts, self._seen, self._operation)

    async def _fill(self, memory: memoryview) -> int:
        assert self._answer.fill is not None
        try:
            filled = await self._answer.fill(memory)
        except StoreError as error:
            raise self._translate(error, self._operation) from None
        self._seen += filled
        return filled


def _whole(facts: ObjectFacts, came: int, operation: Operation) -> None:
    if facts.size is not None and came != facts.size:
        raise Transient(FailureClass.NETWORK, f"{came} of {facts.size} bytes came", operation=operation)


def shown(location: Location) -> str:
    """An S3 location for a person."""
    return f"s3://{location.bucket}/{location.key}"


def bound(got: ObjectFacts, pinned: ObjectFacts | None, operation: Operation) -> ObjectFacts:
    """What an answer says, compared with what is known already, and completed by that. Raises Transient where they
    differ: some stores ignore If-Match.
    """
    if pinned is None:
        return got
    moved = pinned.etag and got.etag and pinned.etag != got.etag
    grown = pinned.size is not None and got.size is not None and pinned.size != got.size
    if moved or grown:
        said = "the object changed since it was looked at"
        raise Transient(FailureClass.SOURCE_CHANGED, said, operation=operation)
    if got.size is None:
        got = replace(got, size=pinned.size)
    if not got.etag:
        got = replace(got, etag=pinned.etag, etag_is_md5=pinned.etag_is_md5, etag_parts=pinned.etag_parts)
    return got

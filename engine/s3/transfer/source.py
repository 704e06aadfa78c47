"""The vendor's side: HEAD, GET and List, nothing else (I8)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

from engine.limiting.clock import Clock
from engine.limiting.retry import retry
from engine.model.errors import EngineError, Refused, Transient
from engine.model.facts import ObjectFacts
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.s3.api.answers import Bytes, Fields, Fill, Listed, ListingPage, StoreError, StreamedAnswer
from engine.s3.api.client import WHOLE, S3Client
from engine.s3.api.faults import Patience, Side
from engine.s3.api.listing import pages
from engine.s3.api.survey import WORKERS, Bounds, Put, Survey
from engine.s3.transfer.blocks import AskParts, InMemory
from engine.s3.transfer.extras import Tags
from engine.s3.transfer.facts import facts_of
from engine.s3.transfer.sizes import part_sizes, size_by_range

WITH_SUMS = {"x-amz-checksum-mode": "ENABLED"}
Judged = Callable[[StoreError, str], EngineError]
"""What an error means, and for what; see ``Patience.judge``."""


class S3Source:
    """Fits ``ports.Source``. ``always`` are the headers of every request: request payer, expected bucket owner.

    ``patience`` knows the keys that ``verbs`` sign with; ``side`` is whose objects these are. With ``tags``, those of
    what is opened are told too; None: nobody wants them.
    """

    def __init__(
        self,
        verbs: S3Client,
        patience: Patience,
        always: Fields,
        *,
        side: Side = Side.SOURCE,
        tags: Tags | None = None,
    ) -> None:
        self._verbs = verbs
        self._patience = patience
        self._always = always
        self._side = side
        self._tags = tags

    def _judged(self, error: StoreError, what: str) -> EngineError:
        return self._patience.judge(error, what, side=self._side)

    async def facts(self, location: Location) -> ObjectFacts:
        """HEAD with checksums. An archived object is Refused here, before anybody plans to read it."""
        facts = await self.look(location)
        if facts.archived:
            kind = facts.storage_class
            raise Refused(FailureClass.ARCHIVED, f"{shown(location)} lies in {kind}: it must be restored first")
        return facts

    async def look(self, location: Location) -> ObjectFacts:
        """The same for somebody who only wants to know: an archived object is described like any other."""
        try:
            answer = await self._verbs.head(
                location.bucket, location.key, {**WITH_SUMS, **self._always}, version_id=location.version_id
            )
            facts = facts_of(answer.fields)
            if facts.size is None:
                facts = replace(facts, size=await self._size(location))
        except StoreError as error:
            raise self._judged(error, f"HEAD {shown(location)}") from None
        return facts

    @asynccontextmanager
    async def open(self, location: Location, facts: ObjectFacts | None) -> AsyncIterator[Reading | InMemory]:
        """GET. The ETag pins it; a version only where the URL names one, or where there is no ETag to pin with, for
        reading by version needs a right of its own (s3:GetObjectVersion)."""
        what = f"GET {shown(location)}"
        headers = {**WITH_SUMS, **self._always}
        version, size = location.version_id, None if facts is None else facts.size
        if facts is not None and facts.etag:
            headers["if-match"] = f'"{facts.etag}"'
        elif facts is not None:
            version = version or facts.version_id
        try:
            if size is not None and size <= WHOLE:
                told, body = await self._verbs.read(
                    location.bucket, location.key, headers, version_id=version, size=size
                )
                found = _bound(facts_of(told.fields), facts, what)
                _whole(found, len(body), what)
                found = await self._tagged(found, location)
                yield InMemory(found, body, partial(self.parts, location, found))
                return
            async with self._verbs.get(location.bucket, location.key, headers, version_id=version) as answer:
                found = _bound(facts_of(answer.fields), facts, what)
                if found.size is None or not found.etag:
                    found = _bound(found, await self.look(location), what)
                found = await self._tagged(found, location)
                yield Reading(answer, found, self._judged, what, partial(self.parts, location, found))
        except StoreError as error:
            raise self._judged(error, what) from None

    async def _tagged(self, facts: ObjectFacts, at: Location) -> ObjectFacts:
        if self._tags is None or not facts.tags:
            return facts
        found = await self._tags.read(self._verbs, at.bucket, at.key, self._always, version_id=at.version_id)
        return replace(facts, headers=replace(facts.headers, tags=found))

    async def parts(self, location: Location, facts: ObjectFacts) -> Sequence[int]:
        """Sizes of the parts that the object was made of; none where the store does not tell."""
        headers = {**self._always, "if-match": f'"{facts.etag}"'}
        where = (self._verbs, location.bucket, location.key, headers)
        count, size, version = facts.etag_parts, facts.size, location.version_id
        try:
            return await part_sizes(*where, count=count, size=size, version_id=version)
        except StoreError as error:
            raise self._judged(error, f"HEAD of the parts of {shown(location)}") from None

    async def _size(self, location: Location) -> int | None:
        where = (self._verbs, location.bucket, location.key, self._always)
        return await size_by_range(*where, version_id=location.version_id)

    async def inventory(self, bucket: str, prefix: str = "") -> AsyncIterator[list[Listed]]:
        """All objects of a bucket below a prefix, in key order, 1,000 a page."""
        try:
            async for rows in pages(self._verbs, bucket, prefix, self._always):
                yield rows
        except StoreError as error:
            raise self._judged(error, f"LIST s3://{bucket}/{prefix}") from None

    async def page(self, bucket: str, after: str, token: str, limit: int) -> ListingPage:
        """One page of a bucket's listing: behind a key, or from a token on. Raises Refused, Transient, Blocked."""
        try:
            page = await self._verbs.list_objects(bucket, "", token, self._always, after=after, limit=limit)
        except StoreError as error:
            raise self._judged(error, f"LIST s3://{bucket}") from None
        return page

    async def survey(
        self, bucket: str, spans: Iterable[Bounds], put: Put, *, clock: Clock, attempts: int, workers: int = WORKERS
    ) -> bool:
        """List what ``spans`` cover of a bucket, in parallel; see ``survey.py``. Pages that fail are asked for again.

        Returns False when ``put`` had enough. Raises EngineError, and what ``put`` raises.
        """

        async def ask(after: str, token: str, limit: int) -> ListingPage:
            page, _ = await retry(lambda: self.page(bucket, after, token, limit), clock=clock, attempts=attempts)
            return page

        return await Survey(ask, spans, workers=workers).run(put)


class Reading:
    """Fits ``ports.ByteStream``."""

    whole: bytes | None = None

    def __init__(
        self,
        answer: StreamedAnswer,
        facts: ObjectFacts,
        judged: Judged,
        what: str,
        parts: AskParts,
    ) -> None:
        self._answer = answer
        self._judged = judged
        self.parts = parts
        self._what = what
        self._seen = 0
        self.facts = facts

    @property
    def fill(self) -> Fill | None:
        return None if self._answer.fill is None else self._fill

    async def chunks(self) -> AsyncIterator[Bytes]:
        """To the true end; Transient when the body ends short or long."""
        try:
            async for chunk in self._answer.chunks():
                self._seen += len(chunk)
                yield chunk
        except StoreError as error:
            raise self._judged(error, self._what) from None
        _whole(self.facts, self._seen, self._what)

    async def _fill(self, memory: memoryview) -> int:
        assert self._answer.fill is not None
        try:
            filled = await self._answer.fill(memory)
        except StoreError as error:
            raise self._judged(error, self._what) from None
        self._seen += filled
        return filled


def _whole(facts: ObjectFacts, came: int, what: str) -> None:
    if facts.size is not None and came != facts.size:
        raise Transient(FailureClass.NETWORK, f"{what}: {came} of {facts.size} bytes came")


def shown(location: Location) -> str:
    """An S3 location for a person."""
    return f"s3://{location.bucket}/{location.key}"


def _bound(got: ObjectFacts, pinned: ObjectFacts | None, what: str) -> ObjectFacts:
    """What an answer says, held against what is known already, and completed by it where the answer keeps quiet.

    Some stores take If-Match and ignore it; what they send says so itself.
    """
    if pinned is None:
        return got
    moved = pinned.etag and got.etag and pinned.etag != got.etag
    grown = pinned.size is not None and got.size is not None and pinned.size != got.size
    if moved or grown:
        raise Transient(FailureClass.SOURCE_CHANGED, f"{what}: the object changed since it was looked at")
    if got.size is None:
        got = replace(got, size=pinned.size)
    if not got.etag:
        got = replace(got, etag=pinned.etag, etag_is_md5=pinned.etag_is_md5, etag_parts=pinned.etag_parts)
    return got

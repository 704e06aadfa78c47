"""Our bucket: looks, copies and stores, and overwrites nothing (I7). Errors are translated here, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.clock import Clock
from engine.limiting.limiter import Limiter
from engine.limiting.retry import retry
from engine.model.errors import Blocked, EngineError, Operation, Refused
from engine.model.facts import ObjectFacts, Stored, Uncopyable
from engine.model.location import Location
from engine.s3.api.answers import Answer, Fields, Listed, ListingPage, StoreError
from engine.s3.api.client import S3Client
from engine.s3.api.faults import LOGIN, Patience, Side
from engine.s3.api.listing import pages
from engine.s3.api.survey import Put, Survey
from engine.s3.transfer.blocks import Room, Spend
from engine.s3.transfer.conditions import Conditional
from engine.s3.transfer.copying import Copier, Original
from engine.s3.transfer.extras import Tags, refused
from engine.s3.transfer.facts import facts_of
from engine.s3.transfer.fast_path import FastPath, SignedWire
from engine.s3.transfer.guard import Guard
from engine.s3.transfer.multipart import Multipart
from engine.s3.transfer.sizes import size_by_range
from engine.s3.transfer.source import WITH_SUMS
from engine.s3.transfer.storing import ByteStream, Storer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Placement:
    """How objects are written. Sizes in bytes."""

    bucket: str
    always: Fields
    """Headers of every request to the bucket: its expected owner."""
    placed: Fields
    """Headers of every new object: storage class, encryption."""
    source_headers: Fields
    """Headers of reading a source object: request payer, its bucket's expected owner."""
    part_bytes: int
    put_limit: int
    """The largest stream of known size that goes by one PUT."""
    checksum: str
    attempts: int
    """Tries per part of a multipart upload."""
    copy_limit: int
    """The largest object that goes by one CopyObject."""
    copy_part_bytes: int
    region: str | None
    """The region that the bucket must live in; None where an endpoint of its own makes regions meaningless."""


class S3Destination:
    """Fits ``ports.Destination``."""

    def __init__(
        self,
        client: S3Client,
        patience: Patience,
        clock: Clock,
        placement: Placement,
        *,
        budget: BytesInFlight,
        spend: Spend | None = None,
        tags: Tags | None = None,
    ) -> None:
        self._client = client
        self._patience = patience
        self._clock = clock
        self._placement = placement
        self._bucket = placement.bucket
        always, placed = placement.always, placement.placed
        self.copies = Guard(self._look)
        self.puts = Guard(self._look)
        self.tags = tags = tags or Tags(keep=True)
        self._multipart = Multipart(client, clock, self._bucket, always, self._look, tags)
        self._copier = Copier(
            client,
            self._bucket,
            self.copies,
            self._multipart,
            always=always,
            placed=placed,
            part_try=self._part,
            limit=placement.copy_limit,
            part_bytes=placement.copy_part_bytes,
            tags=tags,
        )
        self._storer = Storer(
            client,
            self._bucket,
            self.puts,
            self._multipart,
            always=always,
            placed=placed,
            part_try=self._part,
            budget=budget,
            part_bytes=placement.part_bytes,
            put_limit=placement.put_limit,
            checksum=placement.checksum,
            spend=spend,
            tags=tags,
        )

    def fast_path(self, road: SignedWire, limiter: Limiter) -> FastPath:
        """The short way of ``copy``, which shares what this side has learnt."""
        fixed, limit = self._copier.fixed(self._placement.source_headers), self._placement.copy_limit
        return FastPath(road, limiter, self.copies, self._patience, self._clock, self.tags, fixed=fixed, limit=limit)

    async def facts(self, key: str) -> ObjectFacts | None:
        """HEAD with checksums, a multipart SHA-256 included (``sha256-composite``); None when the key is free."""
        return await self._done(self._look(key), "HEAD", key)

    async def copy(self, source: Location, facts: ObjectFacts, key: str, *, replace_etag: str | None = None) -> Stored:
        """Server-side copy of a source object with the destination's credentials, pinned by ETag."""
        original = Original(source.bucket, source.key, facts, source.version_id, self._placement.source_headers)
        return await self._copy(original, key, replace_etag)

    async def copy_within(self, from_key: str, facts: ObjectFacts, key: str) -> Stored:
        """Server-side copy of one of our own objects to another of our keys."""
        return await self._copy(Original(self._bucket, from_key, facts, None, self._placement.always), key, None)

    async def _copy(self, original: Original, key: str, replace_etag: str | None) -> Stored:
        try:
            stored = await self._copier.copy(original, key, replace_etag)
        except StoreError as error:
            side = Side.DESTINATION if original.bucket == self._bucket else await self._culprit(error, original)
            if side is Side.SOURCE and error.missing and await self._there(original):
                raise Uncopyable(str(error)) from None  # some stores find an object for everybody but a copy
            tags = side is Side.DESTINATION and refused(error) and self.tags.carried(original.bucket)
            if not tags or (copy := await self._without_tags(original, key, replace_etag)) is None:
                # the source may be read, so this request alone is denied, or every write: a stream finds out which
                if side is Side.DESTINATION and original.bucket != self._bucket and error.code == "AccessDenied":
                    raise Uncopyable(str(error)) from None
                operation = Operation("COPY", f"s3://{original.bucket}/{original.key}", self._shown(key))
                raise self._patience.judge(error, operation, side=side) from None
            stored = copy
        self._patience.wrote = True
        return stored

    async def _there(self, original: Original) -> bool:
        try:
            await self._copier.look(original)
        except StoreError:
            return False
        return True

    async def _without_tags(self, original: Original, key: str, replace_etag: str | None) -> Stored | None:
        """The same copy once more: where tags may not be read or written, an object is copied only without them."""
        try:
            stored = await self._copier.copy(original, key, replace_etag, tags=False)
        except StoreError:
            return None
        self.tags.left(original.bucket)
        return stored

    @asynccontextmanager
    async def room(self, size: int | None) -> AsyncIterator[Room]:
        """Room for a stream that is to be opened; None: its size will be known then."""
        room = self._storer.room()
        try:
            await (room.guess() if size is None else room.wait_for(size))
            yield room
        finally:
            room.release()

    async def store(
        self, stream: ByteStream, key: str, *, replace_etag: str | None = None, room: Room | None = None
    ) -> Stored:
        """Write the stream; see ``storing.py``. Without ``room`` it waits for some: nothing may be open behind it."""
        if room is None:
            async with self.room(0) as room:
                await room.wait_for(stream.facts.size)
                return await self.store(stream, key, replace_etag=replace_etag, room=room)
        try:
            stored = await self._done(self._storer.store(stream, key, replace_etag, room), "PUT", key)
            self._patience.wrote = True
            return stored
        finally:
            room.release()

    async def inventory(self, prefix: str = "") -> AsyncIterator[list[Listed]]:
        """All our objects below a prefix, in key order, 1,000 a page."""
        try:
            async for rows in pages(self._client, self._bucket, prefix, self._placement.always):
                yield rows
        except StoreError as error:
            raise self._patience.judge(error, self._on("LIST", prefix)) from None

    async def survey(self, put: Put, *, attempts: int) -> bool:
        """List the whole bucket by several workers at once; see ``survey.py``. Pages that fail are asked for again.

        Returns False when ``put`` had enough. Raises EngineError, and what ``put`` raises.
        """
        always = self._placement.always

        async def page(after: str, token: str, limit: int) -> ListingPage:
            work = self._client.list_objects(self._bucket, "", token, always, after=after, limit=limit)
            return await self._done(work, "LIST", "")

        async def ask(after: str, token: str, limit: int) -> ListingPage:
            rows, _ = await retry(lambda: page(after, token, limit), clock=self._clock, attempts=attempts)
            return rows

        return await Survey(ask).run(put)

    async def check(self) -> None:
        """HEAD the bucket. Raises Blocked that names the fix, or Transient."""
        name, wanted = f"s3://{self._bucket}", self._placement.region
        region = ""
        try:
            answer = await self._client.head_bucket(self._bucket, self._placement.always)
        except StoreError as error:
            region = error.region
            if not (region and wanted and region != wanted):
                raise self._unfit(error, name) from None
        else:
            region = answer.fields.get("x-amz-bucket-region", "")
        if region and wanted and region != wanted:
            raise Blocked(f"{name} lives in {region}, not in {wanted}", hint=f"set destination.region: {region}")

    async def sweep(self, prefix: str, ours: Callable[[str], bool], before: datetime) -> int:
        """Abort multipart uploads that earlier runs left open (I13); returns how many. See ``Multipart.sweep``."""
        work = self._multipart.sweep(prefix, ours, before.timestamp())
        return await self._done(work, "LIST UPLOADS", prefix)

    def remarks(self) -> list[str]:
        """What was found out about the store, for the end of a run."""
        found = [note for note in (self.tags.note(), self.window()) if note]
        if left := self._multipart.left:
            what = f"{left} multipart upload{'s' if left > 1 else ''} of killed runs could not be aborted"
            found.append(f"{what} and may cost money: a lifecycle rule with AbortIncompleteMultipartUpload ends them")
        return found

    def window(self) -> str:
        """Where the store itself does not keep objects from being overwritten, as far as is known; empty: nowhere."""
        open_, known = (Conditional.IGNORED, Conditional.UNSUPPORTED), {"copies": self.copies, "writes": self.puts}
        where = [what for what, guard in known.items() if guard.verdict in open_]
        where += [] if self._multipart.conditional else ["uploads in parts"]
        if not where:
            return ""
        return (
            f"the store does not honour If-None-Match on {', '.join(where)}: each key is looked at right before it is"
            " written, but what another program puts there in that very moment is overwritten"
        )

    async def try_copy(self, from_key: str, facts: ObjectFacts, key: str) -> None:
        """Copy a probe, so that it is known what the store makes of conditions on copies."""
        original = Original(self._bucket, from_key, facts, None, self._placement.always)
        await self._done(self._copier.copy(original, key, None, tags=False), "COPY to", key)

    async def _look(self, key: str) -> ObjectFacts | None:
        always = self._placement.always
        try:
            answer = await self._client.head(self._bucket, key, {**WITH_SUMS, **always})
            facts = facts_of(answer.fields, composites=True)
            if facts.size is None:
                facts = replace(facts, size=await size_by_range(self._client, self._bucket, key, always))
        except StoreError as error:
            if error.missing:
                return None
            raise
        return facts

    async def _done(self, work: Awaitable[T], name: str, key: str) -> T:
        try:
            return await work
        except StoreError as error:
            raise self._patience.judge(error, self._on(name, key)) from None

    def _unfit(self, error: StoreError, name: str) -> EngineError:
        if error.status == 404:
            hint = "create it, or check destination.bucket and destination.endpoint_url"
            return Blocked(f"the destination bucket {name} does not exist", hint=hint)
        if error.status == 403 and error.code not in LOGIN:
            hint = (
                "grant s3:ListBucket, s3:GetObject and s3:PutObject on it; where expected_bucket_owner is set, check it"
            )
            return Blocked(f"access to the destination bucket {name} is denied", hint=hint)
        found = self._patience.judge(error, Operation("HEAD", destination=name))
        if isinstance(found, Refused):
            return Blocked(str(found), hint="check destination.endpoint_url, its region and its credentials")
        return found

    async def _culprit(self, error: StoreError, original: Original) -> Side:
        """Whose fault a failed copy is: a denied CopyObject does not say which of the two buckets refused."""
        if error.missing or error.code == "InvalidObjectState":
            return Side.SOURCE
        if error.status != 403 or error.code in LOGIN:
            return Side.DESTINATION
        try:
            await self._copier.look(original)
        except StoreError as reason:
            return Side.SOURCE if reason.status in {403, 404} else Side.DESTINATION
        return Side.DESTINATION

    async def _part(self, send: Callable[[], Awaitable[Answer]], name: str, key: str) -> Answer:
        """One part's request, tried again by itself: a large file is not begun afresh for one slow answer."""

        async def once() -> Answer:
            return await self._done(send(), name, key)

        tries = self._placement.attempts
        answer, _ = await retry(once, clock=self._clock, attempts=tries, throttled=10 * tries)
        return answer

    def _on(self, name: str, key: str) -> Operation:
        return Operation(name, destination=self._shown(key))

    def _shown(self, key: str) -> str:
        return f"s3://{self._bucket}/{key}"

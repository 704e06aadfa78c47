"""Our bucket: looks, copies and stores, and overwrites nothing (I7). Errors are translated here, once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TypeVar

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.clock import Clock
from engine.limiting.limiter import Limiter
from engine.limiting.retry import Retries
from engine.model.errors import Blocked, EngineError, Operation, Refused
from engine.model.facts import ObjectFacts, Stored, Uncopyable
from engine.model.location import Location
from engine.model.ports import ByteStream
from engine.s3.api.answers import Answer, Fields, Listed, StoreError
from engine.s3.api.faults import LOGIN, Patience, Side
from engine.s3.api.survey import Put
from engine.s3.transfer.blocks import Spend
from engine.s3.transfer.conditions import Conditional
from engine.s3.transfer.copying import Copier, Original
from engine.s3.transfer.extras import refused
from engine.s3.transfer.fast_path import FastPath, SignedWire
from engine.s3.transfer.guard import Guard
from engine.s3.transfer.memory import Memory, Room
from engine.s3.transfer.multipart import Multipart
from engine.s3.transfer.short_stream import ReadingWire, ShortStream
from engine.s3.transfer.source import S3Source
from engine.s3.transfer.storing import Storer
from engine.s3.transfer.target import Bucket, WritePolicy

T = TypeVar("T")


class S3Destination:
    """Fits ``ports.Destination``."""

    def __init__(
        self,
        bucket: Bucket,
        patience: Patience,
        clock: Clock,
        policy: WritePolicy,
        *,
        source_headers: Fields,
        budget: BytesInFlight,
        spend: Spend | None = None,
    ) -> None:
        """``source_headers`` are those of reading a source object."""
        self.bucket = bucket
        self.reader = S3Source(bucket.client, patience, bucket.always, side=Side.DESTINATION)
        self._patience = patience
        self._clock = clock
        self.policy = policy
        self.copies = Guard(bucket.look)
        self.puts = Guard(bucket.look)
        self._multipart = Multipart(bucket, clock, policy.tags)
        self._copier = Copier(bucket, self.copies, self._multipart, policy, self._part, source_headers)
        memory = Memory(budget, policy.sizes)
        self._storer = Storer(bucket, self.puts, self._multipart, policy, self._part, memory, spend)

    def fast_path(self, signed: SignedWire, limiter: Limiter) -> FastPath:
        """The fast path of ``copy``, which shares what this side has learnt."""
        fixed = self._copier.fixed()
        return FastPath(signed, limiter, self.copies, self._patience, self._clock, self.policy, fixed)

    def short_stream(self, source: S3Source, reading: ReadingWire) -> ShortStream:
        """The fast path of ``store`` for objects of the source."""

        async def put(facts: ObjectFacts, key: str, body: memoryview) -> Stored:
            stored = await self._storer.whole(facts, key, body)
            self._patience.wrote = True
            return stored

        return ShortStream(source, reading, self._storer.memory, put, self._clock)

    async def facts(self, key: str) -> ObjectFacts | None:
        """HEAD with checksums, a multipart SHA-256 included (``sha256-composite``); None: the key is free."""
        return await self._done(self.bucket.look(key), "HEAD", key)

    async def copy(self, source: Location, facts: ObjectFacts, key: str, *, replace_etag: str | None = None) -> Stored:
        """Server-side copy of a source object with the destination's credentials, pinned by ETag."""
        return await self._copy(self._copier.original(source, facts), key, replace_etag)

    async def copy_within(self, from_key: str, facts: ObjectFacts, key: str) -> Stored:
        """Server-side copy of one of our own objects to another of our keys."""
        return await self._copy(Original(self.bucket.at(from_key), facts), key, None)

    async def _copy(self, original: Original, key: str, replace_etag: str | None) -> Stored:
        try:
            stored = await self._copier.copy(original, key, replace_etag)
        except StoreError as error:
            source, theirs = original.ref, original.ref.bucket != self.bucket.name
            side = await self._culprit(error, original) if theirs else Side.DESTINATION
            if side is Side.SOURCE and error.missing and await self._exists(original):
                raise Uncopyable(str(error)) from None  # some stores find an object for everybody but a copy
            tags = side is Side.DESTINATION and refused(error) and self.policy.tags.carried(source.bucket)
            if not tags or (copy := await self._without_tags(original, key, replace_etag)) is None:
                # The source may be read, so this request alone is denied, or every write: a stream finds out which.
                if side is Side.DESTINATION and theirs and error.code == "AccessDenied":
                    raise Uncopyable(str(error)) from None
                raise self._patience.translate(
                    error, Operation("COPY", str(source), f"{self.bucket}/{key}"), side=side
                ) from None
            stored = copy
        self._patience.wrote = True
        return stored

    async def _exists(self, original: Original) -> bool:
        try:
            await original.ref.facts()
        except StoreError:
            return False
        return True

    async def _without_tags(self, original: Original, key: str, replace_etag: str | None) -> Stored | None:
        """The same copy once more: where tags may not be read or written, an object is copied only without them."""
        try:
            stored = await self._copier.copy(original, key, replace_etag, tags=False)
        except StoreError:
            return None
        self.policy.tags.left(original.ref.bucket)
        return stored

    @asynccontextmanager
    async def room(self, size: int | None) -> AsyncIterator[Room]:
        """Room for a stream that is to be opened. None: its size will be known once it is open."""
        room = self._storer.room()
        try:
            await (room.guess() if size is None else room.wait_for(size))
            yield room
        finally:
            room.release()

    async def store(
        self, stream: ByteStream, key: str, *, replace_etag: str | None = None, room: Room | None = None
    ) -> Stored:
        """Write the stream; see ``storing.py``. Without ``room`` it waits for some: then nothing may be open behind the
        stream."""
        if room is None:
            async with self.room(0) as room:
                await room.wait_for(stream.facts.size)
                return await self.store(stream, key, replace_etag=replace_etag, room=room)
        try:
            work = self._storer.store(stream, key, replace_etag, room)
            stored = await self._done(work, "PUT", key)
        finally:
            room.release()
        self._patience.wrote = True
        return stored

    def inventory(self, prefix: str = "") -> AsyncIterator[list[Listed]]:
        """All our objects below a prefix, in key order, 1,000 a page."""
        return self.reader.inventory(self.bucket.name, prefix)

    async def survey(self, put: Put, retries: Retries) -> bool:
        """List the whole bucket by several workers at once; see ``S3Source.survey``."""
        return await self.reader.survey(self.bucket.name, [("", None)], put, retries)

    async def check(self) -> None:
        """HEAD the bucket. Raises Blocked that names the fix, or Transient."""
        wanted = self.bucket.region
        try:
            answer = await self.bucket.client.head_bucket(self.bucket.name, self.bucket.always)
        except StoreError as error:
            region = error.region
            if not (region and wanted and region != wanted):
                raise self._unfit(error) from None
        else:
            region = answer.fields.get("x-amz-bucket-region", "")
        if region and wanted and region != wanted:
            raise Blocked(f"{self.bucket} lives in {region}, not in {wanted}", hint=f"set destination.region: {region}")

    async def sweep(self, prefix: str, ours: Callable[[str], bool], before: datetime) -> int:
        """Abort multipart uploads that earlier runs left open (I13); returns how many. See ``Multipart.sweep``."""
        work = self._multipart.sweep(prefix, ours, before.timestamp())
        return await self._done(work, "LIST UPLOADS", prefix)

    def remarks(self) -> list[str]:
        """What was found out about the store, for the end of a run."""
        found = [note for note in (self.policy.tags.note(), self.window()) if note]
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
        original = Original(self.bucket.at(from_key), facts)
        await self._done(self._copier.copy(original, key, None, tags=False), "COPY to", key)

    async def _done(self, work: Awaitable[T], name: str, key: str) -> T:
        try:
            return await work
        except StoreError as error:
            raise self._patience.translate(error, Operation(name, destination=f"{self.bucket}/{key}")) from None

    def _unfit(self, error: StoreError) -> EngineError:
        if error.status == 404:
            hint = "create it, or check destination.bucket and destination.endpoint_url"
            return Blocked(f"the destination bucket {self.bucket} does not exist", hint=hint)
        if error.status == 403 and error.code not in LOGIN:
            hint = (
                "grant s3:ListBucket, s3:GetObject and s3:PutObject on it; where expected_bucket_owner is set, check it"
            )
            return Blocked(f"access to the destination bucket {self.bucket} is denied", hint=hint)
        found = self._patience.translate(error, Operation("HEAD", destination=str(self.bucket)))
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
            await original.ref.facts()
        except StoreError as reason:
            return Side.SOURCE if reason.status in {403, 404} else Side.DESTINATION
        return Side.DESTINATION

    async def _part(self, send: Callable[[], Awaitable[Answer]], name: str, key: str) -> Answer:
        """One part's request, tried again by itself: a large file is not begun afresh for one slow answer."""

        async def once() -> Answer:
            return await self._done(send(), name, key)

        return await Retries(self._clock, self.policy.attempts).patiently(once)

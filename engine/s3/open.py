"""Open both sides of S3 from the settings: ``async with open_s3(settings, clock) as s3``. The file to read first.

| what | file |
|---|---|
| the verbs, as a port | ``verbs.py``; by the SDK ``sdk.py``; by our wire ``fast.py``, ``sigv4.py``, ``uploads.py`` |
| the vendor's side, read only | ``source.py``, ``listing.py`` |
| our side | ``destination.py``: ``copying.py`` by the server, ``storing.py`` through us, on ``multipart.py`` |
| the short way of a copy | ``fast_path.py``, its signed heads ``form.py`` |
| no overwrite | ``conditions.py`` decides, ``guard.py`` asks |
| headers and errors | ``facts.py``, ``xml.py``, ``faults.py`` |
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.clock import Clock
from engine.limiting.limiters import Limiters
from engine.model.errors import Blocked
from engine.model.facts import Method
from engine.model.hosts import store_at
from engine.model.location import Location
from engine.s3.api.address import suffix_of
from engine.s3.api.answers import Listed
from engine.s3.api.client import S3Client
from engine.s3.api.credentials import Keyring
from engine.s3.api.faults import Patience, Side
from engine.s3.bucket import BucketDesk
from engine.s3.probe import Readable, Route, choose, readable
from engine.s3.transfer.blocks import Spend
from engine.s3.transfer.destination import Placement, S3Destination
from engine.s3.transfer.extras import Tags
from engine.s3.transfer.fast_path import FastPath
from engine.s3.transfer.hashing import crc64nvme
from engine.s3.transfer.our_keys import shape_of
from engine.s3.transfer.parts import COPY_LIMIT, MIB, PUT_LIMIT
from engine.s3.transfer.source import S3Source
from engine.s3.transfer.storing import PARTS_AT_ONCE
from engine.s3.transport import Transport, open_clients
from engine.settings import DestinationSettings, Settings, SourceSettings

COPY_PART = 256 * MIB


@dataclass(frozen=True, slots=True)
class S3:
    """Both sides, open."""

    source: S3Source
    destination: S3Destination
    fast_path: FastPath | None
    """The short way of a copy to it; None by the SDK."""
    ours: S3Source
    """Reads objects of our own bucket."""
    bucket: BucketDesk
    """How our bucket is set up."""
    tags: Tags
    """Whether they travel, and where they had to be left behind."""
    settings: Settings
    opened_at: datetime
    source_verbs: S3Client
    destination_verbs: S3Client
    source_keys: Keyring
    source_patience: Patience
    destination_patience: Patience

    async def check_destination(self) -> None:
        """Raises Blocked where the bucket is missing, denied or elsewhere; says what to change."""
        await self.destination.check()

    async def sweep(self) -> int:
        """Abort what earlier runs left open (I13): uploads that began before this run and whose key has the shape of
        ``destination.key_template``. Other programs' uploads under that prefix have no record Ids in their keys."""
        prefix, ours = shape_of(self.settings.destination.key_template, self.settings.destination.bucket)
        return await self.destination.sweep(prefix, ours, self.opened_at)

    def remarks(self) -> list[str]:
        """What a run has found out about the stores that its reader should know."""
        return [told for told in (self.tags.note(), *self.destination.remarks()) if told]

    async def find_route(self, samples: Sequence[Location]) -> Route:
        """How objects of the samples' bucket shall travel. Raises Blocked, Transient."""
        access = self.settings.source.access
        samples = [each for each in samples if each.in_s3 and not each.presigned]
        if access == "http":
            return choose(None, None, access)
        if not samples:
            return Route(Method.HTTP, "the samples are links that carry a right of their own")
        copy = await self._may_copy(samples) if self.one_service else None
        if copy is Readable.YES:
            return choose(copy, None, access)
        may_read = self.settings.source.anonymous or await self.source_keys.found()
        read = await readable(samples, self.source.look) if may_read else None
        return choose(copy, read, access)

    async def _may_copy(self, samples: Sequence[Location]) -> Readable:
        try:
            return await readable(samples, self.across.look)
        except Blocked:
            return Readable.NO  # what our own keys cannot do there may be done without them

    def inventory(self, bucket: str, prefix: str = "") -> AsyncIterator[list[Listed]]:
        """The source bucket, listed; see ``S3Source.inventory``. Ours: ``destination.inventory``."""
        return self.source.inventory(bucket, prefix)

    async def listers(self) -> list[S3Source]:
        """Who may try to list a source bucket: our side where a copy may cross to it, then the source's credentials."""
        theirs = self.settings.source.anonymous or await self.source_keys.found()
        return [self.across] * self.one_service + [self.source] * theirs

    @property
    def across(self) -> S3Source:
        """The vendor's side as our own credentials see it: the sources of server-side copies."""
        headers = source_headers(self.settings.source)
        return S3Source(self.destination_verbs, self.destination_patience, headers, tags=self.tags)

    @property
    def one_service(self) -> bool:
        """Whether a copy may cross from the source to the destination: the same endpoint, or AWS in one partition."""
        source, destination = self.settings.source, self.settings.destination
        if store_at(source.endpoint_url) != store_at(destination.endpoint_url):
            return False
        if source.endpoint_url or destination.endpoint_url:
            return True
        return suffix_of(source.region) == suffix_of(destination.region)


@asynccontextmanager
async def open_s3(
    settings: Settings,
    clock: Clock,
    *,
    transport: Transport = "fast",
    budget: BytesInFlight | None = None,
    spend: Spend | None = None,
    limiters: Limiters | None = None,
    copy_limit: int = COPY_LIMIT,
    copy_part_bytes: int = COPY_PART,
    part_bytes: int | None = None,
    put_limit: int | None = None,
) -> AsyncIterator[S3]:
    """Both sides for the length of the block. Raises Blocked where the destination has no credentials.

    ``budget`` bounds the bytes in memory over all files (default: 16 parts), ``spend`` is the bandwidth
    cap, ``limiters`` pace the requests (default: their own). Sizes are in bytes; ``part_bytes`` overrides
    ``migration.part_size_mb``, ``put_limit`` is the most that goes by one PUT (default: as much as a file's parts hold
    in memory anyway; so each byte is hashed once, not twice, and the store shows the checksum of the whole).
    """
    migration, source, destination = settings.migration, settings.source, settings.destination
    part_bytes = part_bytes or migration.part_size_mb * MIB
    if migration.checksum == "crc64nvme":
        crc64nvme(b"")
    async with AsyncExitStack() as stack:
        source_keys = Keyring(source, clock, Side.SOURCE, settings.network)
        destination_keys = Keyring(destination, clock, Side.DESTINATION, settings.network)
        stack.push_async_callback(source_keys.close)
        stack.push_async_callback(destination_keys.close)
        await destination_keys.keys()
        limiters = limiters or Limiters(clock, migration.concurrency)
        source_patience = Patience(clock, Side.SOURCE, source_keys.renew)
        patience = Patience(clock, Side.DESTINATION, destination_keys.renew)
        sides = await open_clients(
            stack, settings, clock, transport, source_keys, destination_keys, limiters, source_patience, patience
        )
        placement = Placement(
            bucket=destination.bucket,
            always=owner(destination.expected_bucket_owner),
            placed=placed(destination),
            source_headers=source_headers(source),
            part_bytes=part_bytes,
            put_limit=min(put_limit or PARTS_AT_ONCE * part_bytes, PUT_LIMIT),
            checksum=migration.checksum,
            attempts=migration.max_attempts,
            copy_limit=copy_limit,
            copy_part_bytes=copy_part_bytes,
            region=None if destination.endpoint_url else destination.region,
        )
        tags = Tags(keep=migration.tags == "keep")
        ours = S3Destination(
            sides.destination,
            patience,
            clock,
            placement,
            budget=budget or BytesInFlight(16 * part_bytes),
            spend=spend,
            tags=tags,
        )
        yield S3(
            source=S3Source(sides.source, source_patience, source_headers(source), tags=tags),
            destination=ours,
            fast_path=None if sides.road is None else ours.fast_path(sides.road, limiters.destination),
            ours=S3Source(sides.destination, patience, placement.always, side=Side.DESTINATION),
            bucket=BucketDesk(sides.control, destination.bucket, placement.always),
            tags=tags,
            settings=settings,
            opened_at=clock.now(),
            source_verbs=sides.source,
            destination_verbs=sides.destination,
            source_keys=source_keys,
            source_patience=source_patience,
            destination_patience=patience,
        )


def source_headers(source: SourceSettings) -> dict[str, str]:
    """What every read of the source carries."""
    payer = {"x-amz-request-payer": "requester"} if source.request_payer else {}
    return {**owner(source.expected_bucket_owner), **payer}


def owner(account: str | None) -> dict[str, str]:
    """The header that makes S3 refuse a bucket that belongs to somebody else."""
    return {"x-amz-expected-bucket-owner": account} if account else {}


def placed(destination: DestinationSettings) -> dict[str, str]:
    """What every new object carries: its storage class and encryption. ACLs are never set and never copied."""
    asks = {
        "x-amz-storage-class": destination.storage_class,
        "x-amz-server-side-encryption": destination.sse,
        "x-amz-server-side-encryption-aws-kms-key-id": destination.kms_key_id,
    }
    return {name: value for name, value in asks.items() if value}

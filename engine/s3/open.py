"""Opens both sides of S3 from the settings: ``async with open_s3(settings, clock) as s3``. Read this file first.

| what | file |
|---|---|
| the S3 client port | ``api/client.py``; over our own wire ``api/fast.py``, by the SDK ``api/sdk.py`` |
| the vendor's side, read only | ``transfer/source.py``; by which method it is read ``transfer/probe.py`` |
| our side | ``transfer/destination.py``: server-side copies ``copying.py``, streams ``storing.py``, ``multipart.py`` |
| the fast path of a copy | ``transfer/fast_path.py``, on pre-signed templates ``api/head_template.py`` |
| no overwrite | ``transfer/conditions.py`` decides, ``transfer/guard.py`` asks |
| headers and errors | ``transfer/facts.py``, ``api/xml.py``, ``api/faults.py`` |
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.clock import Clock
from engine.limiting.limiters import Limiters
from engine.model.byte_units import MIB
from engine.model.hosts import store_at
from engine.s3.api.address import suffix_of
from engine.s3.api.bucket_setup import BucketSetup
from engine.s3.api.client import S3Client
from engine.s3.api.credentials import Keyring
from engine.s3.api.faults import Patience, Side
from engine.s3.transfer.blocks import Spend
from engine.s3.transfer.destination import S3Destination
from engine.s3.transfer.extras import Tags
from engine.s3.transfer.fast_path import FastPath
from engine.s3.transfer.hashing import crc64nvme
from engine.s3.transfer.our_keys import shape_of
from engine.s3.transfer.parts import Sizes
from engine.s3.transfer.probe import SourceAccess
from engine.s3.transfer.source import S3Source
from engine.s3.transfer.target import Bucket, WritePolicy
from engine.s3.transport import OpenClients, Transport, open_clients
from engine.settings import DestinationSettings, Settings, SourceSettings


@dataclass(frozen=True, slots=True)
class S3:
    """Both sides, open."""

    source: S3Source
    across: S3Source
    """The source buckets as the destination's credentials see them: for server-side copies."""
    source_access: SourceAccess
    destination: S3Destination
    fast_path: FastPath | None
    """The fast path of a copy to it; None by the SDK."""
    ours: S3Source
    """Reads objects of our own bucket."""
    bucket_setup: BucketSetup
    settings: Settings
    opened_at: datetime
    source_client: S3Client
    destination_client: S3Client

    async def sweep(self) -> int:
        """Abort what earlier runs left open (I13): uploads that began before this run and whose key has the shape of
        ``destination.key_template``. Other programs' uploads under that prefix have no record Ids in their keys."""
        prefix, ours = shape_of(self.settings.destination.key_template, self.settings.destination.bucket)
        return await self.destination.sweep(prefix, ours, self.opened_at)


@asynccontextmanager
async def open_s3(
    settings: Settings,
    clock: Clock,
    *,
    transport: Transport = "fast",
    budget: BytesInFlight | None = None,
    spend: Spend | None = None,
    limiters: Limiters | None = None,
    sizes: Sizes | None = None,
    clients: OpenClients = open_clients,
) -> AsyncIterator[S3]:
    """Both sides for the length of the block. Raises Blocked where the destination has no credentials.

    ``budget`` bounds the bytes in memory over all files (default: 16 parts). ``spend`` is the bandwidth cap. The
    requests pass ``limiters`` (default: their own). ``sizes`` take the place of ``migration.part_size_mb``.
    """
    migration, source, destination = settings.migration, settings.source, settings.destination
    sizes = sizes or Sizes.of(migration.part_size_mb * MIB)
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
        sides = await clients(
            stack, settings, clock, transport, source_keys, destination_keys, limiters, source_patience, patience
        )
        bucket = Bucket(
            sides.destination,
            destination.bucket,
            owner(destination.expected_bucket_owner),
            None if destination.endpoint_url else destination.region,
        )
        tags = Tags(keep=migration.tags == "keep")
        ours = S3Destination(
            bucket,
            patience,
            clock,
            WritePolicy(placed(destination), migration.checksum, sizes, migration.max_attempts, tags),
            source_headers=source_headers(source),
            budget=budget or BytesInFlight(16 * sizes.part),
            spend=spend,
        )
        from_source = S3Source(sides.source, source_patience, source_headers(source), tags=tags)
        across = S3Source(sides.destination, patience, source_headers(source), tags=tags)
        yield S3(
            source=from_source,
            across=across,
            source_access=SourceAccess(
                source.access,
                source.buckets,
                from_source,
                None if source.anonymous else source_keys,
                across if one_service(source, destination) else None,
            ),
            destination=ours,
            fast_path=None if sides.signed is None else ours.fast_path(sides.signed, limiters.destination),
            ours=ours.reader,
            bucket_setup=BucketSetup(sides.control, bucket.name, bucket.always),
            settings=settings,
            opened_at=clock.now(),
            source_client=sides.source,
            destination_client=sides.destination,
        )


def one_service(source: SourceSettings, destination: DestinationSettings) -> bool:
    """Whether a copy may cross from the source to the destination: the same endpoint, or AWS in one partition."""
    if store_at(source.endpoint_url) != store_at(destination.endpoint_url):
        return False
    if source.endpoint_url or destination.endpoint_url:
        return True
    return suffix_of(source.region) == suffix_of(destination.region)


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

"""Opens both sides of S3 from the settings: ``async with open_s3(settings, clock) as s3``. Read this file first.

| what | file |
|---|---|
| the S3 client port | ``api/client.py``; over our own wire ``api/fast.py``, by the SDK ``api/sdk.py`` |
| the vendor's side, read only | ``transfer/source.py``; by which method it is read ``transfer/probe.py`` |
| our side | ``transfer/destination.py``: server-side copies ``copying.py``, streams ``storing.py``, ``multipart.py`` |
| the fast path of a copy | ``transfer/fast_path.py``, on pre-signed templates ``api/head_template.py`` |
| the fast path of a stream | ``transfer/short_stream.py`` |
| no overwrite | ``transfer/conditions.py`` decides, ``transfer/guard.py`` asks |
| headers and errors | ``transfer/facts.py``, ``api/xml.py``, ``api/faults.py`` |
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.clock import Clock
from engine.limiting.limiter import Limiter
from engine.limiting.limiters import Limiters
from engine.model.byte_units import MIB
from engine.model.hosts import store_at
from engine.model.proxy import proxy_of
from engine.s3.api.address import suffix_of
from engine.s3.api.bucket_setup import BucketSetup
from engine.s3.api.credentials import Keyring, Keys
from engine.s3.api.faults import Patience, Side
from engine.s3.api.service import Service
from engine.s3.api.way_out import WayOut
from engine.s3.transfer.blocks import Spend
from engine.s3.transfer.destination import S3Destination
from engine.s3.transfer.extras import Tags
from engine.s3.transfer.fast_path import FastPath
from engine.s3.transfer.hashing import crc64nvme
from engine.s3.transfer.our_keys import shape_of
from engine.s3.transfer.parts import Sizes
from engine.s3.transfer.probe import SourceAccess
from engine.s3.transfer.short_stream import ShortStream
from engine.s3.transfer.source import S3Source
from engine.s3.transfer.target import Bucket, WritePolicy
from engine.s3.transport import Clients, OpenClients, Transport, open_clients
from engine.settings import Credentials, DestinationSettings, Settings, SourceSettings


@dataclass(frozen=True, slots=True)
class S3:
    """Both sides, open."""

    source: S3Source
    across: S3Source
    """The source buckets as the destination's credentials see them: for server-side copies."""
    source_access: SourceAccess
    destination: S3Destination
    ours: S3Source
    """Reads objects of our own bucket."""
    fast_path: FastPath | None
    """Of copies to the destination; None by the SDK."""
    short_stream: ShortStream | None
    """Of streams to the destination; None by the SDK, or where the source is read without keys."""
    bucket_setup: BucketSetup
    key_template: str
    opened_at: datetime

    async def sweep(self, before: datetime | None = None) -> int:
        """Abort what earlier runs left open (I13): uploads that began before this run, or ``before``, and whose key has
        the shape of ``destination.key_template``. Other programs' uploads under that prefix have no record Ids in their
        keys."""
        prefix, ours = shape_of(self.key_template, self.destination.bucket.name)
        return await self.destination.sweep(prefix, ours, before or self.opened_at)


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

    ``budget`` bounds the bytes in memory over all files (default: a worker's share of 16 parts, but 4 at least).
    ``spend`` is the bandwidth cap. The requests pass ``limiters`` (default: their own). ``sizes`` take the place of
    ``migration.part_size_mb``.
    """
    migration = settings.migration
    sizes = sizes or Sizes.of(migration.part_size_mb * MIB)
    limiters = limiters or Limiters(clock, migration.concurrency)
    out = WayOut(proxy_of(settings.network.proxy), settings.network.ca_file)
    tags = Tags(keep=migration.tags == "keep")
    policy = WritePolicy(
        placed(settings.destination), migration.checksum, sizes, migration.max_attempts, tags, migration.hashes_files
    )
    if policy.crc:
        crc64nvme(b"")
    async with AsyncExitStack() as stack:
        source = _service(stack, settings.source, Side.SOURCE, clock, limiters.source, out)
        destination = _service(stack, settings.destination, Side.DESTINATION, clock, limiters.destination, out)
        await destination.keyring.keys()
        opened = await clients(
            stack, transport, source, destination, clock=clock, concurrency=migration.concurrency, out=out
        )
        ours = S3Destination(
            _bucket(settings.destination, opened),
            destination.patience,
            clock,
            policy,
            source_headers=source_headers(settings.source),
            budget=budget or BytesInFlight(max(4, 16 // limiters.workers) * sizes.part),
            spend=spend,
        )
        yield _both(settings, clock, opened, source, destination, ours)


def _service(
    stack: AsyncExitStack,
    section: SourceSettings | DestinationSettings,
    side: Side,
    clock: Clock,
    limiter: Limiter,
    out: WayOut,
) -> Service:
    keyring = Keyring(clock, side, keys=keys_in(section), profile=section.profile, out=out)
    stack.push_async_callback(keyring.close)
    patience = Patience(clock, side, keyring.renew)
    service = Service(section.endpoint_url, section.region, keyring, patience, limiter)
    if isinstance(section, SourceSettings):
        return replace(service, anonymous=section.anonymous)
    return replace(service, home=section.bucket)


def _bucket(ours: DestinationSettings, opened: Clients) -> Bucket:
    region = None if ours.endpoint_url else ours.region
    tls = not ours.endpoint_url or ours.endpoint_url.startswith("https://")
    return Bucket(opened.destination, ours.bucket, owner(ours.expected_bucket_owner), region, tls)


def _both(
    settings: Settings, clock: Clock, opened: Clients, source: Service, destination: Service, ours: S3Destination
) -> S3:
    reading, tags = source_headers(settings.source), ours.policy.tags
    theirs = S3Source(opened.source, source.patience, reading, tags=tags)
    across = S3Source(opened.destination, destination.patience, reading, tags=tags)
    crossing = across if one_service(settings.source, settings.destination) else None
    keys = None if source.anonymous else source.keyring
    return S3(
        source=theirs,
        across=across,
        source_access=SourceAccess(settings.source.access, settings.source.buckets, theirs, keys, crossing),
        destination=ours,
        ours=ours.reader,
        fast_path=None if opened.signed is None else ours.fast_path(opened.signed, destination.limiter),
        short_stream=None if opened.reading is None else ours.short_stream(theirs, opened.reading),
        bucket_setup=BucketSetup(opened.control, ours.bucket.name, ours.bucket.always),
        key_template=settings.destination.key_template,
        opened_at=clock.now(),
    )


def keys_in(section: Credentials) -> Keys | None:
    """The keys that the settings themselves give."""
    if not (section.access_key_id and section.secret_access_key):
        return None
    token = section.session_token.get_secret_value() if section.session_token else None
    return Keys(section.access_key_id.get_secret_value(), section.secret_access_key.get_secret_value(), token)


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

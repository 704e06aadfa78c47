"""Objects of the engine's own in the destination bucket: put there once, and read whole."""

from __future__ import annotations

from collections.abc import Callable

from engine.limiting.retry import Retries
from engine.model.errors import EngineError, Transient
from engine.model.facts import ContentHeaders, ObjectFacts, Occupied
from engine.model.failures import FailureClass
from engine.model.location import Location, Origin
from engine.model.ports import ByteStream
from engine.pipeline.verify import Mismatch, prove
from engine.runs.shared.assembly import Adapters
from engine.s3.api.answers import Listed
from engine.s3.open import S3
from engine.s3.transfer.blocks import InMemory
from engine.tracking.db.chain import Key

PREFIX = ".engine/"
"""Of everything in the destination bucket that is not the file of a record."""
JOURNALS = f"{PREFIX}journal/"
JSON = ContentHeaders(content_type="application/json")
NDJSON = ContentHeaders(content_type="application/x-ndjson")


async def store(services: Adapters, key: str, content: bytes, headers: ContentHeaders = NDJSON) -> str:
    """Put a new object into the destination bucket. Returns why that failed; empty where it is there, or was."""
    try:
        await put(services, key, content, headers)
    except EngineError as error:
        return str(error)
    except Occupied:
        return f"{key} is taken by something else"
    return ""


async def put(services: Adapters, key: str, content: bytes, headers: ContentHeaders = NDJSON) -> None:
    """The same. Raises EngineError, and Occupied where something else is there. Nothing is overwritten but what came
    of a try of this very call."""
    await put_stream(services, key, lambda: InMemory(ObjectFacts(len(content), headers=headers), content))


async def put_stream(services: Adapters, key: str, begin: Callable[[], ByteStream]) -> None:
    """The same, for what is read anew with each try."""
    bad: str | None = None

    async def once() -> None:
        nonlocal bad
        sent = begin()
        try:
            stored = await services.s3.destination.store(sent, key, replace_etag=bad)
        except Occupied as taken:
            if taken.facts.size != sent.facts.size or not await _holds(services, key, begin()):
                raise
            return
        try:
            prove(sent.facts, stored.facts, stored.computed)
        except Mismatch as error:
            bad = stored.facts.etag or None
            raise Transient(FailureClass.CHECKSUM_MISMATCH, f"{key} was stored otherwise: {error}") from error

    await services.retries.of(once)


async def _holds(services: Adapters, key: str, wanted: ByteStream) -> bool:
    """Whether exactly this lies under the key: then only an answer was lost. Read side by side, a piece at a time."""
    pieces, rest = wanted.chunks(), b""
    async with services.s3.ours.open(own(services.s3, key), ObjectFacts(wanted.facts.size)) as reading:
        async for chunk in reading.chunks():
            there = bytes(chunk)
            while there:
                rest = rest or bytes(await anext(pieces, b""))
                length = min(len(rest), len(there))
                if not length or rest[:length] != there[:length]:
                    return False
                rest, there = rest[length:], there[length:]
    return not rest and not await anext(pieces, b"")


def folder(key: Key, first: str) -> str:
    """Where one journal lies in the bucket; ``first``: the HMAC of its first row."""
    return f"{JOURNALS}{key.fingerprint}-{first[:16]}/"


def own(s3: S3, key: str) -> Location:
    """An object of the destination bucket."""
    bucket = s3.destination.bucket.name
    return Location(Origin("s3", bucket, 443), f"s3://{bucket}/{key}", bucket=bucket, key=key)


async def content_of(s3: S3, retries: Retries, row: Listed) -> bytes:
    """No more than the listing says. Raises EngineError."""
    return await get(s3, retries, row.key, row.size)


async def get(s3: S3, retries: Retries, key: str, size: int) -> bytes:
    """An object of this size. Raises EngineError."""

    async def once() -> bytes:
        async with s3.ours.open(own(s3, key), ObjectFacts(size)) as reading:
            return b"".join([bytes(chunk) async for chunk in reading.chunks()])

    return await retries.of(once)


async def listing(s3: S3, retries: Retries, prefix: str, most: int = 1_000_000) -> list[Listed]:
    """What lies below this prefix, in the order of the keys, up to so many. Raises EngineError."""

    async def once() -> list[Listed]:
        found: list[Listed] = []
        async for rows in s3.destination.inventory(prefix):
            found += rows
            if len(found) >= most:
                break
        return found[:most]

    return await retries.of(once)

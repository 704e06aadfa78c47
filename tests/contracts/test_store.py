"""Source and Destination over S3: the same behaviour from both transports, on a forgiving and on a strict server."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.clock import SystemClock
from engine.model.byte_units import MIB
from engine.model.errors import Blocked, Refused, Transient
from engine.model.facts import ContentHeaders, Method, ObjectFacts, Occupied, Proof
from engine.model.failures import FailureClass
from engine.pipeline.verify import prove
from engine.rehearsal.objects import ObjectServer
from engine.s3.open import S3, open_s3
from engine.settings import Settings
from tests.support.s3 import AWKWARD, SMALL_PARTS, Bytes, at, settings_for
from tests.support.servers.client import client_of
from tests.support.servers.seaweed import ACCESS_KEY as SEAWEED

DRESSED = ContentHeaders(
    content_type="application/pdf",
    content_disposition='attachment; filename="a.pdf"',
    content_encoding="gzip",
    content_language="de",
    cache_control="max-age=60",
    metadata=(("case", "42"), ("who", "me")),
)


@dataclass
class Store:
    """Both sides of one server through one transport; ``client`` looks behind them."""

    s3: S3
    client: Any
    vendor: str
    ours: str
    server: ObjectServer
    settings: Settings

    def put(self, key: str, body: bytes, **more: Any) -> None:
        self.client.put_object(Bucket=self.vendor, Key=key, Body=body, **more)

    def body(self, key: str) -> bytes:
        return bytes(self.client.get_object(Bucket=self.ours, Key=key)["Body"].read())

    def open_uploads(self) -> list[Any]:
        return list(self.client.list_multipart_uploads(Bucket=self.ours).get("Uploads", []))


@pytest.fixture(
    params=[
        pytest.param(("moto", "fast"), id="moto-fast"),
        pytest.param(("moto", "sdk"), id="moto-sdk"),
        pytest.param(("swift", "fast"), id="swift-fast", marks=pytest.mark.swift),
        pytest.param(("swift", "sdk"), id="swift-sdk", marks=pytest.mark.swift),
        pytest.param(("seaweed", "fast"), id="seaweed-fast", marks=pytest.mark.seaweed),
    ]
)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    name, transport = request.param
    server: ObjectServer = request.getfixturevalue(name)
    client = client_of(server)
    tail = secrets.token_hex(6)
    vendor, ours = f"vendor-{tail}", f"ours-{tail}"
    for bucket in (vendor, ours):
        client.create_bucket(Bucket=bucket)
    settings = settings_for(server, vendor, ours)
    async with open_s3(
        settings,
        SystemClock(),
        transport=transport,
        sizes=replace(SMALL_PARTS, put_limit=6 * MIB),
    ) as s3:
        yield Store(s3, client, vendor, ours, server, settings)
    client.close()


async def test_a_missing_source_is_refused(store: Store) -> None:
    with pytest.raises(Refused) as refused:
        await store.s3.source.facts(at(store.vendor, "nope"))
    assert refused.value.failure is FailureClass.SOURCE_MISSING


async def test_source_facts_tell_size_sum_and_headers(store: Store) -> None:
    store.put("a", b"hello", ContentType="text/plain", ContentDisposition="inline", Metadata={"who": "me"})
    facts = await store.s3.source.facts(at(store.vendor, "a"))
    assert (facts.size, facts.etag, facts.etag_is_md5) == (5, hashlib.md5(b"hello").hexdigest(), True)
    assert facts.headers == ContentHeaders("text/plain", "inline", metadata=(("who", "me"),))
    assert facts.last_modified.endswith("Z")
    assert not facts.archived


async def test_a_pinned_read_of_a_changed_object_is_transient(store: Store) -> None:
    store.put("a", b"old")
    facts = await store.s3.source.facts(at(store.vendor, "a"))
    store.put("a", b"new")
    with pytest.raises(Transient) as failed:
        async with store.s3.source.open(at(store.vendor, "a"), facts) as stream:
            [chunk async for chunk in stream.chunks()]
    assert failed.value.failure is FailureClass.SOURCE_CHANGED


async def test_a_copy_of_a_changed_object_is_transient_and_leaves_nothing(store: Store) -> None:
    store.put("a", b"old")
    facts = await store.s3.source.facts(at(store.vendor, "a"))
    store.put("a", b"new")
    for _ in range(2):  # the first write learns what conditions are worth here; the second relies on it
        with pytest.raises(Transient) as failed:
            await store.s3.destination.copy(at(store.vendor, "a"), facts, "k")
        assert failed.value.failure is FailureClass.SOURCE_CHANGED
        assert await store.s3.destination.facts("k") is None


async def test_every_name_travels_unharmed(store: Store) -> None:
    # SeaweedFS keeps a tree of folders, where such a name would be another
    names = [key for key in AWKWARD if store.server.access_key != SEAWEED or "/../" not in key]
    for key in names:
        store.put(key, key.encode())
    seen = [row.key async for page in store.s3.source.inventory(store.vendor) for row in page]
    assert sorted(seen) == sorted(names)
    for key in names:
        facts = await store.s3.source.facts(at(store.vendor, key))
        await store.s3.destination.copy(at(store.vendor, key), facts, "copied/" + key)
        async with store.s3.source.open(at(store.vendor, key), facts) as stream:
            await store.s3.destination.store(stream, "stored/" + key)
        assert store.body("copied/" + key) == store.body("stored/" + key) == key.encode()
    ours = [row.key async for page in store.s3.destination.inventory("stored/") for row in page]
    assert sorted(ours) == sorted("stored/" + key for key in names)


@pytest.mark.parametrize("size", [0, 1, 5 * MIB, 5 * MIB + 1, 11 * MIB])
async def test_a_stored_stream_is_whole_and_summed(store: Store, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + b"z" * (size % 256)
    chunks = [body[n : n + 300_000] for n in range(0, size, 300_000)]
    stored = await store.s3.destination.store(Bytes(chunks, headers=DRESSED), "k")
    computed = dict(stored.computed)
    assert stored.facts.size == stored.read_bytes == size
    assert computed["sha256"] == hashlib.sha256(body).hexdigest()
    assert prove(ObjectFacts(size=size), stored.facts, stored.computed) is Proof.RECEIVED
    assert store.body("k") == body
    facts = await store.s3.destination.facts("k")
    assert facts is not None
    assert (facts.size, facts.etag, facts.headers) == (size, stored.facts.etag, DRESSED)
    assert store.open_uploads() == []


async def test_a_stream_of_unknown_length_is_stored_whole(store: Store) -> None:
    for key, size in (("none", 0), ("small", 10), ("exact", 5 * MIB), ("large", 12 * MIB)):
        stored = await store.s3.destination.store(
            Bytes([b"q" * 65_536] * (size // 65_536) or [b"q" * size], size=None), key
        )
        assert stored.facts.size == size
        assert store.body(key) == b"q" * size


async def test_a_large_copy_goes_by_parts_and_keeps_what_describes_it(store: Store) -> None:
    body = b"0123456789abcdef" * (11 * MIB // 16)
    store.put("big", body, ContentType="video/mp4", ContentLanguage="fr", Metadata={"case": "42"})
    facts = await store.s3.source.facts(at(store.vendor, "big"))
    stored = await store.s3.destination.copy(at(store.vendor, "big"), facts, "k")
    assert stored.facts.etag.endswith("-3")
    assert stored.facts.size == len(body)
    assert store.body("k") == body
    found = await store.s3.destination.facts("k")
    assert found is not None
    assert found.headers == ContentHeaders("video/mp4", content_language="fr", metadata=(("case", "42"),))
    assert store.open_uploads() == []


async def test_an_object_that_was_uploaded_in_parts_is_copied_whole(store: Store) -> None:
    upload = store.client.create_multipart_upload(Bucket=store.vendor, Key="a", ContentType="image/png")["UploadId"]
    where = {"Bucket": store.vendor, "Key": "a", "UploadId": upload}
    tags = [
        store.client.upload_part(**where, PartNumber=number, Body=body)["ETag"]
        for number, body in ((1, b"x" * 5 * MIB), (2, b"y"))
    ]
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(tags, 1)]
    store.client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    facts = await store.s3.source.facts(at(store.vendor, "a"))
    assert not facts.etag_is_md5
    async with store.s3.source.open(at(store.vendor, "a"), facts) as stream:
        await store.s3.destination.store(stream, "streamed")
    assert store.body("streamed") == b"x" * 5 * MIB + b"y"
    stored = await store.s3.destination.copy(at(store.vendor, "a"), facts, "k")
    assert stored.facts.size == len(store.body("k"))  # told truly even where a store copies only the list of the parts
    if "swift" not in store.server.url and store.server.access_key == "rehearsal":
        assert store.body("k") == store.body("streamed")


@pytest.mark.parametrize("size", [3, 7 * MIB])
async def test_nothing_is_ever_overwritten(store: Store, size: int) -> None:
    theirs = b"other content"
    store.client.put_object(Bucket=store.ours, Key="k", Body=theirs)
    store.put("a", b"n" * size)
    facts = await store.s3.source.facts(at(store.vendor, "a"))
    for _ in range(2):
        for number in range(2):
            with pytest.raises(Occupied) as occupied:
                await store.s3.destination.copy(at(store.vendor, "a"), facts, "k")
            assert occupied.value.facts.etag == hashlib.md5(theirs).hexdigest()
            with pytest.raises(Occupied):
                await store.s3.destination.store(Bytes(b"n" * size), "k")
            if not number:  # once more when the verdicts are in
                await store.s3.destination.copy(at(store.vendor, "a"), facts, f"free/{secrets.token_hex(4)}")
                await store.s3.destination.store(Bytes(b"n" * size), f"free/{secrets.token_hex(4)}")
    assert store.body("k") == theirs
    assert store.open_uploads() == []


async def test_only_the_named_etag_is_replaced(store: Store) -> None:
    first = await store.s3.destination.store(Bytes(b"bad"), "k")
    with pytest.raises(Occupied):
        await store.s3.destination.store(Bytes(b"good"), "k", replace_etag="0" * 32)
    assert store.body("k") == b"bad"
    second = await store.s3.destination.store(Bytes(b"good"), "k", replace_etag=first.facts.etag)
    assert store.body("k") == b"good"
    store.put("a", b"better")
    facts = await store.s3.source.facts(at(store.vendor, "a"))
    await store.s3.destination.copy(at(store.vendor, "a"), facts, "k", replace_etag=second.facts.etag)
    assert store.body("k") == b"better"
    large = await store.s3.destination.store(Bytes([b"x" * MIB] * 6), "k", replace_etag=facts.etag)
    assert store.body("k") == b"x" * 6 * MIB
    assert large.facts.size == 6 * MIB


async def test_a_key_that_has_become_free_is_simply_written(store: Store) -> None:
    await store.s3.destination.store(Bytes(b"good"), "k", replace_etag="0" * 32)
    assert store.body("k") == b"good"


async def test_a_duplicate_is_copied_within_our_bucket(store: Store) -> None:
    stored = await store.s3.destination.store(Bytes(b"one", headers=DRESSED), "a/1 é")
    duplicate = await store.s3.destination.copy_within("a/1 é", stored.facts, "a/2")
    assert duplicate.facts.etag == stored.facts.etag
    assert store.body("a/2") == b"one"
    with pytest.raises(Occupied):
        await store.s3.destination.copy_within("a/1 é", stored.facts, "a/2")


@pytest.mark.parametrize("size", [100, 7 * MIB])
@pytest.mark.parametrize("promised", [-1, +1])
async def test_a_stream_of_another_length_than_promised_stores_nothing(store: Store, size: int, promised: int) -> None:
    with pytest.raises(Transient) as failed:
        await store.s3.destination.store(Bytes([b"x" * size], size=size + promised), "k")
    assert failed.value.failure is FailureClass.NETWORK
    assert await store.s3.destination.facts("k") is None
    assert store.open_uploads() == []


@pytest.mark.parametrize("size", [100, 7 * MIB])
async def test_bytes_that_do_not_fit_the_sources_sum_are_not_stored(store: Store, size: int) -> None:
    wrong = (("sha256", "0" * 64),)
    with pytest.raises(Transient) as failed:
        await store.s3.destination.store(Bytes([b"x" * size], checksums=wrong), "k")
    assert failed.value.failure is FailureClass.CHECKSUM_MISMATCH
    assert await store.s3.destination.facts("k") is None
    assert store.open_uploads() == []


async def test_a_stream_that_breaks_off_leaves_no_upload(store: Store) -> None:
    broken = Transient(FailureClass.NETWORK, "gone")
    with pytest.raises(Transient, match="gone"):
        await store.s3.destination.store(Bytes([b"x" * 6 * MIB], size=20 * MIB, error=broken), "k")
    assert store.open_uploads() == []
    assert await store.s3.destination.facts("k") is None


async def test_a_cancelled_store_leaves_no_upload(store: Store) -> None:
    reached = asyncio.Event()

    class Endless(Bytes):
        async def chunks(self) -> AsyncIterator[bytes | memoryview]:
            yield b"x" * 6 * MIB
            yield b"x" * 6 * MIB
            reached.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(store.s3.destination.store(Endless(b"", size=50 * MIB), "k"))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.open_uploads() == []


async def test_the_sweep_aborts_uploads_of_our_shape_and_no_others(store: Store) -> None:
    ours = "uploads/001000000000001AAA/a0B000000000001AAA/old.pdf"
    theirs = ["uploads/somebody/else.bin", "other/a0B000000000001AAA/x"]
    for key in [ours, *theirs]:
        store.client.create_multipart_upload(Bucket=store.ours, Key=key)
    async with open_s3(store.settings, Shifted(+60)) as later:
        assert await later.sweep() == 1
    assert sorted(each["Key"] for each in store.open_uploads()) == sorted(theirs)


async def test_the_route_is_a_server_copy_where_one_login_reads_both(store: Store) -> None:
    store.put("a", b"1")
    route = await store.s3.source_access.probe([at(store.vendor, "missing"), at(store.vendor, "a")])
    assert route.method is Method.SERVER_COPY


async def test_a_missing_destination_bucket_blocks_the_run(store: Store) -> None:
    async with open_s3(settings_for(store.server, store.vendor, "no-such-bucket-anywhere"), SystemClock()) as s3:
        with pytest.raises(Blocked, match="does not exist"):
            await s3.destination.check()
    await store.s3.destination.check()


async def test_many_files_at_once_stay_within_the_byte_budget(store: Store) -> None:
    budget = Watched(11 * MIB)
    async with open_s3(store.settings, SystemClock(), budget=budget) as s3, asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(s3.destination.store(Bytes([b"x" * MIB] * 7), f"big/{number}"))
        for number in range(8):
            tasks.create_task(s3.destination.store(Bytes(b"small"), f"small/{number}"))
    assert 5 * MIB < budget.peak <= 11 * MIB
    assert budget.held == 0
    assert store.body("big/2") == b"x" * 7 * MIB


class Shifted(SystemClock):
    """A clock that is off by so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._off = timedelta(seconds=seconds)

    def now(self) -> datetime:
        return super().now() + self._off


class Watched(BytesInFlight):
    """Remembers the most that was held."""

    peak = 0

    async def claim(self, nbytes: int) -> int:
        taken = await super().claim(nbytes)
        self.peak = max(self.peak, self.held)
        return taken


@pytest.mark.swift
@pytest.mark.parametrize("transport", ["fast", "sdk"])
async def test_a_wrong_secret_blocks_the_run(swift: ObjectServer, transport: Any) -> None:
    bucket = f"ours-{secrets.token_hex(6)}"
    client_of(swift).create_bucket(Bucket=bucket)
    settings = settings_for(swift, "vendor", bucket, destination_keys=(swift.access_key, "wrong"))
    async with open_s3(settings, SystemClock(), transport=transport) as s3:
        with pytest.raises(Blocked, match="secret key"):
            await s3.destination.check()


@pytest.mark.swift
@pytest.mark.parametrize("transport", ["fast", "sdk"])
async def test_what_the_store_cannot_do_blocks_the_run(swift: ObjectServer, transport: Any) -> None:
    bucket = f"ours-{secrets.token_hex(6)}"
    client_of(swift).create_bucket(Bucket=bucket)
    settings = settings_for(swift, "vendor", bucket, destination={"sse": "AES256"})
    async with open_s3(settings, SystemClock(), transport=transport) as s3:
        with pytest.raises(Refused, match="NotImplemented"):
            await s3.destination.store(Bytes(b"x"), "k")  # it may be something about this one
        with pytest.raises(Blocked, match="NotImplemented"):
            await s3.destination.store(Bytes(b"x"), "k2")


@pytest.mark.swift
async def test_uploads_begun_after_the_opening_are_not_swept(swift: ObjectServer) -> None:
    """Not on moto, which says of every upload that it began in 2010."""
    client, bucket = client_of(swift), f"ours-{secrets.token_hex(6)}"
    client.create_bucket(Bucket=bucket)
    client.create_multipart_upload(Bucket=bucket, Key="uploads/001000000000001/a0B000000000001/new.pdf")
    async with open_s3(settings_for(swift, "vendor", bucket), Shifted(-60)) as earlier:
        assert await earlier.sweep() == 0
    async with open_s3(settings_for(swift, "vendor", bucket), Shifted(+60)) as later:
        assert await later.sweep() == 1

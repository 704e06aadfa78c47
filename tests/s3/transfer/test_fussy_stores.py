"""Stores that refuse what others take: it is found out once, and then done without."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.model.byte_units import MIB
from engine.model.errors import EngineError, Refused
from engine.model.facts import Method, ObjectFacts
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.sums import multipart_etag
from engine.pipeline.copying import Copying
from engine.pipeline.one_try import Memory
from engine.pipeline.routes import Route
from engine.rehearsal.objects import ObjectServer
from engine.s3.api.answers import StoreError
from engine.s3.open import S3, open_s3
from tests.support.pipeline import plan
from tests.support.s3 import SMALL_PARTS, Bytes, at, settings_for
from tests.support.s3_double import aws, by, document, facing, holds
from tests.support.servers.capture import Recorded, Reply, capture_server
from tests.support.wire import Call, Peer

SUMS = ("x-amz-checksum-sha256", "x-amz-checksum-crc64nvme", "x-amz-checksum-algorithm")


@pytest.fixture(params=["fast", "sdk"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


def summed(request: Recorded) -> bool:
    return any(name in request.headers for name in SUMS)


def without_sums(status: int, code: str, *, creates: bool) -> Callable[[Recorded], Reply]:
    """A store that takes no checksum headers; where ``creates``, the one that begins an upload passes."""

    def answer(request: Recorded) -> Reply:
        if summed(request) and not (creates and request.method == "POST"):
            return Reply(status, {}, document("Error", Code=code))
        if request.method == "DELETE":
            return Reply(204)
        if request.method == "POST" and "uploadId" in request.target:
            parts = [hashlib.md5(b"x" * size * MIB).digest() for size in (5, 5, 2)]
            return Reply(200, {}, document("CompleteMultipartUploadResult", ETag=multipart_etag(parts)))
        return aws(request)

    return answer


@pytest.mark.parametrize("checksum", ["sha256", "crc64nvme"])
@pytest.mark.parametrize(("status", "code"), [(400, "InvalidArgument"), (501, "NotImplemented")])
async def test_a_store_without_checksum_headers_is_written_without(
    transport: Any, status: int, code: str, checksum: str
) -> None:
    otherwise = without_sums(status, code, creates=False)
    async with facing(transport, otherwise=otherwise, migration={"checksum": checksum}) as (s3, double):
        stored = await s3.destination.store(Bytes(b"hello"), "k")
        assert stored.facts.etag == hashlib.md5(b"hello").hexdigest() == dict(stored.computed)["md5"]
        assert [summed(each) for each in by(double, "PUT")].count(True) <= 2, "with the condition and without"
        double.requests.clear()
        await s3.destination.store(Bytes(b"hello"), "again")
        await s3.destination.store(Bytes([b"x" * MIB] * 12), "large")
        assert not [each for each in double.requests if summed(each)]


@pytest.mark.parametrize("checksum", ["sha256", "crc64nvme"])
@pytest.mark.parametrize("creates", [True, False])
async def test_a_store_without_checksums_of_parts_gets_parts_without(
    transport: Any, creates: bool, checksum: str
) -> None:
    otherwise = without_sums(400, "InvalidRequest", creates=creates)
    async with facing(transport, otherwise=otherwise, migration={"checksum": checksum}) as (s3, double):
        stored = await s3.destination.store(Bytes([b"x" * MIB] * 12), "large")
        assert dict(stored.computed)["etag"] == stored.facts.etag
        assert [summed(each) for each in by(double, "PUT", "partNumber")].count(True) == 1
        (complete,) = by(double, "POST", "uploadId")
        assert b"Checksum" not in complete.body
        assert "x-amz-mp-object-size" not in complete.headers
        for part in by(double, "PUT", "partNumber"):
            if transport == "fast" and not summed(part):
                assert holds(part, {"x-amz-content-sha256": hashlib.sha256(part.body).hexdigest()})


async def test_what_is_refused_for_another_reason_keeps_its_words(transport: Any) -> None:
    def answer(request: Recorded) -> Reply:
        if request.method == "PUT":
            return Reply(400, {}, document("Error", Code="InvalidStorageClass" if summed(request) else "Other"))
        return aws(request)

    async with facing(transport, otherwise=answer) as (s3, _):
        with pytest.raises(EngineError, match="InvalidStorageClass"):
            await s3.destination.store(Bytes(b"hello"), "k")


async def test_spoilt_bytes_are_not_taken_for_a_dislike_of_checksums(transport: Any) -> None:
    spoilt = Reply(400, {}, document("Error", Code="BadDigest"))
    async with facing(transport, otherwise=lambda r: spoilt if r.method == "PUT" else aws(r)) as (s3, double):
        with pytest.raises(Exception, match="BadDigest"):
            await s3.destination.store(Bytes(b"hello"), "k")
        assert all(summed(each) for each in by(double, "PUT"))


async def test_a_proxy_that_knows_no_expectation_gets_the_body_at_once(transport: Any) -> None:
    heads: list[bytes] = []

    async def play(call: Call) -> None:
        while True:
            head = (await call.head()).lower()
            heads.append(head)
            if b"expect: 100-continue" in head:
                await call.write(b"HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n")
                return
            await call.body(2 * MIB)
            await call.write(b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 0\r\n\r\n')

    body = bytes(2 * MIB)
    async with Peer(play) as peer:
        server = ObjectServer(f"http://127.0.0.1:{peer.port}", "key", "secret", "us-east-1", 0)
        async with open_s3(settings_for(server), SystemClock(), transport=transport) as s3:
            for key in ("a", "b"):
                sha256 = hashlib.sha256(body).hexdigest()
                answer = await s3.destination.bucket.client.put("ours", key, body, {}, sha256=sha256)
                assert answer.etag == "e"
    assert [b"expect" in head for head in heads] == ([True, False, False] if transport == "fast" else [False, False])


async def test_a_listing_that_goes_on_nowhere_is_no_listing(transport: Any) -> None:
    def answer(request: Recorded) -> Reply:
        row = "<Contents><Key>a</Key><Size>1</Size><ETag>e</ETag><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
        inner = f"{row}</Contents><IsTruncated>true</IsTruncated>"
        return Reply(200, {}, f"<ListBucketResult>{inner}</ListBucketResult>".encode())

    async with facing(transport, otherwise=answer) as (s3, double):
        with pytest.raises(StoreError, match="BadListing"):
            await s3.destination.bucket.client.list_objects("ours", "", "", {})
        with pytest.raises(Refused) as refused:
            [rows async for rows in s3.destination.inventory()]
        assert refused.value.failure is FailureClass.REJECTED
        assert len(double.requests) == 2


def nowhere(key: str) -> Location:
    raise AssertionError(f"{key} is free")


def copying(s3: S3) -> tuple[Copying, Route]:
    """The pipeline's own way with these stores, where the server copies."""
    return Copying(s3.destination, s3.ours, nowhere, max_bytes=None), Route(Method.SERVER_COPY, s3.across, "test")


async def test_what_the_store_copies_only_whole_is_streamed_where_it_is_too_large_for_that(transport: Any) -> None:
    body = b"y" * (12 * MIB)
    etag = multipart_etag(hashlib.md5(body[first : first + 5 * MIB]).digest() for first in range(0, 12 * MIB, 5 * MIB))

    def answer(request: Recorded) -> Reply:
        if "x-amz-copy-source" in request.headers:
            return Reply(403, {}, document("Error", Code="AccessDenied"))
        if request.path.startswith("/vendor"):
            said = {"ETag": f'"{"e" * 32}-7"', "Content-Length": str(len(body))}
            return Reply(200, said, body if request.method == "GET" else b"", length=False)
        if request.method == "DELETE":
            return Reply(204)
        if request.method == "POST" and "uploadId" in request.target:
            return Reply(200, {}, document("CompleteMultipartUploadResult", ETag=etag))
        return aws(request)

    async with capture_server(otherwise=answer) as double:
        settings = settings_for(double.server)
        async with open_s3(
            settings,
            SystemClock(),
            transport=transport,
            sizes=SMALL_PARTS,
        ) as s3:
            copier, route = copying(s3)
            listed = ObjectFacts(len(body), f"{'e' * 32}-7", etag_is_md5=False)
            copied = await copier.copy(plan(1), at("vendor", "a"), route, Memory(listed, "k"))
    assert copied.method is Method.STREAM
    assert copied.read_bytes == len(body)
    parts = [each for each in by(double, "PUT", "partNumber") if "x-amz-copy-source" not in each.headers]
    assert b"".join(part.body for part in sorted(parts, key=lambda each: each.target)) == body
    assert by(double, "DELETE"), "the upload that could not be filled is not left open"

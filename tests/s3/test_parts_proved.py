"""What a store's answers to the parts of a stream are worth, and small objects that are read in one piece."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from engine.model.errors import Transient
from engine.model.facts import ObjectFacts, Proof, Stored
from engine.model.failures import FailureClass
from engine.pipeline.verify import Differs, prove
from tests.s3.test_hazards import facing
from tests.s3.test_requests import aws, document
from tests.s3.world import MIB, Bytes, at
from tests.servers.capture import Recorded, Reply

BODY = [bytes([number]) * MIB for number in range(12)]
ETAGS = [hashlib.md5(b"".join(BODY[first : first + 5])).digest() for first in (0, 5, 10)]
WHOLE = f"{hashlib.md5(b''.join(ETAGS)).hexdigest()}-3"


@pytest.fixture(params=["fast", "sdk"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


def store(shown: Callable[[Recorded], str | None], whole: str = WHOLE) -> Callable[[Recorded], Reply]:
    """A store that answers each part with the SHA-256 that ``shown`` gives it."""

    def answer(request: Recorded) -> Reply:
        if request.method == "PUT":
            sum_ = shown(request)
            named = {} if sum_ is None else {"x-amz-checksum-sha256": sum_}
            return Reply(200, {"ETag": f'"{hashlib.md5(request.body).hexdigest()}"', **named})
        if request.method == "POST" and "uploadId" in request.target:
            return Reply(200, {}, document("CompleteMultipartUploadResult", ETag=whole))
        return Reply(204) if request.method == "DELETE" else aws(request)

    return answer


def true_sum(request: Recorded) -> str:
    return base64.b64encode(hashlib.sha256(request.body).digest()).decode()


def proof_of(stored: Stored) -> Proof | None:
    return prove(ObjectFacts(12 * MIB), stored.facts, stored.computed)


async def test_parts_that_the_store_has_compared_prove_the_whole_without_an_md5_of_ours(transport: Any) -> None:
    async with facing(transport, otherwise=store(true_sum)) as (s3, _):
        stored = await s3.destination.store(Bytes(BODY), "k")
    sums = dict(stored.computed)
    assert "md5" not in sums
    assert sums["etag"] == WHOLE
    assert sums["sha256"] == hashlib.sha256(b"".join(BODY)).hexdigest()
    assert proof_of(stored) is Proof.ETAG


async def test_a_store_that_shows_nothing_is_proved_by_md5s_of_ours(transport: Any) -> None:
    async with facing(transport, otherwise=store(lambda _: None)) as (s3, _):
        stored = await s3.destination.store(Bytes(BODY), "k")
    assert dict(stored.computed)["etag"] == WHOLE
    assert proof_of(stored) is Proof.ETAG


@pytest.mark.parametrize("named", [True, False])
async def test_a_small_stream_into_a_store_that_shows_nothing_is_proved_by_one_md5_or_the_other(
    transport: Any, named: bool
) -> None:
    etag = hashlib.md5(b"hello").hexdigest() if named else ""
    async with facing(transport, otherwise=store(lambda _: None)) as (s3, _):
        stream = Bytes(b"hello", etag=etag)
        stored = await s3.destination.store(stream, "k")
    assert ("md5" in dict(stored.computed)) is not named
    assert prove(stream.facts, stored.facts, stored.computed) is Proof.ETAG


async def test_a_small_stream_that_arrived_as_something_else_is_found_out_without_an_md5_of_ours(
    transport: Any,
) -> None:
    def other(request: Recorded) -> Reply:
        return Reply(200, {"ETag": f'"{"0" * 32}"'}) if request.method == "PUT" else aws(request)

    async with facing(transport, otherwise=other) as (s3, _):
        stream = Bytes(b"hello", etag=hashlib.md5(b"hello").hexdigest())
        stored = await s3.destination.store(stream, "k")
    with pytest.raises(Differs, match="ETag"):
        prove(stream.facts, stored.facts, stored.computed)


async def test_a_part_that_arrived_as_another_ends_the_upload(transport: Any) -> None:
    def shown(request: Recorded) -> str:
        return true_sum(request) if "partNumber=3" not in request.target else base64.b64encode(bytes(32)).decode()

    async with facing(transport, otherwise=store(shown)) as (s3, double):
        with pytest.raises(Transient) as spoilt:
            await s3.destination.store(Bytes(BODY), "k")
        assert "DELETE" in [each.method for each in double.requests]
    assert spoilt.value.failure is FailureClass.CHECKSUM_MISMATCH


async def test_a_whole_that_was_not_made_of_these_parts_is_not_proved_by_them(transport: Any) -> None:
    async with facing(transport, otherwise=store(true_sum, whole=f"{'0' * 32}-3")) as (s3, _):
        stored = await s3.destination.store(Bytes(BODY), "k")
    assert "etag" not in dict(stored.computed)
    assert proof_of(stored) is None


@pytest.mark.parametrize("size", [5, 100_000])
async def test_a_small_object_that_has_grown_is_not_taken_for_the_listed_one(transport: Any, size: int) -> None:
    listed = ObjectFacts(size, "e" * 32)
    grown = Reply(200, {"ETag": f'"{"e" * 32}"'}, b"x" * (3 * size))  # a store that minds no If-Match
    async with facing(transport, otherwise=grown) as (s3, _):
        with pytest.raises(Transient) as changed:
            async with s3.source.open(at("vendor", "a"), listed):
                raise AssertionError("it was opened")
    assert changed.value.failure is FailureClass.SOURCE_CHANGED


async def test_a_small_object_is_read_with_one_request_and_pinned_by_its_etag(transport: Any) -> None:
    etag = hashlib.md5(b"hello").hexdigest()
    async with facing(transport, otherwise=Reply(200, {"ETag": f'"{etag}"'}, b"hello")) as (s3, double):
        async with s3.source.open(at("vendor", "a"), ObjectFacts(5, etag)) as stream:
            assert b"".join([bytes(chunk) async for chunk in stream.chunks()]) == b"hello"
            assert stream.whole == b"hello"
        assert [(each.method, each.headers["if-match"]) for each in double.requests] == [("GET", f'"{etag}"')]

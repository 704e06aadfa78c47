"""What a store's answers to the parts of a stream are worth, and small objects that are read in one piece."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from engine.model.byte_units import MIB
from engine.model.errors import Transient
from engine.model.facts import ObjectFacts, Proof, Stored
from engine.model.failures import FailureClass
from engine.pipeline.verify import Mismatch, prove
from engine.s3.transfer.hashing import Sums
from tests.support.s3 import Bytes, at
from tests.support.s3_double import aws, document, facing
from tests.support.servers.capture import Recorded, Reply

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
    assert proof_of(stored) is Proof.RECEIVED


async def test_a_store_that_shows_nothing_is_proved_by_md5s_of_ours(transport: Any) -> None:
    async with facing(transport, otherwise=store(lambda _: None)) as (s3, _):
        stored = await s3.destination.store(Bytes(BODY), "k")
    assert dict(stored.computed)["etag"] == WHOLE
    assert proof_of(stored) is Proof.RECEIVED


@pytest.mark.parametrize("named", [True, False])
async def test_a_small_stream_into_a_store_that_shows_nothing_is_proved_by_one_md5_or_the_other(
    transport: Any, named: bool
) -> None:
    etag = hashlib.md5(b"hello").hexdigest() if named else ""
    async with facing(transport, otherwise=store(lambda _: None)) as (s3, _):
        stream = Bytes(b"hello", etag=etag)
        stored = await s3.destination.store(stream, "k")
    assert ("md5" in dict(stored.computed)) is not named
    assert prove(stream.facts, stored.facts, stored.computed) is (Proof.ETAG if named else Proof.RECEIVED)


async def test_a_small_stream_that_arrived_as_something_else_is_found_out_without_an_md5_of_ours(
    transport: Any,
) -> None:
    def other(request: Recorded) -> Reply:
        return Reply(200, {"ETag": f'"{"0" * 32}"'}) if request.method == "PUT" else aws(request)

    async with facing(transport, otherwise=other) as (s3, _):
        stream = Bytes(b"hello", etag=hashlib.md5(b"hello").hexdigest())
        stored = await s3.destination.store(stream, "k")
    with pytest.raises(Mismatch, match="md5"):
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


def opaque(request: Recorded) -> Reply:
    """A store under SSE-KMS: it shows the checksums that it has compared, and ETags that are made of nothing known."""
    told = store(true_sum, whole="0" * 32 + "-3")(request)
    if request.method != "PUT":
        return told
    fields = {**told.headers, "ETag": f'"{"0" * 32}"', "x-amz-server-side-encryption": "aws:kms"}
    return Reply(200, fields, told.body)


PARTS = (5 * MIB, 5 * MIB, 2 * MIB)
ODD = (5 * MIB, 6 * MIB, MIB)


def etag_of(parts: tuple[int, ...]) -> str:
    whole, md5s = b"".join(BODY), []
    for size in parts:
        md5s.append(hashlib.md5(whole[:size]).digest())
        whole = whole[size:]
    return f"{hashlib.md5(b''.join(md5s)).hexdigest()}-{len(parts)}"


@pytest.mark.parametrize("parts", [PARTS, ODD, (12 * MIB,)])
@pytest.mark.parametrize("answers", ["md5s", "opaque"])
async def test_an_etag_made_of_parts_proves_the_stream_that_was_stored(
    transport: Any, parts: tuple[int, ...], answers: str
) -> None:
    whole = etag_of(parts)
    served = opaque if answers == "opaque" else store(true_sum, whole=whole)
    async with facing(transport, otherwise=served) as (s3, double):
        stream = Bytes(BODY, etag=whole, parts=parts)
        stored = await s3.destination.store(stream, "k")
        sent = [len(each.body) for each in double.requests if each.method == "PUT"]
    assert sorted(sent) == sorted(PARTS)  # other parts would take more memory than one of ours, or than one PUT
    # a store that names no sum of the whole, not even when it is asked once more, confirms nothing
    expected = None if answers == "opaque" else Proof.ETAG
    assert prove(stream.facts, stored.facts, stored.computed) is expected


@pytest.mark.parametrize("parts", [PARTS, ODD, (12 * MIB,)])
@pytest.mark.parametrize("answers", ["md5s", "opaque"])
async def test_one_byte_that_does_not_fit_an_etag_made_of_parts_ends_the_upload(
    transport: Any, parts: tuple[int, ...], answers: str
) -> None:
    served = opaque if answers == "opaque" else store(true_sum)
    flipped = [*BODY[:7], BODY[7][:-1] + b"!", *BODY[8:]]
    async with facing(transport, otherwise=served) as (s3, double):
        with pytest.raises(Transient, match="source-etag") as spoilt:
            await s3.destination.store(Bytes(flipped, etag=etag_of(parts), parts=parts), "k")
        assert not [each for each in double.requests if each.method == "POST" and "uploadId" in each.target]
    assert spoilt.value.failure is FailureClass.CHECKSUM_MISMATCH


@pytest.mark.parametrize("algorithm", ["crc64nvme", "crc32", "crc32c", "sha1"])
@pytest.mark.parametrize("body", [[b"hello"], BODY])
async def test_a_checksum_that_the_source_states_is_computed_and_compared(
    transport: Any, algorithm: str, body: list[bytes]
) -> None:
    sums = Sums([algorithm])
    for each in body:
        await sums.add(each)
    true = dict(sums.computed())[algorithm]
    async with facing(transport, otherwise=store(true_sum)) as (s3, _):
        stream = Bytes(body, checksums=((algorithm, true),))
        stored = await s3.destination.store(stream, "k")
        assert prove(stream.facts, stored.facts, stored.computed) is Proof.CHECKSUM
        with pytest.raises(Transient, match=algorithm):
            await s3.destination.store(Bytes(body, checksums=((algorithm, "0" * len(true)),)), "k2")


async def test_an_md5_that_a_store_under_kms_cannot_show_is_computed(transport: Any) -> None:
    async with facing(transport, otherwise=opaque) as (s3, _):
        stream = Bytes(b"hello", etag=hashlib.md5(b"hello").hexdigest())
        stored = await s3.destination.store(stream, "k")
        assert prove(stream.facts, stored.facts, stored.computed) is Proof.ETAG
        other = Bytes(b"jello", etag=hashlib.md5(b"hello").hexdigest())
        spoilt = await s3.destination.store(other, "k2")
        with pytest.raises(Mismatch, match="md5"):
            prove(other.facts, spoilt.facts, spoilt.computed)

"""Every request carries what the settings ask for, on both transports, to the letter."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.model.byte_units import MIB
from engine.model.facts import ContentHeaders, ObjectFacts
from engine.s3.open import S3, open_s3
from engine.s3.transfer.parts import Sizes
from tests.support.authority import Authority
from tests.support.s3 import SMALL_PARTS, Bytes, at, settings_for
from tests.support.s3_double import COPIES, MD5, OPTIONS, OURS, PLACED, aws, by, holds
from tests.support.servers.capture import Double, Recorded, Reply, capture_server

SHA = base64.b64encode(hashlib.sha256(b"hello").digest()).decode()
READS = {"x-amz-request-payer": "requester", "x-amz-expected-bucket-owner": "111111111111"}


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(params=["fast", "sdk"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


def completing() -> Callable[[Recorded], Reply]:
    """``aws``, but an object that was completed is there."""
    done = False

    def answer(request: Recorded) -> Reply:
        nonlocal done
        done = done or (request.method == "POST" and "uploadId" in request.target)
        if done and request.method == "HEAD":
            return Reply(200, {"ETag": f'"{MD5}-3"', "Content-Length": "12000000"}, length=False)
        return aws(request)

    return answer


@asynccontextmanager
async def world(
    transport: Any, *, sizes: Sizes = SMALL_PARTS, **sections: dict[str, Any]
) -> AsyncIterator[tuple[S3, Double]]:
    async with capture_server(otherwise=completing()) as double:
        settings = settings_for(double.server, **(sections or OPTIONS))
        async with open_s3(
            settings,
            SystemClock(),
            transport=transport,
            sizes=sizes,
        ) as s3:
            yield s3, double


async def test_reads_are_pinned_paid_for_and_checked_for_the_owner(transport: Any) -> None:
    async with world(transport) as (s3, double):
        facts = await s3.source.facts(at("vendor", "a b", "v/1"))
        async with s3.source.open(at("vendor", "a b", "v/1"), ObjectFacts(5, MD5)) as stream:
            assert [bytes(chunk) async for chunk in stream.chunks()] == [b"hello"]
        head, get = double.requests
        assert facts.size == 12_000_000
        for request in (head, get):
            assert holds(request, {**READS, "x-amz-checksum-mode": "ENABLED", "accept-encoding": "identity"})
            assert request.target == "/vendor/a%20b?versionId=v%2F1"
        assert holds(get, {"if-match": '"' + MD5 + '"'})


async def test_a_version_pins_only_where_no_etag_can(transport: Any) -> None:
    async with world(transport) as (s3, double):
        async with s3.source.open(at("vendor", "k"), ObjectFacts(5, MD5, "v1")) as stream:
            [chunk async for chunk in stream.chunks()]
        async with s3.source.open(at("vendor", "k"), ObjectFacts(5, "", "v1")) as stream:
            [chunk async for chunk in stream.chunks()]
        assert [request.target for request in double.requests] == ["/vendor/k", "/vendor/k?versionId=v1"]


async def test_a_copy_is_pinned_placed_and_conditional(transport: Any) -> None:
    async with world(transport) as (s3, double):
        await s3.destination.copy(at("vendor", "ä b+c", "v1"), ObjectFacts(5, MD5), "k é")
        first, *_ = by(double, "PUT")
        assert first.target == "/ours/k%20%C3%A9"
        assert first.body == b""
        assert holds(first, {**PLACED, **OURS, **COPIES, "if-none-match": "*"})
        assert first.headers["x-amz-copy-source"] == "vendor/%C3%A4%20b%2Bc?versionId=v1"
        assert first.headers["x-amz-copy-source-if-match"] == '"' + MD5 + '"'
        assert first.headers["x-amz-metadata-directive"] == "COPY"
        assert not [name for name in first.headers if "acl" in name or "grant" in name]


async def test_a_large_copy_sets_headers_anew_and_pins_each_range(transport: Any) -> None:
    async with world(transport) as (s3, double):
        await s3.destination.copy(at("vendor", "a"), ObjectFacts(12_000_000, MD5), "k")
        (create,) = by(double, "POST", "uploads")
        assert holds(create, {**PLACED, **OURS, "content-type": "video/mp4"})
        parts = sorted(by(double, "PUT", "partNumber"), key=lambda each: each.target)
        assert [part.headers["x-amz-copy-source-range"] for part in parts] == [
            "bytes=0-5242879",
            "bytes=5242880-10485759",
            "bytes=10485760-11999999",
        ]
        for part in parts:
            assert holds(part, {**OURS, **COPIES, "x-amz-copy-source": "vendor/a"})
            assert part.headers["x-amz-copy-source-if-match"] == '"' + MD5 + '"'
        (complete,) = by(double, "POST", "uploadId")
        assert holds(complete, {**OURS, "if-none-match": "*"})


async def test_a_small_store_is_one_summed_conditional_put(transport: Any) -> None:
    dressed = ContentHeaders("text/plain", "inline", "gzip", "de", "no-store", "0", (("who", "me"),))
    async with world(transport) as (s3, double):
        await s3.destination.store(Bytes(b"hello", headers=dressed), "k")
        put = by(double, "PUT")[0]
        assert put.body == b"hello"
        assert holds(put, {**PLACED, **OURS, "if-none-match": "*", "x-amz-checksum-sha256": SHA})
        assert put.headers["x-amz-content-sha256"] == hashlib.sha256(b"hello").hexdigest()
        assert holds(
            put,
            {
                "content-type": "text/plain",
                "content-disposition": "inline",
                "content-encoding": "gzip",
                "content-language": "de",
                "cache-control": "no-store",
                "expires": "0",
                "x-amz-meta-who": "me",
            },
        )


async def test_a_large_store_sums_every_part_and_states_its_size(transport: Any) -> None:
    async with world(transport) as (s3, double):
        await s3.destination.store(Bytes([b"x" * MIB] * 12, headers=ContentHeaders("a/b")), "k")
        (create,) = by(double, "POST", "uploads")
        named = {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-type": "COMPOSITE", "content-type": "a/b"}
        assert holds(create, {**PLACED, **OURS, **named})
        parts = by(double, "PUT", "partNumber")
        assert sorted(len(part.body) for part in parts) == [2 * MIB, 5 * MIB, 5 * MIB]
        for part in parts:
            digest = hashlib.sha256(part.body).digest()
            assert holds(part, {**OURS, "x-amz-checksum-sha256": base64.b64encode(digest).decode()})
        (complete,) = by(double, "POST", "uploadId")
        assert holds(complete, {**OURS, "if-none-match": "*", "x-amz-mp-object-size": str(12 * MIB)})
        assert complete.body.count(b"<ChecksumSHA256>") == 3


async def test_as_much_as_its_parts_would_hold_in_memory_goes_by_one_put(transport: Any) -> None:
    body = [b"x" * MIB] * 20
    async with world(transport, sizes=Sizes.of(5 * MIB)) as (s3, double):
        stored = await s3.destination.store(Bytes(body), "k")
        (put,) = by(double, "PUT", "/ours/k")[:1]
        assert by(double, "POST") == []
        assert put.body == b"".join(body)
        digest = hashlib.sha256(put.body).digest()
        assert put.headers["x-amz-checksum-sha256"] == base64.b64encode(digest).decode()
        assert dict(stored.computed)["sha256"] == digest.hex()


@pytest.mark.parametrize("size", ["true", None])
async def test_more_than_that_or_of_unknown_length_goes_by_parts(transport: Any, size: str | None) -> None:
    async with world(transport, sizes=Sizes.of(5 * MIB)) as (s3, double):
        await s3.destination.store(Bytes([b"x" * MIB] * (21 if size else 6), size=size), "k")
        assert len(by(double, "POST", "uploads")) == 1
        assert sum(len(part.body) for part in by(double, "PUT", "partNumber")) == (21 if size else 6) * MIB


async def test_crc64nvme_is_sent_for_parts_and_whole(transport: Any) -> None:
    async with world(transport, migration={"checksum": "crc64nvme"}) as (s3, double):
        small = await s3.destination.store(Bytes(b"123456789"), "small")
        assert dict(small.computed)["crc64nvme"] == "ae8b14860a799888"
        assert by(double, "PUT", "small")[0].headers["x-amz-checksum-crc64nvme"] == "rosUhgp5mIg="
        large = await s3.destination.store(Bytes([b"x" * MIB] * 6), "large")
        (create,) = by(double, "POST", "uploads")
        assert holds(create, {"x-amz-checksum-algorithm": "CRC64NVME", "x-amz-checksum-type": "FULL_OBJECT"})
        (complete,) = by(double, "POST", "uploadId")
        whole = base64.b64encode(bytes.fromhex(dict(large.computed)["crc64nvme"])).decode()
        assert holds(complete, {"x-amz-checksum-crc64nvme": whole, "x-amz-checksum-type": "FULL_OBJECT"})


@pytest.mark.parametrize(("over_tls", "file_hash"), [(True, None), (True, True), (False, None), (False, True)])
async def test_sha256_is_computed_beside_a_crc_only_where_it_is_wanted_or_nothing_else_protects_the_body(
    authority: Authority, over_tls: bool, file_hash: bool | None
) -> None:
    migration = {"checksum": "crc64nvme", "file_hash": file_hash}
    async with capture_server(otherwise=aws, tls=authority.server("127.0.0.1") if over_tls else None) as double:
        network = {"ca_file": str(authority.file)}
        settings = settings_for(double.server, migration=migration, network=network)
        async with open_s3(settings, SystemClock(), sizes=SMALL_PARTS) as s3:
            small = await s3.destination.store(Bytes(b"hello"), "small")
            large = await s3.destination.store(Bytes([b"x" * MIB] * 6), "large")
    for stored, body in ((small, b"hello"), (large, b"x" * 6 * MIB)):
        assert dict(stored.computed).get("sha256") == (hashlib.sha256(body).hexdigest() if file_hash else None)
    for put in by(double, "PUT"):
        assert "x-amz-checksum-crc64nvme" in put.headers
        known = file_hash and "partNumber" not in put.target  # that of a part is known to nobody
        unsigned = over_tls and not known
        sent = "UNSIGNED-PAYLOAD" if unsigned else hashlib.sha256(put.body).hexdigest()
        assert holds(put, {"x-amz-content-sha256": sent})


async def test_without_file_hash_the_sums_of_parts_are_all_that_is_hashed(transport: Any) -> None:
    async with world(transport, migration={"file_hash": False}) as (s3, double):
        small = await s3.destination.store(Bytes(b"hello"), "small")
        assert dict(small.computed)["sha256"] == hashlib.sha256(b"hello").hexdigest()
        large = await s3.destination.store(Bytes([b"x" * MIB] * 6), "large")
        assert "sha256" not in dict(large.computed)
        assert all("x-amz-checksum-sha256" in part.headers for part in by(double, "PUT", "partNumber"))


async def test_an_anonymous_source_is_read_unsigned(transport: Any) -> None:
    keyless = {"anonymous": True, "access_key_id": None, "secret_access_key": None}
    async with world(transport, source=keyless) as (s3, double):
        await s3.source.facts(at("vendor", "a"))
        assert "authorization" not in double.requests[0].headers
        await s3.destination.store(Bytes(b"x"), "k")
        assert "authorization" in by(double, "PUT")[0].headers


async def test_session_tokens_are_sent_and_signed(transport: Any) -> None:
    async with world(transport, destination={"session_token": "a-token"}) as (s3, double):
        await s3.destination.store(Bytes(b"x"), "k")
        put = by(double, "PUT")[0]
        assert put.headers["x-amz-security-token"] == "a-token"
        assert "x-amz-security-token" in put.headers["authorization"]


async def test_both_transports_ask_for_the_same_things() -> None:
    seen: dict[str, list[tuple[str, str, dict[str, str]]]] = {}
    for transport in ("fast", "sdk"):
        async with world(transport) as (s3, double):
            facts = await s3.source.facts(at("vendor", "a"))
            async with s3.source.open(at("vendor", "a"), ObjectFacts(5, MD5)) as stream:
                await s3.destination.store(stream, "stored")
            await s3.destination.copy(at("vendor", "a"), ObjectFacts(5, facts.etag), "copied")
            seen[transport] = [
                (each.method, each.target, {n: v for n, v in each.headers.items() if n not in TRANSPORT})
                for each in double.requests
            ]
    assert seen["fast"] == seen["sdk"]


TRANSPORT = {
    "authorization", "host", "user-agent", "x-amz-date", "x-amz-content-sha256", "connection", "accept", "expect",
    "amz-sdk-invocation-id", "amz-sdk-request", "content-length", "transfer-encoding", "x-amz-user-agent",
}  # fmt: skip

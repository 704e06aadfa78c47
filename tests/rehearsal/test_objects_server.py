"""The stand-in object store as its clients and its side doors see it."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import ClientError

from engine.rehearsal.content import content_of
from engine.rehearsal.object_faults import Fault, FaultKind
from engine.rehearsal.objects import MotoProcess, ObjectServer
from engine.rehearsal.side_door import Seeded, SideDoor
from tests.support.servers.client import client_of, md5_base64, sha256_base64

PUBLIC_READ = (
    '{"Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:*",'
    '"Resource":["arn:aws:s3:::%s","arn:aws:s3:::%s/*"]}]}'
)


@pytest.fixture
def door(moto: ObjectServer) -> SideDoor:
    return SideDoor(moto)


@pytest.fixture
async def bucket(moto: ObjectServer, door: SideDoor) -> str:
    """A bucket of the test's own, open to unsigned requests; nothing logged and no rules in force."""
    name = f"bucket-{uuid.uuid4().hex}"
    await door.create_buckets(name)
    client_of(moto).put_bucket_policy(Bucket=name, Policy=PUBLIC_READ % (name, name))
    await door.misbehave()
    await door.clear_requests()
    return name


async def test_a_loaded_object_is_served_with_its_content_and_metadata(
    moto: ObjectServer, door: SideDoor, bucket: str
) -> None:
    seeded = Seeded(
        "a b/ü%2F.pdf",
        200_000,
        content_type="application/pdf",
        metadata={"record": "1"},
        headers={"Cache-Control": "private"},
        tags={"k": "v"},
        storage_class="STANDARD_IA",
    )

    await door.load(bucket, [seeded, Seeded("given", body=b"\x00\xff")])

    client = client_of(moto)
    got = client.get_object(Bucket=bucket, Key="a b/ü%2F.pdf")
    body = content_of("a b/ü%2F.pdf", 200_000)
    assert got["Body"].read() == body
    assert (got["ContentType"], got["Metadata"], got["CacheControl"]) == ("application/pdf", {"record": "1"}, "private")
    assert (got["StorageClass"], got["ETag"]) == ("STANDARD_IA", f'"{hashlib.md5(body).hexdigest()}"')
    assert (
        client.get_object(Bucket=bucket, Key="a b/ü%2F.pdf", Range="bytes=70000-70009")["Body"].read()
        == body[70000:70010]
    )
    assert client.get_object_tagging(Bucket=bucket, Key="a b/ü%2F.pdf")["TagSet"] == [{"Key": "k", "Value": "v"}]
    assert client.get_object(Bucket=bucket, Key="given")["Body"].read() == b"\x00\xff"


async def test_the_dump_tells_what_clients_put_and_copied(moto: ObjectServer, door: SideDoor, bucket: str) -> None:
    await door.load(bucket, [Seeded("source", 70_000, metadata={"record": "1"}, content_type="image/png")])
    client = client_of(moto)
    client.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "source"})
    client.put_object(Bucket=bucket, Key="a", Body=b"abc", ServerSideEncryption="AES256", StorageClass="GLACIER_IR")

    held = await door.dump(bucket)

    assert list(held) == ["a", "copy", "source"]
    assert held["copy"].sha256 == held["source"].sha256 == hashlib.sha256(content_of("source", 70_000)).hexdigest()
    assert (held["copy"].metadata, held["copy"].content_type) == ({"record": "1"}, "image/png")
    a = held["a"]
    assert (a.size, a.etag, a.sse, a.storage_class) == (3, hashlib.md5(b"abc").hexdigest(), "AES256", "GLACIER_IR")


async def test_an_archived_object_is_refused(moto: ObjectServer, door: SideDoor, bucket: str) -> None:
    await door.load(bucket, [Seeded("old", 10, storage_class="GLACIER")])

    with pytest.raises(ClientError, match="InvalidObjectState"):
        client_of(moto).get_object(Bucket=bucket, Key="old")


async def test_a_loaded_object_can_pose_as_a_multipart_result(moto: ObjectServer, door: SideDoor, bucket: str) -> None:
    await door.load(bucket, [Seeded("big", 10, etag="0123456789abcdef0123456789abcdef-2")])

    assert client_of(moto).head_object(Bucket=bucket, Key="big")["ETag"] == '"0123456789abcdef0123456789abcdef-2"'


async def test_thousands_of_objects_are_loaded_in_a_moment(door: SideDoor, bucket: str) -> None:
    loaded = await door.load(bucket, (Seeded(f"{number:05d}", 10_000) for number in range(5_000)))

    assert (loaded.objects, loaded.bytes) == (5_000, 50_000_000)
    assert loaded.seconds < 2.5  # measured: 0.2


async def test_an_open_multipart_upload_is_told_until_it_is_aborted(
    moto: ObjectServer, door: SideDoor, bucket: str
) -> None:
    client = client_of(moto)
    upload = client.create_multipart_upload(Bucket=bucket, Key="big")["UploadId"]

    assert await door.open_uploads(bucket) == [{"upload_id": upload, "key": "big", "parts": 0}]
    client.abort_multipart_upload(Bucket=bucket, Key="big", UploadId=upload)
    assert await door.open_uploads(bucket) == []


async def test_requests_are_logged_with_their_headers_and_without_signatures(
    moto: ObjectServer, door: SideDoor, bucket: str
) -> None:
    client = client_of(moto)
    client.put_object(
        Bucket=bucket,
        Key="a b",
        Body=b"a",
        ContentType="image/png",
        ExpectedBucketOwner="123456789012",
        IfNoneMatch="*",
    )
    presigned = client.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "a b"})
    async with aiohttp.ClientSession() as session, session.get(presigned) as answer:
        assert await answer.read() == b"a"

    put, get = await door.requests()

    assert (put.method, put.path, put.status, put.signed, put.fault) == ("PUT", f"/{bucket}/a b", 200, True, None)
    assert put.headers["x-amz-expected-bucket-owner"] == "123456789012"
    assert (put.headers["if-none-match"], put.headers["content-type"]) == ("*", "image/png")
    assert "authorization" not in put.headers
    assert get.signed
    assert "Signature=***" in get.query
    assert await door.counts() == {bucket: {"PUT": 1, "GET": 1}}


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"ContentMD5": md5_base64(b"other")}, 400),
        ({"ChecksumSHA256": sha256_base64(b"other")}, 400),
        ({"ChecksumCRC32": "AAAAAA=="}, 400),
        ({"ExpectedBucketOwner": "999999999999"}, 403),
    ],
    ids=["md5", "sha256", "crc32", "owner"],
)
async def test_a_false_digest_or_owner_is_refused(
    moto: ObjectServer, door: SideDoor, bucket: str, wrong: dict[str, str], status: int
) -> None:
    with pytest.raises(ClientError) as refused:
        client_of(moto).put_object(Bucket=bucket, Key="a", Body=b"abc", **wrong)

    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert await door.dump(bucket) == {}


async def test_right_digests_and_owner_are_accepted(moto: ObjectServer, door: SideDoor, bucket: str) -> None:
    client_of(moto).put_object(
        Bucket=bucket,
        Key="a",
        Body=b"abc",
        ContentMD5=md5_base64(b"abc"),
        ChecksumSHA256=sha256_base64(b"abc"),
        ExpectedBucketOwner="123456789012",
    )

    assert list(await door.dump(bucket)) == ["a"]


async def test_a_copy_needs_the_source_it_names_and_may_forbid_overwriting(
    moto: ObjectServer, door: SideDoor, bucket: str
) -> None:
    await door.load(bucket, [Seeded("sö urce", body=b"new"), Seeded("there", body=b"there")])
    client = client_of(moto)
    source = {"Bucket": bucket, "Key": "sö urce"}
    etag = hashlib.md5(b"new").hexdigest()

    client.copy_object(Bucket=bucket, Key="copy", CopySource=source, CopySourceIfMatch=f'"{etag}"', IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.copy_object(Bucket=bucket, Key="copy2", CopySource=source, CopySourceIfMatch=f'"{"0" * 32}"')
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.copy_object(Bucket=bucket, Key="there", CopySource=source, IfNoneMatch="*")

    held = await door.dump(bucket)
    assert {key: item.etag for key, item in held.items()} == {
        "copy": etag,
        "sö urce": etag,
        "there": hashlib.md5(b"there").hexdigest(),
    }


async def test_what_a_side_door_cannot_read_is_refused(door: SideDoor) -> None:
    with pytest.raises(ValueError, match="no bucket absent"):
        await door.load("absent", [Seeded("a", 1)])


async def test_connections_are_kept(moto: ObjectServer, bucket: str) -> None:
    address = urlsplit(moto.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=10)
    connection.connect()
    here = connection.sock.getsockname()

    for _ in range(3):
        connection.request("GET", f"/{bucket}/absent")
        answer = connection.getresponse()
        assert (answer.status, answer.read()[:5]) == (404, b"<?xml")
        assert len(answer.headers["x-amz-request-id"]) == 16, "an answer is known for S3's own"
        connection.request("HEAD", f"/{bucket}/absent")
        assert connection.getresponse().read() == b""
    assert connection.sock.getsockname() == here
    connection.close()


async def test_an_aiobotocore_client_gets_the_same_bytes(moto: ObjectServer, bucket: str) -> None:
    body = content_of("x", 300_000)
    async with get_session().create_client(
        "s3",
        endpoint_url=moto.url,
        aws_access_key_id=moto.access_key,
        aws_secret_access_key=moto.secret_key,
        region_name=moto.region,
        config=AioConfig(s3={"addressing_style": "path"}),
    ) as client:
        await client.put_object(Bucket=bucket, Key="a//../b", Body=body)
        got = await client.get_object(Bucket=bucket, Key="a//../b")
        assert await got["Body"].read() == body


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("internal_error", 500, b"<Code>InternalError</Code>"),
        ("slow_down", 503, b"<Code>SlowDown</Code>"),
        ("access_denied", 403, b"<Code>AccessDenied</Code>"),
        ("refused", 400, b"<Code>InvalidRequest</Code>"),
        ("error_body", 200, b"<Error>"),
        ("empty_body", 200, b""),
    ],
)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_false_answer_comes_before_or_after_the_request_is_applied(
    moto: ObjectServer, door: SideDoor, bucket: str, kind: FaultKind, status: int, code: bytes, when: str
) -> None:
    await door.misbehave(Fault.from_json({"kind": kind, "method": "PUT", "path": f"/{bucket}/", "when": when}))

    async with aiohttp.ClientSession() as session, session.put(f"{moto.url}/{bucket}/a", data=b"abc") as answer:
        body = await answer.read()

    assert (answer.status, code in body) == (status, True)
    assert list(await door.dump(bucket)) == (["a"] if when == "after" else [])
    assert [(asked.status, asked.fault) for asked in await door.requests()] == [(status, kind)]


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_reset_kills_the_connection_before_or_after_the_request_is_applied(
    moto: ObjectServer, door: SideDoor, bucket: str, when: str
) -> None:
    await door.misbehave(Fault.from_json({"kind": "reset", "path": f"/{bucket}/", "when": when}))

    async with aiohttp.ClientSession() as session:
        with pytest.raises((ConnectionResetError, aiohttp.ClientConnectionError)):
            await session.put(f"{moto.url}/{bucket}/a", data=b"abc")

    assert list(await door.dump(bucket)) == (["a"] if when == "after" else [])


async def test_a_truncated_body_promises_more_than_it_sends(moto: ObjectServer, door: SideDoor, bucket: str) -> None:
    await door.load(bucket, [Seeded("a", 1_000)])
    await door.misbehave(Fault("truncated_body", method="GET", path=f"/{bucket}/", at=400, times=1))

    async with aiohttp.ClientSession() as session:
        async with session.get(f"{moto.url}/{bucket}/a") as answer:
            assert answer.content_length == 1_000
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        async with session.get(f"{moto.url}/{bucket}/a") as answer:
            assert await answer.read() == content_of("a", 1_000)
    assert await door.fired() == [1]


async def test_a_flipped_byte_and_a_false_etag_reach_the_client(
    moto: ObjectServer, door: SideDoor, bucket: str
) -> None:
    await door.load(bucket, [Seeded("a", 1_000)])
    await door.misbehave(
        Fault("flipped_byte", path=f"/{bucket}/", nth=(1,)), Fault("wrong_etag", path=f"/{bucket}/", nth=(1,))
    )

    async with aiohttp.ClientSession() as session:
        async with session.get(f"{moto.url}/{bucket}/a") as answer:
            flipped = await answer.read()
        async with session.get(f"{moto.url}/{bucket}/a") as answer:
            etag = answer.headers["ETag"]

    assert sum(a != b for a, b in zip(flipped, content_of("a", 1_000), strict=True)) == 1
    assert etag == f'"{"0" * 32}"'


async def test_a_delay_is_right_but_late(moto: ObjectServer, door: SideDoor, bucket: str) -> None:
    await door.load(bucket, [Seeded("a", 10)])
    await door.misbehave(Fault("delay", path=f"/{bucket}/", seconds=0.3))

    start = time.monotonic()
    async with aiohttp.ClientSession() as session, session.get(f"{moto.url}/{bucket}/a") as answer:
        assert await answer.read() == content_of("a", 10)

    assert time.monotonic() - start >= 0.3


async def test_a_store_of_ones_own_starts_empty_resets_and_ends_with_the_block() -> None:
    with MotoProcess() as server:
        door = SideDoor(server)
        await door.create_buckets("mine")
        await door.load("mine", [Seeded("a", 1)])
        await door.reset()
        await door.create_buckets("mine")
        assert await door.dump("mine") == {}

    address = urlsplit(server.url)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.hostname, address.port))
    assert _gone(server.pid)
    assert "rehearsal-secret" not in repr(server)


_DIES = """
import os
from engine.rehearsal.objects import MotoProcess
print(MotoProcess().start().pid, flush=True)
os._exit(9)
"""


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def test_the_store_ends_with_a_parent_that_dies() -> None:
    done = subprocess.run([sys.executable, "-c", _DIES], stdout=subprocess.PIPE, check=False)

    while not _gone(int(done.stdout)):  # bounded by the test's timeout
        os.sched_yield()

    assert done.returncode == 9


def test_a_detached_store_outlives_its_handle_until_it_is_stopped() -> None:
    process = MotoProcess(detached=True)
    server = process.start()
    try:
        assert client_of(server).list_buckets()["Buckets"] == []
    finally:
        process.stop()

    assert _gone(server.pid)


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError, match="did not start"):
            MotoProcess(port=taken.getsockname()[1]).start()

"""Swift does what S3 does, and refuses what S3 refuses."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from engine.rehearsal.content import content_of
from engine.rehearsal.objects import ObjectServer
from tests.support.servers import swift as swift_module
from tests.support.servers.client import client_of, md5_base64, sha256_base64

pytestmark = pytest.mark.swift
MIB = 1024 * 1024


@pytest.fixture
def client(swift: ObjectServer) -> Any:
    return client_of(swift)


@pytest.fixture
def bucket(client: Any) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return name


def _code(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_an_object_comes_back_with_its_bytes_type_and_metadata(client: Any, bucket: str) -> None:
    body = content_of("a", 100_000)

    put = client.put_object(
        Bucket=bucket, Key="a//b ü%2F?#", Body=body, ContentType="application/pdf", Metadata={"record": "1"}
    )
    got = client.get_object(Bucket=bucket, Key="a//b ü%2F?#")

    assert got["Body"].read() == body
    assert (got["ContentType"], got["Metadata"]) == ("application/pdf", {"record": "1"})
    assert put["ETag"] == got["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'


def test_a_server_side_copy_holds_the_source_bytes(client: Any, bucket: str) -> None:
    body = content_of("source", 70_000)
    client.put_object(Bucket=bucket, Key="source", Body=body)

    copied = client.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "source"})

    assert client.get_object(Bucket=bucket, Key="copy")["Body"].read() == body
    assert copied["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'


def test_a_copy_of_a_source_that_changed_is_refused(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="source", Body=b"new")

    with pytest.raises(ClientError) as refused:
        client.copy_object(
            Bucket=bucket,
            Key="copy",
            CopySource={"Bucket": bucket, "Key": "source"},
            CopySourceIfMatch=hashlib.md5(b"old").hexdigest(),
        )

    assert _code(refused) == ("PreconditionFailed", 412)


def test_a_multipart_upload_joins_sent_and_copied_parts(client: Any, bucket: str) -> None:
    first, source = content_of("first", 5 * MIB), content_of("source", MIB)
    client.put_object(Bucket=bucket, Key="source", Body=source)
    upload = client.create_multipart_upload(Bucket=bucket, Key="whole")["UploadId"]
    at = {"Bucket": bucket, "Key": "whole", "UploadId": upload}

    sent = client.upload_part(PartNumber=1, Body=first, **at)["ETag"]
    copied = client.upload_part_copy(
        PartNumber=2, CopySource={"Bucket": bucket, "Key": "source"}, CopySourceRange="bytes=10-999", **at
    )["CopyPartResult"]["ETag"]
    client.complete_multipart_upload(
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": sent}, {"PartNumber": 2, "ETag": copied}]}, **at
    )

    assert client.get_object(Bucket=bucket, Key="whole")["Body"].read() == first + source[10:1000]
    assert client.head_object(Bucket=bucket, Key="whole")["ETag"].endswith('-2"')


def test_a_wrong_secret_is_refused(swift: ObjectServer, bucket: str) -> None:
    with pytest.raises(ClientError) as refused:
        client_of(swift, "not-the-secret").put_object(Bucket=bucket, Key="a", Body=b"a")

    assert _code(refused) == ("SignatureDoesNotMatch", 403)


@pytest.mark.parametrize(
    "wrong", [{"ContentMD5": md5_base64(b"other")}, {"ChecksumSHA256": sha256_base64(b"other")}], ids=["md5", "sha256"]
)
def test_a_wrong_digest_is_refused_and_stores_nothing(client: Any, bucket: str, wrong: dict[str, str]) -> None:
    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=bucket, Key="a", Body=b"body", **wrong)

    assert _code(refused) == ("BadDigest", 400)
    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_a_right_digest_is_accepted(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="a", Body=b"body", ChecksumSHA256=sha256_base64(b"body"))

    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"body"


def test_an_existing_object_is_not_overwritten_where_the_request_forbids_it(client: Any, bucket: str) -> None:
    client.put_object(Bucket=bucket, Key="a", Body=b"first", IfNoneMatch="*")

    with pytest.raises(ClientError) as refused:
        client.put_object(Bucket=bucket, Key="a", Body=b"second", IfNoneMatch="*")

    assert _code(refused) == ("PreconditionFailed", 412)
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"first"


def test_a_listing_goes_on_where_the_page_before_ended(client: Any, bucket: str) -> None:
    keys = [f"{letter}/{number}" for letter in "ab" for number in range(4)]
    for key in keys:
        client.put_object(Bucket=bucket, Key=key, Body=key.encode())

    pages = list(client.get_paginator("list_objects_v2").paginate(Bucket=bucket, PaginationConfig={"PageSize": 3}))

    assert [[item["Key"] for item in page["Contents"]] for page in pages] == [keys[:3], keys[3:6], keys[6:]]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_nothing_is_left_running_or_lying_about(tmp_path: Path) -> None:
    with swift_module.swift_server(tmp_path) as server:
        assert _alive(server.pid)

    assert not _alive(server.pid)
    assert list(tmp_path.iterdir()) == []


_DIES = """
import os, sys
from pathlib import Path
from tests.support.servers.swift import swift_server
with swift_server(Path(sys.argv[1])) as server:
    print(server.pid, flush=True)
    os._exit(9)
"""


def test_the_daemons_end_with_a_parent_that_dies(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]

    done = subprocess.run([sys.executable, "-c", _DIES, str(tmp_path)], cwd=root, stdout=subprocess.PIPE, check=False)
    proxy = int(done.stdout)
    while _alive(proxy):  # the kernel has sent SIGKILL already; the pytest timeout bounds the wait
        os.sched_yield()

    assert done.returncode == 9


def test_a_missing_attribute_support_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(RuntimeError, match="user extended attributes"),
        swift_module.home_with_attributes([Path("/proc")]),
    ):
        pass

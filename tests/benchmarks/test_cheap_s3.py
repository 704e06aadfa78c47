"""The stand-in S3 of the benchmarks, as boto3 finds it, unmodified."""

from __future__ import annotations

import hashlib
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from benchmarks.cheap_s3 import OURS, SOURCE
from benchmarks.local_ca import make_ca
from benchmarks.servers import S3Process
from benchmarks.standin.content import PERIOD, etag_of, view
from benchmarks.standin.store import listing, name_of

MIB = 1 << 20
OBJECTS = 2_500


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Process]:
    with S3Process(tmp_path_factory.mktemp("s3"), objects=OBJECTS, size=100_000, latency_ms=0) as process:
        yield process


@pytest.fixture
def s3(server: S3Process) -> Iterator[Any]:
    server.reset()
    with client(server.url) as opened:
        yield opened


class client:  # noqa: N801 - reads as the function that it replaces
    """A boto3 client that is closed again."""

    def __init__(self, url: str, **more: Any) -> None:
        keys = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "region_name": "us-east-1"}
        config = Config(retries={"total_max_attempts": 1})
        self._client = boto3.client("s3", endpoint_url=url, config=config, **keys, **more)

    def __enter__(self) -> Any:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()


def pattern(start: int, size: int) -> bytes:
    return b"".join(bytes(view(start + done, size - done)) for done in range(0, size, PERIOD))


def heads(s3: Any, count: int) -> None:
    for _ in range(count):
        s3.head_object(Bucket=SOURCE, Key=name_of(0))


def test_a_prepared_bucket_lists_all_its_objects_in_order(s3: Any) -> None:
    rows = [row for page in s3.get_paginator("list_objects_v2").paginate(Bucket=SOURCE) for row in page["Contents"]]
    assert [row["Key"] for row in rows] == [name_of(number) for number in range(OBJECTS)]
    assert rows[7]["Size"] == 100_007
    assert rows[7]["ETag"] == f'"{hashlib.md5(pattern(0, 100_007)).hexdigest()}"'


def test_listings_know_prefix_start_and_delimiter(s3: Any) -> None:
    found = s3.list_objects_v2(Bucket=SOURCE, Prefix="docs/0000012", StartAfter=name_of(124))
    assert [row["Key"] for row in found["Contents"]] == [name_of(number) for number in range(125, 130)]
    found = s3.list_objects_v2(Bucket=SOURCE, Prefix="docs/", Delimiter="/", MaxKeys=2)
    assert [row["Prefix"] for row in found["CommonPrefixes"]] == ["docs/00000000/", "docs/00000001/"]
    found = s3.list_objects_v2(
        Bucket=SOURCE, Prefix="docs/", Delimiter="/", MaxKeys=1, ContinuationToken=found["NextContinuationToken"]
    )
    assert [row["Prefix"] for row in found["CommonPrefixes"]] == ["docs/00000002/"]


def test_a_get_has_the_bytes_that_its_etag_promises_whole_and_in_ranges(s3: Any) -> None:
    whole = s3.get_object(Bucket=SOURCE, Key=name_of(3))
    body = whole["Body"].read()
    assert whole["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    piece = s3.get_object(Bucket=SOURCE, Key=name_of(3), Range="bytes=5-1004")
    assert piece["Body"].read() == body[5:1005]
    assert piece["ContentRange"] == "bytes 5-1004/100003"


def test_a_copy_honours_both_conditions(s3: Any) -> None:
    source = {"Bucket": SOURCE, "Key": name_of(1)}
    right = s3.head_object(**source)["ETag"]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.copy_object(Bucket=OURS, Key="a b/ü.pdf", CopySource=source, CopySourceIfMatch='"0"')
    copied = s3.copy_object(Bucket=OURS, Key="a b/ü.pdf", CopySource=source, CopySourceIfMatch=right, IfNoneMatch="*")
    assert copied["CopyObjectResult"]["ETag"] == right
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.copy_object(Bucket=OURS, Key="a b/ü.pdf", CopySource=source, IfNoneMatch="*")
    assert s3.list_objects_v2(Bucket=OURS)["Contents"][0]["Key"] == "a b/ü.pdf"


@pytest.mark.parametrize("body", [b"", b"odd bytes", pattern(0, 70_000)], ids=["empty", "odd", "pattern"])
def test_what_was_put_is_read_back(s3: Any, body: bytes) -> None:
    told = s3.put_object(Bucket=OURS, Key="k", Body=body, ContentType="text/plain")
    assert told["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    found = s3.get_object(Bucket=OURS, Key="k")
    assert (found["Body"].read(), found["ContentType"]) == (body, "text/plain")


def test_bytes_that_were_not_kept_are_not_made_up(s3: Any) -> None:
    body = b"x" * MIB
    told = s3.put_object(Bucket=OURS, Key="k", Body=body)
    assert told["ETag"] == f'"{hashlib.md5(body).hexdigest()}"'
    with pytest.raises(ClientError, match="NotImplemented"):
        s3.get_object(Bucket=OURS, Key="k")


def test_a_damaged_body_is_refused(s3: Any) -> None:
    with pytest.raises(ClientError, match="BadDigest"):
        s3.put_object(Bucket=OURS, Key="k", Body=b"abc", ContentMD5="AAAAAAAAAAAAAAAAAAAAAA==")


def test_a_multipart_upload_has_the_etag_that_s3_would_give_it(s3: Any) -> None:
    body = pattern(0, 20 * MIB + 5)
    s3.upload_fileobj(io.BytesIO(body), OURS, "big", Config=TransferConfig(multipart_chunksize=8 * MIB))
    found = s3.head_object(Bucket=OURS, Key="big")
    assert (found["ContentLength"], found["ETag"]) == (len(body), f'"{etag_of(len(body))}"')
    assert s3.get_object(Bucket=OURS, Key="big")["Body"].read() == body


def test_a_multipart_copy_and_an_aborted_one(s3: Any) -> None:
    begun = s3.create_multipart_upload(Bucket=OURS, Key="k")
    where = {"Bucket": OURS, "Key": "k", "UploadId": begun["UploadId"]}
    assert [row["Key"] for row in s3.list_multipart_uploads(Bucket=OURS)["Uploads"]] == ["k"]
    source = {"Bucket": SOURCE, "Key": name_of(0)}
    told = s3.upload_part_copy(**where, PartNumber=1, CopySource=source, CopySourceRange="bytes=0-99")
    assert told["CopyPartResult"]["ETag"] == f'"{hashlib.md5(pattern(0, 100)).hexdigest()}"'
    s3.abort_multipart_upload(**where)
    with pytest.raises(ClientError, match="NoSuchUpload"):
        s3.upload_part(**where, PartNumber=2, Body=b"late")


def test_a_hidden_rate_is_enforced_with_slow_down(server: S3Process, s3: Any) -> None:
    server.pace(latency_ms=0, refuse_above=20, retry_after_s=1)
    try:
        with pytest.raises(ClientError, match=r"SlowDown|503") as refused:
            heads(s3, 200)
    finally:
        server.pace(latency_ms=0)
    assert refused.value.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"


def test_latency_holds_every_answer_back(server: S3Process, s3: Any) -> None:
    server.pace(latency_ms=30)
    try:
        start = time.perf_counter()
        s3.head_object(Bucket=SOURCE, Key=name_of(0))
        assert time.perf_counter() - start >= 0.03
    finally:
        server.pace(latency_ms=0)


def test_requests_are_counted_by_verb(server: S3Process, s3: Any) -> None:
    s3.head_object(Bucket=SOURCE, Key=name_of(0))
    s3.get_object(Bucket=SOURCE, Key=name_of(0), Range="bytes=0-9")["Body"].read()
    assert server.state()["requests"] == {"HeadObject": 1, "GetObject": 1}


def test_it_speaks_tls_under_a_ca_of_its_own(tmp_path: Path) -> None:
    ca = make_ca(tmp_path)
    with (
        S3Process(tmp_path, objects=1, size=10, latency_ms=0, ca=ca) as process,
        client(process.url, verify=os.fspath(ca.ca)) as s3,
    ):
        assert s3.get_object(Bucket=SOURCE, Key=name_of(0))["Body"].read() == pattern(0, 10)
        assert s3.put_object(Bucket=OURS, Key="k", Body=b"framed")["ETag"] == f'"{hashlib.md5(b"framed").hexdigest()}"'


@pytest.mark.parametrize("delimiter", ["", "/"])
@pytest.mark.parametrize("prefix", ["", "a", "a/", "b"])
@pytest.mark.parametrize("limit", [1, 2, 100])
def test_pages_of_a_listing_add_up_to_all_of_it(delimiter: str, prefix: str, limit: int) -> None:
    keys = sorted(["a", "a/b", "a/c/d", "a/c/e", "ab", "b/", "b/x", "c"])
    found: list[str] = []
    after = ""
    while True:
        page = listing(keys, prefix, delimiter, after, limit)
        found += sorted(page.keys + page.prefixes)
        after = page.last
        if not after:
            break
    ends = [(key, key.find(delimiter, len(prefix)) if delimiter else -1) for key in keys if key.startswith(prefix)]
    assert found == sorted({key if end < 0 else key[: end + 1] for key, end in ends})

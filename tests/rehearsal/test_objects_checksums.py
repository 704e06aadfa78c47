"""The stand-in object store tells checksums, ETags and parts as AWS does."""

from __future__ import annotations

import hashlib
import uuid
from base64 import b64encode
from typing import Any

import pytest
from botocore.exceptions import ClientError

from engine.rehearsal.content import content_of
from engine.rehearsal.object_sums import value_of
from engine.rehearsal.objects import ObjectServer
from engine.rehearsal.side_door import Seeded, SideDoor
from tests.support.servers.client import client_of, md5_base64, sha256_base64

MIB = 1 << 20
PARTS = [b"a" * 5 * MIB, b"b" * 10]
WHOLE = b"".join(PARTS)
COMPOSITE = (
    b64encode(hashlib.sha256(b"".join(hashlib.sha256(part).digest() for part in PARTS)).digest()).decode() + "-2"
)
ETAG = f'"{hashlib.md5(b"".join(hashlib.md5(part).digest() for part in PARTS)).hexdigest()}-2"'


@pytest.fixture
async def bucket(moto: ObjectServer) -> str:
    name = f"bucket-{uuid.uuid4().hex}"
    await SideDoor(moto).create_buckets(name)
    return name


@pytest.fixture
def client(moto: ObjectServer) -> Any:
    return client_of(moto)


def looked_at(client: Any, bucket: str, key: str, **more: Any) -> dict[str, Any]:
    return dict(client.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED", **more))


def test_the_checksum_of_a_put_is_answered_and_told_again_where_it_is_asked_for(client: Any, bucket: str) -> None:
    said = client.put_object(Bucket=bucket, Key="a", Body=b"abc", ChecksumSHA256=sha256_base64(b"abc"))

    told = (said["ChecksumSHA256"], said["ChecksumType"])
    assert told == (sha256_base64(b"abc"), "FULL_OBJECT")
    for answer in (
        looked_at(client, bucket, "a"),
        client.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED"),
    ):
        assert (answer["ChecksumSHA256"], answer["ChecksumType"]) == told
        assert "x-amz-sdk-checksum-algorithm" not in answer["ResponseMetadata"]["HTTPHeaders"]
    assert "ChecksumSHA256" not in client.head_object(Bucket=bucket, Key="a")
    part = client.get_object(Bucket=bucket, Key="a", ChecksumMode="ENABLED", Range="bytes=0-0")
    assert "ChecksumSHA256" not in part


def test_where_nobody_states_a_checksum_there_is_a_crc64(client: Any, bucket: str) -> None:
    said = client.put_object(Bucket=bucket, Key="a", Body=b"abc")

    assert said["ChecksumCRC64NVME"] == looked_at(client, bucket, "a")["ChecksumCRC64NVME"] == "BeXKuz/B+us="


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"ContentMD5": md5_base64(b"other")}, "BadDigest"),
        ({"ContentMD5": "abc"}, "InvalidDigest"),
        ({"ChecksumCRC64NVME": value_of("crc64nvme", b"other")}, "BadDigest"),
        ({"ChecksumSHA256": "abc="}, "InvalidRequest"),
    ],
)
def test_a_digest_that_is_false_or_none_is_refused(client: Any, bucket: str, wrong: dict[str, str], code: str) -> None:
    with pytest.raises(ClientError, match=code):
        client.put_object(Bucket=bucket, Key="a", Body=b"abc", **wrong)


@pytest.mark.parametrize(("checksum", "told"), [("sha256", "ChecksumSHA256"), (None, "ChecksumCRC64NVME")])
async def test_a_copy_has_the_kind_of_checksum_of_its_source(
    moto: ObjectServer, client: Any, bucket: str, checksum: str | None, told: str
) -> None:
    await SideDoor(moto).load(bucket, [Seeded("a", 1_000, checksum=checksum)])

    said = client.copy_object(Bucket=bucket, Key="b", CopySource={"Bucket": bucket, "Key": "a"})

    right = value_of(told.removeprefix("Checksum").lower(), content_of("a", 1_000))
    assert (said["CopyObjectResult"][told], said["CopyObjectResult"]["ChecksumType"]) == (right, "FULL_OBJECT")
    assert looked_at(client, bucket, "b")[told] == right
    assert (told in looked_at(client, bucket, "a")) is (checksum is not None)


class Upload:
    """One upload of ``PARTS``."""

    def __init__(self, client: Any, bucket: str, **more: Any) -> None:
        self.client = client
        self.where = {"Bucket": bucket, "Key": "big"}
        self.where["UploadId"] = client.create_multipart_upload(**self.where, **more)["UploadId"]

    def part(self, number: int, **more: Any) -> dict[str, Any]:
        return dict(self.client.upload_part(**self.where, PartNumber=number, Body=PARTS[number - 1], **more))

    def complete(self, *parts: dict[str, Any], **more: Any) -> dict[str, Any]:
        numbered = [{"PartNumber": number, **part} for number, part in enumerate(parts, 1)]
        return dict(self.client.complete_multipart_upload(**self.where, MultipartUpload={"Parts": numbered}, **more))


def summed(upload: Upload) -> list[dict[str, Any]]:
    parts = []
    for number, body in enumerate(PARTS, 1):
        sum_ = sha256_base64(body)
        said = upload.part(number, ChecksumSHA256=sum_)
        assert said["ChecksumSHA256"] == sum_
        parts.append({"ETag": said["ETag"], "ChecksumSHA256": sum_})
    return parts


def test_an_object_of_parts_has_the_sum_of_their_sums_and_can_be_read_by_its_parts(client: Any, bucket: str) -> None:
    upload = Upload(client, bucket, ChecksumAlgorithm="SHA256")
    said = upload.complete(*summed(upload), MpuObjectSize=len(WHOLE))

    assert (said["ETag"], said["ChecksumSHA256"], said["ChecksumType"]) == (ETAG, COMPOSITE, "COMPOSITE")
    whole, second = looked_at(client, bucket, "big"), looked_at(client, bucket, "big", PartNumber=2)
    assert (whole["ChecksumSHA256"], whole["ChecksumType"], whole["ContentLength"]) == (
        COMPOSITE,
        "COMPOSITE",
        len(WHOLE),
    )
    assert (second["ETag"], second["ContentLength"], second["PartsCount"]) == (ETAG, len(PARTS[1]), 2)
    assert client.get_object(Bucket=bucket, Key="big", PartNumber=2)["Body"].read() == PARTS[1]
    with pytest.raises(ClientError, match="416"):
        looked_at(client, bucket, "big", PartNumber=3)


def test_what_a_completion_says_of_the_whole_is_compared(client: Any, bucket: str) -> None:
    upload = Upload(client, bucket, ChecksumAlgorithm="CRC64NVME")
    parts = [{"ETag": upload.part(number)["ETag"]} for number in (1, 2)]
    for wrong, code in (
        ({"MpuObjectSize": 7}, "InvalidRequest"),
        ({"ChecksumCRC64NVME": value_of("crc64nvme", b"other"), "ChecksumType": "FULL_OBJECT"}, "BadDigest"),
    ):
        with pytest.raises(ClientError, match=code):
            upload.complete(*parts, **wrong)

    right = value_of("crc64nvme", WHOLE)
    said = upload.complete(*parts, ChecksumCRC64NVME=right, ChecksumType="FULL_OBJECT", MpuObjectSize=len(WHOLE))
    assert (said["ChecksumCRC64NVME"], said["ChecksumType"]) == (right, "FULL_OBJECT")


def test_parts_need_the_checksum_their_upload_was_begun_with(client: Any, bucket: str) -> None:
    other = Upload(client, bucket)
    with pytest.raises(ClientError, match="InvalidRequest"):
        other.part(1, ChecksumSHA256=sha256_base64(PARTS[0]))
    with pytest.raises(ClientError, match="BadDigest"):
        Upload(client, bucket, ChecksumAlgorithm="SHA256").part(1, ChecksumSHA256=sha256_base64(b""))

    upload = Upload(client, bucket, ChecksumAlgorithm="SHA256")
    parts = summed(upload)
    with pytest.raises(ClientError, match="InvalidRequest"):
        upload.complete(*({"ETag": part["ETag"]} for part in parts))
    with pytest.raises(ClientError, match="InvalidPart"):
        upload.complete(parts[0], {**parts[1], "ChecksumSHA256": sha256_base64(b"")})


def test_under_kms_an_etag_is_no_md5(client: Any, bucket: str) -> None:
    said = client.put_object(Bucket=bucket, Key="a", Body=b"abc", ServerSideEncryption="aws:kms")

    assert len(said["ETag"]) == 34
    assert said["ETag"] != f'"{hashlib.md5(b"abc").hexdigest()}"'
    assert looked_at(client, bucket, "a")["ETag"] == said["ETag"]


async def test_an_object_can_be_loaded_as_one_of_parts_with_a_checksum(
    moto: ObjectServer, client: Any, bucket: str
) -> None:
    await SideDoor(moto).load(bucket, [Seeded("big", 6 * MIB, part_bytes=5 * MIB, checksum="crc64nvme")])

    whole = content_of("big", 6 * MIB)
    halves = (whole[: 5 * MIB], whole[5 * MIB :])
    etag = f'"{hashlib.md5(b"".join(hashlib.md5(half).digest() for half in halves)).hexdigest()}-2"'
    first = looked_at(client, bucket, "big", PartNumber=1)
    assert (first["ETag"], first["ContentLength"], first["PartsCount"]) == (etag, 5 * MIB, 2)
    assert looked_at(client, bucket, "big")["ChecksumCRC64NVME"] == value_of("crc64nvme", whole)

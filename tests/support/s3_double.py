"""S3 as the least it can say, played by a double that records; and what tests look for in what it was asked."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from engine.limiting.clock import SystemClock
from engine.s3.open import S3, open_s3
from tests.support.s3 import SMALL_PARTS, settings_for
from tests.support.servers.capture import Double, Recorded, Reply, capture_server

MD5 = hashlib.md5(b"hello").hexdigest()


ETAG = {"ETag": f'"{MD5}"'}


OPTIONS: dict[str, dict[str, Any]] = {
    "source": {"request_payer": True, "expected_bucket_owner": "111111111111"},
    "destination": {
        "storage_class": "STANDARD_IA",
        "sse": "aws:kms",
        "kms_key_id": "key-1",
        "expected_bucket_owner": "222222222222",
    },
}


PLACED = {
    "x-amz-storage-class": "STANDARD_IA",
    "x-amz-server-side-encryption": "aws:kms",
    "x-amz-server-side-encryption-aws-kms-key-id": "key-1",
}


OURS = {"x-amz-expected-bucket-owner": "222222222222"}


COPIES = {"x-amz-request-payer": "requester", "x-amz-source-expected-bucket-owner": "111111111111"}


def document(name: str, **fields: str) -> bytes:
    inner = "".join(f"<{key}>{value}</{key}>" for key, value in fields.items())
    return f'<?xml version="1.0"?><{name}>{inner}</{name}>'.encode()


def aws(request: Recorded) -> Reply:
    """The least that S3 says, whatever it is asked; every key is free."""
    query = request.target.partition("?")[2]
    if request.method == "HEAD":
        if request.path.startswith("/vendor"):
            return Reply(200, {**ETAG, "Content-Length": "12000000", "Content-Type": "video/mp4"}, length=False)
        return Reply(404)
    if request.method == "GET":
        return Reply(200, ETAG, b"hello")
    if "uploads" in query:
        return Reply(200, {}, document("InitiateMultipartUploadResult", UploadId="up"))
    if request.method == "POST":
        return Reply(200, {}, document("CompleteMultipartUploadResult", ETag="&quot;" + "f" * 32 + "-3&quot;"))
    if "x-amz-copy-source" in request.headers:
        root = "CopyPartResult" if "partNumber" in query else "CopyObjectResult"
        return Reply(200, {}, document(root, ETag="&quot;" + MD5 + "&quot;"))
    return Reply(200, {"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})


def holds(request: Recorded, wanted: dict[str, str]) -> bool:
    return all(request.headers.get(name) == value for name, value in wanted.items())


def by(double: Double, method: str, *marks: str) -> list[Recorded]:
    return [each for each in double.requests if each.method == method and all(mark in each.target for mark in marks)]


TOKEN = {"source": {"session_token": "source-token"}, "destination": {"session_token": "our-token"}}


@asynccontextmanager
async def facing(transport: Any, *answers: Any, otherwise: Any = aws, **more: Any) -> AsyncIterator[tuple[S3, Double]]:
    async with AsyncExitStack() as stack:
        double = await stack.enter_async_context(capture_server(*answers, otherwise=otherwise))
        settings = settings_for(double.server, **TOKEN, **more)
        yield (
            await stack.enter_async_context(open_s3(settings, SystemClock(), transport=transport, sizes=SMALL_PARTS)),
            double,
        )

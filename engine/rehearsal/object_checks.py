"""What S3 refuses but moto allows: false digests, false owners, copies of a changed source, copies that overwrite."""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

from engine.rehearsal.object_faults import Answer, error_answer
from engine.rehearsal.object_sums import stated, value_of

OWNER = "123456789012"
"""The account that owns every bucket of the stand-in; moto's own default."""

Lookup = Callable[[str, str], "str | None"]
"""From bucket and key to the ETag of the object there, quoted, or None."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the store is asked. ``path`` is decoded, ``headers`` are by lower-case name."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def bucket(self) -> str:
        return self.path.lstrip("/").partition("/")[0]

    @property
    def key(self) -> str:
        return self.path.lstrip("/").partition("/")[2]


def refusal(asked: Request, etag_of: Lookup) -> Answer | None:
    """The answer to a request S3 would not carry out, or None where it would."""
    for owner in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
        if asked.headers.get(owner, OWNER) != OWNER:
            return error_answer(403, "AccessDenied")
    if asked.method != "PUT":
        return None
    if "x-amz-copy-source" in asked.headers:
        return _copy_refusal(asked, etag_of)
    return _digest_refusal(asked.headers, asked.body)


def _copy_refusal(asked: Request, etag_of: Lookup) -> Answer | None:
    headers = asked.headers
    source = unquote(headers["x-amz-copy-source"].partition("?versionId=")[0]).lstrip("/")
    bucket, _, key = source.partition("/")
    wanted, found = headers.get("x-amz-copy-source-if-match"), etag_of(bucket, key)
    if wanted is not None and found is not None and wanted.strip('"') not in ("*", found.strip('"')):
        return error_answer(412, "PreconditionFailed")
    if headers.get("if-none-match") == "*" and etag_of(asked.bucket, asked.key) is not None:
        return error_answer(412, "PreconditionFailed")
    return None


def _digest_refusal(headers: Mapping[str, str], body: bytes) -> Answer | None:
    signed = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if signed.startswith("STREAMING-"):
        return None  # the body is still in signed chunks, which moto takes apart
    if len(signed) == 64 and signed != hashlib.sha256(body).hexdigest():
        return error_answer(400, "XAmzContentSHA256Mismatch")
    if (named := headers.get("content-md5")) is not None:
        if not _is_md5(named):
            return error_answer(400, "InvalidDigest")
        if named != b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode():
            return error_answer(400, "BadDigest")
    sums = stated(headers)
    if len(sums) > 1:
        return error_answer(400, "InvalidRequest")
    for algorithm, value in sums.items():
        right = value_of(algorithm, body)
        if len(value) != len(right):
            return error_answer(400, "InvalidRequest")
        if value != right:
            return error_answer(400, "BadDigest")
    return None


def _is_md5(value: str) -> bool:
    try:
        return len(b64decode(value, validate=True)) == 16
    except binascii.Error:
        return False

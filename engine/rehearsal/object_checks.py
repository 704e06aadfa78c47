"""What S3 refuses but moto allows: false digests, false owners, copies of a changed source, copies that overwrite."""

from __future__ import annotations

import binascii
import hashlib
from base64 import b64encode
from collections.abc import Callable, Mapping
from urllib.parse import unquote

from engine.rehearsal.object_faults import Answer, error_answer

OWNER = "123456789012"
"""The account that owns every bucket of the stand-in; moto's own default."""

Lookup = Callable[[str, str], "str | None"]
"""From bucket and key to the ETag of the object there, quoted, or None."""

_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "content-md5": lambda body: hashlib.md5(body, usedforsecurity=False).digest(),
    "x-amz-checksum-sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "x-amz-checksum-sha256": lambda body: hashlib.sha256(body).digest(),
    "x-amz-checksum-crc32": lambda body: binascii.crc32(body).to_bytes(4, "big"),
}


def refusal(method: str, path: str, headers: Mapping[str, str], body: bytes, etag_of: Lookup) -> Answer | None:
    """The answer to a request S3 would not carry out, or None where it would. ``path`` is decoded."""
    for owner in ("x-amz-expected-bucket-owner", "x-amz-source-expected-bucket-owner"):
        if headers.get(owner, OWNER) != OWNER:
            return error_answer(403, "AccessDenied")
    if method != "PUT":
        return None
    if "x-amz-copy-source" in headers:
        return _copy_refusal(path, headers, etag_of)
    return _digest_refusal(headers, body)


def _copy_refusal(path: str, headers: Mapping[str, str], etag_of: Lookup) -> Answer | None:
    source = unquote(headers["x-amz-copy-source"].partition("?versionId=")[0]).lstrip("/")
    bucket, _, key = source.partition("/")
    wanted, found = headers.get("x-amz-copy-source-if-match"), etag_of(bucket, key)
    if wanted is not None and found is not None and wanted.strip('"') not in ("*", found.strip('"')):
        return error_answer(412, "PreconditionFailed")
    if headers.get("if-none-match") == "*":
        bucket, _, key = path.lstrip("/").partition("/")
        if etag_of(bucket, key) is not None:
            return error_answer(412, "PreconditionFailed")
    return None


def _digest_refusal(headers: Mapping[str, str], body: bytes) -> Answer | None:
    signed = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if signed.startswith("STREAMING-"):
        return None  # the body is still in signed chunks, which moto takes apart
    if len(signed) == 64 and signed != hashlib.sha256(body).hexdigest():
        return error_answer(400, "XAmzContentSHA256Mismatch")
    for name, digest in _DIGESTS.items():
        if name in headers and headers[name] != b64encode(digest(body)).decode():
            return error_answer(400, "BadDigest")
    return None

"""What S3's answer headers say of an object, by lower-case name: over the S3 API, or over plain http. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.model.facts import ARCHIVES, ContentHeaders, parts_in

META = "x-amz-meta-"
CONTENT_HEADERS = (
    ("content-type", "content_type"),
    ("content-disposition", "content_disposition"),
    ("content-encoding", "content_encoding"),
    ("content-language", "content_language"),
    ("cache-control", "cache_control"),
    ("expires", "expires"),
)
"""Headers that are copied with the bytes, and their names in ContentHeaders."""
_HEX = "0123456789abcdef"
_EXPIRY = re.compile(r'expiry-date="([^"]{1,64})"')


def content_of(fields: Mapping[str, str]) -> ContentHeaders:
    """The headers that are copied with the bytes."""
    metadata = tuple(sorted((name[len(META) :], value) for name, value in fields.items() if name.startswith(META)))
    named: dict[str, Any] = {attribute: fields[name] for name, attribute in CONTENT_HEADERS if fields.get(name)}
    if "content_encoding" in named:
        named["content_encoding"] = _without_chunking(named["content_encoding"])
    tags = fields.get("x-amz-tagging-count", "")
    return ContentHeaders(**named, metadata=metadata, tag_count=int(tags) if tags.isdecimal() else 0)


def is_archived(storage_class: str, fields: Mapping[str, str]) -> bool:
    """Whether a GET would be refused. A restored object still names its archive class; x-amz-restore shows it."""
    frozen = storage_class in ARCHIVES or bool(fields.get("x-amz-archive-status"))
    return frozen and 'ongoing-request="false"' not in fields.get("x-amz-restore", "")


def restore_of(fields: Mapping[str, str]) -> str:
    """``ongoing``, or the HTTP date until which a restored copy can be read; empty: there is none, or it stays."""
    told = fields.get("x-amz-restore", "")
    if 'ongoing-request="true"' in told:
        return "ongoing"
    until = _EXPIRY.search(told)
    return until[1] if until else ""


def etag_is_md5(etag: str, fields: Mapping[str, str]) -> bool:
    """Whether the ETag is the MD5 of the bytes: not for multipart uploads, SSE-KMS and SSE-C (API_Object)."""
    if len(etag) != 32 or etag.strip(_HEX):  # nothing is left where all is hexadecimal
        return False
    return _of_the_bytes(fields)


def etag_parts(etag: str, fields: Mapping[str, str]) -> int:
    """Of how many parts' MD5s the ETag is made; 0: of none."""
    return parts_in(etag) if "-" in etag and _of_the_bytes(fields) else 0


def _of_the_bytes(fields: Mapping[str, str]) -> bool:
    """Whether the ETag is made of the bytes at all: under SSE-KMS and SSE-C it is not."""
    if fields.get("x-amz-server-side-encryption", "").startswith("aws:kms"):
        return False
    return "x-amz-server-side-encryption-customer-algorithm" not in fields


def _without_chunking(value: str) -> str:
    """Without ``aws-chunked``, which is how an upload travelled and no property of the object."""
    return ", ".join(each for v in value.split(",") if (each := v.strip()) and each.lower() != "aws-chunked")

"""Response headers to ObjectFacts, and content headers back to request headers. Pure.

Header bytes are read as UTF-8, or as Latin-1 where they are not. What goes out is ASCII. Other user metadata goes as
RFC 2047 words, which S3 stores decoded and returns encoded (UserGuide/UsingMetadata); other file names in
Content-Disposition go by RFC 5987. A value that came as an RFC 2047 word goes back as the very same word.
"""

from __future__ import annotations

import base64
import calendar
import re
from typing import Any
from urllib.parse import quote, urlencode

from engine.model.facts import ARCHIVES, ContentHeaders, ObjectFacts, parts_in
from engine.model.sums import HEADER, stated_sums
from engine.s3.api.answers import Answer, Fields, unquoted

META = "x-amz-meta-"
NO_HEADERS = ContentHeaders()
_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr)}
_HEX = "0123456789abcdef"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_PAIRS = (
    ("content-type", "content_type"),
    ("content-disposition", "content_disposition"),
    ("content-encoding", "content_encoding"),
    ("content-language", "content_language"),
    ("cache-control", "cache_control"),
    ("expires", "expires"),
)


def facts_of(fields: Fields, *, size: int | None = None, composites: bool = False) -> ObjectFacts:
    """What an answer's headers say of the object.

    ``size`` overrides Content-Length, which in an answer to a write is not the object's. ``composites`` keeps a
    multipart SHA-256 too, as ``sha256-composite`` with ``-N`` behind the hex. It depends on the part sizes: it can be
    compared only with what the writer of those parts computed.
    """
    etag = unquoted(fields.get("etag", ""))
    if size is None:
        length = fields.get("content-length", "")
        size = int(length) if length.isdecimal() else None
    storage_class = fields.get("x-amz-storage-class", "") or "STANDARD"
    return ObjectFacts(
        size=size,
        etag=etag,
        version_id=_version(fields.get("x-amz-version-id")),
        checksums=stated_sums(fields, composites=composites),
        last_modified=iso_date(fields.get("last-modified", "")),
        storage_class=storage_class,
        archived=is_archived(storage_class, fields),
        etag_is_md5=etag_is_md5(etag, fields),
        etag_parts=etag_parts(etag, fields),
        headers=content_of(fields),
    )


def written(answer: Answer, size: int, headers: ContentHeaders | None = None) -> ObjectFacts:
    """What an answer to a write says of the object. The answer's content headers are its own, not the object's."""
    fields, etag = answer.fields, answer.etag
    return ObjectFacts(
        size=size,
        etag=etag,
        version_id=_version(fields.get("x-amz-version-id")),
        checksums=stated_sums(fields, composites=True),
        last_modified=iso_date(fields.get("last-modified", "")),
        etag_is_md5=etag_is_md5(etag, fields),
        etag_parts=etag_parts(etag, fields),
        headers=headers or NO_HEADERS,
    )


def content_of(fields: Fields) -> ContentHeaders:
    """The headers that travel with the bytes."""
    metadata = tuple(sorted((name[len(META) :], value) for name, value in fields.items() if name.startswith(META)))
    named: dict[str, Any] = {attribute: fields[name] for name, attribute in _PAIRS if fields.get(name)}
    if "content_encoding" in named:
        named["content_encoding"] = _without_chunking(named["content_encoding"])
    tags = fields.get("x-amz-tagging-count", "")
    return ContentHeaders(**named, metadata=metadata, tag_count=int(tags) if tags.isdecimal() else 0)


def is_archived(storage_class: str, fields: Fields) -> bool:
    """Whether a GET would be refused. A restored object still names its archive class; x-amz-restore shows it."""
    frozen = storage_class in ARCHIVES or bool(fields.get("x-amz-archive-status"))
    return frozen and 'ongoing-request="false"' not in fields.get("x-amz-restore", "")


def etag_is_md5(etag: str, fields: Fields) -> bool:
    """Whether the ETag is the MD5 of the bytes: not for multipart uploads, SSE-KMS and SSE-C (API_Object)."""
    if len(etag) != 32 or etag.strip(_HEX):  # nothing is left where all is hexadecimal
        return False
    return of_the_bytes(fields)


def etag_parts(etag: str, fields: Fields) -> int:
    """Of how many parts' MD5s the ETag is made; 0: of none."""
    return parts_in(etag) if "-" in etag and of_the_bytes(fields) else 0


def of_the_bytes(fields: Fields) -> bool:
    """Whether the ETag is made of the bytes at all: under SSE-KMS and SSE-C it is not."""
    if fields.get("x-amz-server-side-encryption", "").startswith("aws:kms"):
        return False
    return "x-amz-server-side-encryption-customer-algorithm" not in fields


def iso_date(http_date: str) -> str:
    """``Sun, 22 Nov 2026 10:29:58 GMT`` to ``2026-11-22T10:29:58.000Z``; anything else stays as it is."""
    if not http_date.endswith(" GMT"):
        return http_date
    try:
        _, day, month, year, time, _ = http_date.split(" ")
        return f"{int(year):04d}-{_MONTHS[month]:02d}-{int(day):02d}T{time}.000Z"
    except (ValueError, KeyError):
        return http_date


def request_headers(headers: ContentHeaders) -> dict[str, str]:
    """Content headers and user metadata as they go on the wire: ASCII, no control characters."""
    out: dict[str, str] = {}
    for name, attribute in _PAIRS:
        value = _clean(getattr(headers, attribute))
        if not value:
            continue
        if not value.isascii():
            value = _ascii_disposition(value) if name == "content-disposition" else quote(value, safe=_ASCII)
        out[name] = value
    for name, value in headers.metadata:
        clean = _clean(value)
        out[META + name.lower()] = clean if clean.isascii() else _word(clean)
    return out


def tagging(headers: ContentHeaders) -> dict[str, str]:
    """Object tags as a request header."""
    return {"x-amz-tagging": urlencode(headers.tags, quote_via=quote)} if headers.tags else {}


def sum_header(algorithm: str, digest: bytes) -> tuple[str, str]:
    """A checksum as a request header."""
    return HEADER + algorithm, base64.b64encode(digest).decode()


_ASCII = "".join(chr(n) for n in range(0x20, 0x7F))


def _version(value: str | None) -> str | None:
    return None if not value or value == "null" else value


def _without_chunking(value: str) -> str:
    """Without ``aws-chunked``, which is how an upload travelled and no property of the object."""
    return ", ".join(each for v in value.split(",") if (each := v.strip()) and each.lower() != "aws-chunked")


def _clean(value: str) -> str:
    return _CONTROL.sub(" ", value).strip()


def _word(value: str) -> str:
    return f"=?UTF-8?B?{base64.b64encode(value.encode()).decode()}?="


def _ascii_disposition(value: str) -> str:
    kind = value.partition(";")[0].strip()
    named = re.search(r'filename\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;]*))', value)
    if not named or not kind.isascii():
        return "inline"
    name = re.sub(r"\\(.)", r"\1", named[1]) if named[1] is not None else named[2].strip()
    plain = re.sub(r"[^ !#-\[\]-~]", "_", name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"

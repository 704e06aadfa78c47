"""Response headers to ObjectFacts, and content headers back to request headers. Pure.

Header bytes are read as UTF-8, or as Latin-1 where they are not. What goes out is ASCII. Other user metadata goes as
RFC 2047 words, which S3 stores decoded and returns encoded (UserGuide/UsingMetadata); other file names in
Content-Disposition go by RFC 5987. A value that came as an RFC 2047 word goes back as the very same word.
"""

from __future__ import annotations

import base64
import calendar
import re
from urllib.parse import quote, urlencode

from engine.model.facts import ContentHeaders, ObjectFacts
from engine.model.object_headers import (
    CONTENT_HEADERS,
    META,
    content_of,
    etag_is_md5,
    etag_parts,
    is_archived,
    restore_of,
)
from engine.model.sums import HEADER, stated_sums
from engine.s3.api.answers import Answer, Fields, unquoted

NO_HEADERS = ContentHeaders()
_MONTHS = {name: number for number, name in enumerate(calendar.month_abbr)}
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


def facts_of(fields: Fields, *, composites: bool = False) -> ObjectFacts:
    """What an answer's headers say of the object.

    ``composites`` keeps a multipart SHA-256 too, as ``sha256-composite`` with ``-N`` behind the hex. It depends on the
    part sizes: it can be compared only with what the writer of those parts computed.
    """
    etag = unquoted(fields.get("etag", ""))
    length = fields.get("content-length", "")
    storage_class = fields.get("x-amz-storage-class", "") or "STANDARD"
    return ObjectFacts(
        size=int(length) if length.isdecimal() else None,
        etag=etag,
        version_id=_version(fields.get("x-amz-version-id")),
        checksums=stated_sums(fields, composites=composites),
        last_modified=iso_date(fields.get("last-modified", "")),
        storage_class=storage_class,
        archived=is_archived(storage_class, fields),
        restore=iso_date(restore_of(fields)),
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
    for name, attribute in CONTENT_HEADERS:
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

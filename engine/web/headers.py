"""Response headers → ObjectFacts. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

from engine.limiting.clock import iso
from engine.model.facts import ObjectFacts, whole_size
from engine.model.location import Location
from engine.model.object_headers import content_of, etag_is_md5, etag_parts, is_archived
from engine.model.sums import stated_sums

_FILE_NAME = re.compile(r"filename\*?\s*=\s*(?:UTF-8'[^']*')?\"?([^\";]+)", re.IGNORECASE)


def facts_of(headers: Mapping[str, str], location: Location, *, size: int | None) -> ObjectFacts:
    """What an answer says of the file. Only S3's ETags are made of the bytes. Its answers have its request id, behind a
    presigned link too. A weak ETag counts as none."""
    fields: dict[str, str] = {}
    for name, value in headers.items():
        fields.setdefault(name.lower(), readable(value))
    etag, from_s3 = strong_etag(fields.get("etag", "")), location.in_s3 or "x-amz-request-id" in fields
    storage_class = fields.get("x-amz-storage-class", "") or "STANDARD"
    return ObjectFacts(
        size=size,
        etag=etag,
        version_id=fields.get("x-amz-version-id") or None,
        checksums=stated_sums(fields),
        last_modified=_moment(fields.get("last-modified", "")),
        storage_class=storage_class,
        archived=is_archived(storage_class, fields),
        etag_is_md5=from_s3 and etag_is_md5(etag, fields),
        etag_parts=etag_parts(etag, fields) if from_s3 else 0,
        headers=content_of(fields),
    )


def strong_etag(value: str) -> str:
    """An ETag without its quotes; empty for a weak one."""
    value = value.strip()
    return "" if value.startswith(("W/", "w/")) else value.strip('"')


def is_framed(headers: Mapping[str, str]) -> bool:
    """Whether the body itself shows where it ends: by its length or by its last chunk (RFC 9112, 6.3)."""
    return "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower()


def length_in(headers: Mapping[str, str]) -> int | None:
    """``Content-Length`` in bytes; None when absent or no number."""
    value = headers.get("Content-Length", "").strip()
    return int(value) if value.isascii() and value.isdigit() and len(value) < 20 else None


def whole_length_in(headers: Mapping[str, str]) -> int | None:
    """The full size that ``Content-Range`` tells; None for an unknown one (``*``)."""
    return whole_size(headers.get("Content-Range", ""))


def file_name(location: Location, headers: Mapping[str, str]) -> str:
    """The file's name: the last segment of its key or path; where that has no ending, the one of its disposition."""
    path = location.key or unquote(urlsplit(location.url).path)
    name = path.rpartition("/")[2]
    if "." not in name and (match := _FILE_NAME.search(headers.get("Content-Disposition", ""))):
        return unquote(match[1]).strip()
    return name


def readable(value: str) -> str:
    """A header value in which bytes that are no UTF-8 (surrogates) are read as Latin-1."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogateescape").decode("latin-1")
    return value


def _moment(value: str) -> str:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return ""
    return iso(moment if moment.tzinfo else moment.replace(tzinfo=UTC))

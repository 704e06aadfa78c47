"""Response headers → ObjectFacts. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit

from engine.limiting.clock import iso
from engine.model.facts import ARCHIVES, ContentHeaders, ObjectFacts, parts_in, whole_size
from engine.model.location import Location
from engine.model.sums import stated_sums

_META = "x-amz-meta-"
_MD5 = re.compile(r"[0-9a-f]{32}")
_FILE_NAME = re.compile(r"filename\*?\s*=\s*(?:UTF-8'[^']*')?\"?([^\";]+)", re.IGNORECASE)


def facts_of(headers: Mapping[str, str], location: Location, *, size: int | None) -> ObjectFacts:
    """What an answer says of the file. Only S3's ETags are made of the bytes. Its answers have its request id, behind a
    presigned link too. A weak ETag counts as none."""
    etag = strong_etag(headers.get("ETag", ""))
    storage_class = headers.get("x-amz-storage-class", "") or "STANDARD"
    restored = 'ongoing-request="false"' in headers.get("x-amz-restore", "")
    of_the_bytes = (
        (location.in_s3 or "x-amz-request-id" in headers)
        and "aws:kms" not in headers.get("x-amz-server-side-encryption", "")
        and "x-amz-server-side-encryption-customer-algorithm" not in headers
    )
    return ObjectFacts(
        size=size,
        etag=etag,
        version_id=headers.get("x-amz-version-id") or None,
        last_modified=_moment(headers.get("Last-Modified", "")),
        storage_class=storage_class,
        archived=storage_class in ARCHIVES and not restored,
        checksums=stated_sums({name.lower(): value for name, value in headers.items()}),
        etag_is_md5=of_the_bytes and _MD5.fullmatch(etag) is not None,
        etag_parts=parts_in(etag) if of_the_bytes else 0,
        headers=content_of(headers),
    )


def content_of(headers: Mapping[str, str]) -> ContentHeaders:
    """The headers that travel with the bytes."""
    return ContentHeaders(
        content_type=readable(headers.get("Content-Type", "")),
        content_disposition=readable(headers.get("Content-Disposition", "")),
        content_encoding=readable(headers.get("Content-Encoding", "")),
        content_language=readable(headers.get("Content-Language", "")),
        cache_control=readable(headers.get("Cache-Control", "")),
        expires=readable(headers.get("Expires", "")),
        metadata=tuple(
            sorted(
                (name[len(_META) :].lower(), readable(value))
                for name, value in headers.items()
                if name.lower().startswith(_META)
            )
        ),
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

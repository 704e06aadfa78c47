"""HTTP and XML as S3 writes them, in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import quote
from xml.sax.saxutils import escape

from benchmarks.standin.store import Entry, Listing

STAMP = "2026-11-22T10:00:00.000Z"
_NS = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
_XML = '<?xml version="1.0" encoding="UTF-8"?>\n'
_COMMON = (
    "x-amz-id-2: eftixk72aD6Ap51TnqcoF8eFidJG9Z/2mkiDFu8yU9AS1ed4OpIszj7UDNEHGran\r\n"
    "x-amz-request-id: 318BC8BC148832E5\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\nServer: AmazonS3\r\n"
)
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_SAFE = "-_.~/"


class Answer(NamedTuple):
    """``head`` includes a small body; a large one is sent from ``entry``: ``length`` bytes from ``start``."""

    status: int
    head: bytes
    entry: Entry | None = None
    start: int = 0
    length: int = 0


class Refusal(Exception):
    """An S3 error."""

    def __init__(self, status: int, code: str, message: str = "", fields: str = "") -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message or code
        self.fields = fields


def head_of(status: int, length: int, fields: str = "") -> bytes:
    """Status line and headers, blank line included. ``fields`` are whole lines."""
    return (
        f"HTTP/1.1 {status} {_REASONS.get(status, 'Unknown')}\r\n{_COMMON}{fields}Content-Length: {length}\r\n\r\n"
    ).encode("latin-1")


def empty(status: int = 200, fields: str = "") -> Answer:
    if status == 204:
        return Answer(204, f"HTTP/1.1 204 No Content\r\n{_COMMON}{fields}\r\n".encode("latin-1"))
    return Answer(status, head_of(status, 0, fields))


def xml(body: str, fields: str = "", status: int = 200) -> Answer:
    data = (_XML + body).encode()
    return Answer(status, head_of(status, len(data), f"Content-Type: application/xml\r\n{fields}") + data)


def refused(error: Refusal, *, bodiless: bool) -> Answer:
    """An error document, or no more than its status in answer to a HEAD."""
    if bodiless:
        return empty(error.status, error.fields)
    body = f"<Error><Code>{error.code}</Code><Message>{escape(error.message)}</Message></Error>"
    return xml(body, error.fields, error.status)


@lru_cache(maxsize=4096)
def copied(etag: str, root: str) -> Answer:
    """The answer to a CopyObject or UploadPartCopy."""
    return xml(f"<{root} {_NS}><LastModified>{STAMP}</LastModified><ETag>&quot;{etag}&quot;</ETag></{root}>")


def object_fields(entry: Entry) -> str:
    return (
        f'ETag: "{entry.etag}"\r\nLast-Modified: Sun, 22 Nov 2026 10:00:00 GMT\r\n'
        f"Accept-Ranges: bytes\r\nContent-Type: {entry.content_type}\r\n"
    )


def listed(
    bucket: str, page: Listing, entries: Mapping[str, Entry], asked: Mapping[str, str], token: str, limit: int
) -> Answer:
    """A page of ListObjects, version 1 or 2."""
    encode = asked.get("encoding-type") == "url"
    v2 = asked.get("list-type") == "2"

    def name(text: str) -> str:
        return quote(text, safe=_SAFE) if encode else escape(text)

    rows = [
        f"<Contents><Key>{name(key)}</Key><LastModified>{STAMP}</LastModified><ETag>&quot;{entry.etag}&quot;</ETag>"
        f"<Size>{entry.size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
        for key, entry in entries.items()
    ]
    rows += [f"<CommonPrefixes><Prefix>{name(prefix)}</Prefix></CommonPrefixes>" for prefix in page.prefixes]
    parts = [f"<Name>{bucket}</Name><Prefix>{name(asked.get('prefix', ''))}</Prefix><MaxKeys>{limit}</MaxKeys>"]
    if asked.get("delimiter"):
        parts.append(f"<Delimiter>{name(asked['delimiter'])}</Delimiter>")
    if encode:
        parts.append("<EncodingType>url</EncodingType>")
    if v2:
        parts.append(f"<KeyCount>{len(rows)}</KeyCount>")
    parts.append(f"<IsTruncated>{'true' if page.last else 'false'}</IsTruncated>")
    if page.last:
        tag = "NextContinuationToken" if v2 else "NextMarker"
        parts.append(f"<{tag}>{token if v2 else name(page.last)}</{tag}>")
    return xml(f"<ListBucketResult {_NS}>{''.join(parts)}{''.join(rows)}</ListBucketResult>")


def element(root: str, **children: str) -> str:
    """A flat document."""
    inside = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in children.items())
    return f"<{root} {_NS}>{inside}</{root}>"

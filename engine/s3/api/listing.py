"""Bucket listings: ListObjectsV2, 1,000 rows a page, keys percent-encoded on the wire so that XML can hold every name.

The parser relies on the one shape that S3 and compatible stores send (``<Contents>`` with flat children); the tests
check it against expat. Where the children of all rows are in S3's own order, one regular expression takes them all, in
a third of the time.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import unquote_plus

from engine.s3.api.answers import Fields, Listed, ListingPage, StoreError, unquoted
from engine.s3.api.client import S3Client
from engine.s3.api.xml import flat

_LONGEST_NUMBER = 19
_NO_CHARACTER = 0x110000
_ROW, _ROW_END = "<Contents>", "</Contents>"
_GAP = r"\s*"
_ALL = re.compile(
    _GAP.join(
        [
            "<Contents>",
            "<Key>([^<]+)</Key>",
            "<LastModified>([^<]*)</LastModified>",
            "<ETag>([^<]*)</ETag>",
            r"(?:<Checksum\w+>[^<]*</Checksum\w+>\s*)*<Size>([0-9]{1,19})</Size>",
            "(?:<StorageClass>([^<]*)</StorageClass>)?",
            "</Contents>",
        ]
    )
)
_ENTITY = re.compile(r"&(?:#(\d+)|#[xX]([0-9A-Fa-f]+)|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


async def pages(client: S3Client, bucket: str, prefix: str, headers: Fields) -> AsyncIterator[list[Listed]]:
    """All rows below a prefix, a page at a time. Raises StoreError."""
    token = ""
    while True:
        page = await client.list_objects(bucket, prefix, token, headers)
        if page.rows:
            yield page.rows
        if not page.token:
            return
        if page.token == token:
            raise StoreError("BadListing", 0, "the listing does not advance")
        token = page.token


def parse(body: bytes) -> ListingPage:
    """One ListObjectsV2 answer with ``encoding-type=url``. Raises StoreError ``BadAnswer``, ``BadListing``."""
    try:
        document = body.decode("utf-8")
    except UnicodeDecodeError:
        raise StoreError("BadAnswer", 0, "the listing is not UTF-8") from None
    if "<!" in document:
        raise StoreError("BadAnswer", 0, "the listing holds a declaration or a CDATA section")
    end = document.rstrip().endswith("</ListBucketResult>")
    if not end:
        raise StoreError("BadAnswer", 0, "the listing is cut short or is no listing")
    encoded = "<EncodingType>url</EncodingType>" in document
    return _uniform(document, encoded=encoded) or _one_by_one(document, encoded=encoded)


def _uniform(document: str, *, encoded: bool) -> ListingPage | None:
    """The page, if all its rows have the same children in the same order, and nothing lies between them."""
    found = _ALL.findall(document)
    if not found or len(found) != document.count(_ROW):
        return None
    first, last = document.find(_ROW), document.rfind(_ROW_END)
    _, rest = flat((document[:first] + document[last + len(_ROW_END) :]).encode())
    if rest.get("IsTruncated") not in {"true", "false"}:
        return None
    rows = [
        Listed(
            _key(key, encoded=encoded),
            int(size),
            etag[6:-6] if etag[:6] == etag[-6:] == "&quot;" and "&" not in etag[6:-6] else unquoted(_plain(etag)),
            storage_class or "STANDARD",
            modified if modified.endswith(".000Z") else _milliseconds(modified),
        )
        for key, modified, etag, size, storage_class in found
    ]
    return _page(rows, rest)


def _one_by_one(document: str, *, encoded: bool) -> ListingPage:
    envelope, *pieces = document.split(_ROW)
    rows = []
    for piece in pieces:
        row, closed, behind = piece.partition(_ROW_END)
        if not closed:
            raise StoreError("BadAnswer", 0, "a row of the listing does not end")
        envelope += behind
        rows.append(_row(row, encoded=encoded))
    _, rest = flat(envelope.encode())
    return _page(rows, rest)


def _page(rows: list[Listed], rest: dict[str, str]) -> ListingPage:
    return page_of(rows, rest.get("NextContinuationToken", ""), truncated=rest.get("IsTruncated") == "true")


def page_of(rows: list[Listed], token: str, *, truncated: bool) -> ListingPage:
    """Raises StoreError ``BadListing`` where more rows follow, but no token says where."""
    if truncated and not token:
        raise StoreError("BadListing", 0, "the listing says that there is more, but not where")
    return ListingPage(rows, token if truncated else "")


def _row(row: str, *, encoded: bool) -> Listed:
    key, size, modified = _child(row, "Key"), _child(row, "Size"), _child(row, "LastModified")
    if not key or not size.isdecimal() or len(size) > _LONGEST_NUMBER:
        raise StoreError("BadAnswer", 0, "a row of the listing lacks its key or its size")
    etag, storage_class = _plain(_child(row, "ETag")), _child(row, "StorageClass")
    return Listed(
        _key(key, encoded=encoded), int(size), unquoted(etag), storage_class or "STANDARD", _milliseconds(modified)
    )


def _key(raw: str, *, encoded: bool) -> str:
    key = _plain(raw)
    return unquote_plus(key) if encoded and ("%" in key or "+" in key) else key


def _milliseconds(moment: str) -> str:
    return moment.removesuffix("Z").partition(".")[0] + ".000Z"


def _child(row: str, name: str) -> str:
    """The text of a child that occurs once; children of children (Owner) have other names."""
    start = row.find(f"<{name}>")
    if start < 0:
        return ""
    start += len(name) + 2
    return row[start : row.find("<", start)]


def _plain(value: str) -> str:
    if "&" not in value:
        return value
    value = value.replace("&quot;", '"')
    return _ENTITY.sub(_character, value) if "&" in value else value


def _character(found: re.Match[str]) -> str:
    decimal, hexadecimal, named = found.groups()
    if named:
        return _NAMED[named]
    digits = decimal or hexadecimal
    number = int(digits, 10 if decimal else 16) if len(digits) < 9 else _NO_CHARACTER
    if number >= _NO_CHARACTER or 0xD800 <= number < 0xE000:
        raise StoreError("BadAnswer", 0, "the listing names a character that does not exist")
    return chr(number)

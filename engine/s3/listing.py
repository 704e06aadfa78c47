"""Bucket listings: ListObjectsV2, 1,000 rows a page, keys percent-encoded on the wire so that every name survives XML.

The parser leans on the one shape that S3 and its kin send (``<Contents>`` with flat children); the tests check it
against expat.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import unquote_plus

from engine.s3.answers import Fields, Listed, ListingPage, StoreError, unquoted
from engine.s3.verbs import Verbs
from engine.s3.xml import flat

_ROW, _ROW_END = "<Contents>", "</Contents>"
_ENTITY = re.compile(r"&(?:#(\d+)|#[xX]([0-9A-Fa-f]+)|(amp|lt|gt|quot|apos));")
_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


async def pages(verbs: Verbs, bucket: str, prefix: str, headers: Fields) -> AsyncIterator[list[Listed]]:
    """All rows below a prefix, a page at a time. Raises StoreError."""
    token = ""
    while True:
        page = await verbs.list_objects(bucket, prefix, token, headers)
        if page.rows:
            yield page.rows
        if not page.token:
            return
        if page.token == token:
            raise StoreError("BadAnswer", 0, "the listing does not advance")
        token = page.token


def parse(body: bytes) -> ListingPage:
    """One ListObjectsV2 answer with ``encoding-type=url``. Raises StoreError ``BadAnswer``."""
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
    envelope, *pieces = document.split(_ROW)
    rows = []
    for piece in pieces:
        row, closed, behind = piece.partition(_ROW_END)
        if not closed:
            raise StoreError("BadAnswer", 0, "a row of the listing does not end")
        envelope += behind
        rows.append(_row(row, encoded=encoded))
    _, rest = flat(envelope.encode())
    truncated = rest.get("IsTruncated") == "true"
    if truncated and not rest.get("NextContinuationToken"):
        raise StoreError("BadAnswer", 0, "the listing says that there is more, but not where")
    return ListingPage(rows, rest.get("NextContinuationToken", "") if truncated else "")


def _row(row: str, *, encoded: bool) -> Listed:
    key, size, modified = _child(row, "Key"), _child(row, "Size"), _child(row, "LastModified")
    if not key or not size.isdecimal():
        raise StoreError("BadAnswer", 0, "a row of the listing lacks its key or its size")
    key = _plain(key)
    if encoded and ("%" in key or "+" in key):
        key = unquote_plus(key)
    if not modified.endswith(".000Z"):
        modified = modified.removesuffix("Z").partition(".")[0] + ".000Z"
    etag, storage_class = _plain(_child(row, "ETag")), _child(row, "StorageClass")
    return Listed(key, int(size), unquoted(etag), storage_class or "STANDARD", modified)


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
    return chr(int(decimal) if decimal else int(hexadecimal, 16))

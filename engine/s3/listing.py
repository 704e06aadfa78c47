"""Bucket listings: ListObjectsV2, 1,000 rows a page, keys percent-encoded on the wire so that every name survives XML.

The parser leans on the one shape that S3 and its kin send (``<Contents>`` with flat children) and is checked against
expat by the tests; it takes a third of expat's time.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from urllib.parse import unquote_plus

from engine.s3.answers import Fields, Listed, ListingPage, StoreError, unquoted
from engine.s3.verbs import Verbs
from engine.s3.xml import flat

_ROW = re.compile(r"<Contents>(.*?)</Contents>", re.DOTALL)
_CHILD = re.compile(r"<(Key|Size|ETag|StorageClass|LastModified)>([^<]*)</")
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
    rows = [_row(dict(_CHILD.findall(each)), encoded=encoded) for each in _ROW.findall(document)]
    _, rest = flat(_ROW.sub("", document).encode())
    truncated = rest.get("IsTruncated") == "true"
    if truncated and not rest.get("NextContinuationToken"):
        raise StoreError("BadAnswer", 0, "the listing says that there is more, but not where")
    return ListingPage(rows, rest.get("NextContinuationToken", "") if truncated else "")


def _row(told: dict[str, str], *, encoded: bool) -> Listed:
    try:
        key = _plain(told["Key"])
        modified = told.get("LastModified", "")
        return Listed(
            unquote_plus(key) if encoded else key,
            int(told["Size"]),
            unquoted(_plain(told.get("ETag", ""))),
            told.get("StorageClass") or "STANDARD",
            modified if modified.endswith("Z") and "." in modified else modified.removesuffix("Z") + ".000Z",
        )
    except (KeyError, ValueError):
        raise StoreError("BadAnswer", 0, "a row of the listing lacks its key or its size") from None


def _plain(value: str) -> str:
    return _ENTITY.sub(_character, value) if "&" in value else value


def _character(found: re.Match[str]) -> str:
    decimal, hexadecimal, named = found.groups()
    if named:
        return _NAMED[named]
    return chr(int(decimal) if decimal else int(hexadecimal, 16))

"""XML of multipart uploads: the parts that complete one, and the listing of those still open. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from urllib.parse import unquote_plus
from xml.sax.saxutils import escape

from engine.s3.api.answers import OpenUpload, Part, StoreError, UploadsPage
from engine.s3.api.xml import rows_of

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
ELEMENT_OF = {"sha256": "ChecksumSHA256", "crc64nvme": "ChecksumCRC64NVME"}
"""Names of checksums in the XML, and in the SDK."""


def completion(parts: Sequence[Part]) -> bytes:
    """The body of CompleteMultipartUpload. Parts are in the order of their numbers."""
    rows = "".join([_part(part) for part in parts])
    return f'<CompleteMultipartUpload xmlns="{_NAMESPACE}">{rows}</CompleteMultipartUpload>'.encode()


def open_uploads(body: bytes) -> UploadsPage:
    """One ListMultipartUploads answer. Raises StoreError ``BadAnswer``."""
    rest, found = rows_of(body, "ListMultipartUploadsResult", "Upload")
    named = unquote_plus if rest.get("EncodingType") == "url" else str
    rows = [OpenUpload(named(_of(row, "Key")), _of(row, "UploadId"), _seconds(_of(row, "Initiated"))) for row in found]
    if rest.get("IsTruncated") != "true":
        return UploadsPage(rows)
    return UploadsPage(rows, named(rest.get("NextKeyMarker", "")), rest.get("NextUploadIdMarker", ""))


def _part(part: Part) -> str:
    sum_ = ""
    if part.checksum is not None:
        name = ELEMENT_OF[part.checksum[0]]
        sum_ = f"<{name}>{escape(part.checksum[1])}</{name}>"
    return f"<Part><PartNumber>{part.number}</PartNumber><ETag>&quot;{escape(part.etag)}&quot;</ETag>{sum_}</Part>"


def _of(row: dict[str, str], name: str) -> str:
    if not row.get(name):
        raise StoreError("BadAnswer", 0, f"an open upload is listed without its {name}")
    return row[name]


def _seconds(moment: str) -> float:
    try:
        return datetime.fromisoformat(moment).timestamp()
    except ValueError:
        raise StoreError("BadAnswer", 0, "an open upload is listed with a time that cannot be read") from None

"""Is it the file, or an error page? Pure.

Servers that mean "no" or "log in" often answer 200 and send a page. Stored under a PDF's name it would pass every check
of size and checksum. So the first bytes decide: a Content-Type alone is too often wrong. A few words of text or JSON
("rate limited") under the name of a format that is never text count as an error page too.
"""

from __future__ import annotations

import re
from functools import cache
from mimetypes import MimeTypes

SNIFFED = 512
"""Bytes that are enough to decide."""
_SEARCHED = 4096

_PAGE_NAMES = re.compile(
    r"\.(x?html?|shtml|mht|mhtml|xml|xsl|xslt|xsd|svg|rss|atom|kml|gpx|plist|aspx?|jsp|php)$", re.I
)
_HTML_TYPE = re.compile(r"^\s*(text/html|application/xhtml\+xml)\b", re.I)
_XML_TYPE = re.compile(r"^\s*(application/xml|text/xml|text/html|text/plain|)\s*(;|$)", re.I)
_PREAMBLE = re.compile(rb"\A(?:\xef\xbb\xbf)?(?:\s+|<\?xml.*?\?>|<!--.*?-->)*", re.S)
_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|title|meta|body|script|form|h[1-6]|div|p|center|table|link)\b", re.I
)
_XML_ERROR = re.compile(rb"<Error\b[^>]*>\s*<(?:Code|Message)>", re.S)

_EXTENSION = re.compile(r"\.[a-z0-9]{1,8}$")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_BLANK = b"\xef\xbb\xbf \t\r\n"
_LONGEST_MESSAGE = 4096
_SURE = 0.4
"""The library's confidence from which a match counts: shorter signatures may be words ("BM", "MZ")."""
_TEXTS = frozenset({".json", ".html", ".htm", ".xml", ".svg", ".txt", ".csv", ".eml", ".pls", ".qif"})
_TEXTS |= {".pbm", ".pgm", ".ppm", ".pam", ".xbm", ".xpm", ".fig"}  # pictures in letters
_OFTEN_TEXT = frozenset({".doc", ".xls", ".ppt"})
_MESSAGE_TYPES = frozenset({"text/plain", "text/html", "text/json", "application/json", "application/problem+json"})
_SIGNED_TYPES = frozenset({"application/pdf", "application/zip", "application/gzip", "application/x-7z-compressed"})
_SIGNED_KINDS = ("image/", "audio/", "video/", "application/vnd.openxmlformats", "application/vnd.oasis")


def looks_like_error_page(content_type: str, first_bytes: bytes, file_name: str) -> bool:
    """Whether a 200 answer is a web page, or an S3 error document, in place of the file that was asked for.

    Not so where the file's own name says html or xml, nor where the server's Content-Type is no page (spreadsheets are
    often HTML inside).
    """
    if _PAGE_NAMES.search(file_name.strip()):
        return False
    start = first_bytes[_preamble(first_bytes) : _SEARCHED]
    if _XML_TYPE.match(content_type) and _XML_ERROR.match(start):
        return True
    return (not content_type.strip() or _HTML_TYPE.match(content_type) is not None) and _HTML.match(start) is not None


def is_message(content_type: str, first_bytes: bytes, file_name: str, size: int | None) -> bool:
    """Whether the bytes are text, though the file's name stands for a format that begins with a signature. Where the
    name says nothing, the type counts. Word and Excel files are often text: for them the type must say text too.

    ``size``: of the whole in bytes, None where it is unknown. A message in plain words is short.
    """
    extension = _EXTENSION.search(file_name.strip().lower())
    name = extension[0] if extension else ""
    kind = content_type.partition(";")[0].strip().lower()
    if name in _OFTEN_TEXT:
        claimed = kind in _MESSAGE_TYPES
    elif name in _signed() or not name:
        claimed = bool(name) or kind in _SIGNED_TYPES or kind.startswith(_SIGNED_KINDS)
    else:
        claimed = False
    marked = first_bytes.lstrip(_BLANK)[:1] in {b"<", b"{", b"["}
    short = size is not None and size <= _LONGEST_MESSAGE
    return claimed and (marked or short) and _is_text(first_bytes) and not _is_signed(first_bytes)


def _is_text(first_bytes: bytes) -> bool:
    start = first_bytes[:_SEARCHED]
    mostly = sum(byte < 0x80 for byte in start) >= 0.7 * len(start)  # the rest are letters of some encoding
    return bool(start.strip()) and mostly and _CONTROLS.search(start) is None


def _is_signed(first_bytes: bytes) -> bool:
    """Whether bytes that look like text have the signature of a format, as PDF, RTF and PostScript do."""
    import puremagic

    if b"%PDF-" in first_bytes[:1024]:
        return True
    if first_bytes.lstrip(_BLANK)[:1] == b"<":
        return False  # the library knows many formats that are XML
    try:
        found = puremagic.magic_string(first_bytes[:_SEARCHED])
    except (puremagic.PureError, ValueError):
        return False
    return any(match.confidence >= _SURE and match.extension not in _TEXTS for match in found)


@cache
def _signed() -> frozenset[str]:
    """Extensions of formats that begin with a signature and are never text."""
    import puremagic

    types = MimeTypes(filenames=())  # its own table, not this machine's
    known = {
        magic.extension: magic.mime_type or types.guess_type("a" + magic.extension)[0] or ""
        for magic in puremagic.magic_header_array
    }
    return frozenset(
        extension
        for extension, kind in known.items()
        if kind and (kind in _SIGNED_TYPES or kind.startswith(_SIGNED_KINDS)) and extension not in _TEXTS | _OFTEN_TEXT
    )


def _preamble(first_bytes: bytes) -> int:
    match = _PREAMBLE.match(first_bytes, 0, _SEARCHED)
    return match.end() if match else 0

"""Telling an error page from a file. Pure.

Servers that mean "no" or "log in" often say 200 and send a page. Stored under a PDF's name it would pass every check
of size and checksum, so the first bytes are looked at. Only bytes convict: a Content-Type alone is too often wrong.
"""

from __future__ import annotations

import re

SNIFFED = 512
"""Bytes worth having before asking."""
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


def looks_like_error_page(content_type: str, first_bytes: bytes, file_name: str) -> bool:
    """Whether a 200 answer is a web page, or an S3 error document, in place of the file that was asked for.

    A file whose own name says html or xml is what it is, and so is one that the server calls something else than a
    page (spreadsheets are often HTML inside).
    """
    if _PAGE_NAMES.search(file_name.strip()):
        return False
    start = first_bytes[_preamble(first_bytes) : _SEARCHED]
    if _XML_TYPE.match(content_type) and _XML_ERROR.match(start):
        return True
    return (not content_type.strip() or _HTML_TYPE.match(content_type) is not None) and _HTML.match(start) is not None


def _preamble(first_bytes: bytes) -> int:
    match = _PREAMBLE.match(first_bytes, 0, _SEARCHED)
    return match.end() if match else 0

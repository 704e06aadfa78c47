"""Answer heads and chunked bodies, parsed strictly: pure functions of bytes.

llhttp reads the head and takes chunks apart. It refuses a duplicate, negative or oversized Content-Length, both
framings at once, bare line feeds and folded lines. Every answer gets its own parser, fed exactly one head, so no state
can pass from one answer to the next. The rules after it follow RFC 9112, sections 6.1 and 6.3.
"""

from __future__ import annotations

from collections.abc import Callable

import httptools

from engine.model.byte_units import KIB
from engine.s3.wire.errors import BadResponse

MAX_HEADERS = 256
_CHUNK_OVERHEAD = 64 * KIB  # bytes of framing allowed beyond 16 per byte of body
_REFUSALS = (httptools.HttpParserError, httptools.HttpParserUpgrade)  # the second is no subclass of the first
_VERSIONS = (b"HTTP/1.1 ", b"HTTP/1.0 ")


class Head:
    """One answer head. ``length`` is the Content-Length or None; ``fields`` maps lower-cased names to values."""

    __slots__ = ("chunked", "complete", "fields", "keep_alive", "length", "status")

    def __init__(self) -> None:
        self.fields: dict[bytes, bytes] = {}
        self.complete = False
        self.chunked = False
        self.keep_alive = False
        self.length: int | None = None
        self.status = 0

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        fields = self.fields
        if name in fields:
            value = fields[name] + b", " + value
        elif len(fields) >= MAX_HEADERS:
            raise BadResponse(f"more than {MAX_HEADERS} headers")
        fields[name] = value

    def on_headers_complete(self) -> None:
        self.complete = True


def parse_head(block: bytes) -> Head:
    """Read one whole head, blank line included. Raises BadResponse."""
    version = block[:9]
    if version not in _VERSIONS:
        raise BadResponse("the answer is not HTTP/1.x")
    head = Head()
    parser = httptools.HttpResponseParser(head)
    try:
        parser.feed_data(block)
    except _REFUSALS as error:
        raise BadResponse(f"malformed answer head: {error.__context__ or error}") from None
    if not head.complete:
        raise BadResponse("malformed answer head")
    head.status = status = parser.get_status_code()
    if not 100 <= status <= 599 or status == 101:
        raise BadResponse(f"status {status} is no answer to this request")
    fields = head.fields
    length = fields.get(b"content-length")
    if length is not None:
        head.length = int(length)
    elif b"transfer-encoding" in fields:
        if version != b"HTTP/1.1 " or fields[b"transfer-encoding"].strip().lower() != b"chunked":
            raise BadResponse("unsupported transfer encoding")
        head.chunked = True
    head.keep_alive = version == b"HTTP/1.1 " and b"close" not in fields.get(b"connection", b"").lower()
    return head


class Dechunker:
    """Takes a chunked body apart: pieces go to ``deliver``. ``done`` turns True at the end of the last chunk."""

    __slots__ = ("_body", "_deliver", "_parser", "_raw", "done", "excess")

    def __init__(self, deliver: Callable[[bytes], None]) -> None:
        self._deliver = deliver
        self._body = 0
        self._raw = 0
        self.done = False
        self.excess = False
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    def on_message_begin(self) -> None:
        if self.done:
            raise BadResponse("bytes after the end of the answer")

    def on_body(self, piece: bytes) -> None:
        self._body += len(piece)
        self._deliver(piece)

    def on_message_complete(self) -> None:
        self.done = True

    def feed(self, data: bytes | memoryview) -> None:
        """Take what the socket gave. Raises BadResponse, or whatever ``deliver`` raises."""
        try:
            self._parser.feed_data(data)
        except _REFUSALS as error:
            if self.done:
                self.excess = True
                return
            raise error.__context__ or BadResponse(f"malformed chunk: {error}") from None
        if self.done:
            # Behind the last chunk llhttp skips line breaks in silence: only this ending proves that nothing follows.
            self.excess = data[-5:] != b"0\r\n\r\n"
            return
        self._raw += len(data)
        if self._raw > 16 * self._body + _CHUNK_OVERHEAD:
            raise BadResponse("more chunk framing than body")

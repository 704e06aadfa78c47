"""One request's answer as a state machine: fed with bytes, it resolves a future. It has no socket.

``Whole`` resolves when the body is complete; ``Streamed`` (``streamed.py``) at the end of the head.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from engine.limiting.cooperative import FairWaking
from engine.model.byte_units import KIB
from engine.s3.wire.errors import BadResponse, BodyTooLarge, PeerClosed, Stale, WireError
from engine.s3.wire.framing import Dechunker, Head, parse_head
from engine.s3.wire.reply import Framing, Reply

HEAD: Final = 0
LENGTH: Final = 1
CHUNKED: Final = 2
CLOSE: Final = 3
DONE: Final = 4

MAX_INTERIM = 16
MAX_HEAD = 64 * KIB
_END = b"\r\n\r\n"
_START = b"HTTP/1."
_COPY_BELOW = 8192  # below this many bytes a copy is cheaper than a view
NOWHERE = memoryview(b"")


class Exchange:
    """The answer to one request. ``answer`` resolves to a Reply or a StreamedReply, or fails with a WireError.

    ``stage`` is DONE when nothing more is expected; then ``reusable`` says whether the connection may serve again.
    ``excess`` is set when bytes came behind the end. ``received`` counts answer bytes, head included. ``landing`` is
    memory for the next bytes of the body, if they may be read right off the socket; then ``landed`` is called.
    """

    __slots__ = (
        "_dechunker",
        "_interims",
        "_left",
        "_max_head",
        "_no_body",
        "_partial",
        "answer",
        "excess",
        "framing",
        "head",
        "landing",
        "on_interim",
        "received",
        "reusable",
        "stage",
    )

    def __init__(self, answer: asyncio.Future[Any], *, method: str, max_head: int = MAX_HEAD) -> None:
        self.answer = answer
        self._no_body = method in {"HEAD", "CONNECT"}
        self._max_head = max_head
        self._partial: bytearray | None = None
        self._interims = 0
        self._left = 0
        self.stage = HEAD
        self.framing: Framing = "none"
        self.received = 0
        self.reusable = False
        self.excess = False
        self.landing = NOWHERE
        self.on_interim: Callable[[int], None] | None = None

    @property
    def refuses(self) -> bool:
        """Whether this is no success, by its head."""
        return self.stage not in {HEAD, DONE} and self.head.status >= 300

    def feed(self, data: bytes) -> None:
        """Take what the socket gave. Raises WireError for an answer that cannot be accepted."""
        self.received += len(data)
        stage = self.stage
        if stage == HEAD:
            self._feed_head(data)
        elif stage == LENGTH:
            self._feed_length(data)
        elif stage == CHUNKED:
            self._feed_chunks(data)
        elif stage == CLOSE:
            self._body(data)
        else:
            self.excess = True
            self.reusable = False

    def landed(self, nbytes: int) -> None:
        """So many bytes of the body have been read into ``landing``. It never reaches beyond the body's end."""
        self.received += nbytes
        self._left -= nbytes
        self.landing = self.landing[nbytes:]
        if not self._left:
            self._finish(clean=True)

    def closed(self, cause: str, *, reused: bool) -> WireError | None:
        """The peer closed, or broke off (``cause``). Ends a body that has no length; otherwise returns the error."""
        if self.stage == DONE:
            self.reusable = False
            return None
        if self.stage == CLOSE and not cause:
            self._finish(clean=False)
            return None
        why = cause or "closed"
        if self.received == 0:
            kind = Stale if reused else PeerClosed
            return kind(f"connection {why} before any answer")
        return PeerClosed(f"connection {why} after {self.received} bytes of an answer")

    def fail(self, error: WireError) -> None:
        """End with an error, unless ended already."""
        if self.stage == DONE and self.answer.done():
            return
        self.stage = DONE
        self.reusable = False
        self.landing = NOWHERE
        if not self.answer.done():
            self.answer.set_exception(error)

    def abandon(self) -> None:
        """The caller no longer waits for the answer."""
        self.stage = DONE
        self.reusable = False
        self.landing = NOWHERE  # the memory may be another's by now
        if not self.answer.cancel() and not self.answer.cancelled():
            self.answer.exception()

    def _feed_head(self, data: bytes) -> None:
        start = 0
        if self._partial is not None:
            start = max(0, len(self._partial) - 3)
            self._partial += data
            end = self._partial.find(_END, start)
            if end >= 0:
                data = bytes(self._partial)
                self._partial = None
        else:
            end = data.find(_END)
        while end >= 0:
            end += 4
            if end > self._max_head:
                break
            head = parse_head(data[:end])
            if head.status >= 200:
                self._open(head, data, end)
                return
            self._interim(head.status)
            data = data[end:]
            if not data:
                return
            end = data.find(_END)
        if self._partial is None:
            self._partial = bytearray(data)
        if len(self._partial) > self._max_head:
            raise BadResponse(f"answer head exceeds {self._max_head} bytes")
        if not self._partial.startswith(_START[: len(self._partial)]):
            raise BadResponse("the answer is not HTTP/1.x")

    def _interim(self, status: int) -> None:
        self._interims += 1
        if self._interims > MAX_INTERIM:
            raise BadResponse(f"more than {MAX_INTERIM} interim answers")
        if self.on_interim is not None:
            self.on_interim(status)

    def _open(self, head: Head, data: bytes, end: int) -> None:
        """The head ends at ``end`` of ``data``: choose the framing, and take what comes behind the head."""
        self.head = head
        self.reusable = head.keep_alive
        size = len(data) - end
        length = head.length
        if self._no_body or head.status in {204, 304}:
            length = 0
        elif head.chunked:
            self.framing = "chunked"
            self.stage = CHUNKED
            self._begin()
            self._dechunker = Dechunker(self._body)
            if size:
                self._feed_chunks(data[end:])
            return
        elif length is None:
            self.framing = "close"
            self.stage = CLOSE
            self._begin()
            if size:
                self._body(data[end:])
            return
        else:
            self.framing = "length"
        self._left = length
        self.stage = LENGTH
        self._begin()
        if not length:
            self._finish(clean=not size)
        elif size:
            self._feed_length(data[end:] if size < _COPY_BELOW else memoryview(data)[end:])

    def _feed_length(self, data: bytes | memoryview) -> None:
        left = self._left - len(data)
        if left > 0:
            self._left = left
            self._body(data)
        else:
            self._body(data if left == 0 else data[:left])
            self._finish(clean=left == 0)

    def _feed_chunks(self, data: bytes) -> None:
        self._dechunker.feed(data)
        if self._dechunker.done:
            self._finish(clean=not self._dechunker.excess)

    def _reply(self, body: bytes, landed: int = 0) -> Reply:
        head = self.head
        return Reply(head.status, head.fields, body, self.framing, landed)

    def _finish(self, *, clean: bool) -> None:
        self.stage = DONE
        if not clean:
            self.reusable = False
            self.excess = self.framing != "close"
        self._complete()

    def _begin(self) -> None:
        """The head is known."""
        raise AssertionError

    def _body(self, data: bytes | memoryview) -> None:
        """A piece of the body came."""
        raise AssertionError

    def _complete(self) -> None:
        """The body is whole."""
        raise AssertionError


class Whole(Exchange):
    """Collects the body, at most ``max_body`` bytes of it: that of a 200 of known length in ``memory``, where it fits.
    Where many answers come at once, ``waking`` wakes their callers a few at a time."""

    __slots__ = ("_landed", "_max_body", "_memory", "_pieces", "_size", "_waking")

    def __init__(
        self,
        answer: asyncio.Future[Reply],
        *,
        method: str,
        max_body: int,
        max_head: int = MAX_HEAD,
        waking: FairWaking | None = None,
        memory: memoryview = NOWHERE,
    ) -> None:
        super().__init__(answer, method=method, max_head=max_head)
        self._memory = memory
        self._landed = 0
        self._max_body = max_body
        self._waking = waking
        self._pieces: list[bytes | memoryview] = []
        self._size = 0

    def _begin(self) -> None:
        if self._left > self._max_body:
            raise BodyTooLarge(f"answer body of {self._left} bytes, at most {self._max_body} expected")
        if self._left <= len(self._memory) and self.head.status == 200:
            self.landing, self._landed = self._memory[: self._left], self._left

    def _body(self, data: bytes | memoryview) -> None:
        if self.landing:
            size = len(data)
            self.landing[:size] = data
            self.landing = self.landing[size:]
            return
        self._size += len(data)
        if self._size > self._max_body:
            raise BodyTooLarge(f"answer body exceeds {self._max_body} bytes")
        self._pieces.append(data)

    def _complete(self) -> None:
        if not self.answer.done():
            reply = self._reply(b"".join(self._pieces), self._landed)
            if self._waking is None:
                self.answer.set_result(reply)
            else:
                self._waking.resolve(self.answer, reply)

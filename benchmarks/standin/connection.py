"""One connection of the stand-in: httptools for heads, bodies counted past it, answers after the latency is over."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import cast
from urllib.parse import unquote

import httptools

from benchmarks.standin.answers import Answer
from benchmarks.standin.content import PERIOD, Upload, view
from benchmarks.standin.service import Asked, Service, query_of

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_TICK_S = 0.001


class Later:
    """Answers wait here for their time. Latency is the same for all, so one queue and one timer will do."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[float, Connection, Answer]] = deque()

    def send(self, connection: Connection, answer: Answer, delay_s: float) -> None:
        due = self._loop.time() + delay_s
        self._waiting.append((due, connection, answer))
        if len(self._waiting) == 1:
            self._loop.call_later(delay_s, self._flush)

    def _flush(self) -> None:
        waiting, now = self._waiting, self._loop.time()
        while waiting and waiting[0][0] <= now:
            _, connection, answer = waiting.popleft()
            connection.send(answer)
        if waiting:
            self._loop.call_later(max(waiting[0][0] - now, _TICK_S), self._flush)


class Connection(asyncio.Protocol):
    """Fits httptools' parser callbacks. A parser is thrown away once a body has been counted past it."""

    def __init__(self, service: Service, later: Later) -> None:
        self._service = service
        self._later = later
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: dict[str, str] = {}
        self._left = 0
        self._body: Body | None = None
        self._raw = False
        self._closing = False
        self._sending: tuple[Answer, int] | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(4 << 20)
        self._service.counts.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._service.counts.connections -= 1
        self._sending = None

    def data_received(self, data: bytes) -> None:
        self._service.counts.bytes_in += len(data)
        if (speed := self._service.pace.bandwidth) and len(data) > 4096:
            self._transport.pause_reading()
            self._loop.call_later(len(data) / speed, self._resume_reading)
        if self._raw and self._body is not None:
            if len(data) < self._left:
                self._left -= len(data)
                self._body.add(data)
                return
            data, rest = data[: self._left], data[self._left :]
            self._body.add(data)
            self._raw = False
            self.on_message_complete()
            if not rest:
                return
            data = rest
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._transport.close()
            return
        if self._body is not None and self._left:
            # the rest of this body needs no parser, and a parser in mid-body is of no use for the next head
            self._raw = True
            self._parser = httptools.HttpRequestParser(self)

    def _resume_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def on_message_begin(self) -> None:
        self._headers = {}

    def on_url(self, url: bytes) -> None:
        self._url = self._url + url if self._url else url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower().decode("latin-1")] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        headers = self._headers
        self._left = int(headers.get("content-length", "0"))
        self._method = self._parser.get_method().decode("ascii")
        self._closing = not self._parser.should_keep_alive()
        chunked = "transfer-encoding" in headers
        self._body = Body(self._method == "POST", headers, self._service.keep) if self._left or chunked else None
        if "expect" in headers:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        if self._body is not None:
            self._body.add(body)
            self._left = max(0, self._left - len(body))

    def on_message_complete(self) -> None:
        target, body = self._url.decode("latin-1"), self._body
        self._url, self._body, self._left = b"", None, 0
        path, mark, query = target.partition("?")
        bucket, _, key = path[1:].partition("/")
        if "%" in key:
            key = unquote(key)
        asked = Asked(self._method, bucket, key, query_of(query) if mark else {}, self._headers)
        if body is not None:
            asked.upload, asked.text = body.upload, bytes(body.text)
        counts = self._service.counts
        counts.in_flight += 1
        counts.most_in_flight = max(counts.most_in_flight, counts.in_flight)
        answer = self._service.answer(asked)
        delay_s = self._service.pace.latency_ms / 1000
        if delay_s and not bucket.startswith("__"):
            self._later.send(self, answer, delay_s)
        else:
            self.send(answer)

    def send(self, answer: Answer) -> None:
        """Write the answer; a large body follows as the peer takes it."""
        self._service.counts.in_flight -= 1
        if self._transport.is_closing():
            return
        self._transport.write(answer.head)
        if answer.entry is not None:
            self._sending = (answer, 0)
            self._pump()
        elif self._closing:
            self._transport.close()

    def _pump(self) -> None:
        speed = self._service.pace.bandwidth
        while self._sending is not None and not self._paused:
            answer, done = self._sending
            step = min(PERIOD if not speed else 64 << 10, answer.length - done)
            self._transport.write(view(answer.start + done, step))
            done += step
            if done == answer.length:
                self._sending = None
                if self._closing:
                    self._transport.close()
                return
            self._sending = (answer, done)
            if speed:
                self._loop.call_later(step / speed, self._pump)
                return

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._service.pace.bandwidth is None:
            self._pump()
        elif self._sending is not None:
            self._loop.call_later(_TICK_S, self._pump)


class Body:
    """A request's body: XML is kept, the bytes of objects are compared; ``aws-chunked`` framing is taken off."""

    def __init__(self, is_text: bool, headers: dict[str, str], keep: int) -> None:
        self.text = bytearray()
        self.upload = None if is_text else Upload(keep)
        self._framed = not is_text and headers.get("x-amz-content-sha256", "").startswith("STREAMING-")
        self._pending = b""
        self._chunk = 0

    def add(self, data: bytes) -> None:
        if self.upload is None:
            self.text += data
        elif self._framed:
            self._unframe(self.upload, self._pending + data)
        else:
            self.upload.add(data)

    def _unframe(self, upload: Upload, data: bytes) -> None:
        """``size;chunk-signature=…CRLF bytes CRLF``, until a chunk of size zero; trailers are passed over."""
        while data and self._chunk >= 0:
            if self._chunk > 2:
                taken = data[: self._chunk - 2]
                upload.add(taken)
                self._chunk -= len(taken)
                data = data[len(taken) :]
            elif self._chunk:
                drop = min(self._chunk, len(data))
                self._chunk -= drop
                data = data[drop:]
            else:
                line, ended, rest = data.partition(b"\r\n")
                if not ended:
                    break
                size = int(line.partition(b";")[0], 16)
                self._chunk = size + 2 if size else -1
                data = rest
        self._pending = data if self._chunk >= 0 else b""

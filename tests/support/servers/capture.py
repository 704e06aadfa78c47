"""A double that records whole requests and answers by script: for exact headers, and for answers no real server gives.

``async with capture_server(Reply(200, {"ETag": '"x"'})) as double``, then ``double.requests[0].headers["if-match"]``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Literal
from urllib.parse import unquote

from engine.rehearsal.objects import ObjectServer
from tests.support.servers.streams import finish, reset, serving


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request as it stood on the wire. ``headers`` have names in lower case; ``lines`` are name and value as sent."""

    method: str
    target: str
    lines: tuple[tuple[str, str], ...]
    body: bytes
    connection: int
    headers: Mapping[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "headers", {name.lower(): value for name, value in self.lines})

    @property
    def path(self) -> str:
        """The target without its query, decoded."""
        return unquote(self.target.partition("?")[0])


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer. Content-Length is added unless ``headers`` frame the body themselves or ``length`` is off.

    ``then`` says what becomes of the connection; ``cut`` ends it after so many bytes of the body. ``piece`` sends the
    answer in pieces of so many bytes, one at a time.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: bool = True
    cut: int | None = None
    then: Literal["keep", "close", "reset"] = "keep"
    piece: int | None = None


RESET = Reply(0, then="reset", cut=0)
"""No answer at all: the request is read to its end, then the connection dies."""

Script = Reply | bytes | Callable[[Recorded], "Reply | bytes | Awaitable[Reply | bytes]"]
"""An answer, its raw bytes, or what makes one from the request (a coroutine may wait as long as it likes)."""


def out_of_script(request: Recorded) -> Reply:
    """What a request gets that nobody expected: an answer no client takes for success."""
    return Reply(501, {"Content-Type": "text/plain"}, f"no answer scripted for {request.method}".encode())


class Double:
    """``requests`` in the order they were read to their end; ``url``; ``connections`` counts those accepted."""

    def __init__(self, answers: tuple[Script, ...], otherwise: Script) -> None:
        self.url = ""
        self.requests: list[Recorded] = []
        self.connections = 0
        self.otherwise = otherwise
        self._answers = deque(answers)
        self._news = asyncio.Condition()

    async def asked(self, count: int = 1) -> None:
        """Wait until so many requests have been read to their end."""
        async with self._news:
            await self._news.wait_for(lambda: len(self.requests) >= count)

    @property
    def server(self) -> ObjectServer:
        """The double as any S3 server: its keys open everything."""
        return ObjectServer(self.url, "capture", "capture-secret", "us-east-1", 0)

    def script(self, *answers: Script) -> None:
        """More answers, after those still to come."""
        self._answers.extend(answers)

    @property
    def unasked(self) -> int:
        """How many scripted answers nobody has fetched."""
        return len(self._answers)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, for as many requests as it carries."""
        self.connections += 1
        number = self.connections
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                request = await read_request(reader, writer, number)
                async with self._news:
                    self.requests.append(request)
                    self._news.notify_all()
                answer: object = self._answers.popleft() if self._answers else self.otherwise
                if callable(answer):
                    answer = answer(request)
                if isinstance(answer, Awaitable):
                    answer = await answer
                assert isinstance(answer, Reply | bytes)
                reply = answer if isinstance(answer, Reply) else Reply(then="close")
                if reply is not RESET:
                    writer.write(answer if isinstance(answer, bytes) else wire_form(reply, request.method))
                    await writer.drain()
                if reply.then == "reset":
                    reset(writer)
                    return
                if reply.then == "close" or reply.cut is not None:
                    await finish(writer)
                    return


@contextlib.asynccontextmanager
async def capture_server(
    *answers: Script, otherwise: Script = out_of_script, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Double]:
    """A double for the length of the block: ``answers`` in the order of requests, then ``otherwise``."""
    double = Double(answers, otherwise)
    async with serving(double.handle, tls) as port:
        double.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        yield double


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int) -> Recorded:
    """The next request; IncompleteReadError where the client ends instead."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *rest = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    lines = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in rest))
    headers = {name.lower(): value for name, value in lines}
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b"".join([chunk async for chunk in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Recorded(method, target, lines, body, connection)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers


def wire_form(reply: Reply, method: str) -> bytes:
    headers = dict(reply.headers)
    framed = {"content-length", "transfer-encoding"} & {name.lower() for name in headers}
    if reply.length and not framed and reply.status not in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
        headers["Content-Length"] = str(len(reply.body))
    phrase = HTTPStatus(reply.status).phrase
    head = "".join(
        f"{line}\r\n" for line in (f"HTTP/1.1 {reply.status} {phrase}", *(f"{n}: {v}" for n, v in headers.items()), "")
    )
    return head.encode("latin-1") + (b"" if method == "HEAD" else reply.body[: reply.cut])

"""A peer that plays a script, byte by byte, and a clock moved by hand."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, cast

from engine.model.location import Origin


class HandClock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 1_000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.at, UTC)

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("the wire never sleeps")

    def random(self) -> float:
        return 0.5

    def advance(self, seconds: float) -> None:
        self.at += seconds


class Call:
    """One accepted connection, as the script sees it."""

    def __init__(self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._peer = peer
        self.reader = reader
        self.writer = writer

    async def head(self) -> bytes:
        """Read one request head."""
        block = await self.reader.readuntil(b"\r\n\r\n")
        self._peer.heads.append(block)
        return block

    async def request(self) -> bytes:
        """Read one request with its Content-Length body; gives the body."""
        block = await self.head()
        length = 0
        for line in block.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return await self.body(length)

    async def body(self, size: int) -> bytes:
        body = await self.reader.readexactly(size)
        self._peer.bodies.append(body)
        return body

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def quiet(self) -> bool:
        """Whether nothing more comes while the loop turns a while."""
        reading = asyncio.ensure_future(self.reader.read(1))
        for _ in range(50):
            await asyncio.sleep(0)
        quiet = reading.cancel()
        await asyncio.wait({reading})
        return quiet

    async def hang(self) -> None:
        """Keep the connection open and read nothing more, until the peer stops."""
        await self._peer.stopped.wait()

    async def until_closed(self) -> bytes:
        """Read until the client has closed; gives what came."""
        return await self.reader.read()

    def eof(self) -> None:
        """Close the sending side."""
        self.writer.write_eof()

    def reset(self) -> None:
        """Break off with a TCP reset."""
        sock = cast("socket.socket", self.writer.get_extra_info("socket"))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Call], Awaitable[None]]


class Peer:
    """A loopback server. Connection n plays script n, the last script for all further ones, and is closed after it."""

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.accepted = 0
        self.stopped = asyncio.Event()
        self._scripts = scripts
        self._tls = tls
        self._host = host
        self._calls: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, self._host, 0, ssl=self._tls)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopped.set()
        self._server.close()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    @property
    def origin(self) -> Origin:
        return Origin("https" if self._tls else "http", self._host, self.port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._calls.add(task)
        script = self._scripts[min(self.accepted, len(self._scripts) - 1)]
        self.accepted += 1
        try:
            await script(Call(self, reader, writer))
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, as many of these tests make it do, or the test is over
        finally:
            writer.close()


def answers(*blocks: bytes) -> Script:
    """Answer one request with each block, then close."""

    async def play(call: Call) -> None:
        for block in blocks:
            await call.request()
            await call.write(block)

    return play


def forever(block: bytes) -> Script:
    """Answer every request with the same bytes."""

    async def play(call: Call) -> None:
        while True:
            await call.request()
            await call.write(block)

    return play


class Flood:
    """A script that answers one request with 64 MiB, a MiB at a time; ``sent`` MiB have been taken off it."""

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, call: Call) -> None:
        await call.request()
        await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
        for _ in range(64):
            await call.write(bytes(1 << 20))
            self.sent += 1


async def at_rest(count: Callable[[], int]) -> int:
    """Let the loop turn until the count stands still; gives it."""
    seen = -1
    while count() != seen:
        seen = count()
        for _ in range(100):
            await asyncio.sleep(0)
    return seen


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until the condition holds; the test's own timeout is the limit."""
    while not condition():  # noqa: ASYNC110 - what is waited for is state of the wire, which has no event
        await asyncio.sleep(0)


def reached(count: Callable[[], int], goal: int) -> Callable[[], bool]:
    """The condition that the count is at its goal or beyond."""
    return lambda: count() >= goal


def get(path: str = "/k") -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: peer\r\n\r\n".encode()


def put(size: int, *more: str) -> bytes:
    lines = ["PUT /k HTTP/1.1", "Host: peer", f"Content-Length: {size}", *more]
    return "\r\n".join([*lines, "", ""]).encode()


OK = b'HTTP/1.1 200 OK\r\nETag: "e"\r\nContent-Length: 2\r\n\r\nhi'

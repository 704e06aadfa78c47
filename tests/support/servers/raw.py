"""A server that sends exactly the bytes it is told to: right, wrong, late, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class Asked:
    """One request: method, target as on the wire, headers by lower-case name."""

    method: str
    target: str
    headers: dict[str, str]


@dataclass
class Sent:
    """Bytes to send, then ``pieces`` a moment apart; then the connection closes."""

    data: bytes
    pieces: tuple[bytes, ...] = ()


def answer(status: int = 200, body: bytes = b"", length: int | None = -1, **headers: str) -> Sent:
    """A whole answer. ``length``: what Content-Length claims; None leaves it out; -1 tells the truth."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if length is not None:
        named["Content-Length"] = str(len(body) if length == -1 else length)
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return Sent(f"HTTP/1.1 {status} X\r\nConnection: close\r\n{head}\r\n".encode() + body)


class RawServer:
    """Answers each request with what ``script`` returns."""

    def __init__(self, script: Callable[[Asked], Sent]) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[RawServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.split("\r\n")
            method, target, _ = first.split(" ")
            pairs = (line.partition(": ") for line in lines if line)
            asked = Asked(method, target, {name.lower(): value for name, _, value in pairs})
            self.asked.append(asked)
            sent = self.script(asked)
            writer.write(sent.data)
            await writer.drain()
            for piece in sent.pieces:
                await asyncio.sleep(0.01)
                writer.write(piece)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

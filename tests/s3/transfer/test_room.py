"""Memory is claimed before a body is asked for: none is held open while its reader waits for room."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.clock import SystemClock
from engine.model.byte_units import MIB
from engine.model.facts import Method, ObjectFacts
from engine.model.hosts import origin_of
from engine.model.location import Location
from engine.model.ports import Source
from engine.model.sums import multipart_etag
from engine.pipeline.copying import Copying
from engine.pipeline.one_try import Copied, Memory
from engine.pipeline.routes import Route
from engine.rehearsal.objects import ObjectServer
from engine.s3.open import open_s3
from engine.s3.transfer.parts import Sizes
from engine.web.client import open_web
from engine.web.source import WebSource
from tests.support.pipeline import plan
from tests.support.s3 import settings_for
from tests.support.s3_double import aws, document
from tests.support.servers.capture import Reply, read_request, wire_form
from tests.support.servers.streams import serving
from tests.support.wire import at_rest, until

SIZE = 16 * MIB
BODY = b"0123456789abcdef" * MIB
ETAG = hashlib.md5(BODY).hexdigest()
IN_PARTS = multipart_etag(hashlib.md5(BODY[at : at + 5 * MIB]).digest() for at in range(0, SIZE, 5 * MIB))
FILES = 8


class Vendor:
    """A vendor and our store in one. ``open`` bodies are being sent; stores of bytes wait until ``go``."""

    def __init__(self) -> None:
        self.url = ""
        self.open = 0
        self.asked = 0
        self.storing = 0
        self.go = asyncio.Event()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                request = await read_request(reader, writer, 0)
                if request.method == "GET":
                    await self._send(writer)
                    continue
                if request.method == "PUT":
                    self.storing += 1
                    await self.go.wait()
                reply = aws(request)
                if request.method == "POST" and "uploadId" in request.target:
                    reply = Reply(200, {}, document("CompleteMultipartUploadResult", ETag=IN_PARTS))
                writer.write(wire_form(reply, request.method))

    async def _send(self, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        self.asked += 1
        try:
            writer.write(b'HTTP/1.1 200 OK\r\nETag: "%s"\r\nContent-Length: %d\r\n\r\n' % (ETAG.encode(), SIZE))
            writer.write(BODY)
            writer.transport.set_write_buffer_limits(0)
            await writer.drain()
        finally:
            self.open -= 1


@asynccontextmanager
async def vendor() -> AsyncIterator[Vendor]:
    made = Vendor()
    async with serving(made.handle) as port:
        made.url = f"http://127.0.0.1:{port}"
        yield made


@asynccontextmanager
async def copying(peer: Vendor, route: Method, capacity: int, put_limit: int) -> AsyncIterator[tuple[Copying, Source]]:
    async with AsyncExitStack() as stack:
        server = ObjectServer(peer.url, "key", "secret", "us-east-1", 0)
        settings = settings_for(server)
        s3 = await stack.enter_async_context(
            open_s3(settings, SystemClock(), budget=BytesInFlight(capacity), sizes=Sizes(5 * MIB, put_limit))
        )
        source: Any = s3.source
        if route is Method.HTTP:
            scheme, _, host = peer.url.partition("://")
            client = await stack.enter_async_context(open_web([origin_of(scheme, host)], settings.network))
            source = WebSource(client, SystemClock())

        def ours(key: str) -> Location:
            raise AssertionError("nothing lies there")

        yield Copying(s3.destination, s3.ours, ours, max_bytes=None), source


def location(peer: Vendor, number: int, route: Method) -> Location:
    scheme, _, host = peer.url.partition("://")
    url = f"{peer.url}/vendor/{number}"
    bucket = "" if route is Method.HTTP else "vendor"
    return Location(origin_of(scheme, host), url, bucket=bucket, key=f"{number}" if bucket else "")


@pytest.mark.parametrize(
    ("route", "listed"), [(Method.STREAM, True), (Method.STREAM, False), (Method.HTTP, False)], ids=str
)
@pytest.mark.parametrize(
    ("capacity", "put_limit", "most"), [(48 * MIB, 20 * MIB, 0), (25 * MIB, 5 * MIB, 2)], ids=["whole", "parts"]
)
async def test_no_body_is_open_that_waits_for_memory(
    route: Method, listed: bool, capacity: int, put_limit: int, most: int
) -> None:
    facts = ObjectFacts(SIZE, ETAG) if listed else None
    async with vendor() as peer, copying(peer, route, capacity, put_limit) as (copier, source), asyncio.timeout(60):

        async def copy(number: int) -> Copied:
            way = Route(route, source, "test")
            key = f"up/{number}"
            return await copier.copy(plan(number), location(peer, number, route), way, Memory(facts, key))

        files = [asyncio.create_task(copy(number)) for number in range(FILES)]
        await until(lambda: peer.storing >= 1)
        await at_rest(lambda: peer.asked * 100 + peer.open + peer.storing)
        assert peer.open <= most
        if listed:
            assert peer.asked <= 2, "it is not even asked for"
        peer.go.set()
        copied = await asyncio.gather(*files)
        assert all(each.copy.size == SIZE for each in copied)

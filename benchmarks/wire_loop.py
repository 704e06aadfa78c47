"""What one request costs on the wire, in CPU of the client process, against a server that does next to nothing.

    python benchmarks/wire_loop.py                      # 100,000 small requests, 256 in flight, uvloop
    python benchmarks/wire_loop.py --loop asyncio
    python benchmarks/wire_loop.py --what get --mib 64 --requests 16 --in-flight 2

With glibc, a GET of 100 KB costs about half when freed memory is kept (set both variables, or neither):

    MALLOC_TRIM_THRESHOLD_=268435456 MALLOC_MMAP_THRESHOLD_=33554432 python benchmarks/wire_loop.py --what get --mib 0.1

The server runs in a process of its own. ``small`` is a CopyObject-like exchange: a signed-sized head, an XML answer.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import multiprocessing
import pstats
import time
from collections.abc import Callable, Coroutine
from multiprocessing.connection import Connection as Pipe
from typing import Any, cast

import uvloop

from engine.limiting.clock import SystemClock
from engine.model.location import Origin
from engine.s3.wire.wire import Wire

COPY_HEAD = (
    b"PUT /my-documents/uploads/0015e00000AbCdEAAV/a0B5e00000XyZ12EAF/contract%20final.pdf HTTP/1.1\r\n"
    b"Host: my-documents.s3.us-east-1.amazonaws.com\r\n"
    b"x-amz-copy-source: trackland-doc-storage/2021/07/contract%20final.pdf\r\n"
    b"x-amz-copy-source-if-match: 0123456789abcdef0123456789abcdef\r\n"
    b"x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\r\n"
    b"x-amz-date: 20261122T100000Z\r\n"
    b"Authorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/s3/aws4_request, SignedHeaders=host;"
    b"x-amz-content-sha256;x-amz-copy-source;x-amz-date, Signature="
    b"5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7\r\n"
    b"Content-Length: 0\r\n\r\n"
)
XML = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<CopyObjectResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    b"<LastModified>2026-11-22T10:00:00.000Z</LastModified><ETag>&quot;0123456789abcdef0123456789abcdef&quot;</ETag>"
    b"</CopyObjectResult>"
)
ANSWER_HEAD = (
    b"HTTP/1.1 200 OK\r\nx-amz-id-2: eftixk72aD6Ap51TnqcoF8eFidJG9Z/2mkiDFu8yU9AS1ed4OpIszj7UDNEHGran\r\n"
    b"x-amz-request-id: 318BC8BC148832E5\r\nDate: Sun, 22 Nov 2026 10:00:00 GMT\r\nServer: AmazonS3\r\n"
    b'ETag: "0123456789abcdef0123456789abcdef"\r\nContent-Type: application/xml\r\nContent-Length: %d\r\n\r\n'
)


class Server(asyncio.Protocol):
    """Counts heads and body bytes, answers with canned bytes."""

    def __init__(self, answer: bytes, body: bytes, upload: int) -> None:
        self.answer, self.body, self.upload, self.left = answer, body, upload, 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self.left:
            self.left = self.upload + data.index(b"\r\n\r\n") + 4
        self.left -= len(data)
        if self.left <= 0:
            self.left = 0
            self.transport.write(self.answer)
            if self.body:
                self.transport.write(self.body)


def serve(pipe: Pipe, what: str, size: int) -> None:
    """Run the server until the process is ended; sends its port first."""
    body = bytes(size) if what == "get" else b""
    answer = ANSWER_HEAD % len(body) if body else ANSWER_HEAD % len(XML) + XML

    async def main() -> None:
        loop = asyncio.get_running_loop()
        upload = size if what == "put" else 0
        server = await loop.create_server(lambda: Server(answer, body, upload), "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(main())


async def small(wire: Wire, origin: Origin, _: int) -> None:
    reply = await wire.request(origin, COPY_HEAD, method="PUT", deadline_s=60.0)
    assert reply.status == 200


async def get(wire: Wire, origin: Origin, size: int) -> None:
    got = 0
    async with wire.stream(origin, b"GET /b/k HTTP/1.1\r\nHost: x\r\n\r\n", method="GET") as reply:
        async for chunk in reply.chunks():
            got += len(chunk)
    assert got == size


def put(size: int) -> Callable[[Wire, Origin, int], Coroutine[Any, Any, None]]:
    body = bytes(size)
    head = b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size

    async def one(wire: Wire, origin: Origin, _: int) -> None:
        reply = await wire.request(origin, head, body, method="PUT")
        assert reply.status == 200

    return one


async def measure(options: argparse.Namespace, port: int, size: int) -> None:
    one = {"small": small, "get": get, "put": put(size)}[options.what]
    origin = Origin("http", "127.0.0.1", port)
    async with Wire(limit=options.in_flight, clock=SystemClock()) as wire:

        async def many(count: int) -> None:
            for _ in range(count):
                await one(wire, origin, size)

        async def crew(total: int) -> None:
            async with asyncio.TaskGroup() as group:
                for _ in range(options.in_flight):
                    group.create_task(many(total // options.in_flight))

        await crew(options.in_flight)  # opens the connections
        done = options.requests // options.in_flight * options.in_flight
        for _ in range(options.rounds):
            cpu, wall = time.process_time(), time.perf_counter()
            await crew(done)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            line = f"{options.what}: {cpu / done * 1e6:.1f} us CPU per request, {done / wall:,.0f} requests/s"
            if size:
                line += f", {cpu / (done * size / 1e9):.3f} CPU-s/GB, {done * size / wall / 1e6:,.0f} MB/s"
            print(f"{line} ({options.loop}, {options.in_flight} in flight)", flush=True)
        print(wire.stats)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--what", choices=["small", "get", "put"], default="small")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--in-flight", type=int, default=256)
    parser.add_argument("--mib", type=float, default=0.0, help="body size for get and put")
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    size = 0 if options.what == "small" else int((options.mib or 16) * (1 << 20))
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs, options.what, size), daemon=True)
    server.start()
    port = ours.recv()
    run = uvloop.run if options.loop == "uvloop" else asyncio.run
    profile = cProfile.Profile()
    if options.profile:
        profile.enable()
    run(measure(options, port, size))
    if options.profile:
        profile.disable()
        pstats.Stats(profile).sort_stats("tottime").print_stats(25)
    server.terminate()
    server.join()


if __name__ == "__main__":
    main()

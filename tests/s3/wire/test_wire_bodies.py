"""Bodies both ways: large, iterated, expected, answered early, read at leisure."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from engine.model.location import Origin
from engine.s3.wire.connection import Connection
from engine.s3.wire.errors import PeerClosed
from engine.s3.wire.exchange import Whole
from engine.s3.wire.streamed import HIGH_WATER
from engine.s3.wire.wire import Body, Wire
from tests.support.wire import OK, Call, Flood, HandClock, Peer, answers, at_rest, forever, get, put, until

BIG = bytes(range(256)) * 4096 * 12  # 12 MiB
FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 262_144, 262_145, 12 << 20])
@pytest.mark.parametrize("kind", ["bytes", "memoryview"])
async def test_bodies_arrive_whole_and_the_connection_stays(kind: str, size: int) -> None:
    data = BIG[:size]
    async with Peer(forever(OK)) as peer, Wire(limit=1, clock=HandClock()) as client:
        for _ in range(2):
            body: Body = memoryview(data) if kind == "memoryview" else data
            assert (await client.request(peer.origin, put(size), body, method="PUT")).status == 200
        assert peer.bodies == [data, data]
        assert peer.accepted == 1


async def test_an_answer_before_the_body_ends_the_sending() -> None:
    size = 64 << 20

    async def refuse(call: Call) -> None:
        await call.head()
        await call.write(FORBIDDEN)
        await call.hang()

    async with Peer(refuse, forever(OK)) as peer, Wire(limit=1, clock=HandClock()) as client:
        reply = await client.request(peer.origin, put(size), bytes(size), method="PUT")
        assert (reply.status, reply.body) == (403, b"no")
        assert (await client.request(peer.origin, get(), method="GET")).status == 200
        assert peer.accepted == 2


class Stuffed(asyncio.Transport):
    """A transport that takes everything and has sent all but its last byte."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 1

    def is_closing(self) -> bool:
        return False

    def write(self, data: object) -> None:
        pass


async def test_a_connection_with_unsent_bytes_behind_an_answer_is_not_used_again() -> None:
    connection = Connection(Origin("http", "peer", 80), lambda _: None, memoryview(bytearray(1000)))
    connection.connection_made(Stuffed())
    exchange = Whole(asyncio.get_running_loop().create_future(), method="PUT", max_head=1000, max_body=10)
    connection.begin(exchange, now=0.0, due=1.0)
    connection.writer.send(put(4), b"body")
    connection.get_buffer(-1)[: len(OK)] = OK
    connection.buffer_updated(len(OK))
    assert (await exchange.answer).body == b"hi"
    assert exchange.reusable
    assert not connection.finish()


async def test_a_peer_that_leaves_in_the_middle_of_the_body_ends_the_request() -> None:
    size = 64 << 20

    async def leave(call: Call) -> None:
        await call.head()
        call.reset()

    async with Peer(leave) as peer, Wire(limit=1, clock=HandClock()) as client:
        with pytest.raises(PeerClosed, match="before any answer"):
            await client.request(peer.origin, put(size), bytes(size), method="PUT")


async def test_the_body_waits_for_100_continue() -> None:
    quiet: list[bool] = []

    async def play(call: Call) -> None:
        await call.head()
        quiet.append(await call.quiet())
        await call.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await call.body(4)
        await call.write(OK)
        await call.hang()

    async with Peer(play) as peer, Wire(limit=1, clock=HandClock()) as client:
        head = put(4, "Expect: 100-continue")
        reply = await client.request(peer.origin, head, b"body", method="PUT", expect_continue=True)
        assert reply.status == 200
        assert quiet == [True]
        assert peer.bodies == [b"body"]
        assert client.stats.idle == 1


async def test_without_100_continue_the_body_goes_after_a_second() -> None:
    clock = HandClock()
    async with Peer(forever(OK)) as peer, Wire(limit=1, clock=clock) as client:
        asking = asyncio.create_task(client.request(peer.origin, put(4), b"body", method="PUT", expect_continue=True))
        await until(lambda: len(peer.heads) == 1)
        clock.advance(0.9)
        client.sweep()
        for _ in range(20):
            await asyncio.sleep(0)
        assert peer.bodies == []
        clock.advance(0.2)
        client.sweep()
        assert (await asking).status == 200
        assert peer.bodies == [b"body"]


async def test_a_final_answer_instead_of_100_spares_the_body() -> None:
    async def play(call: Call) -> None:
        await call.head()
        await call.write(FORBIDDEN)
        rest.append(await call.until_closed())

    rest: list[bytes] = []
    async with Peer(play) as peer, Wire(limit=1, clock=HandClock()) as client:
        reply = await client.request(peer.origin, put(4), b"body", method="PUT", expect_continue=True)
        assert reply.status == 403
        await until(lambda: rest == [b""])
        assert client.stats.open == 0


@pytest.mark.parametrize(
    ("block", "framing"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG, "length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BIG) + BIG + b"\r\n0\r\n\r\n", "chunked"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + BIG, "close"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "length"),
        (b"HTTP/1.1 204 OK\r\n\r\n", "none"),
    ],
)
async def test_streams_arrive_whole_in_every_framing(block: bytes, framing: str) -> None:
    wanted = BIG if len(block) > len(BIG) else b""
    script = answers(block) if framing == "close" else forever(block)
    async with Peer(script) as peer, Wire(limit=1, clock=HandClock()) as client:
        digest = hashlib.sha256()
        async with client.stream(peer.origin, get(), method="GET") as reply:
            assert (reply.status, reply.framing) == (int(block[9:12]), framing)
            async for piece in reply.chunks():
                digest.update(piece)
        assert digest.digest() == hashlib.sha256(wanted).digest()
        assert client.stats.idle == (0 if framing == "close" else 1)


async def test_a_stream_stops_the_socket_while_its_reader_is_slow() -> None:
    flood = Flood()
    async with (
        Peer(flood) as peer,
        Wire(limit=1, clock=HandClock()) as client,
        client.stream(peer.origin, get(), method="GET") as reply,
    ):
        pieces = reply.chunks()
        got = len(await anext(pieces))
        assert await at_rest(lambda: flood.sent) < 32
        assert HIGH_WATER < 2 << 20
        async for piece in pieces:
            got += len(piece)
        assert got == 64 << 20


@pytest.mark.parametrize("how", ["left", "error", "cancelled"])
async def test_a_stream_not_read_to_its_end_costs_the_connection(how: str) -> None:
    block = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"

    async def play(call: Call) -> None:
        await call.request()
        await call.write(block + bytes(1000))
        await call.until_closed()
        closed.set()

    async def read(client: Wire, peer: Peer) -> None:
        async with client.stream(peer.origin, get(), method="GET") as reply:
            pieces = reply.chunks()
            await anext(pieces)
            if how == "error":
                raise LookupError
            if how == "cancelled":
                reading.set()
                await anext(pieces)

    closed, reading = asyncio.Event(), asyncio.Event()
    async with Peer(play) as peer, Wire(limit=1, clock=HandClock()) as client:
        task = asyncio.create_task(read(client, peer))
        if how == "cancelled":
            await reading.wait()
            task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        assert type(outcome) is {"left": type(None), "error": LookupError, "cancelled": asyncio.CancelledError}[how]
        await closed.wait()
        assert client.stats.idle == 0


async def test_a_stream_that_ends_short_raises_after_what_came() -> None:
    async with (
        Peer(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")) as peer,
        Wire(limit=1, clock=HandClock()) as client,
        client.stream(peer.origin, get(), method="GET") as reply,
    ):
        pieces = reply.chunks()
        assert bytes(await anext(pieces)) == b"half"
        came = len(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        with pytest.raises(PeerClosed, match=f"after {came} bytes"):
            await anext(pieces)


async def test_unread_streams_do_not_stop_other_requests_beyond_the_limit() -> None:
    """Three unread bodies on a limit of three: the fourth request waits its turn and gets it when one is left."""
    block = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + bytes(3_000_000)
    clock = HandClock()
    async with Peer(forever(block)) as peer, Wire(limit=3, clock=clock) as client:
        streams = [client.stream(peer.origin, get(), method="GET") for _ in range(3)]
        for stream in streams:
            await stream.__aenter__()
        fourth = asyncio.create_task(client.request(peer.origin, get(), method="GET", max_body=1 << 22, deadline_s=60))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not fourth.done()
        await streams[0].__aexit__(None, None, None)
        assert len((await fourth).body) == 3_000_000
        for stream in streams[1:]:
            await stream.__aexit__(None, None, None)

"""Bodies put right where the reader wants them, off the socket, in turn with reading them piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.location import Origin
from engine.s3.wire.connection import Connection
from engine.s3.wire.errors import PeerClosed
from engine.s3.wire.exchange import Whole
from engine.s3.wire.streamed import Streamed
from engine.s3.wire.wire import Wire
from tests.support.authority import Authority
from tests.support.wire import OK, Call, Flood, HandClock, Peer, answers, at_rest, forever, get, until
from tests.support.wire_answers import valid_answers

LOOP = asyncio.new_event_loop()
BIG = bytes(range(256)) * 4096 * 12  # 12 MiB
FRAMED = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BIG) + BIG,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BIG) + BIG + b"\r\n0\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\n\r\n" + BIG,
}


@pytest.fixture(scope="module", autouse=True)
def _closing() -> Iterator[None]:
    yield
    LOOP.close()


class Drip(asyncio.Transport):
    """Gives a connection ``block``, as many bytes at a time as ``cuts`` say, whenever it lets itself be read to."""

    def __init__(self, block: bytes, cuts: list[int], *, ends: bool) -> None:
        super().__init__()
        self._block = memoryview(block)
        self._cuts = cuts or [len(block)]
        self._ends = ends
        self._reads = 0
        self._paused = False

    def pour(self, connection: Connection) -> None:
        """As much as is taken now."""
        while self._block and not self._paused:
            memory = connection.get_buffer(-1)
            size = min(len(memory), len(self._block), self._cuts[self._reads % len(self._cuts)])
            memory[:size] = self._block[:size]
            self._block = self._block[size:]
            self._reads += 1
            connection.buffer_updated(size)
        if not self._block and self._ends:
            self._ends = False
            connection.eof_received()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        self._block = self._block[:0]


@given(valid_answers(), st.lists(st.integers(1, 90), max_size=8), st.lists(st.integers(0, 70), min_size=1, max_size=12))
def test_a_body_is_the_same_however_it_is_cut_and_taken(
    answer: tuple[bytes, int, bytes, bool], cuts: list[int], takes: list[int]
) -> None:
    """``takes``: so many bytes into memory; 0: the next piece, whatever it is."""
    block, _, body, closes = answer

    async def read() -> bytes:
        drip = Drip(block, cuts, ends=closes)
        connection = Connection(Origin("http", "peer", 80), lambda _: None, memoryview(bytearray(64)))
        connection.connection_made(drip)
        exchange = Streamed(LOOP.create_future(), method="GET", max_head=4096, flow=drip)
        connection.begin(exchange, now=0.0, due=1.0)
        pouring = LOOP.create_task(_keep(drip, connection))
        await exchange.answer
        found, pieces = [], exchange.pieces()
        for size in takes * 400:
            if size:
                memory = bytearray(size)
                filled = await exchange.fill(memoryview(memory))
                assert memory[filled:] == bytes(size - filled)
                found.append(bytes(memory[:filled]))
                ended = filled < size
            else:
                piece = await anext(pieces, None)
                found.append(bytes(piece or b""))
                ended = piece is None
            if ended:
                break
        pouring.cancel()
        assert await exchange.fill(memoryview(bytearray(5))) == 0
        assert exchange.drained
        return b"".join(found)

    assert LOOP.run_until_complete(read()) == body


async def _keep(drip: Drip, connection: Connection) -> None:
    while True:
        drip.pour(connection)
        await asyncio.sleep(0)


@pytest.mark.parametrize("framing", FRAMED)
@pytest.mark.parametrize("secured", [False, True])
@pytest.mark.parametrize("size", [1 << 20, (1 << 20) + 1, len(BIG), len(BIG) + 1])
async def test_blocks_are_filled_in_every_framing(framing: str, secured: bool, size: int, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    script = answers(FRAMED[framing]) if framing == "close" else forever(FRAMED[framing])
    async with (
        Peer(script, tls=authority.server("127.0.0.1") if secured else None) as peer,
        Wire(limit=1, clock=HandClock(), ssl_context=authority.client()) as client,
    ):
        found = b""
        async with client.stream(peer.origin, get(), method="GET") as reply:
            memory = bytearray(size)
            while filled := await reply.fill(memoryview(memory)):
                found += memory[:filled]
                assert filled == size or len(found) == len(BIG)
            assert [piece async for piece in reply.chunks()] == []
        assert found == BIG
        assert client.stats.idle == (0 if framing == "close" else 1)


async def test_the_socket_rests_while_nobody_gives_it_memory() -> None:
    flood = Flood()
    async with (
        Peer(flood) as peer,
        Wire(limit=1, clock=HandClock()) as client,
        client.stream(peer.origin, get(), method="GET") as reply,
    ):
        memory = memoryview(bytearray(2 << 20))
        assert await reply.fill(memory) == 2 << 20
        assert await at_rest(lambda: flood.sent) < 32
        got = 2 << 20
        async for piece in reply.chunks():
            got += len(piece)
            break
        while filled := await reply.fill(memory):
            got += filled
        assert got == 64 << 20


async def test_a_body_that_ends_short_is_no_block() -> None:
    async with (
        Peer(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")) as peer,
        Wire(limit=1, clock=HandClock()) as client,
        client.stream(peer.origin, get(), method="GET") as reply,
    ):
        memory = bytearray(4)
        assert await reply.fill(memoryview(memory)) == 4
        assert memory == b"half"
        came = len(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        with pytest.raises(PeerClosed, match=f"after {came} bytes"):
            await reply.fill(memoryview(memory))


async def test_bytes_behind_the_end_stay_out_of_the_memory_and_cost_the_connection() -> None:
    block = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbodyEXTRA"
    async with Peer(forever(block)) as peer, Wire(limit=1, clock=HandClock()) as client:
        async with client.stream(peer.origin, get(), method="GET") as reply:
            memory = bytearray(9)
            assert await reply.fill(memoryview(memory)) == 4
            assert memory == b"body" + bytes(5)
        assert client.stats.idle == 0


async def test_memory_is_left_alone_once_its_reader_was_cut_short() -> None:
    go = asyncio.Event()

    async def play(call: Call) -> None:
        await call.request()
        await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"a" * 1000)
        await go.wait()
        await call.write(b"b" * 2000)
        await call.hang()

    async with (
        Peer(play) as peer,
        Wire(limit=1, clock=HandClock()) as client,
        client.stream(peer.origin, get(), method="GET") as reply,
    ):
        memory = bytearray(3000)
        first = asyncio.ensure_future(reply.fill(memoryview(memory)))
        await until(lambda: memory[999] != 0)
        first.cancel()
        await asyncio.wait({first})
        go.set()
        rest = b"".join([bytes(piece) async for piece in reply.chunks()])
        assert rest == b"b" * 2000
        assert memory == b"a" * 1000 + bytes(2000)


async def test_an_answer_that_is_no_stream_shares_its_connection_with_one() -> None:
    async with Peer(answers(FRAMED["length"], OK, FRAMED["length"])) as peer:
        async with Wire(limit=1, clock=HandClock()) as client:
            for _ in range(2):
                async with client.stream(peer.origin, get(), method="GET") as reply:
                    memory = bytearray(len(BIG))
                    assert await reply.fill(memoryview(memory)) == len(BIG)
                    assert memory == BIG
                if peer.accepted == 1 and len(peer.heads) == 1:
                    assert (await client.request(peer.origin, get(), method="GET")).body == b"hi"
        assert peer.accepted == 1


@pytest.mark.parametrize("framing", FRAMED)
@pytest.mark.parametrize("room", [len(BIG), len(BIG) + 5, len(BIG) - 1])
async def test_an_answer_read_whole_lands_in_the_memory_given_where_its_length_is_known(
    framing: str, room: int
) -> None:
    async with Peer(answers(OK, FRAMED[framing])) as peer, Wire(limit=1, clock=HandClock()) as client:
        await client.request(peer.origin, get(), method="GET")
        connection = client.idle(peer.origin)
        assert connection is not None
        memory = memoryview(bytearray(room))
        reply = await client.ask(connection, get(), method="GET", deadline_s=60, max_body=len(BIG), memory=memory)
        lands = framing == "length" and room >= len(BIG)
        assert reply.landed == (len(BIG) if lands else 0)
        assert (memory[: len(BIG)] if lands else reply.body) == BIG


async def test_nothing_lands_any_more_once_nobody_waits_for_the_answer() -> None:
    answer = LOOP.create_future()
    exchange = Whole(answer, method="GET", max_body=10, memory=memoryview(bytearray(10)))
    exchange.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
    assert len(exchange.landing) == 7
    exchange.abandon()
    assert not exchange.landing


async def test_a_refusal_does_not_land() -> None:
    no = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    async with Peer(answers(OK, no)) as peer, Wire(limit=1, clock=HandClock()) as client:
        await client.request(peer.origin, get(), method="GET")
        connection = client.idle(peer.origin)
        assert connection is not None
        reply = await client.ask(connection, get(), method="GET", deadline_s=60, memory=memoryview(bytearray(9)))
        assert (reply.status, reply.body, reply.landed) == (403, b"no", 0)

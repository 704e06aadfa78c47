"""Limits of time: every wait ends, by a clock that the test moves."""

from __future__ import annotations

import asyncio
import socket

import pytest

from engine.model.location import Origin
from engine.s3.wire.errors import TimedOut
from engine.s3.wire.names import Sockaddr
from engine.s3.wire.wire import Wire
from tests.support.wire import OK, Call, HandClock, Peer, answers, at_rest, forever, get, put, reached, until


async def silent(call: Call) -> None:
    await call.request()
    await call.hang()


async def passes(clock: HandClock, client: Wire, seconds: float, step: float = 0.25) -> None:
    """Move the clock in steps, sweeping after each, as the real tick does."""
    for _ in range(round(seconds / step)):
        clock.advance(step)
        client.sweep()
        await asyncio.sleep(0)


async def test_silence_ends_a_request() -> None:
    clock = HandClock()
    async with Peer(silent) as peer, Wire(limit=1, clock=clock, read_s=10) as client:
        asking = asyncio.create_task(client.request(peer.origin, get(), method="GET"))
        await until(lambda: len(peer.heads) == 1)
        await passes(clock, client, 9.75)
        assert not asking.done()
        await passes(clock, client, 0.5)
        with pytest.raises(TimedOut, match="no byte moved"):
            await asking
        await until(lambda: client.stats.open == 0)


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"", id="head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n", id="chunked"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="close"),
    ],
)
async def test_a_dripping_peer_cannot_escape_the_total_deadline(start: bytes) -> None:
    clock = HandClock()
    drops = asyncio.Semaphore(0)
    dropped = 0

    async def drip(call: Call) -> None:
        nonlocal dropped
        await call.request()
        await call.write(start)
        for byte in b"HTTP/1.1 200 OK and many more bytes, one at a time" * 10:
            await drops.acquire()
            await call.write(bytes([byte]))
            dropped += 1

    async with Peer(drip) as peer, Wire(limit=1, clock=clock, read_s=2) as client:
        asking = asyncio.create_task(client.request(peer.origin, get(), method="GET", deadline_s=20))
        await until(lambda: len(peer.heads) == 1)
        for n in range(19):  # a byte a second: never silent for two
            drops.release()
            await until(reached(lambda: dropped, n + 1))
            await passes(clock, client, 1.0)
        assert not asking.done()
        await passes(clock, client, 1.25)
        with pytest.raises(TimedOut, match="no whole answer"):
            await asking


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_refusal_is_whole_within_a_minute_whatever_the_request_may_take(streamed: bool) -> None:
    clock = HandClock()

    async def refuses(call: Call) -> None:
        await call.request()
        await call.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\n<Error>")
        await call.hang()

    async with Peer(refuses) as peer, Wire(limit=1, clock=clock, read_s=1e6) as client:

        async def ask() -> None:
            if not streamed:
                await client.request(peer.origin, get(), method="GET", deadline_s=1e6)
                return
            async with client.stream(peer.origin, get(), method="GET", deadline_s=1e6, pace=0.001) as reply:
                [piece async for piece in reply.chunks()]

        asking = asyncio.create_task(ask())
        await until(lambda: len(peer.heads) == 1)
        await at_rest(lambda: len(peer.heads))
        await passes(clock, client, 59)
        assert not asking.done()
        await passes(clock, client, 2)
        with pytest.raises(TimedOut, match="no whole answer"):
            await asking


async def test_a_pace_gives_time_for_what_came_and_for_pauses_of_our_own() -> None:
    clock = HandClock()
    size = 4 << 20

    async def half(call: Call) -> None:
        await call.request()
        await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        await call.write(bytes(size // 2))
        await call.hang()

    async with (
        Peer(half) as peer,
        Wire(limit=1, clock=clock, read_s=1e6) as client,
        client.stream(peer.origin, get(), method="GET", deadline_s=10, pace=size / 40) as reply,
    ):
        memory = memoryview(bytearray(size))
        assert await reply.fill(memory[: 1 << 20]) == 1 << 20
        await passes(clock, client, 1000)  # the reader pauses
        assert await reply.fill(memory[: 1 << 20]) == 1 << 20
        reading = asyncio.ensure_future(reply.fill(memory))
        await passes(clock, client, 29)  # ten seconds, and twenty for half of it
        assert not reading.done()
        await passes(clock, client, 2)
        with pytest.raises(TimedOut, match="no whole answer"):
            await reading


async def test_a_peer_that_stops_reading_the_body_is_silence() -> None:
    clock = HandClock()
    size = 64 << 20

    async def reads_the_head_only(call: Call) -> None:
        await call.head()
        await call.hang()

    async with Peer(reads_the_head_only) as peer, Wire(limit=1, clock=clock, read_s=10) as client:
        asking = asyncio.create_task(client.request(peer.origin, put(size), bytes(size), method="PUT"))
        await until(lambda: len(peer.heads) == 1)
        await passes(clock, client, 9)
        assert not asking.done()
        for _ in range(40):  # the kernel may still have swallowed some of it meanwhile
            await passes(clock, client, 1)
        with pytest.raises(TimedOut, match="no byte moved"):
            await asking


async def test_waiting_for_a_connection_counts_towards_the_total() -> None:
    clock = HandClock()
    async with Peer(silent) as peer, Wire(limit=1, clock=clock) as client:
        holder = asyncio.create_task(client.request(peer.origin, get(), method="GET"))
        await until(lambda: len(peer.heads) == 1)
        waiting = asyncio.create_task(client.request(peer.origin, get(), method="GET", deadline_s=3))
        await passes(clock, client, 3.25)
        with pytest.raises(TimedOut, match="no free connection"):
            await waiting
        assert not holder.done()
        holder.cancel()


async def test_an_address_that_never_accepts_gives_way_to_the_next() -> None:
    clock = HandClock()
    with socket.socket() as full, socket.socket() as filler, socket.socket() as second_filler:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for sock in (filler, second_filler):  # the backlog is full: further handshakes hang
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        async with Peer(forever(OK)) as peer:

            async def resolve(host: str, port: int) -> list[Sockaddr]:
                return [full.getsockname(), ("127.0.0.1", port)]

            async with Wire(limit=1, clock=clock, connect_s=10, resolve=resolve) as client:
                asking = asyncio.create_task(client.request(peer.origin, get(), method="GET"))
                for _ in range(10):
                    await asyncio.sleep(0)
                await passes(clock, client, 4.75)
                assert peer.accepted == 0
                await passes(clock, client, 0.5)
                assert (await asking).status == 200

        async def only_full(host: str, port: int) -> list[Sockaddr]:
            return [full.getsockname()] * 3

        async with Wire(limit=1, clock=clock, connect_s=10, resolve=only_full) as client:
            asking = asyncio.create_task(client.request(Origin("http", "127.0.0.1", 9), get(), method="GET"))
            await asyncio.sleep(0)
            await passes(clock, client, 11)
            with pytest.raises(TimedOut, match="accept connections in time"):
                await asking


async def test_a_resolver_that_hangs_is_ended_by_the_connect_limit() -> None:
    clock = HandClock()
    never = asyncio.Event()

    async def resolve(host: str, port: int) -> list[Sockaddr]:
        await never.wait()
        return []

    async with Wire(limit=1, clock=clock, connect_s=10, resolve=resolve) as client:
        asking = asyncio.create_task(client.request(Origin("http", "nowhere", 80), get(), method="GET"))
        await asyncio.sleep(0)
        await passes(clock, client, 10.25)
        with pytest.raises(TimedOut, match="no address of nowhere in time"):
            await asking
        assert client.stats.open == 0


async def test_a_connection_rested_too_long_is_not_used_again() -> None:
    clock = HandClock()
    async with Peer(forever(OK)) as peer, Wire(limit=1, clock=clock, idle_s=15) as client:
        await client.request(peer.origin, get(), method="GET")
        clock.advance(14)
        await client.request(peer.origin, get(), method="GET")
        assert peer.accepted == 1
        clock.advance(15)
        await client.request(peer.origin, get(), method="GET")
        assert peer.accepted == 2


async def test_the_sweep_closes_connections_that_rest_too_long() -> None:
    clock = HandClock()
    async with Peer(forever(OK)) as peer, Wire(limit=4, clock=clock, idle_s=15) as client:
        await client.request(peer.origin, get(), method="GET")
        await passes(clock, client, 15)
        await until(lambda: client.stats.open == 0)
        assert client.stats.idle == 0


async def test_the_wire_sweeps_by_itself() -> None:
    clock = HandClock()
    async with Peer(silent) as peer, Wire(limit=1, clock=clock, read_s=10) as client:
        asking = asyncio.create_task(client.request(peer.origin, get(), method="GET"))
        await until(lambda: len(peer.heads) == 1)
        clock.advance(100)
        with pytest.raises(TimedOut):
            await asking


async def test_a_streamed_answer_obeys_the_deadline_while_it_is_read() -> None:
    clock = HandClock()

    async def half(call: Call) -> None:
        await call.request()
        await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
        await call.hang()

    async with Peer(half) as peer, Wire(limit=1, clock=clock) as client:
        async with client.stream(peer.origin, get(), method="GET", deadline_s=5) as reply:
            pieces = reply.chunks()
            assert bytes(await anext(pieces)) == b"half"
            reading = asyncio.ensure_future(anext(pieces))
            await passes(clock, client, 5.25)
            with pytest.raises(TimedOut):
                await reading
        await until(lambda: client.stats.open == 0)


async def test_a_slow_reader_of_ours_is_not_the_peers_silence() -> None:
    clock = HandClock()
    size = 32 << 20
    block = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size

    async with (
        Peer(answers(block + bytes(size))) as peer,
        Wire(limit=1, clock=clock, read_s=5) as client,
        client.stream(peer.origin, get(), method="GET") as reply,
    ):
        pieces = reply.chunks()
        got = len(await anext(pieces))
        for _ in range(100):
            await asyncio.sleep(0)
        await passes(clock, client, 60)
        async for piece in pieces:
            got += len(piece)
        assert got == size

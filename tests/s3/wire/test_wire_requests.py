"""Plain requests: framing, reuse, headers."""

from __future__ import annotations

import asyncio

import pytest

from engine.model.location import Origin
from engine.s3.wire.errors import BadResponse, BodyTooLarge, Closed, PeerClosed, Stale
from engine.s3.wire.reply import Reply
from engine.s3.wire.wire import Wire, WireStats
from tests.support.wire import OK, Call, HandClock, Peer, answers, forever, get, until


def wire(clock: HandClock | None = None, limit: int = 8) -> Wire:
    return Wire(limit=limit, clock=clock or HandClock())


async def ask(block: bytes, *, method: str = "GET", max_body: int = 1 << 20) -> Reply:
    """One request answered with this block, after which the peer closes."""
    async with Peer(answers(block)) as peer, wire() as client:
        return await client.request(peer.origin, get(), method=method, max_body=max_body)


async def test_an_answer_with_a_length_is_read_whole() -> None:
    reply = await ask(b'HTTP/1.1 201 Created\r\nContent-Length: 5\r\nX-A: 1\r\nx-a: 2\r\nETag: "\xe9"  \r\n\r\nhello')
    assert (reply.status, reply.body, reply.framing) == (201, b"hello", "length")
    assert list(reply.fields) == [b"content-length", b"x-a", b"etag"]
    assert reply.fields[b"x-a"] == b"1, 2"
    assert reply.fields[b"etag"].strip() == '"é"'.encode("latin-1")


async def test_reprs_hold_no_header_value() -> None:
    reply = await ask(b"HTTP/1.1 200 OK\r\nX-Amz-Security-Token: hush\r\nContent-Length: 4\r\n\r\nhush")
    assert "hush" not in repr(reply)


async def test_a_chunked_answer_is_joined() -> None:
    reply = await ask(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: 1\r\n\r\n"
    )
    assert (reply.body, reply.framing) == (b"abcde", "chunked")


async def test_a_close_delimited_answer_says_so() -> None:
    reply = await ask(b"HTTP/1.1 200 OK\r\n\r\nall there was")
    assert (reply.body, reply.framing) == (b"all there was", "close")


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_body_end_at_the_head(status: int) -> None:
    async with Peer(forever(b"HTTP/1.1 %d X\r\nContent-Length: 7\r\n\r\n" % status)) as peer, wire() as client:
        for _ in range(2):
            reply = await client.request(peer.origin, get(), method="GET")
            assert (reply.status, reply.body, reply.framing) == (status, b"", "none")
        assert peer.accepted == 1


async def test_head_answers_keep_their_length_header_and_the_connection() -> None:
    async with Peer(forever(b"HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n")) as peer, wire() as client:
        for _ in range(3):
            reply = await client.request(peer.origin, b"HEAD /k HTTP/1.1\r\nHost: p\r\n\r\n", method="HEAD")
            assert reply.fields[b"content-length"].strip() == b"9000000000"
            assert reply.body == b""
        assert peer.accepted == 1


async def test_connections_are_reused_and_counted() -> None:
    async with Peer(forever(OK)) as peer, wire() as client:
        for _ in range(5):
            assert (await client.request(peer.origin, get(), method="GET")).body == b"hi"
        assert peer.accepted == 1
        assert client.stats == WireStats(open=1, idle=1)


@pytest.mark.parametrize(
    "block",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive, Close\r\nContent-Length: 2\r\n\r\nhi",
    ],
)
async def test_a_peer_that_will_close_is_not_asked_again(block: bytes) -> None:
    async with Peer(forever(block)) as peer, wire() as client:
        for _ in range(2):
            await client.request(peer.origin, get(), method="GET")
        assert peer.accepted == 2
        assert client.stats.idle == 0


async def test_interim_answers_are_skipped() -> None:
    reply = await ask(b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK)
    assert (reply.status, reply.body) == (200, b"hi")
    assert b"link" not in reply.fields


async def test_a_flood_of_interim_answers_is_refused() -> None:
    with pytest.raises(BadResponse, match="interim"):
        await ask(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + OK)


async def test_redirects_are_answers_like_any_other() -> None:
    async with Peer(forever(OK)) as other:
        location = f"http://127.0.0.1:{other.port}/".encode()
        reply = await ask(b"HTTP/1.1 307 X\r\nLocation: " + location + b"\r\nContent-Length: 0\r\n\r\n")
        assert reply.status == 307
        assert other.accepted == 0


async def test_compressed_content_stays_as_it_came() -> None:
    reply = await ask(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00")
    assert reply.body == b"\x1f\x8b\x08\x00"


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n0123456789!", id="length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n012345\r\n5\r\n6789!\r\n", id="chunked"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n0123456789!", id="close"),
    ],
)
async def test_a_body_beyond_its_bound_is_refused_in_every_framing(block: bytes) -> None:
    with pytest.raises(BodyTooLarge):
        await ask(block, max_body=10)


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", id="head"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n012345678", id="length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", id="no-last-chunk"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", id="no-last-line"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc", id="inside-chunk"),
    ],
)
async def test_truncation_is_seen_in_every_framing(block: bytes) -> None:
    with pytest.raises(PeerClosed, match=f"after {len(block)} bytes") as caught:
        await ask(block)
    assert not isinstance(caught.value, Stale)


async def test_a_reset_inside_a_close_delimited_body_is_a_truncation() -> None:
    async def play(call: Call) -> None:
        await call.request()
        await call.write(b"HTTP/1.1 200 OK\r\n\r\nhalf")
        await peer_saw.wait()
        call.reset()

    peer_saw = asyncio.Event()
    async with Peer(play) as peer, wire() as client:
        async with client.stream(peer.origin, get(), method="GET") as reply:
            pieces = reply.chunks()
            assert bytes(await anext(pieces)) == b"half"
            peer_saw.set()
            with pytest.raises(PeerClosed, match="reset"):
                await anext(pieces)
        assert client.stats.open <= 1


@pytest.mark.parametrize(
    "block",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="another-protocol"),
        pytest.param(b"\x15\x03\x01\x00\x02\x02\x16", id="tls-alert"),
        pytest.param(b"\r\n\r\n" + OK, id="leading-blank-lines"),
        pytest.param(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", id="version"),
        pytest.param(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n\r\n\r\n", id="bare-line-feeds"),
        pytest.param(b"HTTP/1.1 099 OK\r\nContent-Length: 0\r\n\r\n", id="status"),
        pytest.param(b"HTTP/1.1 700 OK\r\nContent-Length: 0\r\n\r\n", id="status-700"),
        pytest.param(b"HTTP/1.1 101 X\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", id="upgrade"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi", id="length-twice"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!", id="two-lengths"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", id="length-list"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", id="negative-length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi", id="signed-length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nhi", id="hex-length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhi", id="empty-length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", id="huge-length"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi", id="space-before-colon"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="both-framings"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", id="both-reversed"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="coded-chunks"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\nabc", id="chunked-not-last"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="unknown-coding"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            id="te-twice",
        ),
        pytest.param(b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="chunked-in-1.0"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\r\n folded\r\nContent-Length: 0\r\n\r\n", id="folded"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n", id="nul"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n", id="chunk-size"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc\r\n0\r\n\r\n", id="negative-chunk"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc", id="chunk-overflow"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n", id="chunk-too-long"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"x" * 100_000, id="chunk-extension-flood"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 20_000, id="trailer-flood"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000, id="endless-header"),
        pytest.param(b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\nContent-Length: 0\r\n\r\n", id="huge-header"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"".join(b"A%d: b\r\n" % n for n in range(300)) + b"\r\n", id="many-headers"
        ),
    ],
)
async def test_unacceptable_answers_are_refused_at_once_and_cost_the_connection(block: bytes) -> None:
    async def play(call: Call) -> None:
        await call.request()
        await call.write(block)
        await call.hang()

    async with Peer(play) as peer, wire() as client:
        with pytest.raises(BadResponse):
            await client.request(peer.origin, get(), method="GET")
        await until(lambda: client.stats.open == 0)


@pytest.mark.parametrize("extra", [b"x", b"\r\n", OK])
@pytest.mark.parametrize(
    "block",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    ],
)
async def test_bytes_behind_the_end_cost_the_connection(block: bytes, extra: bytes) -> None:
    async with Peer(forever(block + extra)) as peer, wire() as client:
        for n in (1, 2):
            reply = await client.request(peer.origin, get(), method="GET")
            assert reply.body in {b"hi", b""}
            assert peer.accepted == n
            assert client.stats.idle == 0


async def test_bytes_on_an_idle_connection_cost_it() -> None:
    async def play(call: Call) -> None:
        await call.request()
        await call.write(OK)
        await go.wait()
        await call.write(OK)
        await call.hang()

    go = asyncio.Event()
    async with Peer(play, forever(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfresh")) as peer, wire() as client:
        await client.request(peer.origin, get(), method="GET")
        go.set()
        await until(lambda: client.stats.open == 0)
        assert (await client.request(peer.origin, get(), method="GET")).body == b"fresh"


async def test_after_close_nothing_is_accepted_and_what_flies_is_closed() -> None:
    async def play(call: Call) -> None:
        await call.request()
        await call.hang()

    async with Peer(play) as peer:
        client = wire()
        flying = asyncio.create_task(client.request(peer.origin, get(), method="GET"))
        await until(lambda: len(peer.heads) == 1)
        await client.close()
        with pytest.raises(Closed):
            await flying
        with pytest.raises(Closed):
            await client.request(peer.origin, get(), method="GET")
        assert client.stats.open == 0
        await client.close()


@pytest.mark.parametrize("host", ["", "a/b", "a:b@c", "[::1]", "a b", "a?b"])
def test_an_origin_is_a_bare_host(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        Origin("http", host, 80)


async def test_ipv6_works() -> None:
    async with Peer(forever(OK), host="::1") as peer, wire() as client:
        assert (await client.request(peer.origin, get(), method="GET")).body == b"hi"
        assert peer.origin.authority == f"[::1]:{peer.port}"

"""TLS and proxies, with an authority made for the test."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from engine.model.location import Origin
from engine.model.proxy import Proxy
from engine.s3.wire.errors import ConnectFailed, PeerClosed, Stale, TimedOut, TlsFailed
from engine.s3.wire.names import Sockaddr
from engine.s3.wire.wire import Wire
from tests.support.authority import Authority
from tests.support.wire import OK, Call, HandClock, Peer, answers, forever, get, put, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


async def here(host: str, port: int) -> list[Sockaddr]:
    """Every name lives on this machine."""
    return [("127.0.0.1", port)]


async def test_a_certificate_of_a_known_authority_works_and_the_name_is_sent(authority: Authority) -> None:
    names: list[str | None] = []
    clock = HandClock()
    tls = authority.server("bucket.test")
    tls.sni_callback = lambda sock, name, context: names.append(name)
    async with (
        Peer(forever(OK), tls=tls) as peer,
        Wire(limit=2, clock=clock, ssl_context=authority.client(), resolve=here) as client,
    ):
        origin = Origin("https", "bucket.test", peer.port)
        for _ in range(3):
            clock.advance(1)
            assert (await client.request(origin, get(), method="GET")).body == b"hi"
        assert peer.accepted == 1
        assert names == ["bucket.test"]


async def test_an_address_in_the_certificate_works(authority: Authority) -> None:
    async with (
        Peer(forever(OK), tls=authority.server("127.0.0.1")) as peer,
        Wire(limit=2, clock=HandClock(), ssl_context=authority.client()) as client,
    ):
        assert (await client.request(peer.origin, get(), method="GET")).body == b"hi"


async def test_large_bodies_travel_both_ways_over_tls(authority: Authority) -> None:
    data = bytes(range(256)) * 16_384

    async def echo(call: Call) -> None:
        for _ in range(2):
            body = await call.request()
            await call.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with (
        Peer(echo, tls=authority.server("127.0.0.1")) as peer,
        Wire(limit=2, clock=HandClock(), ssl_context=authority.client()) as client,
    ):
        for _ in range(2):
            reply = await client.request(peer.origin, put(len(data)), data, method="PUT", max_body=len(data))
            assert reply.body == data
        assert peer.accepted == 1


@pytest.mark.parametrize("fault", ["wrong host", "unknown authority", "self-signed", "expired"])
async def test_certificates_that_prove_nothing_are_refused(authority: Authority, tmp_path: Path, fault: str) -> None:
    tls = {
        "wrong host": lambda: authority.server("other.test"),
        "unknown authority": lambda: Authority(tmp_path).server("bucket.test"),
        "self-signed": lambda: authority.server("bucket.test", self_signed=True),
        "expired": lambda: authority.server("bucket.test", days=-1),
    }[fault]()
    async with (
        Peer(forever(OK), tls=tls) as peer,
        Wire(limit=1, clock=HandClock(), ssl_context=authority.client(), resolve=here) as client,
    ):
        for _ in range(2):
            with pytest.raises(TlsFailed):
                await client.request(Origin("https", "bucket.test", peer.port), get(), method="GET")
        assert client.stats.open == 0
        assert peer.heads == []


async def test_the_default_context_knows_no_authority_of_ours(authority: Authority) -> None:
    async with (
        Peer(forever(OK), tls=authority.server("127.0.0.1")) as peer,
        Wire(limit=1, clock=HandClock()) as client,
    ):
        with pytest.raises(TlsFailed, match="unable to get local issuer"):
            await client.request(peer.origin, get(), method="GET")


def test_a_context_that_verifies_nothing_is_not_accepted() -> None:
    lax = ssl.create_default_context()
    lax.check_hostname = False
    with pytest.raises(ValueError, match="verify"):
        Wire(limit=1, clock=HandClock(), ssl_context=lax)
    lax.verify_mode = ssl.CERT_NONE
    with pytest.raises(ValueError, match="verify"):
        Wire(limit=1, clock=HandClock(), ssl_context=lax)


async def test_a_plain_server_on_a_tls_origin_is_a_tls_failure(authority: Authority) -> None:
    async def play(call: Call) -> None:
        await call.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await call.until_closed()

    async with Peer(play) as peer, Wire(limit=1, clock=HandClock(), ssl_context=authority.client()) as client:
        with pytest.raises(TlsFailed):
            await client.request(Origin("https", "127.0.0.1", peer.port), get(), method="GET")


async def test_a_peer_that_leaves_during_the_handshake_is_a_failed_connection(authority: Authority) -> None:
    async def play(call: Call) -> None:
        call.reset()

    async with Peer(play) as peer, Wire(limit=1, clock=HandClock(), ssl_context=authority.client()) as client:
        with pytest.raises((ConnectFailed, TlsFailed)):
            await client.request(Origin("https", "127.0.0.1", peer.port), get(), method="GET")
        assert client.stats.open == 0


async def test_a_handshake_that_hangs_is_ended_by_the_connect_limit(authority: Authority) -> None:
    async def play(call: Call) -> None:
        await call.hang()

    clock = HandClock()
    async with Peer(play) as peer, Wire(limit=1, clock=clock, ssl_context=authority.client(), connect_s=5) as client:
        asking = asyncio.create_task(client.request(Origin("https", "127.0.0.1", peer.port), get(), method="GET"))
        await until(lambda: peer.accepted == 1)
        clock.advance(5.5)
        client.sweep()
        with pytest.raises(TimedOut, match="connecting to"):
            await asking


async def test_truncation_is_seen_through_tls(authority: Authority) -> None:
    async with (
        Peer(answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"), tls=authority.server("127.0.0.1")) as peer,
        Wire(limit=1, clock=HandClock(), ssl_context=authority.client()) as client,
    ):
        with pytest.raises(PeerClosed):
            await client.request(peer.origin, get(), method="GET")


class Tunnel:
    """A CONNECT proxy for one target, whatever it is asked for; or one that answers with fixed bytes."""

    def __init__(self, target: int, answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> None:
        self.target = target
        self.answer = answer
        self.heads: list[bytes] = []

    async def __call__(self, call: Call) -> None:
        self.heads.append(await call.head())
        await call.write(self.answer)
        if b" 200 " not in self.answer:
            await call.until_closed()
            return
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        try:
            await asyncio.gather(self._pump(call.reader, writer), self._pump(reader, call.writer))
        finally:
            writer.close()

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_both_schemes_go_through_a_tunnel(authority: Authority, scheme: str, version: str) -> None:
    tls = authority.server("bucket.test") if scheme == "https" else None
    async with Peer(forever(OK), tls=tls) as peer:
        proxy = Tunnel(peer.port, f"HTTP/{version} 200 Connection established\r\n\r\n".encode())
        async with (
            Peer(proxy) as front,
            Wire(
                limit=2,
                clock=HandClock(),
                ssl_context=authority.client(),
                proxy=Proxy("http", "127.0.0.1", front.port),
            ) as client,
        ):
            for _ in range(3):
                reply = await client.request(Origin(scheme, "bucket.test", 4430), get(), method="GET")
                assert reply.body == b"hi"
            async with client.stream(Origin(scheme, "bucket.test", 4430), get(), method="GET") as streamed:
                assert b"".join([bytes(piece) async for piece in streamed.chunks()]) == b"hi"
        assert proxy.heads == [b"CONNECT bucket.test:4430 HTTP/1.1\r\nHost: bucket.test:4430\r\n\r\n"]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_a_proxy_without_tunnel_is_a_failed_connection(answer: bytes) -> None:
    async with Peer(forever(OK)) as peer, Peer(Tunnel(peer.port, answer)) as front:
        async with Wire(limit=1, clock=HandClock(), proxy=Proxy("http", "127.0.0.1", front.port)) as client:
            for _ in range(2):
                with pytest.raises(ConnectFailed, match="tunnel"):
                    await client.request(Origin("http", "bucket.test", 80), get(), method="GET")
            assert client.stats.open == 0
        assert peer.heads == []


async def test_a_peer_behind_a_new_tunnel_that_dies_is_not_stale() -> None:
    async def play(call: Call) -> None:
        await call.request()

    async with (
        Peer(play) as peer,
        Peer(Tunnel(peer.port)) as front,
        Wire(limit=1, clock=HandClock(), proxy=Proxy("http", "127.0.0.1", front.port)) as client,
    ):
        with pytest.raises(PeerClosed) as caught:
            await client.request(Origin("http", "bucket.test", 80), get(), method="GET")
        assert not isinstance(caught.value, Stale)
        assert front.accepted == 1


def test_a_proxy_is_spoken_to_in_http() -> None:
    with pytest.raises(ValueError, match="proxy"):
        Wire(limit=1, clock=HandClock(), proxy=Proxy("https", "proxy.test", 443))

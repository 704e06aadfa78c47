"""New connections: addresses, TCP, the proxy's tunnel, TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

from engine.limiting.clock import Clock
from engine.limiting.open_files import none_left
from engine.model.location import Origin
from engine.model.proxy import Proxy
from engine.s3.wire.connection import READ, Connection
from engine.s3.wire.deadlines import Deadlines
from engine.s3.wire.errors import ConnectFailed, NoFileLeft, ProxyLogin, TimedOut, TlsFailed, WireError
from engine.s3.wire.exchange import Whole
from engine.s3.wire.names import Resolver, Sockaddr
from engine.s3.wire.reply import Reply


class Dialer:
    """Opens connections within ``connect_s`` seconds each, DNS to TLS.

    A proxy is asked for a tunnel (CONNECT) for http origins too, because request heads come ready made. The proxy looks
    up the origin's name itself: the resolver here sees the proxy's name only.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        connect_s: float,
        resolve: Resolver,
        proxy: Proxy | None,
        context: ssl.SSLContext | None,
    ) -> None:
        if proxy is not None and proxy.scheme != "http":
            raise ValueError("the proxy itself must be spoken to in http")
        if context is not None and not (context.verify_mode == ssl.CERT_REQUIRED and context.check_hostname):
            raise ValueError("the TLS context must verify certificates and host names")
        self.deadlines = Deadlines()
        self._clock = clock
        self._connect_s = connect_s
        self._resolve = resolve
        self._proxy = Origin("http", proxy.host, proxy.port) if proxy else None
        self._proxy_login = f"Proxy-Authorization: {proxy.login}\r\n" if proxy and proxy.login else ""
        self._context = context
        self._scratch = memoryview(bytearray(READ))

    async def dial(self, origin: Origin, due: float, on_lost: Callable[[Connection], None]) -> Connection:
        """A connection ready for a request. Raises ConnectFailed, TlsFailed, TimedOut, or what the resolver raises."""
        due = min(due, self._clock.monotonic() + self._connect_s)
        hop = self._proxy or origin
        addresses = await self._addresses(hop, due)
        sock = await self._reach(hop, addresses, due)
        connection = Connection(origin, on_lost, self._scratch)
        try:
            async with self.deadlines.until(due):
                await self._set_up(connection, sock)
        except TimeoutError:
            error: WireError = TimedOut(f"connecting to {origin.authority} took too long")
        except (ssl.SSLError, ssl.CertificateError) as cause:
            error = TlsFailed(f"TLS with {origin.authority} failed: {_reason(cause)}")
        except OSError as cause:
            error = ConnectFailed(f"connection to {origin.authority} broke off: {_reason(cause)}")
        except BaseException:
            connection.drop()
            raise
        else:
            return connection
        connection.drop()
        raise error from None

    async def _addresses(self, hop: Origin, due: float) -> list[Sockaddr]:
        try:
            async with self.deadlines.until(due):
                addresses = await self._resolve(hop.host, hop.port)
        except TimeoutError:
            raise TimedOut(f"no address of {hop.host} in time") from None
        except OSError as cause:
            raise ConnectFailed(f"no address of {hop.host}: {_reason(cause)}") from None
        if not addresses:
            raise ConnectFailed(f"no address of {hop.host}")
        return addresses

    async def _reach(self, hop: Origin, addresses: list[Sockaddr], due: float) -> socket.socket:
        """The first address that accepts. Each gets an even share of the time that is left."""
        loop = asyncio.get_running_loop()
        error: WireError | None = None
        for tried, address in enumerate(addresses):
            now = self._clock.monotonic()
            sock = _socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
            try:
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                async with self.deadlines.until(now + (due - now) / (len(addresses) - tried)):
                    await loop.sock_connect(sock, address)
            except TimeoutError:
                error = TimedOut(f"{hop.authority} does not accept connections in time")
            except OSError as cause:
                error = ConnectFailed(f"{hop.authority} refused the connection: {_reason(cause)}")
            except BaseException:
                sock.close()
                raise
            else:
                return sock
            sock.close()
        assert error is not None
        raise error

    async def _set_up(self, connection: Connection, sock: socket.socket) -> None:
        loop, origin = asyncio.get_running_loop(), connection.origin
        context = self._tls() if origin.scheme == "https" else None
        if self._proxy is None:
            name = origin.host if context is not None else None
            await loop.create_connection(lambda: connection, sock=sock, ssl=context, server_hostname=name)
            return
        await loop.create_connection(lambda: connection, sock=sock)
        await self._tunnel(connection)
        if context is not None:
            assert connection.transport is not None
            secured = await loop.start_tls(connection.transport, connection, context, server_hostname=origin.host)
            assert secured is not None
            connection.connection_made(secured)

    async def _tunnel(self, connection: Connection) -> None:
        authority = connection.origin.authority
        answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        exchange = Whole(answer, method="CONNECT", max_body=0)
        connection.begin(exchange, now=self._clock.monotonic(), due=float("inf"))
        head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{self._proxy_login}\r\n"
        connection.writer.send(head.encode("ascii"), None)
        try:
            reply = await answer
        except WireError as error:
            raise ConnectFailed(f"the proxy gave no tunnel: {error}") from None
        if reply.status == 407:
            raise ProxyLogin(f"the proxy gave no tunnel to {authority}: it wants a login, or another one")
        if not 200 <= reply.status < 300 or exchange.excess:
            raise ConnectFailed(f"the proxy gave no tunnel to {authority}: status {reply.status}")
        connection.finish()
        connection.uses = 0

    def _tls(self) -> ssl.SSLContext:
        if self._context is None:
            self._context = ssl.create_default_context()
        return self._context


def _socket(family: int) -> socket.socket:
    try:
        return socket.socket(family, socket.SOCK_STREAM)
    except OSError as cause:
        if none_left(cause):
            raise NoFileLeft(f"no connection for now: {_reason(cause)}") from None
        raise ConnectFailed(f"no connection: {_reason(cause)}") from None


def _reason(error: OSError | ValueError) -> str:
    """What the system says, without the rest of its repr."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError):
        return error.reason or "TLS error"
    return getattr(error, "strerror", None) or type(error).__name__

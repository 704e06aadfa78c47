"""One aiohttp session for plain http: nothing is decoded, only listed origins are reached, redirects are checked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aiohttp
from aiohttp.abc import AbstractResolver
from multidict import CIMultiDict
from yarl import URL

from engine.limiting.tls import trusting
from engine.model.base_url import is_loopback
from engine.model.byte_units import KIB
from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.hosts import origin_of
from engine.model.location import Origin
from engine.model.proxy import proxy_of
from engine.settings import NetworkSettings
from engine.web.faults import NETWORK_ERRORS, from_network
from engine.web.policy import GuardedResolver, hosts_of

HOPS = 3
"""Redirects that one request may follow."""
_CONNECT_S = 10.0
_READ_S = 60.0
_BUFFER = 256 * KIB
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class WebClient:
    """Sends requests to the origins that it was given, and to no other."""

    def __init__(self, client: aiohttp.ClientSession, origins: Collection[Origin], *, proxy: str | None = None) -> None:
        self._client = client
        self._origins = frozenset(origins)
        self._proxy = proxy

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        *,
        hops: int = HOPS,
        body: bytes | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, its body unread, after following up to ``hops`` redirects. ``url`` is in wire form.

        Headers go with every hop, so secrets among them need ``hops=0``. Raises Refused (``host_not_allowed``,
        ``redirected``, ``bad_url``) or Transient. The caller translates errors of reading the body.
        """
        target = _parsed(url)
        self._check(target, FailureClass.HOST_NOT_ALLOWED, "the URL leads")
        for hop in range(hops + 1):
            response = await self._send(method, target, headers or {}, body)
            try:
                onward = response.headers.get("Location") if response.status in _REDIRECTS else None
                if onward is None:
                    yield response
                    return
                if hop < hops:
                    target = _onward(target, onward)
                    self._check(target, FailureClass.REDIRECTED, f"{_host(target)}: a redirect leads")
            finally:
                response.release()
        raise Refused(FailureClass.REDIRECTED, f"{_host(target)} redirects" + (" again and again" if hops else ""))

    async def _send(
        self, method: str, target: URL, headers: Mapping[str, str], body: bytes | None
    ) -> aiohttp.ClientResponse:
        try:
            return await self._client.request(
                method, target, headers=CIMultiDict(headers), data=body, allow_redirects=False, proxy=self._proxy
            )
        except NETWORK_ERRORS as error:
            raise from_network(error, host=_host(target)) from None
        except ValueError:
            raise Refused(FailureClass.BAD_URL, "the URL cannot be asked for") from None

    def _check(self, target: URL, failure: FailureClass, lead: str) -> None:
        """Raise Refused unless the origin is listed."""
        if target.scheme not in {"http", "https"}:
            raise Refused(failure, f"{lead} to something else than http")
        try:
            origin = origin_of(target.scheme, target.raw_authority)
        except Refused as error:
            raise Refused(failure, f"{lead} nowhere: {error}") from None
        if origin not in self._origins:
            raise Refused(failure, f"{lead} to {origin}, which is not on the list of allowed hosts")


@asynccontextmanager
async def open_web(
    origins: Collection[Origin],
    network: NetworkSettings,
    *,
    connections: int = 100,
    private_hosts: Iterable[str] = (),
    names: AbstractResolver | None = None,
) -> AsyncIterator[WebClient]:
    """A client of these origins. Names in ``private_hosts`` may resolve to private addresses. Loopback addresses and
    ``localhost`` may always. ``names`` replaces the system's name service.
    """
    if network.loopback_only:  # our own links may lead to AWS, and doctor opens them
        origins = {each for each in origins if is_loopback(each.host)}
    proxy = proxy_of(network.proxy)
    connector = aiohttp.TCPConnector(
        limit=connections,
        ssl=trusting(network.ca_file),
        resolver=GuardedResolver(hosts_of(origins, private_hosts, proxy), names),
    )
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        read_bufsize=_BUFFER,
        headers={"Accept-Encoding": "identity", "User-Agent": "engine"},
    ) as client:
        yield WebClient(client, origins, proxy=proxy.url if proxy else None)


OpenWeb = Callable[..., AbstractAsyncContextManager[WebClient]]


def _parsed(url: str) -> URL:
    try:
        return URL(url, encoded=True)
    except ValueError:
        raise Refused(FailureClass.BAD_URL, "the URL cannot be asked for") from None


def _onward(target: URL, onward: str) -> URL:
    try:
        return target.join(URL(onward, encoded=True))
    except ValueError:
        raise Refused(FailureClass.REDIRECTED, f"{_host(target)} redirects to something that is no URL") from None


def _host(target: URL) -> str:
    return target.raw_host or "the server"

"""The HTTP client of the org: one aiohttp session with proxy, certificates, timeouts and size limits."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import aiohttp
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from engine.limiting.tls import trusting
from engine.model.byte_units import MIB
from engine.model.errors import Transient
from engine.model.failures import FailureClass
from engine.model.proxy import proxy_of
from engine.salesforce.faults import NETWORK_ERRORS, from_network
from engine.settings import NetworkSettings

CONNECTIONS = 16
"""At once. Salesforce counts requests of 20 s or more, and allows 25 of them (5 in small orgs)."""
LONGEST_ANSWER = 64 * MIB
"""Bytes, after decompression. A page of 2,000 narrow records is about 1 MB."""
LONGEST_REFUSAL = MIB
DEADLINE_S = 600.0
"""Salesforce itself ends any REST call after ten minutes."""
_LARGE = MIB
"""Bytes. A larger body is sent piece by piece, so that the event loop is not blocked."""
_CONNECT_S = 10.0
_READ_S = 150.0
"""A query may take two minutes before its first byte."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers and the whole body of one answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes


class Http:
    """Sends one request and reads the whole answer. Follows no redirect, keeps no cookie, retries nothing."""

    def __init__(self, client: aiohttp.ClientSession, *, proxy: str | None = None) -> None:
        self._client = client
        self._proxy = proxy

    async def send(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes | None = None) -> Answer:
        """One exchange; ``url`` is in wire form. Raises Transient or Blocked for what goes wrong below HTTP."""
        target = URL(url, encoded=True)
        data = io.BytesIO(body) if body is not None and len(body) >= _LARGE else body
        try:
            async with (
                asyncio.timeout(DEADLINE_S),
                self._client.request(
                    method,
                    target,
                    headers=CIMultiDict(headers),
                    data=data,
                    allow_redirects=False,
                    proxy=self._proxy,
                ) as response,
            ):
                answered = response.status
                return Answer(answered, response.headers, await (_bounded if answered < 300 else _beginning)(response))
        except NETWORK_ERRORS as error:
            raise from_network(error, host=target.host or "the server") from None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LONGEST_ANSWER:
            raise Transient(FailureClass.NETWORK, f"an answer of more than {LONGEST_ANSWER // MIB} MiB was cut off")
    return bytes(body)


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an error answer: the rest is not needed, and not read."""
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > LONGEST_REFUSAL:
            response.close()
            break
    return bytes(body[:LONGEST_REFUSAL])


@asynccontextmanager
async def open_http(network: NetworkSettings) -> AsyncIterator[Http]:
    """The client, closed at the end. It goes by ``network``, never by environment variables."""
    proxy = proxy_of(network.proxy)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=trusting(network.ca_file)),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_READ_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        headers={"Accept-Encoding": "gzip", "User-Agent": "engine"},
    ) as client:
        yield Http(client, proxy=proxy.url if proxy else None)


OpenHttp = Callable[[NetworkSettings], AbstractAsyncContextManager[Http]]

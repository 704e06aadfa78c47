"""A client of a raw server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from yarl import URL

from engine.limiting.clock import SystemClock
from engine.model.location import Location, Origin
from engine.settings import NetworkSettings
from engine.web.client import open_web
from engine.web.source import WebSource
from tests.support.servers.raw import Asked, RawServer, Sent


def origin(url: str) -> Origin:
    parts = URL(url)
    assert parts.host is not None
    assert parts.port is not None
    return Origin(parts.scheme, parts.host, parts.port)


def at(url: str, **more: Any) -> Location:
    return Location(origin(url), url, **more)


@asynccontextmanager
async def reading(
    script: Callable[[Asked], Sent] | Sent, *others: str, clock: Any = None
) -> AsyncIterator[tuple[WebSource, RawServer]]:
    """A source that may reach the scripted server, and ``others``."""
    said = script if callable(script) else lambda _: script
    async with RawServer(said).serve() as server:
        origins = [origin(url) for url in (server.url, *others)]
        async with open_web(origins, NetworkSettings()) as client:
            yield WebSource(client, clock or SystemClock()), server


async def body_of(source: WebSource, location: Location, facts: Any = None) -> bytes:
    async with source.open(location, facts) as stream:
        return b"".join([bytes(chunk) async for chunk in stream.chunks()])

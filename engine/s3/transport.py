"""Opens the S3 client of each side: our own wire or the SDK, with proxy and private CA."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

from engine.limiting.clock import Clock
from engine.model.errors import Blocked
from engine.s3.api.client import S3Client
from engine.s3.api.fast import FastClient
from engine.s3.api.sdk import SdkClient, open_sdk
from engine.s3.api.service import Service
from engine.s3.api.way_out import WayOut
from engine.s3.transfer.fast_path import SignedWire
from engine.s3.transfer.short_stream import ReadingWire
from engine.s3.wire.wire import Wire

Transport = Literal["fast", "sdk"]
SPARE = 16
"""Connections beyond one per worker: for HEADs, listings and parts."""
SILENCE_S = 180.0
"""The longest silence within one request; a copy of 5 GiB may think for a while."""


@dataclass(frozen=True, slots=True)
class Clients:
    """The clients of both sides, open."""

    source: S3Client
    destination: S3Client
    control: Callable[[], Awaitable[SdkClient]]
    """Opens the destination's SDK, for the questions that only it asks."""
    signed: SignedWire | None = None
    """The destination by our own wire."""
    reading: ReadingWire | None = None
    """The source by our own wire, where requests to it are signed."""


async def open_clients(
    stack: AsyncExitStack,
    transport: Transport,
    source: Service,
    destination: Service,
    *,
    clock: Clock,
    concurrency: int,
    out: WayOut,
) -> Clients:
    """Open both sides for the length of ``stack``, each behind its limiter.

    Each side has a wire of its own: a source's unread bodies must never keep the destination's writes waiting. Raises
    Usage where ``network.ca_file`` cannot be read, Blocked for a proxy that our wire does not know.
    """
    limit = concurrency + SPARE
    control = _Once(lambda: open_sdk(stack, destination, clock, connections=limit, out=out))
    if transport == "sdk":
        theirs = await open_sdk(stack, source, clock, connections=limit, out=out)
        return Clients(source.limited(theirs), destination.limited(await control()), control)

    if out.proxy is not None and out.proxy.scheme != "http":
        raise Blocked(
            "network.proxy must look like http://host:port, or http://user:password@host:port",
            hint="or run with --transport sdk, which knows other proxies",
        )

    async def wire() -> Wire:
        made = Wire(limit=limit, clock=clock, read_s=SILENCE_S, ssl_context=out.tls, proxy=out.proxy)
        return await stack.enter_async_context(made)

    there, here = await wire(), await wire()
    signed = SignedWire(here, destination.keyring, destination.address(destination.home, destination.region))
    reader = _fast(there, clock, source)
    reading = ReadingWire(there, source.keyring, reader.known, source.limiter, source.patience)
    return Clients(
        source.limited(reader),
        destination.limited(_fast(here, clock, destination)),
        control,
        signed,
        None if source.anonymous else reading,
    )


OpenClients = Callable[..., Awaitable[Clients]]


class _Once:
    """Opens a client when it is first wanted, and then gives the same one."""

    def __init__(self, opener: Callable[[], Awaitable[SdkClient]]) -> None:
        self._opener = opener
        self._opening = asyncio.Lock()
        self._client: SdkClient | None = None

    async def __call__(self) -> SdkClient:
        async with self._opening:
            if self._client is None:
                self._client = await self._opener()
            return self._client


def _fast(wire: Wire, clock: Clock, service: Service) -> FastClient:
    keys, roams = None if service.anonymous else service.keyring, service.endpoint_url is None
    return FastClient(wire, clock, keys, service.address, region=service.region, roams=roams, home=service.home)

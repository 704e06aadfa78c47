"""Opens the S3 client of each side: our own wire or the SDK, with proxy and private CA."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

from engine.limiting.clock import Clock
from engine.limiting.limiters import Limiters
from engine.limiting.tls import trusting
from engine.model.errors import Blocked
from engine.model.proxy import Proxy, proxy_of
from engine.s3.api.address import address_of
from engine.s3.api.client import S3Client
from engine.s3.api.credentials import Keyring
from engine.s3.api.fast import FastClient
from engine.s3.api.faults import Patience
from engine.s3.api.limited import LimitedClient
from engine.s3.api.sdk import SdkClient, open_sdk
from engine.s3.transfer.fast_path import SignedWire
from engine.s3.wire import Origin, Wire
from engine.settings import DestinationSettings, Settings, SourceSettings

Transport = Literal["fast", "sdk"]
SPARE = 16
"""Connections beyond one per worker: for looks, listings and parts."""
SILENCE_S = 180.0
"""The longest silence within one request; a copy of 5 GiB may think for a while."""


@dataclass(frozen=True, slots=True)
class Sides:
    source: S3Client
    destination: S3Client
    control: Callable[[], Awaitable[SdkClient]]
    """Opens the destination's SDK, for the questions that only it asks."""
    signed: SignedWire | None = None
    """The destination by our own wire."""


async def open_clients(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    transport: Transport,
    source_keys: Keyring,
    destination_keys: Keyring,
    limiters: Limiters,
    source_patience: Patience,
    destination_patience: Patience,
) -> Sides:
    """Open both sides for the length of ``stack``, each behind its limiter.

    Each side has a wire of its own: a source's unread bodies must never keep the destination's writes waiting. Raises
    Usage where ``network.ca_file`` cannot be read.
    """
    source, destination, network = settings.source, settings.destination, settings.network
    proxy = proxy_of(network.proxy)

    async def sdk(side: SourceSettings | DestinationSettings, keys: Keyring, *, anonymous: bool) -> SdkClient:
        await keys.found()  # a profile that is none is told in our words
        return await open_sdk(
            stack,
            keys.signing(),
            clock,
            endpoint_url=side.endpoint_url,
            region=side.region,
            anonymous=anonymous,
            concurrency=settings.migration.concurrency,
            network=network,
        )

    async def control() -> SdkClient:
        async with opening:
            if not opened:
                opened.append(await sdk(destination, destination_keys, anonymous=False))
        return opened[0]

    def from_source(client: S3Client) -> LimitedClient:
        return LimitedClient(client, limiters.source, source_patience)

    def to_destination(client: S3Client) -> LimitedClient:
        return LimitedClient(client, limiters.destination, destination_patience)

    opened: list[SdkClient] = []
    opening = asyncio.Lock()
    if transport == "sdk":
        source_sdk = await sdk(source, source_keys, anonymous=source.anonymous)
        return Sides(from_source(source_sdk), to_destination(await control()), control)

    tunnel = _tunnel(proxy)

    async def wire() -> Wire:
        return await stack.enter_async_context(
            Wire(
                limit=settings.migration.concurrency + SPARE,
                clock=clock,
                read_s=SILENCE_S,
                ssl_context=trusting(network.ca_file),
                proxy=tunnel,
                proxy_login=proxy.login if proxy else "",
            )
        )

    def fast(
        over: Wire, side: SourceSettings | DestinationSettings, keys: Keyring | None, home: str = ""
    ) -> FastClient:
        return FastClient(
            over,
            clock,
            keys,
            lambda bucket, region: address_of(bucket, region, side.endpoint_url),
            region=side.region,
            roams=side.endpoint_url is None,
            home=home,
        )

    back, out = await wire(), await wire()
    home = address_of(destination.bucket, destination.region, destination.endpoint_url)
    return Sides(
        from_source(fast(back, source, None if source.anonymous else source_keys)),
        to_destination(fast(out, destination, destination_keys, destination.bucket)),
        control,
        SignedWire(out, destination_keys, home),
    )


OpenClients = Callable[..., Awaitable[Sides]]


def _tunnel(proxy: Proxy | None) -> Origin | None:
    """Where the wire asks for tunnels. Raises Blocked where it cannot."""
    if proxy is None:
        return None
    if proxy.scheme != "http":
        raise Blocked(
            "network.proxy must look like http://host:port, or http://user:password@host:port",
            hint="or run with --transport sdk, which knows other proxies",
        )
    return Origin("http", proxy.host, proxy.port)

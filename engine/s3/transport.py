"""Which implementation carries the verbs of each side, and its way out: proxy and private CA."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal

from engine.pacing.clock import Clock
from engine.s3.credentials import Keyring
from engine.s3.sdk import SdkVerbs, open_sdk
from engine.s3.verbs import Verbs
from engine.settings import DestinationSettings, Settings, SourceSettings

Transport = Literal["fast", "sdk"]


@dataclass(frozen=True, slots=True)
class Sides:
    source: Verbs
    destination: Verbs


async def open_verbs(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    transport: Transport,
    source_keys: Keyring,
    destination_keys: Keyring,
) -> Sides:
    """Open both sides for the length of ``stack``."""

    async def sdk(side: SourceSettings | DestinationSettings, keys: Keyring, *, anonymous: bool) -> SdkVerbs:
        network = settings.network
        return await open_sdk(
            stack,
            keys.session,
            endpoint_url=side.endpoint_url,
            region=side.region,
            anonymous=anonymous,
            concurrency=settings.migration.concurrency,
            proxy=network.proxy,
            ca_file=str(network.ca_file) if network.ca_file else None,
        )

    source = await sdk(settings.source, source_keys, anonymous=settings.source.anonymous)
    destination = await sdk(settings.destination, destination_keys, anonymous=False)
    return Sides(source, destination)

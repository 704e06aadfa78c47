"""Peers that send a byte now and then: no wait for a body is without an end, on either transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from engine.limiting.limiter import Limiter
from engine.model.errors import Transient
from engine.model.facts import ObjectFacts
from engine.rehearsal.objects import ObjectServer
from engine.s3.api.answers import StoreError
from engine.s3.api.credentials import Keyring
from engine.s3.api.faults import Patience, Side
from engine.s3.api.sdk import open_sdk
from engine.s3.api.service import Service
from engine.s3.api.way_out import WayOut
from engine.s3.open import S3, keys_in, open_s3
from tests.support.s3 import at, settings_for
from tests.support.wire import Call, HandClock, Peer, Script

BIG = 100_000_000
LISTED = ObjectFacts(BIG, "e" * 32)
FOUND = b'HTTP/1.1 200 OK\r\nETag: "%s"\r\nContent-Length: %d\r\n\r\n' % (b"e" * 32, BIG)
DENIED = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 5000\r\n\r\n"


def drips(head: bytes, clock: HandClock, times: int = 30) -> Script:
    """Answer with a head, then with a byte every ten seconds, then with nothing."""

    async def play(call: Call) -> None:
        await call.request()
        await call.write(head)
        for _ in range(times):
            clock.advance(10)
            await call.write(b"<")
            await asyncio.sleep(0)
        await call.hang()

    return play


def served(peer: Peer) -> ObjectServer:
    return ObjectServer(f"http://127.0.0.1:{peer.port}", "key", "secret", "us-east-1", 0)


@asynccontextmanager
async def facing(head: bytes, transport: Any) -> AsyncIterator[S3]:
    clock = HandClock()
    async with (
        Peer(drips(head, clock)) as peer,
        open_s3(settings_for(served(peer)), clock, transport=transport) as s3,
        asyncio.timeout(20),
    ):
        yield s3


@pytest.mark.parametrize("transport", ["fast", "sdk"])
@pytest.mark.parametrize("facts", [LISTED, None], ids=["listed", "unlisted"])
async def test_a_body_that_drips_is_given_up(transport: Any, facts: ObjectFacts | None) -> None:
    async with facing(FOUND, transport) as s3:
        with pytest.raises(Transient, match="TimedOut"):
            async with s3.source.open(at("vendor", "a"), facts) as stream:
                [chunk async for chunk in stream.chunks()]


async def test_a_body_that_drips_into_memory_is_given_up() -> None:
    async with facing(FOUND, "fast") as s3, s3.source.open(at("vendor", "a"), LISTED) as stream:
        assert stream.fill is not None
        with pytest.raises(Transient, match="TimedOut"):
            await stream.fill(memoryview(bytearray(1 << 20)))


async def test_the_sdk_gives_up_a_refusal_that_drips_whatever_its_request_may_take() -> None:
    clock = HandClock()
    async with (
        Peer(drips(DENIED, clock)) as peer,
        AsyncExitStack() as stack,
        asyncio.timeout(20),
    ):
        settings = settings_for(served(peer))
        keyring = Keyring(clock, Side.DESTINATION, keys=keys_in(settings.destination))
        patience, limiter = Patience(clock, Side.DESTINATION), Limiter(clock, most=1)
        service = Service(settings.destination.endpoint_url, "us-east-1", keyring, patience, limiter)
        client = await open_sdk(
            stack,
            service,
            clock,
            connections=1,
            out=WayOut(),
            refusal_s=0.2,
        )
        with pytest.raises(StoreError, match="TimedOut"):
            await client.copy("ours", "k", {"x-amz-copy-source": "vendor/a"}, size=5_000_000_000)

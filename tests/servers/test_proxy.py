"""The fault proxy passes everything on, except what a rule spoils."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import aiohttp
import pytest

from engine.rehearsal.content import content_of
from engine.rehearsal.objects import ObjectServer
from tests.support.servers.capture import Double, Recorded, Reply, capture_server
from tests.support.servers.client import client_of
from tests.support.servers.proxy import FaultProxy, Rule, fault_proxy

BODY = content_of("body", 200_000)


def _echo(request: Recorded) -> Reply:
    return Reply(200, {"X-Got": str(len(request.body))}, BODY)


@contextlib.asynccontextmanager
async def _standing(*rules: Rule) -> AsyncIterator[tuple[FaultProxy, Double, aiohttp.ClientSession]]:
    async with (
        capture_server(otherwise=_echo) as double,
        fault_proxy(double.url, *rules) as proxy,
        aiohttp.ClientSession() as session,
    ):
        yield proxy, double, session


async def _get(session: aiohttp.ClientSession, url: str) -> bytes:
    async with session.get(url) as answer:
        return await answer.read()


async def test_without_rules_every_byte_passes_both_ways_on_kept_connections() -> None:
    async with _standing() as (proxy, double, session):
        for size in (0, 1, 300_000):
            async with session.put(f"{proxy.url}/a?b=c", data=content_of("up", size)) as answer:
                assert (answer.headers["X-Got"], await answer.read()) == (str(size), BODY)

    assert [request.body for request in double.requests] == [content_of("up", size) for size in (0, 1, 300_000)]
    assert (proxy.connections, proxy.exchanges) == (1, 3)


async def test_a_request_that_asks_before_it_sends_its_body_is_one_exchange() -> None:
    async with (
        _standing(Rule("flip", at=5, nth=(1,))) as (proxy, double, session),
        session.put(f"{proxy.url}/a", data=b"x" * 10, expect100=True) as answer,
    ):
        body = await answer.read()

    assert double.requests[0].body == b"x" * 10
    assert (proxy.exchanges, sum(a != b for a, b in zip(body, BODY, strict=True))) == (1, 1)


@pytest.mark.parametrize(("when", "applied"), [("before", []), ("after", ["/a"])])
async def test_a_reset_comes_before_or_after_the_request_was_passed_on(when: str, applied: list[str]) -> None:
    rule = Rule("reset", when="before" if when == "before" else "after")
    async with _standing(rule) as (proxy, double, session):
        with pytest.raises((aiohttp.ClientConnectionError, ConnectionResetError)):
            await session.post(f"{proxy.url}/a", data=b"abc")  # aiohttp itself repeats a PUT

    assert [request.path for request in double.requests] == applied


@pytest.mark.parametrize("hard", [False, True])
async def test_a_cut_ends_the_answer_after_so_many_bytes(hard: bool) -> None:
    got = b""

    async def read(answer: aiohttp.ClientResponse) -> None:
        nonlocal got
        while data := await answer.content.read(1000):
            got += data

    async with _standing(Rule("cut", at=70_000, hard=hard)) as (proxy, _, session), session.get(proxy.url) as answer:
        assert answer.content_length == len(BODY)
        with pytest.raises((aiohttp.ClientPayloadError, aiohttp.ClientConnectionError, ConnectionResetError)):
            await read(answer)

    assert BODY.startswith(got)
    assert len(got) == 70_000 or (hard and len(got) <= 70_000)  # RST may overtake what was sent


async def test_a_stalled_answer_never_ends_by_itself() -> None:
    async with _standing(Rule("stall", at=10)) as (proxy, _, session), session.get(proxy.url) as answer:
        assert await answer.content.readexactly(10) == BODY[:10]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await answer.content.readexactly(1)


async def test_a_delayed_answer_is_right_but_late() -> None:
    async with _standing(Rule("delay", seconds=0.2)) as (proxy, _, session):
        start = time.monotonic()

        assert await _get(session, proxy.url) == BODY

    assert time.monotonic() - start >= 0.2


async def test_a_dripped_answer_arrives_whole() -> None:
    async with _standing(Rule("drip", piece=50_000, seconds=0.01)) as (proxy, _, session):
        start = time.monotonic()

        assert await _get(session, proxy.url) == BODY

    assert time.monotonic() - start >= 0.04


async def test_a_flip_changes_one_byte_at_its_place() -> None:
    async with _standing(Rule("flip", at=100_000)) as (proxy, _, session):
        got = await _get(session, proxy.url)

    assert [place for place, (a, b) in enumerate(zip(got, BODY, strict=True)) if a != b] == [100_000]


async def test_rules_pick_heads_numbers_and_connections() -> None:
    rules = [Rule("flip", head=rb"^GET /a", nth=(2,)), Rule("flip", connections=(2,))]
    async with _standing(*rules) as (proxy, _, session):
        spoilt = [await _get(session, f"{proxy.url}/{name}") != BODY for name in "abaa"]
        async with aiohttp.ClientSession() as second:
            spoilt.append(await _get(second, f"{proxy.url}/b") != BODY)

    assert spoilt == [False, False, True, False, True]
    assert dict(proxy.fired) == {0: 1, 1: 1}


async def test_a_seeded_rate_hits_the_same_requests_each_time() -> None:
    hits = []
    for _ in range(2):
        async with _standing(Rule("reset", rate=0.3, seed=11)) as (proxy, double, session):
            for number in range(60):
                with contextlib.suppress(aiohttp.ClientConnectionError, ConnectionResetError):
                    await session.post(f"{proxy.url}/{number}")  # aiohttp itself repeats a GET
            hits.append({request.path for request in double.requests})

    assert hits[0] == hits[1]
    assert 30 < len(hits[0]) < 55


async def test_new_rules_take_the_place_of_the_old() -> None:
    async with _standing(Rule("reset")) as (proxy, _, session):
        proxy.misbehave()

        assert await _get(session, proxy.url) == BODY


@pytest.mark.swift
async def test_signed_requests_pass_to_a_strict_server(swift: ObjectServer) -> None:
    async with fault_proxy(swift.url, Rule("flip", head=rb"^GET ", at=7)) as proxy:
        through = ObjectServer(proxy.url, swift.access_key, swift.secret_key, swift.region, swift.pid)

        def put_and_get() -> bytes:
            client = client_of(through)
            client.create_bucket(Bucket="proxied")
            client.put_object(Bucket="proxied", Key="a", Body=BODY)
            return bytes(client.get_object(Bucket="proxied", Key="a")["Body"].read())

        got = await asyncio.to_thread(put_and_get)

    assert [place for place, (a, b) in enumerate(zip(got, BODY, strict=True)) if a != b] == [7]

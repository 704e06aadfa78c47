"""The short way of a stream: when it is open, what it sends, and what it makes of answers that are no plain success."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from engine.limiting.byte_budget import BytesInFlight
from engine.limiting.limiters import Limiters
from engine.model.byte_units import MIB
from engine.model.facts import ObjectFacts
from engine.s3.open import S3, open_s3
from engine.s3.transfer.fast_path import TRIED
from engine.s3.transfer.short_stream import UP_TO, Streamed
from tests.support.fakes.clock import ManualClock
from tests.support.s3 import at, settings_for
from tests.support.s3_double import ETAG, MD5, OPTIONS, OURS, PLACED, aws, by, document, holds
from tests.support.servers.capture import RESET, Double, Reply, Script, capture_server

LISTED = ObjectFacts(5, MD5)
OF_ONE_REQUEST = {"authorization", "x-amz-date"}


class Lane:
    """The short way between scripted stores, with what it takes and must give back."""

    def __init__(self, s3: S3, double: Double, limiters: Limiters, budget: BytesInFlight) -> None:
        self.s3, self.double, self.limiter, self.budget = s3, double, limiters.source, budget

    async def copy(self, key: str = "k", facts: ObjectFacts = LISTED) -> Streamed | None:
        assert self.s3.short_stream is not None
        copying = self.s3.short_stream.copy(at("vendor", "ä b+c"), facts, key)
        assert copying is not None
        return await copying

    async def closed(self, facts: ObjectFacts = LISTED, **source: str) -> bool:
        """Whether it takes nothing now."""
        assert self.s3.short_stream is not None
        copying = self.s3.short_stream.copy(at("vendor", "a", **source), facts, "k")
        if copying is not None:
            await copying
        return copying is None


@asynccontextmanager
async def lane(*answers: Script, **sections: Any) -> AsyncIterator[Lane]:
    """A source that is well, then gives these answers. One connection to it is open and idle."""
    clock, budget = ManualClock(), BytesInFlight(16 * MIB)
    async with capture_server(Reply(200), *answers, otherwise=aws) as double:
        limiters = Limiters(clock, 8)
        settings = settings_for(double.server, **sections)
        async with open_s3(settings, clock, limiters=limiters, budget=budget) as s3:
            await s3.source.check("vendor")
            async with s3.source.open(at("vendor", "x"), LISTED):  # so that it is known where the bucket answers
                pass
            double.requests.clear()
            yield Lane(s3, double, limiters, budget)
            assert (limiters.source.in_flight, limiters.destination.in_flight, budget.held) == (0, 0, 0)


async def test_it_sends_what_the_usual_way_sends() -> None:
    async with lane(aws, **OPTIONS) as way:
        done = await way.copy()
        async with way.s3.source.open(at("vendor", "ä b+c"), LISTED) as stream:
            assert stream.whole == b"hello"
        quick, usual = by(way.double, "GET")
        (put, *_) = by(way.double, "PUT")

        assert done is not None
        found, stored = done
        assert (found, stored.facts.etag, stored.read_bytes) == (stream.facts, MD5, 5)
        assert (quick.target, quick.body) == (usual.target, usual.body)
        assert set(quick.headers) == set(usual.headers)
        assert holds(quick, {name: value for name, value in usual.headers.items() if name not in OF_ONE_REQUEST})
        assert put.body == b"hello"
        assert holds(put, {**PLACED, **OURS, "if-none-match": "*"})


async def test_headers_and_tags_travel_along() -> None:
    dressed = Reply(200, {**ETAG, "Content-Type": "text/plain", "x-amz-tagging-count": "1"}, b"hello")
    tags = b"<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
    async with lane(aws, dressed, Reply(200, {}, tags)) as way:
        assert await way.copy() is not None
        (put, *_) = by(way.double, "PUT")
        assert holds(put, {"content-type": "text/plain", "x-amz-tagging": "a=b"})


@pytest.mark.parametrize(
    "facts",
    [
        replace(LISTED, size=None),
        replace(LISTED, size=0),
        replace(LISTED, size=UP_TO + 1),
        replace(LISTED, etag_is_md5=False),
        replace(LISTED, archived=True),
    ],
)
async def test_it_takes_nothing_that_needs_more_than_one_plain_request(facts: ObjectFacts) -> None:
    async with lane(aws) as way:
        assert await way.closed(facts)
        assert await way.closed(version_id="v1")
        assert way.double.requests == []


async def test_it_gives_way_while_there_is_no_memory_or_the_limiter_is_full() -> None:
    async with lane(aws) as way:
        taken = await way.budget.claim(14 * MIB)
        assert await way.closed(replace(LISTED, size=3 * MIB))
        way.budget.release(taken)
        tickets = [way.limiter.enter() for _ in range(8)]
        assert await way.closed()
        for ticket in tickets:
            way.limiter.left(ticket)
        assert await way.copy() is not None


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, {"ETag": '"' + "ab" * 16 + '"'}, b"hello"),
        Reply(200, ETAG, b"hell"),
        Reply(200, ETAG, b"hello, world"),
        Reply(200, {**ETAG, "Transfer-Encoding": "chunked"}, b"5\r\nhello\r\n0\r\n\r\n", length=False),
        Reply(200, ETAG, b"hello", length=False, then="close"),
        Reply(206, ETAG, b"hello"),
        Reply(404, {}, document("Error", Code="NoSuchKey")),
        Reply(403, {}, document("Error", Code="InvalidObjectState")),
        Reply(412, {}, document("Error", Code="PreconditionFailed")),
        Reply(301, {"Location": "http://elsewhere/"}),
        Reply(200, ETAG, b"hello", cut=3),
        Reply(200, ETAG, b"jello"),
        RESET,
        b"HTTP/1.1 2oo what\r\n\r\n",
    ],
)
async def test_anything_but_a_plain_success_is_left_to_the_usual_way(answer: Script) -> None:
    async with lane(aws, answer) as way:
        done = await way.copy()
        if done is None:
            assert by(way.double, "PUT") == []
        else:  # the destination's MD5 shows what came: that is for the proof to see
            assert done[1].facts.etag != MD5


@pytest.mark.parametrize("answer", [Reply(503, {}, document("Error", Code="SlowDown")), Reply(429)])
async def test_the_limiter_hears_of_a_refusal(answer: Reply) -> None:
    async with lane(aws, answer) as way:
        assert await way.copy() is None
        assert way.limiter.refusals == 1


async def test_a_taken_key_stays_as_it_is_and_many_close_the_way() -> None:
    def taken(request: Any) -> Reply:
        if request.method == "PUT":
            return Reply(412, {}, document("Error", Code="PreconditionFailed", Condition="If-None-Match"))
        return Reply(200, {**ETAG, "Content-Length": "5"}, length=False) if request.method == "HEAD" else aws(request)

    async with lane(aws) as way:
        way.double.otherwise = taken
        for _ in range(TRIED + 1):
            assert await way.copy() is None
        assert await way.closed()


async def test_what_is_cut_short_leaves_nothing_taken() -> None:
    async def never(_request: Any) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async with lane(aws, never) as way:
        task = asyncio.create_task(way.copy())
        await way.double.asked(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

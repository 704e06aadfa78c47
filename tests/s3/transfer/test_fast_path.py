"""When the short way is open, what it sends, and what it makes of answers that no well-behaved store gives."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from engine.limiting.limiters import Limiters
from engine.model.facts import ObjectFacts, Stored
from engine.s3.api.head_template import STAMP_S
from engine.s3.open import S3, open_s3
from engine.s3.transfer.conditions import Conditional
from engine.s3.transfer.fast_path import TOLERATED, TRIED, FastPath
from tests.support.fakes.clock import ManualClock
from tests.support.s3 import at, settings_for
from tests.support.s3_double import COPIES, ETAG, MD5, OPTIONS, OURS, PLACED, document, holds
from tests.support.servers.capture import RESET, Double, Recorded, Reply, Script, capture_server

LISTED = ObjectFacts(5, MD5)
QUOTED = f"&quot;{MD5}&quot;"
DONE = Reply(200, {}, document("CopyObjectResult", LastModified="2026-11-22T10:00:00.000Z", ETag=QUOTED))


class Lane:
    """The short way to a scripted store, with the limiter and the clock that it goes by."""

    def __init__(self, s3: S3, double: Double, limiters: Limiters, clock: ManualClock) -> None:
        assert s3.fast_path is not None
        self.fast_path: FastPath = s3.fast_path
        self.s3, self.double, self.limiter, self.clock = s3, double, limiters.destination, clock

    async def copy(self, key: str = "k", facts: ObjectFacts = LISTED) -> Stored | None:
        copying = self.fast_path.copy(at("vendor", "ä b+c"), facts, key)
        assert copying is not None
        return await copying

    async def closed(self, facts: ObjectFacts = LISTED, **source: str) -> bool:
        """Whether it takes no copy now."""
        copying = self.fast_path.copy(at("vendor", "a", **source), facts, "k")
        if copying is not None:
            await copying
        return copying is None


@asynccontextmanager
async def lane(*answers: Script, verdict: Conditional = Conditional.HONOURED, **sections: Any) -> AsyncIterator[Lane]:
    """A store that is well, then gives these answers. One connection is open and idle."""
    clock = ManualClock()

    def well(request: Recorded) -> Reply:
        return Reply(200, {**ETAG, "Content-Length": "5"}, length=False) if request.method == "HEAD" else DONE

    async with capture_server(Reply(200), *answers, otherwise=well) as double:
        limiters = Limiters(clock, 8)
        async with open_s3(settings_for(double.server, **sections), clock, limiters=limiters) as s3:
            await s3.destination.check()
            s3.destination.copies.verdict = verdict
            yield Lane(s3, double, limiters, clock)
            assert limiters.destination.in_flight == 0


async def test_it_sends_what_the_usual_way_sends() -> None:
    async with lane(**OPTIONS) as way:
        stored = await way.copy("k é")
        await way.s3.destination.copy(at("vendor", "ä b+c"), LISTED, "k é")
        quick, usual = way.double.requests[1:]

        assert stored is not None
        assert (stored.facts.etag, stored.facts.size, stored.facts.etag_is_md5) == (MD5, 5, True)
        assert (quick.method, quick.target, quick.body) == (usual.method, usual.target, usual.body)
        assert quick.headers == usual.headers
        assert holds(quick, {**PLACED, **OURS, **COPIES, "if-none-match": "*"})
        assert quick.headers["x-amz-copy-source-if-match"] == f'"{MD5}"'


async def test_its_date_goes_with_the_clock() -> None:
    async with lane() as way:
        await way.copy()
        way.clock.advance(STAMP_S)
        way.clock.advance(1.0)
        await way.copy()
        first, second = (request.headers["x-amz-date"] for request in way.double.requests[1:])
        assert first < second


@pytest.mark.parametrize("verdict", [each for each in Conditional if each is not Conditional.HONOURED])
async def test_it_is_closed_where_a_condition_does_not_keep_a_key_from_being_overwritten(verdict: Conditional) -> None:
    async with lane(verdict=verdict) as way:
        assert await way.closed()


@pytest.mark.parametrize(
    "facts",
    [
        ObjectFacts(None, MD5),
        ObjectFacts(6 << 30, MD5),
        ObjectFacts(5, MD5, etag_is_md5=False),
    ],
)
async def test_it_takes_nothing_that_needs_more_than_one_plain_request(facts: ObjectFacts) -> None:
    async with lane() as way:
        assert await way.closed(facts)
        assert await way.closed(version_id="v1")


async def test_it_gives_way_while_no_connection_is_idle_or_the_limiter_is_full() -> None:
    release = asyncio.Event()

    async def slow(_request: Any) -> Reply:
        await release.wait()
        return DONE

    async with lane(slow) as way:
        first = asyncio.create_task(way.copy("one"))
        await way.double.asked(2)
        assert await way.closed()
        assert way.limiter.in_flight == 1
        release.set()
        assert await first is not None
        tickets = [way.limiter.enter() for _ in range(8)]
        assert await way.closed()
        for ticket in tickets:
            way.limiter.left(ticket)
        assert not await way.closed()


@pytest.mark.parametrize(
    "answer",
    [
        Reply(200, {}, document("Error", Code="InternalError", Message="after all")),
        Reply(200, {}, b""),
        Reply(200, {}, document("CopyObjectResult")),
        Reply(200, {}, document("CopyPartResult", ETag=QUOTED)),
        Reply(200, {}, DONE.body[:-5]),
        Reply(204),
        Reply(412, {}, document("Error", Code="PreconditionFailed", Condition="If-None-Match")),
        Reply(404, {}, document("Error", Code="NoSuchKey")),
        Reply(403, {}, document("Error", Code="AccessDenied")),
        Reply(301, {"Location": "http://elsewhere/"}),
        Reply(500, {}, b"<html>"),
        RESET,
        b"HTTP/1.1 2oo what\r\n\r\n",
    ],
)
async def test_anything_but_a_plain_success_is_left_to_the_usual_way(answer: Script) -> None:
    async with lane(answer) as way:
        assert await way.copy() is None
        assert way.limiter.refusals == 0


@pytest.mark.parametrize("answer", [Reply(503, {}, document("Error", Code="SlowDown")), Reply(429)])
async def test_the_limiter_hears_of_a_refusal(answer: Reply) -> None:
    async with lane(answer) as way:
        assert await way.copy() is None
        assert way.limiter.refusals == 1


async def test_a_silent_store_is_given_up_and_told_to_the_limiter() -> None:
    async def never(_request: Any) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async with lane(never) as way:
        task = asyncio.create_task(way.copy())
        await way.double.asked(2)
        way.clock.advance(61.0)
        assert await task is None
        assert way.limiter.timeouts == 1


async def test_a_copy_that_is_cut_short_leaves_nothing_taken() -> None:
    async def never(_request: Any) -> Reply:
        await asyncio.Event().wait()
        raise AssertionError

    async with lane(never) as way:
        task = asyncio.create_task(way.copy())
        await way.double.asked(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert way.limiter.in_flight == 0


@pytest.mark.parametrize(
    ("headers", "fields", "md5"),
    [
        ({"x-amz-server-side-encryption": "AES256", "x-amz-request-id": "1"}, {"ETag": QUOTED}, True),
        ({"x-amz-server-side-encryption": "aws:kms"}, {"ETag": QUOTED}, False),
        ({"x-amz-server-side-encryption-customer-algorithm": "AES256"}, {"ETag": QUOTED}, False),
        ({"x-amz-version-id": "v1"}, {"ETag": QUOTED}, True),
        ({}, {"ETag": QUOTED, "ChecksumCRC64NVME": "AAAAAAAAAAA=", "ChecksumType": "FULL_OBJECT"}, True),
        ({}, {"ETag": "&quot;" + "ab" * 16 + "-2&quot;"}, False),
        ({}, {"ETag": "&quot;" + hashlib.md5(b"other").hexdigest() + "&quot;"}, True),
    ],
)
async def test_it_reads_an_answer_as_the_usual_way_does(
    headers: dict[str, str], fields: dict[str, str], md5: bool
) -> None:
    answer = Reply(200, headers, document("CopyObjectResult", **fields))
    async with lane(answer, answer) as way:
        quick = await way.copy()
        usual = await way.s3.destination.copy(at("vendor", "a"), ObjectFacts(5, MD5), "k")

        assert quick is not None
        assert quick.facts.etag_is_md5 is md5
        if md5 and quick.facts.etag == MD5:
            assert quick.facts == usual.facts


UNTIED = Reply(200, {"x-amz-server-side-encryption": "aws:kms"}, DONE.body)


async def test_it_closes_where_etags_prove_nothing() -> None:
    async with lane(*[UNTIED] * 40) as way:
        made = 0
        while not await way.closed():
            made += 1
        assert made == TRIED + 1


async def test_a_few_copies_that_their_etags_do_not_prove_close_nothing() -> None:
    async with lane(*([UNTIED] + [DONE] * (TOLERATED - 1)) * (TRIED + 3)) as way:
        for _ in range(TOLERATED * (TRIED + 3)):
            assert not await way.closed()

"""Seven hazards of the S3 client stack (redirects, empty successes, lost answers, short bodies, starved retries, codes
that nobody retries, clogged pools), each on both transports."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import AsyncExitStack
from typing import Any

import pytest

from engine.model.byte_units import MIB
from engine.model.errors import Blocked, Refused, Transient
from engine.model.facts import ObjectFacts, Occupied
from engine.model.failures import FailureClass
from engine.s3.open import S3
from tests.support.s3 import Bytes, at
from tests.support.s3_double import aws, document, facing
from tests.support.servers.capture import RESET, Double, Recorded, Reply, capture_server

FACTS = ObjectFacts(5, "e" * 32)


@pytest.fixture(params=["fast", "sdk"])
def transport(request: pytest.FixtureRequest) -> Any:
    return request.param


async def learned(s3: S3, double: Double) -> None:
    """Let both guards learn that conditions are honoured."""
    free, taken = Reply(404), Reply(412)
    copied = Reply(200, {}, document("CopyObjectResult", ETag="e" * 32))
    double.script(free, Reply(200, {"ETag": '"e"'}), taken, free, copied, taken)
    await s3.destination.store(Bytes(b"x"), "first")
    await s3.destination.copy(at("vendor", "a"), FACTS, "second")
    double.requests.clear()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_h1_no_redirect_is_followed_and_no_token_leaves(transport: Any, status: int) -> None:
    async with capture_server(otherwise=Reply(200, {"ETag": '"evil"'}, b"evil")) as evil:
        moved = Reply(status, {"Location": f"{evil.url}/vendor/a"})
        async with facing(transport, otherwise=moved) as (s3, double):
            with pytest.raises((Refused, Blocked)):
                async with s3.source.open(at("vendor", "a"), None):
                    pass
            with pytest.raises((Refused, Blocked)):
                await s3.source.facts(at("vendor", "a"))
            with pytest.raises((Refused, Blocked)):
                await s3.destination.store(Bytes(b"secret"), "k")
            assert double.requests
        assert evil.connections == 0


@pytest.mark.parametrize(
    "body", [b"", b"  \n", b"<Error><Code>InternalError</Code></Error>", b"<CopyObjectResult>", b"<CopyObjectResult/>"]
)
async def test_h2_a_copy_that_succeeds_without_an_etag_is_no_success(transport: Any, body: bytes) -> None:
    async with facing(transport, Reply(404), otherwise=Reply(200, {}, body)) as (s3, _):
        with pytest.raises(Transient):
            await s3.destination.copy(at("vendor", "a"), FACTS, "k")


async def test_h2_a_put_that_succeeds_without_an_etag_is_no_success(transport: Any) -> None:
    async with facing(transport, Reply(404), Reply(200)) as (s3, _):
        with pytest.raises(Transient, match="NoETag"):
            await s3.destination.store(Bytes(b"x"), "k")


async def test_h2_a_completion_with_an_empty_body_is_looked_into_and_not_believed(transport: Any) -> None:
    def answer(request: Recorded) -> Reply:
        if request.method == "POST" and "uploadId" in request.target:
            return Reply(200)
        return Reply(204) if request.method == "DELETE" else aws(request)

    async with facing(transport, otherwise=answer) as (s3, double):
        with pytest.raises(Transient):
            await s3.destination.store(Bytes([b"x" * MIB] * 6), "k")
        assert [each.method for each in double.requests][-1] == "DELETE"


async def test_h3_a_lost_answer_leads_to_what_is_there_not_to_a_failure(transport: Any) -> None:
    md5 = hashlib.md5(b"hello").hexdigest()
    there = Reply(200, {"ETag": f'"{md5}"', "Content-Length": "5"}, length=False)
    async with facing(transport) as (s3, double):
        await learned(s3, double)
        double.otherwise = RESET  # stored, and the answer lost
        with pytest.raises(Transient) as lost:
            await s3.destination.store(Bytes(b"hello"), "k")
        assert lost.value.failure is FailureClass.NETWORK
        double.script(Reply(412), there)
        with pytest.raises(Occupied) as ours:
            await s3.destination.store(Bytes(b"hello"), "k")
        assert ours.value.facts.etag == md5


async def test_h3_a_completion_whose_answer_was_lost_is_recognised(transport: Any) -> None:
    state = {"completed": 0}
    etags = [hashlib.md5(b"x" * n * MIB).digest() for n in (5, 1)]
    whole = f"{hashlib.md5(b''.join(etags)).hexdigest()}-2"

    def answer(request: Recorded) -> Reply:
        if request.method == "PUT":
            return Reply(200, {"ETag": f'"{hashlib.md5(request.body).hexdigest()}"'})
        if request.method == "POST" and "uploadId" in request.target:
            state["completed"] += 1
            return RESET if state["completed"] == 1 else Reply(404, {}, document("Error", Code="NoSuchUpload"))
        if request.method == "HEAD" and state["completed"]:
            return Reply(200, {"ETag": f'"{whole}"', "Content-Length": str(6 * MIB)}, length=False)
        return aws(request)

    async with facing(transport, otherwise=answer) as (s3, double):
        stored = await s3.destination.store(Bytes([b"x" * MIB] * 6), "k")
        assert stored.facts.etag == whole
        assert dict(stored.computed)["etag"] == whole
        assert not [each for each in double.requests if each.method == "DELETE"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, {"ETag": '"x"', "Content-Length": "1000"}, b"y" * 400, length=False, then="close"),
        Reply(200, {"ETag": '"x"', "Connection": "close"}, b"y" * 400, length=False, then="close"),
        Reply(200, {"ETag": '"x"', "Transfer-Encoding": "chunked"}, b"64\r\n" + b"y" * 100, length=False, then="close"),
        Reply(200, {"ETag": '"x"', "Content-Length": "1000"}, b"y" * 400, length=False, then="reset"),
    ],
    ids=["length", "nothing", "chunked", "reset"],
)
async def test_h4_a_body_that_ends_short_is_never_whole(transport: Any, reply: Reply) -> None:
    async with facing(transport, otherwise=reply) as (s3, _):
        with pytest.raises(Transient) as short:
            async with s3.source.open(at("vendor", "a"), None) as stream:
                [bytes(chunk) async for chunk in stream.chunks()]
        assert short.value.failure is FailureClass.NETWORK


async def test_h4_a_short_source_stores_nothing(transport: Any) -> None:
    short = Reply(200, {"ETag": '"x"', "Content-Length": "1000"}, b"y" * 400, length=False, then="close")
    async with facing(transport, short) as (s3, double):
        with pytest.raises(Transient):
            async with s3.source.open(at("vendor", "a"), None) as stream:
                await s3.destination.store(stream, "k")
        assert {each.method for each in double.requests} == {"GET"}


async def test_h4_an_answer_too_long_to_be_one_is_a_failure_of_the_network() -> None:
    def answer(request: Recorded) -> Reply:
        return Reply(404) if request.method == "HEAD" else Reply(200, {"ETag": '"x"'}, b"y" * (2 * MIB))

    async with facing("fast", otherwise=answer) as (s3, _):
        with pytest.raises(Transient) as odd:
            await s3.destination.store(Bytes(b"hello"), "k")
    assert odd.value.failure is FailureClass.NETWORK


async def test_h5_nothing_is_retried_below_so_no_quota_can_starve(transport: Any) -> None:
    async with facing(transport) as (s3, double):
        await learned(s3, double)
        double.otherwise = Reply(500, {}, document("Error", Code="InternalError"))
        results = await asyncio.gather(
            *(s3.destination.store(Bytes(b"x"), f"k{n}") for n in range(60)), return_exceptions=True
        )
        assert all(isinstance(each, Transient) and each.failure is FailureClass.NETWORK for each in results)
        assert len(double.requests) == 60


@pytest.mark.parametrize("transport", ["fast", "sdk"])
async def test_a_narrowed_limiter_never_makes_a_copier_wait_for_itself(transport: Any) -> None:
    """With one slot left, a file that is being read may still be looked at a second time."""
    big = Reply(200, {"ETag": '"x"'}, b"y" * MIB)

    async with (
        facing(transport, otherwise=lambda r: big if r.method == "GET" else aws(r), migration={"concurrency": 1}) as (
            s3,
            _double,
        ),
        asyncio.timeout(20),
        s3.source.open(at("vendor", "k"), None),
        s3.source.open(at("vendor", "k"), None) as again,
    ):
        found = b"".join([bytes(chunk) async for chunk in again.chunks()])

    assert len(found) == MIB


@pytest.mark.parametrize(
    ("status", "code"), [(409, "ConditionalRequestConflict"), (403, "RequestTimeTooSkewed"), (400, "RequestTimeout")]
)
async def test_h6_what_no_sdk_retries_is_still_worth_another_try(transport: Any, status: int, code: str) -> None:
    async with facing(transport) as (s3, double):
        await learned(s3, double)
        double.otherwise = Reply(status, {}, document("Error", Code=code))
        with pytest.raises(Transient):
            await s3.destination.store(Bytes(b"x"), "k")
        assert [each.method for each in double.requests if each.method != "GET"] == ["PUT"]


async def test_h7_unread_bodies_of_the_source_do_not_keep_the_destination_waiting(transport: Any) -> None:
    big = Reply(200, {"ETag": '"x"'}, b"y" * 3 * MIB)

    def answer(request: Recorded) -> Reply:
        return big if request.method == "GET" else aws(request)

    async with (
        facing(transport, otherwise=answer, migration={"concurrency": 3}) as (s3, double),
        asyncio.timeout(20),
        AsyncExitStack() as unread,
    ):
        for number in range(3):
            await unread.enter_async_context(s3.source.open(at("vendor", f"k{number}"), None))
        await s3.destination.store(Bytes(b"x"), "k")
        await s3.source.facts(at("vendor", "k"))
        assert len(double.requests) >= 6

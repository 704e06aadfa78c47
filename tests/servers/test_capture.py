"""The double records what was sent and answers what was scripted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.support.servers.capture import RESET, Recorded, Reply, capture_server
from tests.support.servers.client import client_of


async def test_a_real_client_is_answered_and_its_headers_are_recorded() -> None:
    async with capture_server(Reply(200, {"ETag": '"abc"'})) as double:
        put = await asyncio.to_thread(
            lambda: client_of(double.server).put_object(
                Bucket="b",
                Key="ä b",
                Body=b"abc",
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId="key-1",
                ExpectedBucketOwner="123456789012",
                StorageClass="STANDARD_IA",
            )
        )

    (request,) = double.requests
    assert put["ETag"] == '"abc"'
    assert (request.method, request.target, request.path, request.body) == ("PUT", "/b/%C3%A4%20b", "/b/ä b", b"abc")
    assert request.headers["x-amz-server-side-encryption"] == "aws:kms"
    assert request.headers["x-amz-server-side-encryption-aws-kms-key-id"] == "key-1"
    assert request.headers["x-amz-expected-bucket-owner"] == "123456789012"
    assert request.headers["x-amz-storage-class"] == "STANDARD_IA"


async def test_answers_come_in_order_and_what_nobody_expected_is_no_success() -> None:
    async with capture_server(Reply(body=b"1"), b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n2") as double:
        double.script(lambda request: Reply(body=request.path.encode()))
        async with aiohttp.ClientSession() as session:
            got = []
            for path in "abcd":
                async with session.get(f"{double.url}/{path}") as answer:
                    got.append((answer.status, await answer.read()))

    assert got == [(200, b"1"), (200, b"2"), (200, b"/c"), (501, b"no answer scripted for GET")]
    assert double.unasked == 0


async def test_a_chunked_body_is_recorded_joined() -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"c" * 70_000

    async with capture_server(Reply()) as double, aiohttp.ClientSession() as session:
        await session.put(f"{double.url}/a", data=pieces())

    assert double.requests[0].body == b"ab" + b"c" * 70_000


async def test_requests_tell_which_connection_carried_them() -> None:
    async with capture_server(Reply(), Reply(then="close"), Reply()) as double, aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.get(double.url) as answer:
                await answer.read()

    assert [request.connection for request in double.requests] == [1, 1, 2]


async def test_an_answer_may_wait_for_the_test() -> None:
    go = asyncio.Event()

    async def late(_: Recorded) -> Reply:
        await go.wait()
        return Reply(204)

    async with capture_server(late) as double, aiohttp.ClientSession() as session:
        asking = asyncio.create_task(session.get(double.url))
        await double.asked()
        assert not asking.done()
        go.set()
        assert (await asking).status == 204


async def test_an_answer_may_be_cut_or_missing() -> None:
    async with (
        capture_server(Reply(body=b"abc", cut=2), RESET, Reply(body=b"abc", length=False, then="close")) as double,
        aiohttp.ClientSession() as session,
    ):
        async with session.get(double.url) as answer:
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()
        with pytest.raises((aiohttp.ClientConnectionError, ConnectionResetError)):
            await session.post(double.url, data=b"abc")  # aiohttp itself repeats a PUT
        async with session.get(double.url) as answer:
            assert await answer.read() == b"abc"
            assert answer.content_length is None

    assert [request.method for request in double.requests] == ["GET", "POST", "GET"]


async def test_an_unanswered_request_does_not_hold_up_the_end() -> None:
    async def never(_: Recorded) -> Reply:
        await asyncio.Event().wait()
        return Reply()

    async with aiohttp.ClientSession() as session:
        async with capture_server(never) as double:
            asking = asyncio.create_task(session.get(double.url))
            await double.asked()
        with pytest.raises(aiohttp.ClientConnectionError):
            await asking

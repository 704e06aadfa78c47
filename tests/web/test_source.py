"""Files over plain http: to the byte, or a class that says why not."""

from __future__ import annotations

import gzip
import hashlib
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.model.errors import EngineError, Refused, Transient
from engine.model.facts import ObjectFacts
from engine.model.failures import FailureClass
from engine.settings import NetworkSettings
from engine.web.client import open_web
from engine.web.source import WebSource
from tests.support.fakes.clock import ManualClock
from tests.support.servers.raw import Asked, Sent, answer
from tests.support.web import at, body_of, origin, reading

PDF = b"%PDF-1.7 " + bytes(range(256)) * 40


async def failure_of(awaitable: Any) -> EngineError:
    with pytest.raises(EngineError) as caught:
        await awaitable
    return caught.value


async def test_a_file_is_read_to_the_byte() -> None:
    async with reading(answer(body=PDF, Content_Type="application/pdf")) as (source, server):
        assert await body_of(source, at(f"{server.url}/a.pdf")) == PDF


async def test_an_empty_file_is_a_file() -> None:
    async with reading(answer(body=b"")) as (source, server):
        assert await body_of(source, at(f"{server.url}/empty.txt")) == b""


async def test_a_chunked_file_without_a_length_is_read_whole() -> None:
    chunks = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    async with (
        reading(answer(body=chunks, length=None, Transfer_Encoding="chunked")) as (source, server),
        source.open(at(f"{server.url}/a.txt"), None) as stream,
    ):
        assert stream.facts.size is None
        assert b"".join([chunk async for chunk in stream.chunks()]) == b"hello world"


async def test_compressed_files_stay_compressed_and_keep_their_header() -> None:
    packed = gzip.compress(b"text " * 100)
    async with reading(answer(body=packed, Content_Encoding="gzip", Content_Type="text/csv")) as (source, server):
        async with source.open(at(f"{server.url}/a.csv"), None) as stream:
            assert stream.facts.headers.content_encoding == "gzip"
            assert b"".join([chunk async for chunk in stream.chunks()]) == packed
        assert server.asked[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    "sent",
    [
        answer(body=PDF[:5000], length=len(PDF)),
        answer(body=b"ff\r\nshort", length=None, Transfer_Encoding="chunked"),
        answer(body=b"5\r\nhello\r\n", length=None, Transfer_Encoding="chunked"),
        Sent(b""),
        Sent(b"HTTP/1.1 200"),
        Sent(b"SSH-2.0-OpenSSH\r\n\r\n"),
    ],
    ids=["short body", "cut chunk", "no last chunk", "no answer", "cut head", "not http"],
)
async def test_an_answer_cut_short_or_garbled_is_transient(sent: Sent) -> None:
    async with reading(sent) as (source, server):
        error = await failure_of(body_of(source, at(f"{server.url}/a.pdf")))
    assert isinstance(error, Transient)
    assert error.failure is FailureClass.NETWORK


async def test_a_body_of_chunks_that_is_shorter_than_was_said_before_is_cut_short() -> None:
    early = b"1f4\r\n" + PDF[:500] + b"\r\n0\r\n\r\n"
    async with reading(answer(body=early, length=None, Transfer_Encoding="chunked")) as (source, server):
        error = await failure_of(body_of(source, at(f"{server.url}/a.pdf"), ObjectFacts(size=len(PDF))))
    assert "500 of 10,249 bytes" in str(error)


@pytest.mark.parametrize(("said", "whole"), [(len(PDF), False), (500, True), (0, True), (None, True)])
async def test_a_body_of_chunks_is_held_against_the_length_that_a_head_tells(said: int | None, whole: bool) -> None:
    def script(asked: Asked) -> Sent:
        if asked.method == "HEAD":
            return answer(length=said)
        if "range" in asked.headers:
            return answer(403)
        return answer(body=b"1f4\r\n" + PDF[:500] + b"\r\n0\r\n\r\n", length=None, Transfer_Encoding="chunked")

    async with reading(script) as (source, server):
        if whole:
            assert await body_of(source, at(f"{server.url}/a.pdf")) == PDF[:500]
        else:
            error = await failure_of(body_of(source, at(f"{server.url}/a.pdf")))
            assert error.failure is FailureClass.NETWORK
            assert "500 of 10,249 bytes" in str(error)


@pytest.mark.parametrize("known", [None, ObjectFacts(size=len(PDF))])
async def test_a_body_that_ends_only_where_its_connection_closes_proves_nothing(known: ObjectFacts | None) -> None:
    async with reading(answer(body=PDF, length=None)) as (source, server):
        error = await failure_of(body_of(source, at(f"{server.url}/a.pdf"), known))
    assert error.failure is FailureClass.NETWORK
    assert "closing the connection" in str(error)


@pytest.mark.parametrize(
    ("name", "etag", "md5", "parts"),
    [
        ("x_amz_request_id", "5d41402abc4b2a76b9719d911017c592", True, 0),
        ("x_amz_request_id", "5d41402abc4b2a76b9719d911017c592-3", False, 3),
        ("x_request_id", "5d41402abc4b2a76b9719d911017c592", False, 0),
    ],
)
async def test_an_etag_speaks_of_the_bytes_where_s3_itself_has_answered(
    name: str, etag: str, md5: bool, parts: int
) -> None:
    async with (
        reading(answer(body=PDF, ETag=f'"{etag}"', **{name: "7Q"})) as (source, server),
        source.open(at(f"{server.url}/a.pdf", presigned=True), None) as stream,
    ):
        assert (stream.facts.etag_is_md5, stream.facts.etag_parts) == (md5, parts)


async def test_a_message_is_no_file_unless_s3_says_that_it_is_one() -> None:
    said = b"rate limited"
    async with reading(answer(body=said, Content_Type="application/pdf")) as (source, server):
        error = await failure_of(body_of(source, at(f"{server.url}/a.pdf")))
    assert error.failure is FailureClass.HTML_INSTEAD_OF_FILE
    etag = f'"{hashlib.md5(said).hexdigest()}"'
    async with reading(answer(body=said, ETag=etag, x_amz_request_id="7Q")) as (source, server):
        assert await body_of(source, at(f"{server.url}/a.pdf")) == said


async def test_the_target_goes_out_exactly_as_written() -> None:
    target = "/a%20b/%C3%A9+%2F%3F.pdf?X-Amz-Signature=a%2Bb%2f&x=%7e"
    async with reading(answer(body=PDF)) as (source, server):
        await body_of(source, at(server.url + target, presigned=True))
        assert server.asked[0].target == target


async def test_facts_come_from_a_head() -> None:
    sent = answer(
        length=77,
        Content_Type="application/pdf",
        ETag='"5d41402abc4b2a76b9719d911017c592"',
        Last_Modified="Sun, 22 Nov 2026 08:00:01 GMT",
        Content_Disposition='attachment; filename="a.pdf"',
        Cache_Control="no-store",
        x_amz_meta_Owner="me",
        x_amz_version_id="v1",
    )
    async with reading(sent) as (source, server):
        facts = await source.facts(at(f"{server.url}/a.pdf"))
        assert [asked.method for asked in server.asked] == ["HEAD"]
        s3_facts = await source.facts(at(f"{server.url}/b/a.pdf", bucket="b", key="a.pdf"))
    assert (facts.size, facts.etag, facts.version_id) == (77, "5d41402abc4b2a76b9719d911017c592", "v1")
    assert facts.last_modified == "2026-11-22T08:00:01.000Z"
    assert facts.headers.content_disposition == 'attachment; filename="a.pdf"'
    assert facts.headers.metadata == (("owner", "me"),)
    assert (facts.etag_is_md5, s3_facts.etag_is_md5) == (False, True)


@pytest.mark.parametrize("status", [400, 403, 405, 501])
async def test_where_head_is_unwelcome_the_first_byte_tells_the_size(status: int) -> None:
    def script(asked: Asked) -> Sent:
        if asked.method == "HEAD":
            return answer(status)
        assert asked.headers["range"] == "bytes=0-0"
        return answer(206, b"%", Content_Range="bytes 0-0/4242")

    async with reading(script) as (source, server):
        assert (await source.facts(at(f"{server.url}/a.pdf"))).size == 4242


@pytest.mark.parametrize(
    ("sent", "size"),
    [
        (answer(206, b"%", Content_Range="bytes 0-0/9"), 9),
        (answer(206, b"%", Content_Range="bytes 0-0/*"), None),
        (answer(200, PDF), len(PDF)),
    ],
    ids=["range", "unknown size", "range ignored"],
)
async def test_a_presigned_get_is_never_asked_by_head(sent: Sent, size: int | None) -> None:
    async with reading(sent) as (source, server):
        facts = await source.facts(at(f"{server.url}/a.pdf?X-Amz-Signature=x", presigned=True))
        assert facts.size == size
        assert [asked.method for asked in server.asked] == ["GET"]


async def test_an_empty_file_that_has_no_first_byte_is_asked_for_whole() -> None:
    def script(asked: Asked) -> Sent:
        return answer(416) if "range" in asked.headers else answer(200, b"")

    async with reading(script) as (source, server):
        assert (await source.facts(at(f"{server.url}/a.pdf?X-Amz-Signature=x", presigned=True))).size == 0


async def test_a_server_that_refuses_every_range_is_not_asked_for_ever() -> None:
    async with reading(answer(416)) as (source, server):
        error = await failure_of(source.facts(at(f"{server.url}/a.pdf?X-Amz-Signature=x", presigned=True)))
        assert len(server.asked) == 2
    assert isinstance(error, Refused)


@pytest.mark.parametrize(
    ("status", "body", "failure"),
    [
        (404, b"", FailureClass.SOURCE_MISSING),
        (410, b"", FailureClass.SOURCE_MISSING),
        (401, b"", FailureClass.SOURCE_DENIED),
        (407, b"", FailureClass.SOURCE_DENIED),
        (403, b"<Error><Code>AccessDenied</Code></Error>", FailureClass.SOURCE_DENIED),
        (403, b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message>", FailureClass.EXPIRED_LINK),
        (400, b"<Error><Code>ExpiredToken</Code></Error>", FailureClass.EXPIRED_LINK),
        (403, b"<Error><Code>InvalidObjectState</Code></Error>", FailureClass.ARCHIVED),
        (301, b"<Error><Code>PermanentRedirect</Code></Error>", FailureClass.REDIRECTED),
        (400, b"", FailureClass.REJECTED),
        (204, b"", FailureClass.REJECTED),
        (206, b"part", FailureClass.REJECTED),
        (418, b"", FailureClass.REJECTED),
    ],
)
async def test_refusals_have_their_class(status: int, body: bytes, failure: FailureClass) -> None:
    async with reading(answer(status, body)) as (source, server):
        error = await failure_of(body_of(source, at(f"{server.url}/a.pdf?X-Amz-Signature=s3cret", presigned=True)))
    assert isinstance(error, Refused)
    assert error.failure is failure
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    ("status", "headers", "failure", "pause"),
    [
        (429, {"Retry_After": "12"}, FailureClass.THROTTLED, 12.0),
        (503, {}, FailureClass.THROTTLED, None),
        (500, {}, FailureClass.NETWORK, None),
        (502, {}, FailureClass.NETWORK, None),
        (408, {}, FailureClass.NETWORK, None),
        (412, {}, FailureClass.SOURCE_CHANGED, None),
    ],
)
async def test_trouble_that_may_pass_is_transient(
    status: int, headers: dict[str, str], failure: FailureClass, pause: float | None
) -> None:
    async with reading(answer(status, b"busy", **headers)) as (source, server):
        error = await failure_of(body_of(source, at(f"{server.url}/a.pdf")))
    assert isinstance(error, Transient)
    assert (error.failure, error.retry_after_s) == (failure, pause)


async def test_a_denied_link_whose_time_is_over_has_expired() -> None:
    async with reading(answer(403, b"no")) as (source, server):
        over = at(f"{server.url}/a.pdf?Expires=1", presigned=True, expires_at=1.0)
        fresh = at(f"{server.url}/a.pdf?Expires=9", presigned=True, expires_at=9e9)
        errors = [await failure_of(source.facts(location)) for location in (over, fresh)]
    assert [error.failure for error in errors if isinstance(error, Refused)] == [
        FailureClass.EXPIRED_LINK,
        FailureClass.SOURCE_DENIED,
    ]


@pytest.mark.parametrize(
    ("pinned", "headers"),
    [
        (ObjectFacts(size=10249, etag="one"), {"ETag": '"two"'}),
        (ObjectFacts(size=10), {}),
        (ObjectFacts(size=None, version_id="v1"), {"x_amz_version_id": "v2"}),
    ],
)
async def test_a_file_that_is_not_the_one_looked_at_is_not_read(pinned: ObjectFacts, headers: dict[str, str]) -> None:
    async with reading(answer(body=PDF, **headers)) as (source, server):
        error = await failure_of(body_of(source, at(f"{server.url}/a.pdf"), pinned))
    assert isinstance(error, Transient)
    assert error.failure is FailureClass.SOURCE_CHANGED


async def test_a_weak_etag_pins_nothing() -> None:
    async with reading(answer(body=PDF, ETag='W/"x"')) as (source, server):
        pinned = ObjectFacts(size=len(PDF), etag="y")
        assert await body_of(source, at(f"{server.url}/a.pdf"), pinned) == PDF


async def test_a_login_page_in_a_files_place_is_refused() -> None:
    page = b"<!DOCTYPE html><html><body>Please log in</body></html>"
    async with reading(answer(body=page, Content_Type="text/html; charset=utf-8")) as (source, server):
        error = await failure_of(body_of(source, at(f"{server.url}/a.pdf")))
        assert isinstance(error, Refused)
        assert error.failure is FailureClass.HTML_INSTEAD_OF_FILE
        assert await body_of(source, at(f"{server.url}/a.html")) == page


async def test_the_name_in_the_disposition_speaks_for_a_url_without_one() -> None:
    sent = answer(body=b"<html></html>", Content_Type="text/html", Content_Disposition="attachment; filename=a.html")
    async with reading(sent) as (source, server):
        assert await body_of(source, at(f"{server.url}/download?id=7")) == b"<html></html>"


class CrawlingClock(SystemClock):
    """Each look at the clock finds a minute gone."""

    def __init__(self) -> None:
        super().__init__()
        self._minutes = 0

    def monotonic(self) -> float:
        self._minutes += 1
        return self._minutes * 60.0


async def test_a_body_that_crawls_is_given_up() -> None:
    sent = Sent(answer(length=9_999).data, pieces=(b"drop",) * 20)
    async with reading(sent, clock=CrawlingClock()) as (source, server):
        error = await failure_of(body_of(source, at(f"{server.url}/a.bin")))
    assert isinstance(error, Transient)
    assert "32 KiB a second" in str(error)


async def test_a_slow_reader_is_not_taken_for_a_slow_server() -> None:
    """Time passes while the reader is busy; the server has sent everything long ago."""
    clock = ManualClock()
    received = 0
    async with (
        reading(answer(body=PDF * 100), clock=clock) as (source, server),
        source.open(at(f"{server.url}/a.bin"), None) as stream,
    ):
        async for chunk in stream.chunks():
            received += len(chunk)
            clock.advance(10_000)
    assert received == len(PDF) * 100


async def test_a_reader_who_stops_early_leaves_no_connection_behind() -> None:
    async with reading(answer(body=b"x" * 5_000_000)) as (source, server):
        for _ in range(3):
            async with source.open(at(f"{server.url}/a.bin"), None) as stream:
                async for _chunk in stream.chunks():
                    break
        connector = source._client._client.connector
        assert connector is not None
        assert connector._acquired == set()


async def test_an_unreachable_server_is_transient() -> None:
    async with open_web([origin("http://127.0.0.1:9")], NetworkSettings()) as client:
        error = await failure_of(WebSource(client, SystemClock()).facts(at("http://127.0.0.1:9/a.pdf")))
    assert isinstance(error, Transient)
    assert error.failure is FailureClass.NETWORK

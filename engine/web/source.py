"""WebSource: the Source port over plain http. Bytes stay as they come, whatever Content-Encoding says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial

import aiohttp

from engine.limiting.clock import Clock
from engine.model.byte_units import KIB
from engine.model.errors import EngineError, Refused, Transient
from engine.model.facts import ObjectFacts
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.ports import ByteStream
from engine.web.client import WebClient
from engine.web.error_page import SNIFFED, is_message, looks_like_error_page
from engine.web.faults import NETWORK_ERRORS, from_network, from_status
from engine.web.headers import facts_of, file_name, is_framed, length_in, whole_length_in

_ERROR_BODY = 4096
_GRACE_S = 120.0
_SLOWEST = 32 * KIB
"""Bytes a second, on average and after _GRACE_S; slower bodies are given up."""
_HEAD_UNWELCOME = frozenset({400, 403, 405, 501})


class WebSource:
    """Files behind URLs."""

    def __init__(self, client: WebClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock

    async def facts(self, location: Location) -> ObjectFacts:
        """HEAD; where that is refused or gives no length, a GET of the first byte. A presigned URL is signed for GET
        alone."""
        if not location.presigned:
            async with self._client.request("HEAD", location.url) as response:
                if response.status == 200 and (size := length_in(response.headers)) is not None:
                    return facts_of(response.headers, location, size=size)
                if response.status != 200 and response.status not in _HEAD_UNWELCOME:
                    raise from_status(response.status, response.headers, b"", location, self._clock.now())
        # An empty file has no first byte: then the whole is asked for. What a 416 says of the size differs by server.
        for headers in ({"Range": "bytes=0-0"}, None):
            async with self._client.request("GET", location.url, headers) as response:
                if response.status == 206:
                    return facts_of(response.headers, location, size=whole_length_in(response.headers))
                if response.status == 200:
                    return facts_of(response.headers, location, size=length_in(response.headers))
                if response.status != 416 or headers is None:
                    raise await _failure(response, location, self._clock.now())
        raise AssertionError("the loop returns or raises")

    look = facts

    async def parts(self, _location: Location, _facts: ObjectFacts) -> tuple[int, ...]:
        """None: plain http does not tell them."""
        return ()

    async def _size(self, location: Location) -> int | None:
        """The length of a file that came in chunks, by another request. None where a page made on demand says 0, as a
        HEAD often does, or where the link works only once."""
        try:
            return (await self.facts(location)).size or None
        except EngineError:
            return None

    @asynccontextmanager
    async def open(self, location: Location, facts: ObjectFacts | None) -> AsyncIterator[WebStream]:
        """GET. Raises Transient ``source_changed`` unless the answer fits ``facts``. That is checked here: many servers
        ignore conditional headers.
        """
        async with self._client.request("GET", location.url) as response:
            if response.status != 200:
                raise await _failure(response, location, self._clock.now())
            if not is_framed(response.headers):
                raise Transient(
                    FailureClass.NETWORK,
                    f"{location.origin.host} tells no length and ends the file by closing the connection:"
                    " nothing would prove that it is whole",
                )
            found = facts_of(response.headers, location, size=length_in(response.headers))
            if facts is not None and (change := _change(facts, found)):
                raise Transient(FailureClass.SOURCE_CHANGED, f"the file has changed since it was looked at: {change}")
            expected, ask = _size(found, facts), partial(self._size, location)
            stream = WebStream(response, found, self._clock, expected=expected, ask=ask, host=location.origin.host)
            first = await stream.first(SNIFFED)
            kind, name = found.headers.content_type, file_name(location, response.headers)
            size = len(first) if len(first) < SNIFFED else found.size
            # S3's own sums are of the object itself: whatever they prove is what the vendor has
            of_the_object = found.etag_is_md5 or bool(found.etag_parts)
            if looks_like_error_page(kind, first, name) or (not of_the_object and is_message(kind, first, name, size)):
                raise Refused(
                    FailureClass.HTML_INSTEAD_OF_FILE, f"{location.origin} answered with a message instead of the file"
                )
            yield stream


class WebStream(ByteStream):
    """One body being read."""

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        facts: ObjectFacts,
        clock: Clock,
        *,
        expected: int | None,
        ask: Callable[[], Awaitable[int | None]],
        host: str,
    ) -> None:
        self._response = response
        self._facts = facts
        self._clock = clock
        self._expected = expected
        self._ask = ask
        self._host = host
        self._head = b""
        self._received = 0
        self._waited = 0.0

    @property
    def facts(self) -> ObjectFacts:
        return self._facts

    async def first(self, size: int) -> bytes:
        """The first bytes, at least ``size`` unless the body is shorter; ``chunks`` still yields them."""
        while len(self._head) < size and (chunk := await self._read()):
            self._head += chunk
        return self._head

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes in order. Raises Transient when the body ends short, stalls, or crawls."""
        if self._head:
            yield self._head
            self._head = b""
        while chunk := await self._read():
            yield chunk
        if self._expected is None:  # a chunked body may end early, and validly; the connection is free now
            self._expected = await self._ask()
        if self._expected is not None and self._received != self._expected:
            raise Transient(
                FailureClass.NETWORK, f"{self._host} sent {self._received:,} of {self._expected:,} bytes, then ended"
            )

    async def _read(self) -> bytes:
        """What has come, or comes next; empty at the end. Only the time spent waiting for the server counts."""
        asked = self._clock.monotonic()
        try:
            chunk = await self._response.content.readany()
        except NETWORK_ERRORS as error:
            raise from_network(error, host=self._host) from None
        self._waited += self._clock.monotonic() - asked
        self._received += len(chunk)
        if self._waited > _GRACE_S + self._received / _SLOWEST:
            raise Transient(FailureClass.NETWORK, f"{self._host} sends less than {_SLOWEST // KIB} KiB a second")
        return chunk


async def _failure(response: aiohttp.ClientResponse, location: Location, now: datetime) -> EngineError:
    """The error of an answer, its reason read from the beginning of its body."""
    body = bytearray()
    try:
        while len(body) < _ERROR_BODY and (chunk := await response.content.readany()):
            body += chunk
    except NETWORK_ERRORS:
        pass  # the status is enough
    return from_status(response.status, response.headers, bytes(body[:_ERROR_BODY]), location, now)


def _size(found: ObjectFacts, pinned: ObjectFacts | None) -> int | None:
    return found.size if found.size is not None or pinned is None else pinned.size


def _change(pinned: ObjectFacts, found: ObjectFacts) -> str:
    """Why this is not the file that was looked at; empty: nothing says so."""
    if pinned.etag and found.etag and pinned.etag != found.etag:
        return "another ETag"
    if pinned.size is not None and found.size is not None and pinned.size != found.size:
        return f"{found.size:,} bytes instead of {pinned.size:,}"
    if pinned.version_id and found.version_id and pinned.version_id != found.version_id:
        return "another version"
    return ""

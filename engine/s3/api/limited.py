"""Every request of one side passes its limiter, the parts of large files too.

What the answers show about the side's keys is recorded here as well; an error that leaves it open is checked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, TypeVar

from engine.limiting.limiter import Limiter
from engine.model.byte_units import MIB
from engine.s3.api.answers import Answer, Bytes, Fields, ListingPage, Part, StoreError, StreamedAnswer, UploadsPage
from engine.s3.api.client import S3Client
from engine.s3.api.doubts import Ask, Doubts, of_the_bucket
from engine.s3.api.faults import THROTTLED, Patience, doubtful

T = TypeVar("T")

LARGE = 32 * MIB
"""Bytes from which a request counts as one for a large file."""


class LimitedClient:
    """Fits ``S3Client``. HEAD of the bucket, aborted uploads and the requests of a check do not wait."""

    def __init__(self, client: S3Client, limiter: Limiter, patience: Patience) -> None:
        """``patience`` knows the keys that ``client`` signs with."""
        self._client = client
        self.limiter = limiter
        self._patience = patience
        self._doubts = Doubts(patience)

    async def head(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None, part: int | None = None
    ) -> Answer:
        def with_body() -> Coroutine[Any, Any, object]:
            first = {**headers, "range": "bytes=0-0"}
            return self._client.read(bucket, key, first, version_id=version_id, size=1)

        request = self._client.head(bucket, key, headers, version_id=version_id, part=part)
        return await self._through(request, bucket, headers, with_body=with_body)

    def tags(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None
    ) -> Coroutine[Any, Any, tuple[tuple[str, str], ...]]:
        return self._through(self._client.tags(bucket, key, headers, version_id=version_id), bucket, headers)

    @asynccontextmanager
    async def get(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None
    ) -> AsyncIterator[StreamedAnswer]:
        # The place in the limiter is given back once the store has answered. If it were held until the body is read, a
        # copier that sends a HEAD in between would wait for itself.
        limiter = self.limiter
        ticket = limiter.enter() or await limiter.turn()
        began = self._patience.heard
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(self._client.get(bucket, key, headers, version_id=version_id))
            except StoreError as error:
                tell_limiter(limiter, ticket, error, large=False)
                raise await self._settled(error, began, bucket, headers) from None
            except BaseException:
                limiter.left(ticket)
                raise
            limiter.passed(ticket)
            self._patience.well()
            limiter.reading += 1
            try:
                yield answer
            finally:
                limiter.reading -= 1

    def read(
        self, bucket: str, key: str, headers: Fields, *, size: int, version_id: str | None = None
    ) -> Coroutine[Any, Any, tuple[Answer, bytes]]:
        return self._through(self._client.read(bucket, key, headers, size=size, version_id=version_id), bucket, headers)

    def put(self, bucket: str, key: str, body: Bytes, headers: Fields, *, sha256: str) -> Coroutine[Any, Any, Answer]:
        return self._through(self._client.put(bucket, key, body, headers, sha256=sha256), bucket, headers)

    def copy(self, bucket: str, key: str, headers: Fields, *, size: int) -> Coroutine[Any, Any, Answer]:
        return self._through(self._client.copy(bucket, key, headers, size=size), bucket, headers, large=size >= LARGE)

    def upload_part(
        self, bucket: str, key: str, upload_id: str, number: int, body: Bytes, headers: Fields, *, sha256: str
    ) -> Coroutine[Any, Any, Answer]:
        part = self._client.upload_part(bucket, key, upload_id, number, body, headers, sha256=sha256)
        return self._through(part, bucket, headers, large=True)

    def upload_part_copy(
        self, bucket: str, key: str, upload_id: str, number: int, headers: Fields, *, size: int
    ) -> Coroutine[Any, Any, Answer]:
        part = self._client.upload_part_copy(bucket, key, upload_id, number, headers, size=size)
        return self._through(part, bucket, headers, large=True)

    def create_upload(self, bucket: str, key: str, headers: Fields) -> Coroutine[Any, Any, str]:
        return self._through(self._client.create_upload(bucket, key, headers), bucket, headers)

    def complete_upload(
        self, bucket: str, key: str, upload_id: str, parts: Sequence[Part], headers: Fields
    ) -> Coroutine[Any, Any, Answer]:
        return self._through(self._client.complete_upload(bucket, key, upload_id, parts, headers), bucket, headers)

    async def abort_upload(self, bucket: str, key: str, upload_id: str, headers: Fields) -> None:
        await self._client.abort_upload(bucket, key, upload_id, headers)

    def list_objects(
        self, bucket: str, prefix: str, token: str, headers: Fields, *, after: str = "", limit: int = 1000
    ) -> Coroutine[Any, Any, ListingPage]:
        page = self._client.list_objects(bucket, prefix, token, headers, after=after, limit=limit)
        return self._through(page, bucket, headers)

    def list_uploads(
        self, bucket: str, prefix: str, key_marker: str, id_marker: str, headers: Fields
    ) -> Coroutine[Any, Any, UploadsPage]:
        page = self._client.list_uploads(bucket, prefix, key_marker, id_marker, headers)
        return self._through(page, bucket, headers)

    async def head_bucket(self, bucket: str, headers: Fields) -> Answer:
        began = self._patience.heard
        try:
            answer = await self._client.head_bucket(bucket, headers)
        except StoreError as error:
            raise await self._settled(error, began, bucket, headers, with_body=self._listing(bucket, headers)) from None
        self._patience.well()
        return answer

    async def _through(
        self,
        request: Coroutine[Any, Any, T],
        bucket: str,
        headers: Fields,
        *,
        large: bool = False,
        with_body: Ask | None = None,
    ) -> T:
        limiter = self.limiter
        ticket = 0 if large else limiter.enter()
        if not ticket:
            try:
                ticket = await limiter.turn(large=large)
            except BaseException:
                request.close()
                raise
        began = self._patience.heard
        try:
            answer = await request
        except StoreError as error:
            tell_limiter(limiter, ticket, error, large=large)
            raise await self._settled(error, began, bucket, headers, with_body=with_body) from None
        except BaseException:
            limiter.left(ticket, large=large)
            raise
        limiter.passed(ticket, large=large)
        self._patience.well()
        return answer

    async def _settled(
        self, error: StoreError, began: int, bucket: str, headers: Fields, *, with_body: Ask | None = None
    ) -> StoreError:
        if not (doubtful(error) or (error.bare and with_body is not None)):
            return error
        return await self._doubts.settled(error, began, self._listing(bucket, headers), with_body)

    def _listing(self, bucket: str, headers: Fields) -> Ask:
        common = of_the_bucket(headers)
        return lambda: self._client.list_objects(bucket, "", "", common, limit=1)


def tell_limiter(limiter: Limiter, ticket: int, error: StoreError, *, large: bool = False) -> None:
    """Report an error to the limiter: the host is overloaded, is too slow, or is well, for it gave a clear answer."""
    if error.code in THROTTLED or error.status in {429, 503}:
        limiter.refused(ticket, retry_after_s=error.retry_after_s, large=large)
    elif error.code == "TimedOut":
        limiter.timed_out(ticket, large=large)
    elif 0 < error.status < 500:
        limiter.passed(ticket, large=large)
    else:
        limiter.left(ticket, large=large)

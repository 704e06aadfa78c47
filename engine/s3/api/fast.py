"""The S3 client over our own wire: signs, sends and reads without an SDK."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256

from engine.limiting.clock import Clock
from engine.model.byte_units import KIB, MB, MIB
from engine.s3.api.address import Address
from engine.s3.api.answers import (
    Answer,
    Bytes,
    Fields,
    ListingPage,
    Part,
    StoreError,
    StreamedAnswer,
    UploadsPage,
    proven,
    text,
)
from engine.s3.api.client import READ_GRACE_S, READ_RATE, reading_time, time_for
from engine.s3.api.credentials import Keyring
from engine.s3.api.listing import parse
from engine.s3.api.sigv4 import Request, Signer, query_of
from engine.s3.api.uploads import completion, open_uploads
from engine.s3.api.xml import error_of, rows_of, success_of
from engine.s3.wire.errors import BodyTooLarge, NoFileLeft, ProxyLogin, TimedOut, TlsFailed, WireError
from engine.s3.wire.reply import Reply, StreamedReply
from engine.s3.wire.wire import Wire

QUICK_S = 60.0
_OF_THE_REQUEST = frozenset({b"x-amz-request-id", b"x-amz-id-2"})
TOO_LONG = "TooLong"
"""Our code for an answer that is longer than expected."""
EXPECTATION_FAILED = 417
ERROR_BYTES = 64 * KIB
"""As much of a refusal's body as an error document needs."""
LISTING_BYTES = 16 * MIB
CONTINUE_FROM = 2 * MB
"""Bodies of so many bytes wait for the store's consent (Expect: 100-continue), so that a refusal costs no upload. For
smaller ones the wait costs more: a round trip each."""


class FastClient:
    """Fits ``S3Client``.

    ``where`` gives a bucket's address in a region. ``roams``: buckets may live in other regions than ``region`` (AWS).
    Then each bucket but ``home`` is asked once where it lives. ``keys`` None: requests go unsigned.
    """

    def __init__(
        self,
        wire: Wire,
        clock: Clock,
        keys: Keyring | None,
        where: Callable[[str, str], Address],
        *,
        region: str,
        roams: bool,
        home: str = "",
    ) -> None:
        self._wire = wire
        self._clock = clock
        self._keys = keys
        self._where = where
        self._region = region
        self._roams = roams
        self._signer = Signer()
        self._addresses: dict[str, Address] = {home: where(home, region)} if home else {}
        self._locating = asyncio.Lock()
        self._expects = True  # whether large bodies wait for the store's consent; off once that is refused

    def known(self, bucket: str) -> Address | None:
        """Where a bucket answers, once that has been found out."""
        return self._addresses.get(bucket)

    async def head(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None, part: int | None = None
    ) -> Answer:
        query = _version(version_id) if part is None else query_of((("partNumber", str(part)), *_versions(version_id)))
        reply = await self._ask(bucket, Request("HEAD", key, query, headers))
        return answer_of(reply)

    async def tags(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None
    ) -> tuple[tuple[str, str], ...]:
        query = query_of((("tagging", ""), *_versions(version_id)))
        reply = await self._ask(bucket, Request("GET", key, query, headers))
        _, rows = rows_of(reply.body, "Tagging", "Tag")
        return tuple((row.get("Key", ""), row.get("Value", "")) for row in rows)

    @asynccontextmanager
    async def get(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None
    ) -> AsyncIterator[StreamedAnswer]:
        address = self._addresses.get(bucket) or await self._locate(bucket)
        keys = None if self._keys is None else await self._keys.keys()
        request = Request("GET", key, _version(version_id), headers)
        head = self._signer.head(request, address, keys, self._clock.now())
        try:
            async with self._wire.stream(
                address.origin, head, method="GET", deadline_s=READ_GRACE_S, pace=READ_RATE
            ) as reply:
                if reply.status not in {200, 206}:
                    raise error_of(reply.status, text_of(reply.fields), await _beginning(reply))
                yield _Body(text_of(reply.fields), reply)
        except WireError as error:
            raise unreached(error) from None

    async def read(
        self, bucket: str, key: str, headers: Fields, *, size: int, version_id: str | None = None
    ) -> tuple[Answer, bytes]:
        request = Request("GET", key, _version(version_id), headers)
        try:
            reply = await self._ask(bucket, request, limit_s=reading_time(size), max_body=max(size, ERROR_BYTES))
        except StoreError as error:
            if error.code != TOO_LONG:
                raise
            raise StoreError("PreconditionFailed", 412, f"the object holds more than {size} bytes") from None
        if reply.status not in {200, 206}:
            raise refusal_of(reply)
        if reply.framing == "close":
            raise _unproved()
        return answer_of(reply), reply.body

    async def put(self, bucket: str, key: str, body: Bytes, headers: Fields, *, sha256: str) -> Answer:
        reply = await self._ask(bucket, Request("PUT", key, "", headers, body, sha256))
        return proven(answer_of(reply))

    async def copy(self, bucket: str, key: str, headers: Fields, *, size: int) -> Answer:
        reply = await self._ask(bucket, Request("PUT", key, "", headers, b""), limit_s=time_for(size))
        return copied(reply, "CopyObjectResult")

    async def upload_part(
        self, bucket: str, key: str, upload_id: str, number: int, body: Bytes, headers: Fields, *, sha256: str
    ) -> Answer:
        reply = await self._ask(bucket, Request("PUT", key, _part(number, upload_id), headers, body, sha256))
        return proven(answer_of(reply))

    async def upload_part_copy(
        self, bucket: str, key: str, upload_id: str, number: int, headers: Fields, *, size: int
    ) -> Answer:
        request = Request("PUT", key, _part(number, upload_id), headers, b"")
        return copied(await self._ask(bucket, request, limit_s=time_for(size)), "CopyPartResult")

    async def list_objects(
        self, bucket: str, prefix: str, token: str, headers: Fields, *, after: str = "", limit: int = 1000
    ) -> ListingPage:
        pairs = [("list-type", "2"), ("encoding-type", "url"), ("prefix", prefix), ("max-keys", str(limit))]
        if token:
            pairs.append(("continuation-token", token))
        elif after:
            pairs.append(("start-after", after))
        reply = await self._ask(bucket, Request("GET", "", query_of(pairs), headers), max_body=LISTING_BYTES)
        return parse(reply.body)

    async def create_upload(self, bucket: str, key: str, headers: Fields) -> str:
        reply = await self._ask(bucket, Request("POST", key, "uploads=", headers, b""), once=True)
        told = success_of(reply.status, {}, reply.body, root="InitiateMultipartUploadResult", keep=("UploadId",))
        if not told.get("UploadId"):
            raise StoreError("BadAnswer", 0, "the store began an upload without an id")
        return told["UploadId"]

    async def complete_upload(
        self, bucket: str, key: str, upload_id: str, parts: Sequence[Part], headers: Fields
    ) -> Answer:
        body = completion(parts)
        request = Request("POST", key, _upload(upload_id), headers, body, sha256(body).hexdigest())
        reply = await self._ask(bucket, request, limit_s=time_for(len(parts) * MB), once=True)
        return copied(reply, "CompleteMultipartUploadResult")

    async def abort_upload(self, bucket: str, key: str, upload_id: str, headers: Fields) -> None:
        await self._ask(bucket, Request("DELETE", key, _upload(upload_id), headers))

    async def list_uploads(
        self, bucket: str, prefix: str, key_marker: str, id_marker: str, headers: Fields
    ) -> UploadsPage:
        pairs = [("uploads", ""), ("encoding-type", "url"), ("prefix", prefix)]
        if key_marker:
            pairs.append(("key-marker", key_marker))
        if id_marker:
            pairs.append(("upload-id-marker", id_marker))
        reply = await self._ask(bucket, Request("GET", "", query_of(pairs), headers), max_body=LISTING_BYTES)
        return open_uploads(reply.body)

    async def head_bucket(self, bucket: str, headers: Fields) -> Answer:
        reply = await self._ask(bucket, Request("HEAD", "", "", headers))
        return answer_of(reply)

    async def _ask(
        self, bucket: str, request: Request, *, limit_s: float = 0.0, max_body: int = MIB, once: bool = False
    ) -> Reply:
        address = self._addresses.get(bucket) or await self._locate(bucket)
        body, ring = request.body, self._keys
        length = 0 if body is None else len(body)
        awaits = self._expects and length >= CONTINUE_FROM
        keys = None if ring is None else ring.current or await ring.keys()
        head = self._signer.head(request, address, keys, self._clock.now(), awaits=awaits)
        try:
            reply = await self._wire.request(
                address.origin,
                head,
                body or None,
                method=request.method,
                deadline_s=limit_s or time_for(length),
                max_body=max_body,
                expect_continue=awaits,
                once=once,
            )
        except WireError as error:
            raise unreached(error) from None
        if reply.status == EXPECTATION_FAILED and awaits:
            self._expects = False  # a proxy between us that does not know the header; nothing has been done
            return await self._ask(bucket, request, limit_s=limit_s, max_body=max_body, once=once)
        if not 200 <= reply.status < 300:
            raise refusal_of(reply)
        return reply

    async def _locate(self, bucket: str) -> Address:
        """The bucket's address. On AWS one unsigned request finds its region: every answer names it, even a denial."""
        async with self._locating:
            if bucket in self._addresses:
                return self._addresses[bucket]
            address = self._where(bucket, self._region)
            if self._roams:
                head = self._signer.head(Request("HEAD", "", "", {}), address, None, self._clock.now())
                try:
                    reply = await self._wire.request(address.origin, head, method="HEAD", deadline_s=QUICK_S)
                except WireError as error:
                    raise unreached(error) from None
                region = text_of(reply.fields).get("x-amz-bucket-region", "")
                if reply.status == 404:
                    raise StoreError("NoSuchBucket", 404, f"there is no bucket {bucket}")
                if not region and reply.status not in {200, 403}:
                    raise refusal_of(reply)
                address = self._where(bucket, region or self._region)
            self._addresses[bucket] = address
            return address


class _Body:
    """A body over the wire. Without a proof that it is complete it ends with an error."""

    def __init__(self, fields: Fields, reply: StreamedReply) -> None:
        self.fields = fields
        self._reply = reply

    async def fill(self, memory: memoryview) -> int:
        try:
            return await self._reply.fill(memory)
        except WireError as error:
            raise unreached(error) from None

    async def chunks(self) -> AsyncIterator[bytes | memoryview]:
        try:
            async for chunk in self._reply.chunks():
                yield chunk
        except WireError as error:
            raise unreached(error) from None
        if self._reply.framing == "close":
            raise _unproved()


def _unproved() -> StoreError:
    return StoreError("BadAnswer", 0, "the body has neither length nor chunks: nothing proves that it is whole")


def text_of(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """Answer headers as text."""
    return {name.decode("latin-1"): text(value).strip() for name, value in fields.items()}


def answer_of(reply: Reply) -> Answer:
    """An answer without a body that counts."""
    return Answer(reply.status, text_of(reply.fields))


def refusal_of(reply: Reply) -> StoreError:
    """What an answer without success says."""
    return error_of(reply.status, text_of(reply.fields), reply.body)


def facts_in(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """The headers of an answer to a copy that are about the object: S3's own, without the request's ids."""
    return text_of(
        {name: fields[name] for name in fields if name.startswith(b"x-amz-") and name not in _OF_THE_REQUEST}
    )


def unreached(error: WireError) -> StoreError:
    """An error of the wire in terms of the store."""
    if isinstance(error, ProxyLogin):
        return StoreError("ProxyLogin", 407, str(error))
    if isinstance(error, TlsFailed):
        return StoreError("TlsFailed", 0, str(error))
    if isinstance(error, BodyTooLarge):
        return StoreError(TOO_LONG, 0, str(error))
    if isinstance(error, NoFileLeft):
        return StoreError("NoFileLeft", 0, str(error))
    return StoreError("TimedOut" if isinstance(error, TimedOut) else "Unreachable", 0, str(error))


def copied(reply: Reply, root: str) -> Answer:
    """What a 200 says of the object that was made. Raises StoreError, for a 200 may hold an error."""
    return proven(Answer(reply.status, success_of(reply.status, facts_in(reply.fields), reply.body, root=root)))


def _part(number: int, upload_id: str) -> str:
    return query_of((("partNumber", str(number)), ("uploadId", upload_id)))


def _upload(upload_id: str) -> str:
    return query_of((("uploadId", upload_id),))


def _version(version_id: str | None) -> str:
    return query_of(_versions(version_id)) if version_id else ""


def _versions(version_id: str | None) -> tuple[tuple[str, str], ...]:
    return (("versionId", version_id),) if version_id else ()


async def _beginning(reply: StreamedReply, limit: int = ERROR_BYTES) -> bytes:
    """The body of a refusal."""
    body = bytearray()
    async for chunk in reply.chunks():
        body += chunk
        if len(body) >= limit:
            break
    return bytes(body[:limit])

"""SimStore: the vendor's bucket and ours, as one service that outlives its clients."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import accumulate
from typing import Any

from engine.model.sums import multipart_etag
from engine.s3.api.answers import Answer, Fields, Listed, ListingPage, StoreError
from tests.simulation.loop import Timeline, http_date, iso_second
from tests.simulation.uploads import VENDOR, SimUpload, Uploads, original

OURS, OTHERS = "ours", "another"


@lru_cache(maxsize=10_000)
def _etag(body: bytes, pieces: tuple[int, ...]) -> str:
    """``pieces``: sizes of the parts that it was made of."""
    if not pieces:
        return hashlib.md5(body, usedforsecurity=False).hexdigest()
    ends = list(accumulate(pieces))
    parts = [body[end - size : end] for end, size in zip(ends, pieces, strict=True)]
    return multipart_etag(hashlib.md5(part, usedforsecurity=False).digest() for part in parts)


@lru_cache(maxsize=10_000)
def _sha256(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()


@dataclass(frozen=True, slots=True)
class Held:
    """One object."""

    body: bytes
    at: float
    storage_class: str = "STANDARD"
    restored: bool = False
    headers: tuple[tuple[str, str], ...] = ()
    pieces: tuple[int, ...] = ()
    """Sizes of the parts that it was made of; none: it came as a whole."""

    @property
    def etag(self) -> str:
        return _etag(self.body, self.pieces)

    @property
    def archived(self) -> bool:
        return self.storage_class in {"GLACIER", "DEEP_ARCHIVE"} and not self.restored


@dataclass(slots=True)
class SimStore:
    """``conditional``: what it makes of ``If-None-Match: *``: honoured, ignored, or unsupported. ``sums``: whether it
    shows checksums. ``on_write`` is told of every write before it is done: (bucket, key, what was there, what comes).
    """

    timeline: Timeline
    conditional: str = "honoured"
    sums: bool = True
    copies: bool = True
    """It copies what is the vendor's; otherwise that is denied, and streams must do."""
    uploads: dict[str, SimUpload] = field(default_factory=dict)
    begun: int = 0
    """How many uploads were ever."""
    objects: dict[str, dict[str, Held]] = field(default_factory=lambda: {VENDOR: {}, OURS: {}, OTHERS: {}})
    denied: set[str] = field(default_factory=set)
    """Keys of ours that may not be looked at."""
    short: bool = False
    """The write at hand is cut off on its way."""
    bad_keys: set[str] = field(default_factory=set)
    """Where something has landed damaged."""
    damaged: range = range(0)
    """Of the writes to come, counted from 1: these are damaged on their way. The answer tells of what got there."""
    on_write: Callable[[str, str, Held | None, Held | None], None] = lambda *_: None

    def fields(self, held: Held, *, body: bool = True) -> dict[str, str]:
        """The headers of an answer about an object."""
        told = {
            "etag": f'"{held.etag}"',
            "content-length": str(len(held.body)) if body else "0",
            "last-modified": http_date(int(held.at)),
            "content-type": "application/pdf",
            **dict(held.headers),
        }
        if held.storage_class != "STANDARD":
            told["x-amz-storage-class"] = held.storage_class
            if held.restored:
                told["x-amz-restore"] = 'ongoing-request="false"'
        if self.sums and not held.pieces:
            told["x-amz-checksum-sha256"] = _sha256(held.body)
            told["x-amz-checksum-type"] = "FULL_OBJECT"
        return told

    def find(self, bucket: str, key: str) -> Held:
        held = self.objects[bucket].get(key)
        if held is None:
            raise StoreError("NoSuchKey", 404, "The specified key does not exist.")
        return held

    def made_of(self, parts: Sequence[bytes]) -> Held:
        """The object that these parts make."""
        return Held(b"".join(parts), self.timeline.now, pieces=tuple(len(part) for part in parts))

    def write(self, bucket: str, key: str, held: Held, headers: Fields) -> Answer:
        before = self.objects[bucket].get(key)
        if headers.get("if-none-match") == "*":
            if self.conditional == "unsupported":
                raise StoreError("NotImplemented", 501, "A header you provided implies functionality")
            if self.conditional == "honoured" and before is not None:
                raise StoreError("PreconditionFailed", 412, "At least one of the pre-conditions did not hold")
        if self.short:
            self.bad_keys.add(key)
            held = replace(held, body=held.body[: len(held.body) // 2])
        if self.damaged:
            if 1 in self.damaged:
                held = replace(held, body=b"?" + held.body[1:])
                self.bad_keys.add(key)
            self.damaged = range(self.damaged.start - 1, self.damaged.stop - 1) if self.damaged.stop > 2 else range(0)
        self.on_write(bucket, key, before, held)
        self.objects[bucket][key] = held
        return Answer(200, self.fields(held, body=False))


Fate = Callable[[str], tuple[float, float, str]]
"""What becomes of a request: seconds until it is carried out, until its answer, and the fault: ``""``, ``lost``
(never carried out), ``cut`` (carried out, not answered), ``busy``, ``short`` (half of what is written gets there)."""


class SimClient(Uploads):
    """Fits ``S3Client``, for one side. ``alive`` raises where the process is dead; ``fate`` is drawn per request."""

    def __init__(self, store: SimStore, fate: Fate, alive: Callable[[str], None]) -> None:
        self._store = store
        self._fate = fate
        self._alive = alive

    async def _ask(self, what: str, work: Callable[[], Any]) -> Any:
        """Carried out at its own instant, whether or not the client is still there to hear of it."""
        self._alive(f"s3 {what}")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        carry, answer, fault = self._fate(what)
        timeline = self._store.timeline

        def told(value: Any, error: StoreError | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)

        def carry_out() -> None:
            value, error = None, None
            try:
                if fault == "busy":
                    raise StoreError("SlowDown", 503, "Please reduce your request rate.")
                if fault != "lost":
                    self._store.short = fault == "short"
                    value = work()
                if fault in {"lost", "cut"}:
                    raise StoreError("Unreachable", 0, "the connection broke")
            except StoreError as failed:
                error = failed
            finally:
                self._store.short = False
            timeline.after(answer, lambda: told(value, error))

        timeline.after(carry, carry_out, what if what.startswith(("PUT", "COPY")) else "")
        return await future

    def _seen(self, bucket: str, key: str) -> Held:
        if bucket == OURS and key in self._store.denied:
            raise StoreError("403", 403)
        return self._store.find(bucket, key)

    async def head(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None, part: int | None = None
    ) -> Answer:
        def look() -> Answer:
            try:
                return Answer(200, self._store.fields(self._seen(bucket, key)))
            except StoreError as error:
                raise StoreError(str(error.status), error.status) from None

        return await self._ask(f"HEAD {bucket}/{key}", look)  # type: ignore[no-any-return]

    async def tags(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None
    ) -> tuple[tuple[str, str], ...]:
        return ()

    @asynccontextmanager
    async def get(self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None) -> AsyncIterator[Any]:
        answer, body = await self.read(bucket, key, headers, size=-1)
        yield Body(answer.fields, body)

    async def read(
        self, bucket: str, key: str, headers: Fields, *, size: int, version_id: str | None = None
    ) -> tuple[Answer, bytes]:
        def look() -> tuple[Answer, bytes]:
            held = self._seen(bucket, key)
            if held.archived:
                raise StoreError("InvalidObjectState", 403, "The operation is not valid for the storage class")
            if (wanted := headers.get("if-match")) and wanted != f'"{held.etag}"':
                raise StoreError("PreconditionFailed", 412)
            fields, body = self._store.fields(held), held.body
            if headers.get("range") == "bytes=0-0":
                fields["content-range"], body = f"bytes 0-0/{len(body)}", body[:1]
                fields["content-length"] = str(len(body))
            return Answer(200, fields), body

        return await self._ask(f"GET {bucket}/{key}", look)  # type: ignore[no-any-return]

    async def put(self, bucket: str, key: str, body: bytes | memoryview, headers: Fields, *, sha256: str) -> Answer:
        content = bytes(body)

        def write() -> Answer:
            held = Held(content, self._store.timeline.now, headers.get("x-amz-storage-class", "STANDARD"))
            return self._store.write(bucket, key, held, headers)

        return await self._ask(f"PUT {bucket}/{key}", write)  # type: ignore[no-any-return]

    async def copy(self, bucket: str, key: str, headers: Fields, *, size: int) -> Answer:
        def write() -> Answer:
            held = original(self._store, headers)
            made = Held(held.body, self._store.timeline.now, headers.get("x-amz-storage-class", "STANDARD"))
            return self._store.write(bucket, key, made, headers)

        return await self._ask(f"COPY {bucket}/{key}", write)  # type: ignore[no-any-return]

    async def list_objects(
        self, bucket: str, prefix: str, token: str, headers: Fields, *, after: str = "", limit: int = 1000
    ) -> ListingPage:
        def look() -> ListingPage:
            keys = [key for key in sorted(self._store.objects[bucket]) if key.startswith(prefix) and key > after]
            keys = [key for key in keys if key > token]
            rows = [self._listed(key, self._store.objects[bucket][key]) for key in keys[:limit]]
            return ListingPage(rows, keys[limit - 1] if len(keys) > limit else "")

        return await self._ask(f"LIST {bucket}/{prefix}", look)  # type: ignore[no-any-return]

    def _listed(self, key: str, held: Held) -> Listed:
        return Listed(key, len(held.body), held.etag, held.storage_class, f"{iso_second(int(held.at))}.000Z")

    async def head_bucket(self, bucket: str, headers: Fields) -> Answer:
        return await self._ask(f"HEAD {bucket}", lambda: Answer(200, {}))  # type: ignore[no-any-return]


@dataclass(slots=True)
class Body:
    """Fits ``StreamedAnswer``."""

    fields: Fields
    _body: bytes
    fill: None = None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body

"""Multipart uploads of a simulated store: open until they are completed or aborted, whoever is alive."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from engine.s3.api.answers import Answer, Fields, OpenUpload, Part, StoreError, UploadsPage
from tests.simulation.loop import BEGIN

VENDOR = "trackland"

if TYPE_CHECKING:
    from tests.simulation.bucket import Held, SimStore


@dataclass(slots=True)
class SimUpload:
    """One that is open."""

    bucket: str
    key: str
    at: float
    parts: dict[int, bytes] = field(default_factory=dict)


def original(store: SimStore, headers: Fields) -> Held:
    """What a copy, or a part of one, is made of. Raises StoreError."""
    bucket, _, key = unquote(headers["x-amz-copy-source"]).partition("?")[0].partition("/")
    if bucket == VENDOR and not store.copies:
        raise StoreError("AccessDenied", 403, "Access Denied")
    held = store.find(bucket, key)
    if held.archived:
        raise StoreError("InvalidObjectState", 403)
    if (wanted := headers.get("x-amz-copy-source-if-match")) and wanted != f'"{held.etag}"':
        raise StoreError("PreconditionFailed", 412)
    return held


class Uploads:
    """The part of ``SimClient`` that is about them."""

    _store: SimStore
    _ask: Callable[[str, Callable[[], Any]], Any]

    async def create_upload(self, bucket: str, key: str, headers: Fields) -> str:
        def begin() -> str:
            self._store.begun += 1
            name = f"upload-{self._store.begun}"
            self._store.uploads[name] = SimUpload(bucket, key, self._store.timeline.now)
            return name

        return await self._ask(f"PUT upload {bucket}/{key}", begin)  # type: ignore[no-any-return]

    async def upload_part(
        self, bucket: str, key: str, upload_id: str, number: int, body: Any, headers: Fields, *, sha256: str
    ) -> Answer:
        content = bytes(body)
        what = f"PUT part {number} {bucket}/{key}"
        return await self._ask(what, lambda: self._part(upload_id, number, content))  # type: ignore[no-any-return]

    async def upload_part_copy(
        self, bucket: str, key: str, upload_id: str, number: int, headers: Fields, *, size: int
    ) -> Answer:
        def copy() -> Answer:
            body = original(self._store, headers).body
            if span := headers.get("x-amz-copy-source-range"):
                first, last = span.removeprefix("bytes=").split("-")
                body = body[int(first) : int(last) + 1]
            return self._part(upload_id, number, body)

        return await self._ask(f"COPY part {number} {bucket}/{key}", copy)  # type: ignore[no-any-return]

    def _part(self, upload_id: str, number: int, body: bytes) -> Answer:
        if self._store.short:
            self._store.bad_keys.add(self._open(upload_id).key)
            body = body[: len(body) // 2]
        self._open(upload_id).parts[number] = body
        return Answer(200, {"etag": f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'})

    def _open(self, upload_id: str) -> SimUpload:
        found = self._store.uploads.get(upload_id)
        if found is None:
            raise StoreError("NoSuchUpload", 404, "The specified upload does not exist.")
        return found

    async def complete_upload(
        self, bucket: str, key: str, upload_id: str, parts: Sequence[Part], headers: Fields
    ) -> Answer:
        def complete() -> Answer:
            upload = self._open(upload_id)
            bodies = [upload.parts[part.number] for part in parts]
            answer = self._store.write(bucket, key, self._store.made_of(bodies), headers)
            del self._store.uploads[upload_id]
            return answer

        return await self._ask(f"PUT whole {bucket}/{key}", complete)  # type: ignore[no-any-return]

    async def abort_upload(self, bucket: str, key: str, upload_id: str, headers: Fields) -> None:
        def abort() -> None:
            self._open(upload_id)
            del self._store.uploads[upload_id]

        await self._ask(f"PUT abort {bucket}/{key}", abort)

    async def list_uploads(
        self, bucket: str, prefix: str, key_marker: str, id_marker: str, headers: Fields
    ) -> UploadsPage:
        def look() -> UploadsPage:
            begin = BEGIN.timestamp()
            found = sorted(self._store.uploads.items())
            return UploadsPage([OpenUpload(each.key, name, begin + int(each.at)) for name, each in found])

        return await self._ask(f"UPLOADS {bucket}", look)  # type: ignore[no-any-return]

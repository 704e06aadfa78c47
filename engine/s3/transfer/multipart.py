"""Multipart uploads of ours: aborted unless completed, completed at most once, swept at the start of a run (I13)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from engine.limiting.clock import Clock
from engine.model.facts import ObjectFacts, Occupied
from engine.model.sums import multipart_etag
from engine.s3.api.answers import Answer, Fields, OpenUpload, Part, StoreError
from engine.s3.transfer.conditions import CONDITION
from engine.s3.transfer.extras import Extra, Tags
from engine.s3.transfer.target import Bucket

ABORT_TRIES = 3
ABORT_SECONDS = 10.0
"""The longest that one try to abort may take. Cancelled work waits for at most ``ABORT_TRIES`` of them."""


@dataclass(slots=True)
class Upload:
    """One upload that is open at the store."""

    key: str
    id: str
    parts: list[Part] = field(default_factory=list)
    finished: bool = False

    def etag(self) -> str:
        """The ETag that the whole will have, made of the parts' ETags; empty where those are no MD5s."""
        try:
            return multipart_etag(bytes.fromhex(part.etag) for part in self.in_order())
        except ValueError:
            return ""

    def in_order(self) -> list[Part]:
        return sorted(self.parts, key=lambda part: part.number)


class Multipart:
    """Multipart uploads into one bucket."""

    def __init__(self, bucket: Bucket, clock: Clock, tags: Tags) -> None:
        self._bucket = bucket
        self._clock = clock
        self._tags = tags
        self.sums = Extra()
        """Whether uploads name their checksum algorithm."""
        self.left = 0
        """Open uploads of earlier runs that could not be aborted."""
        self.conditional = True
        """Whether completions carry If-None-Match; off once the store refuses it at a free key."""

    @asynccontextmanager
    async def begin(self, key: str, headers: Fields, *, sums: Fields, tags: Fields) -> AsyncIterator[Upload]:
        """Create an upload. If the block ends before ``finish`` succeeded, the upload is aborted. ``sums`` (the names
        of its checksum) and ``tags`` are left out where the store refuses them."""
        creating = asyncio.ensure_future(self._create(key, headers, sums, tags))
        try:
            upload = Upload(key, await asyncio.shield(creating))
        except asyncio.CancelledError:
            await _patiently(self._abort_created(key, creating))
            raise
        try:
            yield upload
        except BaseException:
            if not upload.finished:
                await _patiently(self.abort(key, upload.id))
            raise

    async def _create(self, key: str, headers: Fields, sums: Fields, tags: Fields) -> str:
        async def tagged(tags: Fields) -> str:
            async def create(sums: Fields) -> str:
                return await self._bucket.client.create_upload(
                    self._bucket.name, key, {**headers, **sums, **tags, **self._bucket.always}
                )

            return await self.sums.send(create, sums)

        return await self._tags.send(tagged, tags, self._bucket.name)

    async def finish(self, upload: Upload, size: int, headers: Fields, *, replace_etag: str | None = None) -> Answer:
        """Complete, right after a HEAD of the key, whatever the store makes of conditions: it costs little beside the
        parts. Raises Occupied, StoreError."""
        found = await self._bucket.look(upload.key)
        if found is not None and found.etag != replace_etag:
            raise Occupied(found)
        condition = CONDITION if found is None and self.conditional else {}
        try:
            answer = await self._complete(upload, size, {**headers, **condition})
        except StoreError as error:
            if not condition or not (error.refused_condition or error.unsupported):
                raise
            now = await self._bucket.look(upload.key)
            if now is not None:
                if not self._is_ours(upload, size, now):
                    raise Occupied(now) from None
                answer = _as_answer(now)
            else:
                self.conditional = False
                answer = await self._complete(upload, size, headers)
        upload.finished = True
        return answer

    async def abort(self, key: str, upload_id: str) -> None:
        """Abort, with a few tries. A 404 counts as done, though the store may know the upload by another key: see
        ``sweep``."""
        for number in range(ABORT_TRIES):
            if number:
                await self._clock.sleep(0.2 * number)
            try:
                async with asyncio.timeout(ABORT_SECONDS):
                    await self._bucket.client.abort_upload(self._bucket.name, key, upload_id, self._bucket.always)
            except StoreError as error:
                if error.status != 404:
                    continue
            except TimeoutError:
                continue
            return

    async def sweep(self, prefix: str, ours: Callable[[str], bool], before: float) -> int:
        """Abort open uploads under ``prefix`` whose key is ``ours`` and that began before ``before`` (epoch seconds).

        An open upload bears no mark of ours, so the key's shape and the time decide. Some stores list keys
        percent-encoded without saying so (Ceph RGW): what is still open is aborted under the decoded key too.
        Returns how many are gone by a second listing; the rest are ``left``.
        """
        found = stale = {
            row
            async for row in self._open(prefix)
            if row.initiated < before and (ours(row.key) or ours(unquote_plus(row.key)))
        }
        for spelt in (str, unquote_plus):
            for row in stale:
                await self.abort(spelt(row.key), row.upload_id)
            if stale:
                stale = stale & {row async for row in self._open(prefix)}
        self.left = len(stale)
        return len(found) - len(stale)

    async def _open(self, prefix: str) -> AsyncIterator[OpenUpload]:
        marker = ("", "")
        while True:
            page = await self._bucket.client.list_uploads(self._bucket.name, prefix, *marker, self._bucket.always)
            for row in page.rows:
                yield row
            before, marker = marker, (page.key_marker, page.id_marker)
            if not page.key_marker:
                return
            if marker == before:
                raise StoreError("BadListing", 0, "the listing of open uploads does not advance")

    async def _complete(self, upload: Upload, size: int, headers: Fields) -> Answer:
        """Complete, and again where the first answer was lost. A completed upload is unknown to the store: then the key
        shows whether it was ours."""
        arguments = (self._bucket.name, upload.key, upload.id, upload.in_order(), {**headers, **self._bucket.always})
        try:
            return await self._bucket.client.complete_upload(*arguments)
        except StoreError as error:
            if not error.unsure:
                raise
        try:
            return await self._bucket.client.complete_upload(*arguments)
        except StoreError as error:
            if error.code != "NoSuchUpload" and not error.refused_condition:
                raise
            found = await self._bucket.look(upload.key)
            if found is None or not self._is_ours(upload, size, found):
                raise
            return _as_answer(found)

    @staticmethod
    def _is_ours(upload: Upload, size: int, found: ObjectFacts) -> bool:
        return found.size == size and found.etag == upload.etag() != ""

    async def _abort_created(self, key: str, creating: asyncio.Future[str]) -> None:
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                upload_id = await creating
        except (StoreError, TimeoutError):
            return
        await self.abort(key, upload_id)


def _as_answer(facts: ObjectFacts) -> Answer:
    return Answer(200, {"etag": f'"{facts.etag}"'})


async def _patiently(cleanup: Awaitable[object]) -> None:
    """Await clean-up to its end, however often the task is cancelled meanwhile. Bounded by the clean-up."""
    task = asyncio.ensure_future(cleanup)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            continue

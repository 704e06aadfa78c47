"""The S3 client port: the calls that this project uses. ``sdk.py`` and ``fast.py`` fit it.

Every call raises StoreError and nothing else of its own. ``headers`` are request headers by lower-case name, ASCII
only, the same on both transports; one contract suite runs on both. A read that fails midway raises from ``chunks``.
Nothing is retried here, and no redirect is followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from engine.model.byte_units import KIB
from engine.s3.api.answers import Answer, Bytes, Fields, ListingPage, Part, StreamedAnswer, UploadsPage


class S3Client(Protocol):
    """One service with one set of credentials."""

    async def head(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None, part: int | None = None
    ) -> Answer:
        """``part``: of that part alone; ``x-amz-mp-parts-count`` then says how many parts there are."""
        ...

    async def tags(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None
    ) -> tuple[tuple[str, str], ...]:
        """GetObjectTagging: names and values."""
        ...

    def get(
        self, bucket: str, key: str, headers: Fields, *, version_id: str | None = None
    ) -> AbstractAsyncContextManager[StreamedAnswer]:
        """The body must come at READ_RATE on average, after READ_GRACE_S. Only the time spent waiting for it counts."""
        ...

    async def read(
        self, bucket: str, key: str, headers: Fields, *, size: int, version_id: str | None = None
    ) -> tuple[Answer, bytes]:
        """GET of a whole object that is known to be small: ``size`` bytes, up to WHOLE. One that has grown since is
        refused, like an ETag that does not match."""
        ...

    async def put(self, bucket: str, key: str, body: Bytes, headers: Fields, *, sha256: str) -> Answer:
        """``sha256`` is the body's digest in hex, which is signed, or ``sigv4.UNSIGNED`` where a header holds another
        checksum of the body. The answer has an ETag."""
        ...

    async def copy(self, bucket: str, key: str, headers: Fields, *, size: int) -> Answer:
        """CopyObject of ``x-amz-copy-source``. ``size`` in bytes sets how long it may take. The answer has an ETag."""
        ...

    async def create_upload(self, bucket: str, key: str, headers: Fields) -> str:
        """Begins a multipart upload; returns its id."""
        ...

    async def upload_part(
        self, bucket: str, key: str, upload_id: str, number: int, body: Bytes, headers: Fields, *, sha256: str
    ) -> Answer:
        """``sha256`` as in ``put``."""
        ...

    async def upload_part_copy(
        self, bucket: str, key: str, upload_id: str, number: int, headers: Fields, *, size: int
    ) -> Answer: ...

    async def complete_upload(
        self, bucket: str, key: str, upload_id: str, parts: Sequence[Part], headers: Fields
    ) -> Answer: ...

    async def abort_upload(self, bucket: str, key: str, upload_id: str, headers: Fields) -> None: ...

    async def list_objects(
        self, bucket: str, prefix: str, token: str, headers: Fields, *, after: str = "", limit: int = 1000
    ) -> ListingPage:
        """ListObjectsV2. ``after``: only keys behind this one (start-after); ignored where there is a token."""
        ...

    async def list_uploads(
        self, bucket: str, prefix: str, key_marker: str, id_marker: str, headers: Fields
    ) -> UploadsPage: ...

    async def head_bucket(self, bucket: str, headers: Fields) -> Answer: ...


WHOLE = 256 * KIB
"""Bytes up to which an object is read at once: no more than a stream would hold unread."""
WRITE_RATE = 20_000
"""Bytes a second below which a write is given up. 200 parts at once still pass through 4 MB/s."""
READ_RATE = 10_000
"""Bytes a second below which a read is given up. 100 at once still pass through 1 MB/s."""
READ_GRACE_S = 120.0


def time_for(nbytes: int) -> float:
    """Seconds that a request may take to write or copy so many bytes: a minute, and what the bytes need."""
    return 60.0 + nbytes / WRITE_RATE


def reading_time(nbytes: int) -> float:
    """Seconds that so many bytes may be waited for."""
    return READ_GRACE_S + nbytes / READ_RATE

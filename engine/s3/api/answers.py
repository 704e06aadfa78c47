"""What a store answered: its headers, with the few facts that S3 puts into XML bodies merged in; or a StoreError."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from engine.model.ports import Fill
from engine.model.value import value

Fields = Mapping[str, str]
"""Headers by lower-case name."""
Bytes = bytes | memoryview
"""Content: as it came, or in memory that is used again."""


_NOT_THE_REQUEST = frozenset({"BadDigest", "IncompleteBody", "RequestTimeout", "ExpiredToken", "TokenRefreshRequired"})
"""Codes of a 400 that is about the bytes or the login."""


class StoreError(Exception):
    """A request that did not succeed, in the store's own words; ``faults.py`` says what it means.

    ``code`` is S3's error code (``NoSuchKey``), or the bare status (``"404"``) where no body said more. Where no usable
    answer came it is one of ours: ``Unreachable``, ``NoFileLeft``, ``TimedOut``, ``TlsFailed``, ``BadAnswer``,
    ``TooLong``, ``BadListing``, ``NoETag``. Then ``status`` is 0, except for the last.
    ``region`` is where the bucket lives, if the store said so. ``alone``: other requests with the same keys to the same
    bucket are served, so the error is about this request alone (``doubts.py``).
    """

    alone = False

    def __init__(
        self,
        code: str,
        status: int,
        message: str = "",
        *,
        retry_after_s: float | None = None,
        region: str = "",
    ) -> None:
        super().__init__(f"{code} ({status})" if status else code, message)
        self.code = code
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        self.region = region

    @property
    def bare(self) -> bool:
        """Whether the cause is open: a HEAD has no body to say whether keys, clock, region or object are at fault."""
        return self.status in {400, 401, 403} and self.code == str(self.status)

    def again(self) -> StoreError:
        """A copy, for another request that failed for the same reason."""
        return StoreError(self.code, self.status, self.message, region=self.region)

    @property
    def missing(self) -> bool:
        """Whether the object does not exist. A missing bucket is told apart where the store does so."""
        return self.status == 404 and self.code not in {"NoSuchBucket", "NoSuchUpload"}

    @property
    def refused_condition(self) -> bool:
        """Whether a precondition did not hold."""
        return self.status == 412

    @property
    def unsupported(self) -> bool:
        """Whether the store does not support the request."""
        return self.status == 501 or self.code == "NotImplemented"

    @property
    def unfit(self) -> bool:
        """Whether the store may dislike something about the request itself: it is worth a try without its optional
        headers."""
        return self.unsupported or (self.status == 400 and self.code not in _NOT_THE_REQUEST)

    @property
    def unsure(self) -> bool:
        """Whether the request may have been carried out all the same."""
        return self.status == 0 or self.status >= 500 or self.code in {"NoETag", "BadAnswer", "RequestTimeout"}


@value
class Answer:
    """A success. ``fields`` holds the headers and, under header names, what the body of a copy or completion said."""

    status: int
    fields: Fields

    @property
    def etag(self) -> str:
        """Without quotes; empty when there was none."""
        return unquoted(self.fields.get("etag", ""))


class StreamedAnswer(Protocol):
    """A body being read. ``chunks`` ends only where the body is whole, and raises StoreError where it is cut short."""

    @property
    def fields(self) -> Fields: ...

    def chunks(self) -> AsyncIterator[Bytes]: ...

    @property
    def fill(self) -> Fill | None:
        """None where the body only comes as ``chunks``. Both may be used in turn; only ``chunks`` checks the end."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One uploaded part; ``checksum`` is ``(algorithm, base64)`` where one was sent with it."""

    number: int
    etag: str
    checksum: tuple[str, str] | None = None


class Listed(NamedTuple):
    """One row of a bucket listing. ``last_modified`` is UTC ISO; ``etag`` has no quotes.

    A tuple, because there are millions: it takes a quarter of the time of a dataclass.
    """

    key: str
    size: int
    etag: str
    storage_class: str
    last_modified: str


@dataclass(frozen=True, slots=True)
class ListingPage:
    """Up to 1,000 rows; ``token`` asks for the next page, empty at the end."""

    rows: list[Listed]
    token: str = ""


@dataclass(frozen=True, slots=True)
class OpenUpload:
    """A multipart upload that was neither completed nor aborted. ``initiated`` is seconds since the epoch."""

    key: str
    upload_id: str
    initiated: float


@dataclass(frozen=True, slots=True)
class UploadsPage:
    """Up to 1,000 open uploads; the markers ask for the next page, empty at the end."""

    rows: list[OpenUpload] = field(default_factory=list)
    key_marker: str = ""
    id_marker: str = ""


def text(raw: bytes) -> str:
    """A header value as text, in UTF-8, or in Latin-1 where it is not."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def unquoted(etag: str) -> str:
    """An ETag without its quotes; empty for a weak one, which says nothing of the bytes."""
    return "" if etag.startswith("W/") else etag.strip('"')


def proven(answer: Answer) -> Answer:
    """The same answer. Raises StoreError without an ETag: a write that reports success without one is no success."""
    if not answer.etag:
        raise StoreError("NoETag", answer.status, "the store reported success without an ETag")
    return answer

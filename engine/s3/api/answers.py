"""What a store answered: headers with the few facts that S3 hides in XML bodies merged in, or a StoreError."""

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


_NOT_THE_FORM = frozenset({"BadDigest", "IncompleteBody", "RequestTimeout", "ExpiredToken", "TokenRefreshRequired"})
"""Codes of a 400 that speaks of the bytes or of the login."""


class StoreError(Exception):
    """A request that did not succeed, in the store's own words; ``faults.py`` says what it means.

    ``code`` is S3's error code (``NoSuchKey``), or the bare status (``"404"``) where no body told more, or one of ours
    where no answer came, or none to go by: ``Unreachable``, ``NoFileLeft``, ``TimedOut``, ``TlsFailed``, ``BadAnswer``,
    ``TooLong``, ``BadListing``, ``NoETag``. ``status`` is 0 then, but for the last.
    ``region`` is where the bucket lives, if the store said so. ``alone``: the same keys and bucket have been found to
    be well, so that it speaks of this one request (``doubts.py``).
    """

    alone = False

    def __init__(
        self,
        code: str,
        status: int,
        message: str = "",
        *,
        retry_after_s: float | None = None,
        condition: str = "",
        region: str = "",
    ) -> None:
        super().__init__(f"{code} ({status})" if status else code, message)
        self.code = code
        self.status = status
        self.message = message
        self.retry_after_s = retry_after_s
        self.condition = condition
        self.region = region

    @property
    def bare(self) -> bool:
        """Whether it may be anything: a HEAD has no body to say whether keys, clock, region or object are at fault."""
        return self.status in {400, 401, 403} and self.code == str(self.status)

    def again(self) -> StoreError:
        """The same, to be raised once more by somebody else."""
        return StoreError(self.code, self.status, self.message, region=self.region)

    @property
    def missing(self) -> bool:
        """Whether it says that the object is not there. A missing bucket is told apart where the store does."""
        return self.status == 404 and self.code not in {"NoSuchBucket", "NoSuchUpload"}

    @property
    def refused_condition(self) -> bool:
        """Whether a precondition did not hold."""
        return self.status == 412

    @property
    def unsupported(self) -> bool:
        """Whether the store does not know what was asked of it."""
        return self.status == 501 or self.code == "NotImplemented"

    @property
    def unfit(self) -> bool:
        """Whether something about the request's form may be why: it is worth asking without what the store need not
        know."""
        return self.unsupported or (self.status == 400 and self.code not in _NOT_THE_FORM)

    @property
    def unsure(self) -> bool:
        """Whether the request may have been carried out all the same."""
        return self.status == 0 or self.status >= 500 or self.code in {"NoETag", "BadAnswer", "RequestTimeout"}


@value
class Answer:
    """A success. ``fields`` holds the headers, and what the body of a copy or completion said, under header names."""

    status: int
    fields: Fields

    @property
    def etag(self) -> str:
        """Without quotes; empty when there was none."""
        return unquoted(self.fields.get("etag", ""))


class StreamedAnswer(Protocol):
    """A body being read. ``chunks`` ends only at the true end and raises StoreError when the body ends short."""

    @property
    def fields(self) -> Fields: ...

    def chunks(self) -> AsyncIterator[Bytes]: ...

    @property
    def fill(self) -> Fill | None:
        """None where the body only comes as ``chunks``; both may be used in turn, and ``chunks`` knows the end."""
        ...


@dataclass(frozen=True, slots=True)
class Part:
    """One uploaded part; ``checksum`` is ``(algorithm, base64)`` where one was sent with it."""

    number: int
    etag: str
    checksum: tuple[str, str] | None = None


class Listed(NamedTuple):
    """One row of a bucket listing. ``last_modified`` is UTC ISO; ``etag`` has no quotes.

    A tuple, for there are millions: it is made in a quarter of a dataclass's time.
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
    """A multipart upload that was begun and neither completed nor aborted. ``initiated`` is seconds since the epoch."""

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
    """An ETag without its quotes; empty for a weak one, which promises nothing of the bytes."""
    return "" if etag.startswith("W/") else etag.strip('"')


def proven(answer: Answer) -> Answer:
    """The same answer, if it carries an ETag: a write that reports success without one is not a success."""
    if not answer.etag:
        raise StoreError("NoETag", answer.status, "the store reported success without an ETag")
    return answer

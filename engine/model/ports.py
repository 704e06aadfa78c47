"""What the pipeline needs from below, as protocols: adapters fit by shape.

All methods raise only errors of ``model/errors.py``: Transient, Refused, Fatal.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from engine.model.change import Ours
from engine.model.facts import ObjectFacts, Stored
from engine.model.location import Location
from engine.model.outcome import Batch, Duplicate
from engine.model.plan import Known
from engine.model.record import Record

Fill = Callable[[memoryview], Awaitable[int]]
"""Puts the next bytes of a body right where they are wanted; returns how many: fewer than there is room only at the
end."""


class ByteStream(Protocol):
    """An object being read."""

    @property
    def facts(self) -> ObjectFacts: ...

    @property
    def whole(self) -> bytes | None:
        """All of it, where it came at once and is known to be complete; None: read ``chunks``."""
        return None

    def chunks(self) -> AsyncIterator[bytes | memoryview]:
        """The bytes in order, each valid until the next is asked for; Transient when the body ends short."""
        ...

    @property
    def fill(self) -> Fill | None:
        """None: the bytes only come as ``chunks``. Both may be used in turn; only ``chunks`` notices a short end."""
        return None

    async def parts(self) -> Sequence[int]:
        """Sizes in bytes of the parts that the object was made of, in order, where its ETag is made of them and the
        source tells them; else empty. Raises Transient, Refused."""
        return ()


class Source(Protocol):
    """Where files are read: the S3 API, or plain http. GET, HEAD and List only (I8)."""

    async def facts(self, location: Location) -> ObjectFacts:
        """HEAD. Raises Refused (missing, denied, archived, expired…) or Transient."""
        ...

    async def look(self, location: Location) -> ObjectFacts:
        """The same where the object is not to be read: an archived one is described like any other."""
        ...

    async def parts(self, location: Location, facts: ObjectFacts) -> Sequence[int]:
        """Sizes in bytes of the parts that an object was made of; see ``ByteStream``."""
        ...

    def open(self, location: Location, facts: ObjectFacts | None) -> AbstractAsyncContextManager[ByteStream]:
        """GET, pinned to ``facts.etag``/``version_id`` when given (Transient ``source_changed`` if it moved)."""
        ...


class Room(Protocol):
    """Memory claimed for a stream before it is opened."""

    async def fits(self, size: int | None) -> bool:
        """Whether a stream of this size (None: unknown) can be stored now. Does not wait."""
        ...

    async def wait_for(self, size: int | None) -> None:
        """Wait until it can be stored. Nothing may be open meanwhile."""
        ...


class Destination(Protocol):
    """Our bucket. Nothing is overwritten (I7): a taken key raises ``Occupied``, unless its ETag is ``replace_etag``."""

    async def facts(self, key: str) -> ObjectFacts | None:
        """HEAD with checksums; None when there is no such object."""
        ...

    async def copy(self, source: Location, facts: ObjectFacts, key: str, *, replace_etag: str | None = None) -> Stored:
        """Server-side copy of a source object, pinned by ETag: CopyObject, or multipart UploadPartCopy above 5 GiB.
        Raises Uncopyable where the store refuses to copy what may be read and written."""
        ...

    async def copy_within(self, from_key: str, facts: ObjectFacts, key: str) -> Stored:
        """Server-side copy inside the destination bucket: duplicates."""
        ...

    def room(self, size: int | None) -> AbstractAsyncContextManager[Room]:
        """Wait for the memory of a stream that is to be opened. None: its size will be known once it is open."""
        ...

    async def store(self, stream: ByteStream, key: str, *, replace_etag: str | None = None, room: Any = None) -> Stored:
        """Write the stream: PUT, or a multipart upload where it is large. Checks length and sums, and aborts an upload
        that fails. ``room`` fits the stream; without it, memory is waited for with the stream open."""
        ...


class FastPath(Protocol):
    """A fast path of ``Destination.copy``, for objects that a listing describes, and while all is well."""

    def copy(self, source: Location, facts: ObjectFacts, key: str) -> Coroutine[Any, Any, Stored | None] | None:
        """The copy, which must be awaited. None, here or from the copy: take the usual way. Never overwrites, raises no
        errors of its own."""
        ...


class ShortStream(Protocol):
    """A fast path of ``Source.open`` and ``Destination.store``, for small objects that a listing describes, and while
    all is well."""

    def copy(
        self, source: Location, facts: ObjectFacts, key: str
    ) -> Coroutine[Any, Any, tuple[ObjectFacts, Stored] | None] | None:
        """The copy, which must be awaited: what the source said of the object as it was read, and what was stored.

        None, here or from the copy: take the usual way. Never overwrites, raises no errors of its own."""
        ...


class Sink(Protocol):
    """Where outcomes are stored."""

    async def write(self, batch: Batch) -> None:
        """One transaction: rows, error rows, counters, run counts, checkpoint. Durable when it returns."""
        ...


class Ledger(Sink, Protocol):
    """The tracking DB as the pipeline sees it. One writer."""

    async def known(self, ids: Sequence[str]) -> dict[str, Known]:
        """Rows of these records; one query a page."""
        ...

    async def ours(self, held: Sequence[tuple[str, str]]) -> dict[str, Ours]:
        """Of these records, with what they hold: those that hold a value of ours, by the journal."""
        ...

    async def duplicates(self, source_ids: Sequence[int]) -> dict[int, Duplicate]:
        """A proved copy per source, where one exists."""
        ...

    async def inventory(self, source_ids: Sequence[int]) -> dict[int, ObjectFacts]:
        """What a listing of this scan says of these sources; a source that it lacks may exist all the same."""
        ...

    def pending(self, failures: Sequence[str]) -> AsyncIterator[list[Record]]:
        """Records that are pending, then those that failed with one of these classes, in chunks of up to 2,000."""
        ...

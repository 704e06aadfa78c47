"""Fake stores: a source and a destination in memory, with faults that a test can order."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from engine.model.errors import EngineError, Refused, Transient
from engine.model.facts import ContentHeaders, ObjectFacts, Occupied, Stored, parts_in
from engine.model.failures import FailureClass
from engine.model.location import Location, Origin

ORIGIN = Origin("https", "vendor.s3.us-west-2.amazonaws.com", 443)


@dataclass
class FakeObject:
    body: bytes
    headers: ContentHeaders = field(default_factory=ContentHeaders)
    archived: bool = False
    etag: str = ""
    sized: bool = True
    """False: its server tells no length."""
    kms: bool = False
    """Encrypted so that its ETag looks like an MD5 and is none; a copy of it is not."""

    @property
    def facts(self) -> ObjectFacts:
        return ObjectFacts(
            size=len(self.body) if self.sized else None,
            etag=self.etag or hashlib.md5(b"kms" * self.kms + self.body).hexdigest(),
            etag_is_md5=not self.etag and not self.kms,
            etag_parts=parts_in(self.etag),
            headers=self.headers,
            archived=self.archived,
            storage_class="GLACIER" if self.archived else "STANDARD",
        )


@dataclass
class FakeStream:
    facts: ObjectFacts
    body: bytes
    whole = None
    fill = None

    async def parts(self) -> Sequence[int]:
        return ()

    async def chunks(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self.body), 7):
            await asyncio.sleep(0)
            yield self.body[start : start + 7]


class Faults:
    """Errors to raise at the next calls of a verb for a key: ``faults.order("get", "k", Transient(...))``."""

    def __init__(self) -> None:
        self._queued: dict[tuple[str, str], deque[EngineError]] = defaultdict(deque)

    def order(self, verb: str, key: str, *errors: EngineError) -> None:
        self._queued[verb, key].extend(errors)

    def strike(self, verb: str, key: str) -> None:
        if self._queued[verb, key]:
            raise self._queued[verb, key].popleft()


@dataclass
class FakeSource:
    objects: dict[str, FakeObject] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    calls: Counter[tuple[str, str]] = field(default_factory=Counter)
    barrier: asyncio.Event | None = None

    def _find(self, location: Location) -> FakeObject:
        found = self.objects.get(location.key)
        if found is None:
            raise Refused(FailureClass.SOURCE_MISSING, "no such object")
        return found

    async def parts(self, location: Location, facts: ObjectFacts) -> Sequence[int]:
        return ()

    async def facts(self, location: Location) -> ObjectFacts:
        await asyncio.sleep(0)
        self.calls["head", location.key] += 1
        self.faults.strike("head", location.key)
        return self._find(location).facts

    look = facts

    @asynccontextmanager
    async def open(self, location: Location, facts: ObjectFacts | None) -> AsyncIterator[FakeStream]:
        await asyncio.sleep(0)
        self.calls["get", location.key] += 1
        self.faults.strike("get", location.key)
        found = self._find(location)
        if facts is not None and facts.etag != found.facts.etag:
            raise Transient(FailureClass.SOURCE_CHANGED, "the object changed")
        if self.barrier is not None:
            await self.barrier.wait()
        yield FakeStream(found.facts, found.body)


class FakeRoom:
    """Memory without end."""

    async def fits(self, size: int | None) -> bool:
        return True

    async def wait_for(self, size: int | None) -> None:
        raise AssertionError("it fits")


@dataclass
class FakeDestination:
    """Our bucket; ``source`` serves server-side copies."""

    source: FakeSource
    objects: dict[str, FakeObject] = field(default_factory=dict)
    faults: Faults = field(default_factory=Faults)
    writes: Counter[str] = field(default_factory=Counter)
    corrupt: set[str] = field(default_factory=set)
    """Keys whose next write stores other bytes."""
    lost: set[str] = field(default_factory=set)
    """Keys whose next write is applied, but answered with a network error."""
    sums: Callable[[bytes], tuple[tuple[str, str], ...]] = lambda body: (("md5", hashlib.md5(body).hexdigest()),)
    """What is computed of a stream."""

    async def facts(self, key: str) -> ObjectFacts | None:
        await asyncio.sleep(0)
        found = self.objects.get(key)
        return None if found is None else found.facts

    async def copy(self, source: Location, facts: ObjectFacts, key: str, *, replace_etag: str | None = None) -> Stored:
        await asyncio.sleep(0)
        self.source.calls["copy", source.key] += 1
        found = self.source._find(source)
        if found.facts.etag != facts.etag:
            raise Transient(FailureClass.SOURCE_CHANGED, "the object changed")
        made_of_parts = "-" in found.etag  # a copy in one piece has an ETag of its own
        return self._put(key, replace(found, kms=False, etag="" if made_of_parts else found.etag), replace_etag)

    async def copy_within(self, from_key: str, facts: ObjectFacts, key: str) -> Stored:
        await asyncio.sleep(0)
        return self._put(key, self.objects[from_key], None)

    @asynccontextmanager
    async def room(self, size: int | None) -> AsyncIterator[FakeRoom]:
        yield FakeRoom()

    async def store(
        self, stream: FakeStream, key: str, *, replace_etag: str | None = None, room: FakeRoom | None = None
    ) -> Stored:
        body = b"".join([bytes(chunk) async for chunk in stream.chunks()])
        computed = self.sums(body)
        try:
            stored = self._put(key, FakeObject(body, stream.facts.headers), replace_etag)
        except Occupied as taken:
            raise Occupied(taken.facts, computed) from None
        return replace(stored, read_bytes=len(body), computed=computed)

    def _put(self, key: str, made: FakeObject, replace_etag: str | None) -> Stored:
        self.faults.strike("put", key)
        existing = self.objects.get(key)
        if existing is not None and existing.facts.etag != replace_etag:
            raise Occupied(existing.facts)
        if key in self.corrupt:
            self.corrupt.discard(key)
            made = FakeObject(b"X" * len(made.body), made.headers)
        self.objects[key] = made
        self.writes[key] += 1
        if key in self.lost:
            self.lost.discard(key)
            raise Transient(FailureClass.NETWORK, "the answer was lost")
        return Stored(made.facts)


@dataclass
class FakeShortStream:
    """The short way of a stream into the same bucket. ``shut``: it takes nothing."""

    source: FakeSource
    destination: FakeDestination
    shut: bool = False
    took: list[str] = field(default_factory=list)

    def copy(
        self, source: Location, facts: ObjectFacts, key: str
    ) -> Coroutine[Any, Any, tuple[ObjectFacts, Stored] | None] | None:
        if self.shut or not facts.etag_is_md5:
            return None
        self.took.append(key)
        return self._copy(source, facts, key)

    async def _copy(self, source: Location, facts: ObjectFacts, key: str) -> tuple[ObjectFacts, Stored] | None:
        try:
            async with self.source.open(source, facts) as stream:
                return stream.facts, await self.destination.store(stream, key)
        except (Occupied, EngineError):
            return None


@dataclass
class FakeFastPath:
    """The short way to the same bucket. ``shut``: it takes nothing."""

    destination: FakeDestination
    shut: bool = False
    took: list[str] = field(default_factory=list)

    def copy(self, source: Location, facts: ObjectFacts, key: str) -> Coroutine[Any, Any, Stored | None] | None:
        if self.shut or not facts.etag_is_md5:
            return None
        self.took.append(key)
        return self._copy(source, facts, key)

    async def _copy(self, source: Location, facts: ObjectFacts, key: str) -> Stored | None:
        try:
            return await self.destination.copy(source, facts, key)
        except (Occupied, EngineError):
            return None

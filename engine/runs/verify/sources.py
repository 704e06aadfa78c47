"""What the sources of copies say of themselves today."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

from engine.model.errors import Refused, Transient
from engine.model.facts import Method, ObjectFacts
from engine.model.location import Location
from engine.model.ports import Source
from engine.model.record import Record
from engine.model.urls import parse_url
from engine.pipeline.digest import Sums, digest
from engine.pipeline.routes import Route, Routes
from engine.runs.shared.assembly import Services
from engine.tracking.read.copies import Copy

T = TypeVar("T")


class CopySources:
    """``learn`` comes before every question about a copy. Questions raise Refused and Transient."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._routes = Routes(services.probe)

    async def learn(self, copies: Iterable[Copy]) -> None:
        """Find out how the sources of these copies are read."""
        await self._routes.learn(at for copy in copies if (at := self._location(copy)) is not None)

    def buckets(self, copies: Iterable[Copy]) -> dict[str, Route]:
        """The buckets that the sources of these copies lie in, and how they are read."""
        places = [at for copy in copies if (at := self._location(copy)) is not None and at.bucket]
        return {at.bucket: self._routes.of(at) for at in places}

    async def facts(self, copy: Copy) -> ObjectFacts:
        return await self._ask(copy, self._head)

    async def parts(self, copy: Copy, facts: ObjectFacts) -> Sequence[int]:
        """Sizes of the parts whose MD5s make the source's ETag; empty where that is not known."""
        if not facts.etag_parts:
            return ()
        try:
            return await self._ask(copy, lambda source, at: source.parts(at, facts))
        except (Transient, Refused):
            return ()  # its ETag then proves nothing, as if there were none

    async def sums(self, copy: Copy) -> Sums:
        """Of the source's bytes."""
        return await self._ask(copy, lambda source, at: self.sums_at(source, at))

    async def sums_at(
        self, source: Source, at: Location, facts: ObjectFacts | None = None, parts: Sequence[int] = ()
    ) -> Sums:
        """Of the bytes of any object."""
        return await self._services.retries.of(lambda: digest(source, at, facts, parts))

    async def _head(self, source: Source, at: Location) -> ObjectFacts:
        return await self._services.retries.of(lambda: source.facts(at))

    async def _ask(self, copy: Copy, question: Callable[[Source, Location], Awaitable[T]]) -> T:
        """Ask the source. Where a vendor's API gives a link per record, that link leads to it."""
        at = parse_url(copy.url, self._services.rules)
        links = self._services.links
        if links is None or self._routes.of(at).method is not Method.HTTP:
            return await self._routes.by(at, lambda route, place: question(route.source, place))
        fields = tuple(json.loads(copy.extra or "{}").items())
        record = Record(copy.record_id, "", copy.url, "", "", "", fields)
        return await question(links.route.source, await self._services.retries.of(lambda: links.resolve(record)))

    def _location(self, copy: Copy) -> Location | None:
        """None where the settings no longer allow to read the link."""
        try:
            return parse_url(copy.url, self._services.rules)
        except Refused:
            return None

"""Routes: by which method a source is read. Settled once per source bucket, by the first file that can be read.

| the bucket's route is      | what happens                                                                     |
|----------------------------|----------------------------------------------------------------------------------|
| not known or not settled   | a few files of each page are looked at, and each file before it travels; denials |
|                            | settle nothing: without the right to list a missing file is denied too           |
| settled                    | files travel by it, and nobody asks                                              |
| settled, and denied a file | that file is looked at once more, and goes by another way where one is found; a  |
|                            | few files of the next page tell whether the route still stands                   |
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from engine.model.errors import Refused
from engine.model.facts import Method
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.ports import Source
from engine.model.urls import plus_as_space

T = TypeVar("T")

RouteKnown = tuple[str, Method, str]
"""Source bucket, method, why: a settled route, as others are told of it."""

SAMPLES = 8
_NOT_THERE = frozenset({FailureClass.SOURCE_MISSING, FailureClass.SOURCE_DENIED})


@dataclass(frozen=True, slots=True)
class Route:
    """How the bytes of one source bucket (``""``: plain http) travel, and why so."""

    method: Method
    source: Source
    why: str
    settled: bool = True
    """A file has been read that way, or the settings say so."""


class Routes:
    """Asks ``probe`` for each source bucket when its first records turn up, with a few of their locations."""

    def __init__(
        self,
        probe: Callable[[str, Sequence[Location]], Awaitable[Route]],
        on_route: Callable[[str, Route], None] = lambda _bucket, _route: None,
        reader: Callable[[Method], Source] | None = None,
    ) -> None:
        """``reader`` reads by a method: for routes that others have settled."""
        self._probe = probe
        self._reader = reader
        self._routes: dict[str, Route] = {}
        self._doubted: set[str] = set()
        self._on_route = on_route

    async def learn(self, locations: Iterable[Location]) -> None:
        """Make sure that each of these has a route. Called once a page."""
        open_: dict[str, list[Location]] = {}
        for location in locations:
            route = self._routes.get(location.bucket)
            if route is None or not route.settled or location.bucket in self._doubted:
                open_.setdefault(location.bucket, []).append(location)
        for bucket, there in open_.items():
            self._doubted.discard(bucket)
            self._keep(bucket, await self._probe(bucket, there[:: -(-len(there) // SAMPLES)]))

    def known(self) -> list[RouteKnown]:
        """The settled ones."""
        return [(bucket, each.method, each.why) for bucket, each in self._routes.items() if each.settled]

    def adopt(self, known: Iterable[RouteKnown]) -> None:
        """Take over what somebody else has settled."""
        assert self._reader is not None, "who adopts routes can read by them"
        for bucket, method, why in known:
            held = self._routes.get(bucket)
            if held is None or not held.settled:
                self._keep(bucket, Route(method, self._reader(method), why))

    def of(self, location: Location) -> Route:
        """The route of a location that ``learn`` has seen."""
        return self._routes[location.bucket]

    async def by(self, location: Location, ask: Callable[[Route, Location], Awaitable[T]]) -> T:
        """What ``ask`` makes of a file, by the route of its bucket, or by another where that is denied. It is given the
        file's other reading too, see ``either_reading``.

        Raises what ``ask`` raises, Fatal, Transient.
        """
        route = self._routes[location.bucket]
        if not route.settled:
            route = await self._probe(location.bucket, [location])
            self._keep(location.bucket, route)
        try:
            done = await either_reading(location, partial(ask, route))
        except Refused as refused:
            if refused.failure is not FailureClass.SOURCE_DENIED or not route.settled or not location.in_s3:
                raise
            self._doubted.add(location.bucket)
            other = await self._probe(location.bucket, [location])
            if other.method is route.method or not other.settled:
                raise
            return await either_reading(location, partial(ask, other))
        if not (route.settled or location.presigned):  # a link with a right of its own tells of no other
            self._keep(location.bucket, replace(route, settled=True))
        return done

    def _keep(self, bucket: str, found: Route) -> None:
        held = self._routes.get(bucket)
        if held is not None and held.settled and not found.settled:
            return
        self._routes[bucket] = found
        if held is None or (held.method, held.settled) != (found.method, found.settled):
            self._on_route(bucket, found)


async def either_reading(at: Location, ask: Callable[[Location], Awaitable[T]]) -> T:
    """What ``ask`` makes of a source; where there is none, of the one that is meant if a ``+`` stands for a space.

    Without the right to list nobody is told what is missing: it is denied.
    """
    try:
        return await ask(at)
    except Refused as refused:
        other = plus_as_space(at) if refused.failure in _NOT_THERE else None
        if other is None:
            raise
        try:
            return await ask(other)
        except Refused as second:
            raise (refused if second.failure in _NOT_THERE else second) from second

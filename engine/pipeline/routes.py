"""Routes: by which method a source is read. Decided once per source bucket by a probe, never per file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from engine.model.errors import Refused
from engine.model.facts import Method
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.model.urls import plus_as_space
from engine.pipeline.ports import Source

T = TypeVar("T")

SAMPLES = 8


@dataclass(frozen=True, slots=True)
class Route:
    """How the bytes of one source bucket (``""``: plain http) travel, and why so."""

    method: Method
    source: Source
    why: str


class Routes:
    """Asks ``probe`` for each source bucket when its first records turn up, with a few of their locations."""

    def __init__(
        self,
        probe: Callable[[str, Sequence[Location]], Awaitable[Route]],
        on_route: Callable[[str, Route], None] = lambda _bucket, _route: None,
    ) -> None:
        self._probe = probe
        self._routes: dict[str, Route] = {}
        self._on_route = on_route

    async def learn(self, locations: Iterable[Location]) -> None:
        """Make sure that each of these has a route. Called once a page."""
        unknown: dict[str, list[Location]] = {}
        for location in locations:
            if location.bucket not in self._routes:
                samples = unknown.setdefault(location.bucket, [])
                if len(samples) < SAMPLES:
                    samples.append(location)
        for bucket, samples in unknown.items():
            route = await self._probe(bucket, samples)
            self._routes[bucket] = route
            self._on_route(bucket, route)

    def of(self, location: Location) -> Route:
        """The route of a location that ``learn`` has seen."""
        return self._routes[location.bucket]


async def either_reading(at: Location, ask: Callable[[Location], Awaitable[T]]) -> T:
    """What ``ask`` makes of a source; where there is none, of the one that is meant if a ``+`` stands for a space."""
    try:
        return await ask(at)
    except Refused as refused:
        other = plus_as_space(at) if refused.failure is FailureClass.SOURCE_MISSING else None
        if other is None:
            raise
        try:
            return await ask(other)
        except Refused as second:
            raise (refused if second.failure is FailureClass.SOURCE_MISSING else second) from second

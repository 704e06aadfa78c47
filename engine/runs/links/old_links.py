"""Do the links that a rollback would put back still work? A few of them are tried, as a backup would read them."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from engine.limiting.clock import Clock
from engine.limiting.retry import retry
from engine.model.change import Change
from engine.model.errors import EngineError, Refused, Transient
from engine.model.location import Location
from engine.model.urls import parse_url
from engine.pipeline.routes import Route
from engine.runs.shared.assembly import Services

PROBES = 20
"""Old links that are tried before any is put back."""
DEAD_SHARE = 0.1
"""A larger share of dead links stops a rollback."""

log = structlog.get_logger()


def spread(changes: Sequence[Change], count: int) -> Sequence[Change]:
    """Up to so many of them, evenly spread."""
    if count <= 0 or not changes:
        return ()
    step = max(1, len(changes) // count)
    return changes[::step][:count]


async def probe(services: Services, originals: Sequence[str]) -> str:
    """A sentence where the old links are dead; empty where they work. Links that may not be read do not count."""
    places: list[Location] = []
    for original in originals:
        try:
            places.append(parse_url(original, services.rules))
        except Refused as refused:
            log.info("not_probed", why=str(refused))
    dead: list[str] = []
    by_bucket: dict[str, list[Location]] = {}
    for place in places:
        by_bucket.setdefault(place.bucket, []).append(place)
    for bucket, group in by_bucket.items():
        try:
            route = await services.probe(bucket, group)
        except (EngineError, ValueError) as error:
            dead += [str(error)] * len(group)
            continue
        for place in group:
            if why := await _dead(route, place, services.clock):
                dead.append(why)
    if len(dead) <= DEAD_SHARE * len(places):
        return ""
    return f"{len(dead)} of {len(places)} old links that were tried are dead (for example: {dead[0]})"


async def _dead(route: Route, place: Location, clock: Clock) -> str:
    try:
        facts = await retry(lambda: route.source.facts(place), clock=clock, attempts=3)
    except (Refused, Transient) as error:
        return str(error)
    return f"{place.shown} is archived ({facts.storage_class})" if facts.archived else ""

"""By which number the source of a record is known: what shares a number is one file, read once and looked at once.

It is the number of the URL, or, where a vendor's API gives a link per record and files travel by http, of what that API
is asked for: any number of records may name one page of the vendor's, and each get a file of its own from the API.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from engine.model.errors import Refused
from engine.model.facts import Method
from engine.model.location import Location
from engine.model.plan import Known
from engine.model.record import Record
from engine.model.urls import identity_hash
from engine.pipeline.routes import Route, Routes

_NOTHING = -1


@dataclass(frozen=True, slots=True)
class VendorLinks:
    """A vendor's API that gives a link per record."""

    source_id: Callable[[Record], int]
    """Of what it is asked for. Raises Refused where the record lacks that."""
    resolve: Callable[[Record], Awaitable[Location]]
    route: Route
    """How the files behind the links are read."""


class SourceIds:
    """Knows the routes that have been learnt. Without links, every source is known by its URL."""

    def __init__(self, links: VendorLinks | None = None, routes: Routes | None = None) -> None:
        self._links = links
        self._routes = routes

    @property
    def by_route(self) -> bool:
        """Whether a source's route must be learnt before it is asked for here."""
        return self._links is not None and self._routes is not None

    def of(self, record: Record, source: Location) -> tuple[int, bool]:
        """The number, and whether the API is asked. Raises Refused where the record lacks what is to be asked for."""
        if self._links is None or self._routes is None or self._routes.of(source).method is not Method.HTTP:
            return identity_hash(source.identity), False
        return self._links.source_id(record), True

    def differ(self, record: Record, source: Location, known: Known) -> tuple[bool, bool]:
        """Whether a copy was made from another source than the record has now; and whether the API is asked now.

        What was read by the URL itself, or by an engine that knew sources by their URLs alone, stands while the
        record's fields are what they were; but not what such an engine took from another record with that URL.
        """
        by_url = known.source_id in {0, identity_hash(source.identity)}
        try:
            source_id, by_link = self.of(record, source)
        except Refused:
            source_id, by_link = _NOTHING, True
        if not by_link:
            return not by_url, False
        same = not known.duplicate and (not known.extra or json.loads(known.extra) == dict(record.extra))
        return known.source_id != source_id and not (by_url and same), True

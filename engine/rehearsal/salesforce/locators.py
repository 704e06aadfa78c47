"""Query locators: the ids a query found, kept for two days, so that every page can be asked for again.

A page re-reads its rows, as the service does: what was edited shows its new value, what was deleted is missing.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta

from engine.rehearsal.salesforce.clock import OrgClock, from_stamp, stamp
from engine.rehearsal.salesforce.wire import ApiError
from engine.rehearsal.salesforce.world import make_id

LIFETIME = timedelta(days=2)
_ID_LENGTH = 18
_KEPT_IN_MEMORY = 8


@dataclass(slots=True)
class Locator:
    """A query under way. ``ids`` are 18 bytes each, in the order of the query."""

    id: str
    soql: str
    include_deleted: bool
    page_size: int
    ids: bytes
    created: str

    @property
    def total(self) -> int:
        """How many rows the query found."""
        return len(self.ids) // _ID_LENGTH

    def page(self, offset: int, size: int) -> list[str]:
        """The ids of one page."""
        part = self.ids[offset * _ID_LENGTH : (offset + size) * _ID_LENGTH].decode()
        return [part[at : at + _ID_LENGTH] for at in range(0, len(part), _ID_LENGTH)]


class Locators:
    """All locators of the org; they outlive a restart of a stand-in that keeps its rows in a file."""

    def __init__(self, connection: sqlite3.Connection, clock: OrgClock) -> None:
        self._connection = connection
        self._clock = clock
        self._recent: OrderedDict[str, Locator] = OrderedDict()
        self._used: set[tuple[str, int]] = set()
        connection.execute(
            "CREATE TABLE IF NOT EXISTS _locator (number INTEGER PRIMARY KEY, id TEXT UNIQUE, soql TEXT,"
            " include_deleted INTEGER, page_size INTEGER, created TEXT, ids BLOB)"
        )

    def open(self, soql: str, *, include_deleted: bool, page_size: int, ids: bytes) -> Locator:
        """Remember what a query found."""
        oldest = stamp(self._clock.now() - LIFETIME)
        self._connection.execute("DELETE FROM _locator WHERE created < ?", (oldest,))
        number = self._connection.execute("SELECT ifnull(MAX(number), 0) + 1 FROM _locator").fetchone()[0]
        locator = Locator(make_id("01g", number), soql, include_deleted, page_size, ids, stamp(self._clock.now()))
        self._connection.execute(
            "INSERT INTO _locator VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, locator.id, soql, int(include_deleted), page_size, locator.created, ids),
        )
        self._remember(locator)
        return locator

    def find(self, text: str, *, single_use: bool) -> tuple[Locator, int]:
        """The locator and offset behind ``01g…-4000``; raises ApiError INVALID_QUERY_LOCATOR."""
        locator_id, _, offset_text = text.rpartition("-")
        locator = self._recent.get(locator_id) or self._stored(locator_id)
        if locator is None or not offset_text.isdecimal() or not 0 <= int(offset_text) < locator.total:
            raise lost()
        if self._clock.now() - from_stamp(locator.created) > LIFETIME:
            raise lost()
        offset = int(offset_text)
        if single_use and (locator.id, offset) in self._used:
            raise lost()
        self._used.add((locator.id, offset))
        self._remember(locator)
        return locator, offset

    def drop(self, text: str) -> None:
        """Forget a locator."""
        locator_id = text.rpartition("-")[0]
        self._recent.pop(locator_id, None)
        self._connection.execute("DELETE FROM _locator WHERE id = ?", (locator_id,))

    def _remember(self, locator: Locator) -> None:
        self._recent[locator.id] = locator
        self._recent.move_to_end(locator.id)
        while len(self._recent) > _KEPT_IN_MEMORY:
            self._recent.popitem(last=False)

    def _stored(self, locator_id: str) -> Locator | None:
        row = self._connection.execute(
            "SELECT id, soql, include_deleted, page_size, ids, created FROM _locator WHERE id = ?", (locator_id,)
        ).fetchone()
        return None if row is None else Locator(row[0], row[1], bool(row[2]), row[3], row[4], row[5])


def lost() -> ApiError:
    """The locator is unknown, used up or too old."""
    return ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator")

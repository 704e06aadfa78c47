"""Duplicate sources: several records that name one source. It is read once: the others get a copy of the copy. It fails
once: the others have its failure. It is looked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from engine.model.errors import Refused, Transient
from engine.model.facts import ObjectFacts
from engine.model.failures import FailureClass
from engine.model.outcome import Duplicate, Outcome, Status
from engine.model.value import value

RECENT = 5_000
"""At least so many are remembered: with the settings' defaults more than are planned before a row is there to be found.
Not many more: all that lives long is looked at by the garbage collector."""


@value
class Failing:
    """Who could not read a source, and why. ``shared``: whoever names it would fare alike."""

    record_id: str
    error: Refused
    shared: bool


class DuplicateSources:
    """Who is asking which source now, and what was learnt of sources a moment ago (rows perhaps not committed yet)."""

    def __init__(self, recent: int = RECENT, on_news: Callable[[int, Found], None] | None = None) -> None:
        # the future is made by the first that waits: nearly every source has one record, and nobody does
        self._leaders: dict[int, asyncio.Future[None] | None] = {}
        self._recent: dict[int, Found] = {}
        self._earlier: dict[int, Found] = {}
        self._limit = recent
        self._on_news = on_news

    def met(self, source_id: int) -> bool:
        """Whether this run is asking the source, or has done so a moment ago."""
        return source_id in self._leaders or source_id in self._recent or source_id in self._earlier

    def copy(self, source_id: int) -> Duplicate | None:
        """A copy made by this run."""
        found = self.found(source_id)
        return duplicate_of(found) if isinstance(found, Outcome) else None

    def facts(self, source_id: int) -> ObjectFacts | None:
        """What the source is, as this run has seen."""
        found = self.found(source_id)
        return found if isinstance(found, ObjectFacts) else None

    def failure(self, source_id: int) -> Refused | None:
        """Why the source cannot be read, where this run knows: one source fails once, however many records name it."""
        found = self.found(source_id)
        return found.error if isinstance(found, Failing) and found.shared else None

    def leader(self, source_id: int) -> asyncio.Future[None] | None:
        """Ends when the record that is asking this source has done; None: nobody is."""
        if source_id not in self._leaders:
            return None
        future = self._leaders[source_id]
        if future is None:
            future = self._leaders[source_id] = asyncio.get_running_loop().create_future()
        return future

    def lead(self, source_id: int) -> None:
        """From now on the caller asks this source; ``settle`` must follow."""
        self._leaders[source_id] = None

    def settle(self, source_id: int) -> None:
        """Let the waiting records go on."""
        future = self._leaders.pop(source_id)
        if future is not None and not future.done():
            future.set_result(None)

    def copied(self, source_id: int, outcome: Outcome) -> None:
        """A copy was made, and proved."""
        self.learn(source_id, outcome)

    def looked(self, source_id: int, facts: ObjectFacts) -> None:
        """The source was asked what it is."""
        self.learn(source_id, facts)

    def failed(self, source_id: int, error: Refused | Transient, record_id: str, *, of_source: bool) -> None:
        """A record could not be copied. ``of_source``: it is the source that failed, for all that is known.

        Who is to blame for a Transient that comes later is unclear: the source, if it happens to two records.
        """
        found = self.found(source_id)
        if isinstance(found, Outcome):
            return
        shared = of_source or error.failure in SHARED
        second = isinstance(found, Failing) and found.record_id != record_id
        if shared or isinstance(error, Transient):
            told = f"{error} (found with record {record_id}, which names the same source)"
            self.learn(source_id, Failing(record_id, Refused(error.failure, told), shared or second))

    def found(self, source_id: int) -> Found | None:
        """What was learnt of the source a moment ago."""
        return self._recent.get(source_id) or self._earlier.get(source_id)

    def learn(self, source_id: int, found: Found) -> None:
        """Remember it, and tell ``on_news``."""
        if len(self._recent) >= self._limit:
            self._recent, self._earlier = {}, self._recent
        self._recent[source_id] = found
        if self._on_news is not None:
            self._on_news(source_id, found)


Found = Outcome | ObjectFacts | Failing


def duplicate_of(outcome: Outcome) -> Duplicate | None:
    """What others may copy from, when the outcome is a proved copy."""
    if outcome.status is not Status.BACKED_UP or outcome.proof is None or outcome.size is None:
        return None
    return Duplicate(
        record_id=outcome.record.id,
        key=outcome.key,
        size=outcome.size,
        source_etag=outcome.source_etag,
        destination_etag=outcome.destination_etag,
        checksum=outcome.checksum,
        sha256=outcome.sha256,
        proof=outcome.proof,
    )


#: Findings about the source itself: they hold for every record with that URL.
SHARED = frozenset(
    {
        FailureClass.SOURCE_MISSING,
        FailureClass.SOURCE_DENIED,
        FailureClass.ARCHIVED,
        FailureClass.EXPIRED_LINK,
        FailureClass.HTML_INSTEAD_OF_FILE,
        FailureClass.REDIRECTED,
        FailureClass.TOO_LARGE,
    }
)

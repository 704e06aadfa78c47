"""Twins: several records that hold one URL. The source is read once; the others get a copy of the copy."""

from __future__ import annotations

import asyncio

from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.outcome import Outcome, Status, Twin

RECENT = 5_000
"""At least so many are remembered: with the settings' defaults more than are planned before a row is there to be found.
Not many more: all that lives long is looked at by the garbage collector."""


class Twins:
    """Who is reading which source now, and which sources were read a moment ago (rows perhaps not committed yet)."""

    def __init__(self, recent: int = RECENT) -> None:
        # the future is made by the first that waits: nearly every source has one record, and nobody does
        self._leaders: dict[int, asyncio.Future[Outcome] | None] = {}
        self._recent: dict[int, Outcome] = {}
        self._earlier: dict[int, Outcome] = {}
        self._limit = recent

    def met(self, source_id: int) -> bool:
        """Whether this run is reading the source, or has read it a moment ago."""
        return source_id in self._leaders or source_id in self._recent or source_id in self._earlier

    def recent(self, source_id: int) -> Twin | None:
        """A copy made by this run."""
        outcome = self._recent.get(source_id) or self._earlier.get(source_id)
        return None if outcome is None else twin_of(outcome)

    def leader(self, source_id: int) -> asyncio.Future[Outcome] | None:
        """The record that is reading this source at the moment, as a future of its outcome."""
        if source_id not in self._leaders:
            return None
        future = self._leaders[source_id]
        if future is None:
            future = self._leaders[source_id] = asyncio.get_running_loop().create_future()
        return future

    def lead(self, source_id: int) -> None:
        """From now on the caller reads this source; ``settle`` must follow."""
        self._leaders[source_id] = None

    def settle(self, source_id: int, outcome: Outcome | None) -> None:
        """Tell the waiting records how it ended. None: cut short; they are cut short too."""
        future = self._leaders.pop(source_id)
        if outcome is None:
            if future is not None:
                future.cancel()
            return
        if future is not None and not future.done():
            future.set_result(outcome)
        if outcome.status is Status.BACKED_UP and outcome.proof is not None:
            if len(self._recent) >= self._limit:
                self._recent, self._earlier = {}, self._recent
            self._recent[source_id] = outcome


def twin_of(outcome: Outcome) -> Twin | None:
    """What others may copy from, when the outcome is a proved copy."""
    if outcome.status is not Status.BACKED_UP or outcome.proof is None or outcome.size is None:
        return None
    return Twin(
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


def shared_failure(outcome: Outcome) -> Refused | None:
    """The leader's failure, where it holds for every record with that URL."""
    if outcome.failure not in SHARED or outcome.failure is None:
        return None
    return Refused(
        outcome.failure, f"{outcome.message} (found with record {outcome.record.id}, which holds the same URL)"
    )

"""Twins: several records that hold one URL. The source is read once; the others get a copy of the copy."""

from __future__ import annotations

import asyncio
from collections import OrderedDict

from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.outcome import Outcome, Status, Twin

RECENT = 20_000


class Twins:
    """Who is reading which source now, and which sources were read a moment ago (rows perhaps not committed yet)."""

    def __init__(self, recent: int = RECENT) -> None:
        self._leaders: dict[int, asyncio.Future[Outcome]] = {}
        self._recent: OrderedDict[int, Twin] = OrderedDict()
        self._limit = recent

    def recent(self, source_id: int) -> Twin | None:
        """A copy made by this run."""
        return self._recent.get(source_id)

    def leader(self, source_id: int) -> asyncio.Future[Outcome] | None:
        """The record that is reading this source at the moment, as a future of its outcome."""
        return self._leaders.get(source_id)

    def lead(self, source_id: int) -> None:
        """From now on the caller reads this source; ``settle`` must follow."""
        self._leaders[source_id] = asyncio.get_running_loop().create_future()

    def settle(self, source_id: int, outcome: Outcome | None) -> None:
        """Tell the waiting records how it ended. None: cut short; they are cut short too."""
        future = self._leaders.pop(source_id)
        if outcome is None:
            future.cancel()
            return
        if not future.done():
            future.set_result(outcome)
        if (twin := twin_of(outcome)) is not None:
            self._recent[source_id] = twin
            if len(self._recent) > self._limit:
                self._recent.popitem(last=False)


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

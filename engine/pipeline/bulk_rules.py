"""Bulk jobs, decided without I/O: what fits into one, what it costs, and what a record that was in one tells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.model.change import Event, Held, Standing, Step
from engine.model.failures import FailureClass
from engine.pipeline.changing import Change
from engine.pipeline.switching import Counts, standing

ROWS = 10_000
"""Rows of a job: what Salesforce works on as one batch. More would only widen the gap."""
CHARACTERS = 5_000_000
"""Of the links of a job: at most 20 MB of CSV, where Salesforce takes 100."""
READ = 2_000
"""Records in one read."""


def pieces(changes: Sequence[Change], rows: int = ROWS) -> Iterator[list[Change]]:
    """Consecutive groups that a job can hold."""
    piece: list[Change] = []
    characters = 0
    for change in changes:
        if piece and (len(piece) == rows or characters + len(change.old) > CHARACTERS):
            yield piece
            piece, characters = [], 0
        piece.append(change)
        characters += len(change.old)
    if piece:
        yield piece


def calls(links: int) -> int:
    """Salesforce calls of an undo by jobs when nothing goes wrong: four to make, fill, close and wait for one, about
    four more while it works, two lists, and two looks at every record."""
    return 10 * -(-links // ROWS) + 2 * -(-links // READ)


def found(change: Change, now: Held | None, counts: Counts, *, ours: bool, surely: bool = False) -> Step:
    """A record, as it was found. ``ours``: its job was closed, so that an original may be our doing; ``surely``: the
    job's list says that it is."""
    where = standing(now, change.old, change.new)
    message = "another link was there right after this one was written" if surely else ""
    match where:
        case Standing.GONE:
            counts.gone += 1
            return step(change, Event.KEPT, where)
        case Standing.EDITED:
            counts.edited += 1
            return step(change, Event.KEPT, where, message, found=now.url if now else "")
        case Standing.OURS if surely:
            counts.edited += 1
            return step(change, Event.SETTLED, where, message)
        case Standing.OURS:
            return step(change, Event.SETTLED, where, "found undone after its bulk job; to be tried again")
    if ours:
        counts.done += 1
    else:
        counts.already += 1
    return step(change, Event.UNDONE if surely else Event.SETTLED, where)


def step(
    change: Change,
    event: Event,
    where: Standing | None,
    message: str = "",
    *,
    found: str = "",
    failure: FailureClass | None = None,
) -> Step:
    """A row of the journal about a link that travels back."""
    return change.step(event, where, message, found=found, failure=failure, undo=True)

"""A link that moves: what is planned, what is journalled, where the link stands. Values only.

A change is known by its pair: ``old``, the original link, and ``new``, our own; both stay the same in every row that
the journal writes about it, whichever way the link travels. Where the org makes something else of a link of ours,
that is a pair too: ``new`` is what it made.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from engine.model.copy import ProvedCopy
from engine.model.failures import FailureClass


class Event(StrEnum):
    """What a row of the journal says."""

    INTENDED = "intended"
    """Committed before a switch is sent: from here on the record may hold either link."""
    APPLIED = "applied"
    REFUSED = "refused"
    """Sent, or to be sent, and certainly not done; of a switch and of an undo alike."""
    UNDO_INTENDED = "undo_intended"
    """Committed before an undo is sent."""
    UNDONE = "undone"
    KEPT = "kept"
    """The record holds neither link, or is gone: left alone."""
    SETTLED = "settled"
    """Nobody knew, so Salesforce was asked."""
    REWRITTEN = "rewritten"
    """Written, and right afterwards the record held another value: ours to undo."""


#: Rows after which nobody knows what the record holds until it is read.
OPEN = (Event.INTENDED, Event.UNDO_INTENDED)
CHANGED_BY_ORG = "written, but automation of the org changed it right afterwards"
#: Rows whose ``new`` is a value of ours.
OURS = (Event.INTENDED, Event.REWRITTEN)


class LinkState(StrEnum):
    """Where a link stands. Every row of the journal that ends a change says it."""

    OURS = "ours"
    ORIGINAL = "original"
    EDITED = "edited"
    GONE = "gone"


class Link(NamedTuple):
    """A link that may be switched, as the tracking DB and a plan know it. A tuple: a plan has millions."""

    id: str
    account: str
    old: str
    new: str
    copy: ProvedCopy
    """What the new link points at."""


class Held(NamedTuple):
    """What a record holds now."""

    url: str
    modified: str
    """SystemModstamp as Salesforce gave it."""
    by: str = ""
    """The user who changed the record last; empty: unknown."""
    by_us: bool = False
    """That is the user of this login, whom automation acts for within our own writes. False where nobody knows."""
    changed: str = ""
    """LastModifiedDate as Salesforce gave it: in whole seconds."""

    def by_us_since(self, at: str) -> bool:
        """Whether our own user has changed it last, and not before the second of this time (UTC, ISO)."""
        try:
            since = datetime.fromisoformat(at).replace(microsecond=0)
            return self.by_us and datetime.fromisoformat(self.changed) >= since
        except ValueError:
            return False

    @property
    def last_by(self) -> str:
        """For the journal; empty where nobody knows."""
        return f"last modified by {self.by}" if self.by else ""


class Ours(NamedTuple):
    """What the journal knows of a value of ours that a record holds."""

    old: str
    """What it has replaced."""
    rewritten: bool
    """The org has made it of our link."""


class Step(NamedTuple):
    """One row for the journal, and what it means for the record's row.

    ``link_state`` is None while nobody knows. ``failure`` makes the record's row ``failed``, unless the link has
    changed. ``found`` is the link that somebody else put there.
    """

    id: str
    old: str
    new: str
    event: Event
    wave: int = 0
    link_state: LinkState | None = None
    message: str = ""
    found: str = ""
    failure: FailureClass | None = None
    undo: bool = False
    """It belongs to an undo."""
    behind: bool = False
    """Something came right behind a write that was counted as done."""

    @property
    def by_org(self) -> bool:
        """The org has put something else in place of what was just written: another value, or the one before."""
        return self.event is Event.REWRITTEN or (self.event is Event.SETTLED and self.failure is not None)


class Change(NamedTuple):
    """A link to be changed. ``tries`` went before; ``contended`` says after how many of them the records beside it may
    have been the trouble, ``locked`` how many met a lock."""

    id: str
    account: str
    old: str
    new: str
    wave: int
    tries: int = 0
    contended: int = 0
    locked: int = 0

    def step(
        self,
        event: Event,
        where: LinkState | None,
        message: str = "",
        *,
        found: str = "",
        failure: FailureClass | None = None,
        undo: bool,
    ) -> Step:
        """A row of the journal about it. ``undo``: the link goes back."""
        return Step(self.id, self.old, self.new, event, self.wave, where, message, found, failure, undo)


class Open(NamedTuple):
    """A change that was intended and never confirmed."""

    id: str
    old: str
    new: str
    wave: int
    run: int
    undo: bool
    at: str = ""
    """When the intent was written down: UTC, ISO."""
    job: str = ""
    """The bulk job of an earlier version that it may still travel in; empty: none."""


class Sent(StrEnum):
    """What Salesforce said of one row of a write."""

    DONE = "done"
    AGAIN = "again"
    """Locked, or a hiccup: worth another try after a pause."""
    APART = "apart"
    """A trigger or flow failed on all of them together, perhaps at a lock: worth another try in a smaller batch."""
    REFUSED = "refused"
    STOP = "stop"
    """No row will fare better: the user may not edit the field."""
    MOVED = "moved"
    """Strict writes only: the record has changed since it was read."""
    NOT_DONE = "not done"
    """The request never got there, or was turned away as a whole."""
    UNKNOWN = "unknown"
    """No answer, or one that does not fit the request: Salesforce may still be at it."""


class Said(NamedTuple):
    """One row's part of the answer to a write."""

    sent: Sent
    failure: FailureClass | None = None
    message: str = ""


@dataclass(frozen=True, slots=True)
class ChainTip:
    """How far the journal has come: number of rows and the hash of the last."""

    rows: int
    hash: str


GENESIS = ChainTip(0, "0" * 64)
"""Of a journal without rows."""

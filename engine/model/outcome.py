"""Outcome: how one record ended, and why. The tracking DB stores it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from enum import StrEnum

from engine.model.facts import Method, Proof
from engine.model.failures import FailureClass
from engine.model.record import Record
from engine.model.value import value


class Status(StrEnum):
    """The state of a record; every record seen is in exactly one (I6)."""

    PENDING = "pending"
    BACKED_UP = "backed_up"
    FAILED = "failed"
    SKIPPED = "skipped"
    SWITCHED = "switched"
    ROLLED_BACK = "rolled_back"
    GONE = "gone"


#: A proved copy stands.
COPIED_STATES = (Status.BACKED_UP, Status.SWITCHED, Status.ROLLED_BACK)
#: A switch may take the link, once the copy's proof is accepted.
SWITCHABLE_STATES = (Status.BACKED_UP, Status.ROLLED_BACK)
#: An incremental run looks at the record again.
TO_DO_STATES = (Status.PENDING, Status.FAILED)
#: These always come with a failure class.
CLASSED_STATES = (Status.FAILED, Status.SKIPPED, Status.GONE)


@value
class Outcome:
    """How one record ended. ``failure`` is set exactly when the status is failed, skipped or gone."""

    record: Record
    status: Status
    failure: FailureClass | None = None
    message: str = ""
    """What happened, for a person. No secrets, no URL queries."""
    key: str = ""
    url: str = ""
    file_name: str = ""
    source_id: int = 0
    size: int | None = None
    method: Method | None = None
    source_etag: str = ""
    destination_etag: str = ""
    checksum: str = ""
    """The strongest checksum known, as ``algorithm:hex``."""
    sha256: str = ""
    proof: Proof | None = None
    attempts: int = 0
    """Tries made in this run."""
    read_bytes: int = 0
    at: str = ""
    """When it ended, UTC ISO; empty: when it is recorded, moments later."""
    is_new: bool = False
    """The record had no row before."""
    page: int = 0


@value
class Touch:
    """A record whose copy is still right, but whose row needs other Salesforce columns: a new name, account or time."""

    record: Record
    original: str = ""
    """The record holds our link again, and this is what the link has replaced: the row becomes ``switched``."""


@value
class Looked:
    """A copy that is still right, as far as its source shows."""

    record: Record
    unseen: str = ""
    """Why it is not known whether the source is still what was copied: a failure class, ``no_validator`` or
    ``dry_run``; empty: it is."""
    message: str = ""
    news: bool = False
    """The row must change: its Salesforce columns are old, or it says that an earlier look failed."""
    page: int = 0


@value
class Attempt:
    """One failed try that will be followed by another. It is stored, so that attempt counts survive a kill."""

    record_id: str
    failure: FailureClass
    message: str
    url: str
    number: int
    at: str


@value
class Duplicate:
    """Another record's proved copy of the same source."""

    record_id: str
    key: str
    size: int
    source_etag: str
    destination_etag: str
    checksum: str
    sha256: str
    proof: Proof


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """How far a scan, or one ``range`` of it, is recorded: every record up to ``last_id``."""

    last_id: str
    range: int = 0
    """0: the scan has no ranges."""
    ends: bool = False
    """The range is complete."""


@dataclass(slots=True)
class Batch:
    """What one commit of the tracking DB stores."""

    outcomes: list[Outcome] = field(default_factory=list)
    touches: list[Touch] = field(default_factory=list)
    looks: list[Looked] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    checkpoints: list[Checkpoint] = field(default_factory=list)
    """At most one of each range."""
    unchanged: int = 0
    """Records that needed nothing: the run row counts them as skipped."""
    recounted: list[Status] = field(default_factory=list)
    """Earlier ends of records that the run row has counted, and that are taken up once more."""

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

"""Plan: what will be done for a record. Look: its source will be looked at. Known: what the tracking DB says of it."""

from __future__ import annotations

from typing import NamedTuple

from engine.model.facts import ObjectFacts
from engine.model.keys import changed_template
from engine.model.location import Location
from engine.model.outcome import Duplicate, Looked, Status
from engine.model.record import Record
from engine.model.value import value


class Known(NamedTuple):
    """A record's row in the tracking DB, as far as planning needs it. A tuple, because a page makes 2,000."""

    row: int
    """rowid; small integers, dense."""
    status: Status
    failure: str
    url: str
    our_url: str
    our_key: str
    modified: str
    account_id: str
    account_name: str
    name: str
    source_etag: str
    destination_etag: str
    attempts: int
    proof: str
    run: int = 0
    """The run whose outcome the row holds."""
    size: int | None = None
    """Bytes of the copy."""
    copied_at: str = ""
    unseen: str = ""
    """Why the last look at its source failed; empty: it did not."""
    failed_write: str = ""
    """Our write that failed its proof, see ``failed_write``: a later run may replace just that one."""
    source_id: int = 0
    """Of the source that the copy was made from; 0: there is none."""
    duplicate: bool = False
    """It was made from another record's copy."""
    extra: str = ""
    """The record's further fields, as JSON; or nothing."""
    listed_etag: str = ""
    """ETag of the copy's source in the latest listing; empty: there is none, or it has no ETag."""

    def tells(self, record: Record) -> bool:
        """Whether the row has the record's Salesforce columns as they are now."""
        return (
            record.modified == self.modified
            and record.name == self.name
            and record.account_id == self.account_id
            and record.account_name == self.account_name
        )


@value
class Look:
    """A copy that is right by the tracking DB, but in no listing: its source is asked."""

    record: Record
    source: Location
    source_id: int
    known: Known
    page: int = 0
    by_link: bool = False
    """The source comes from a vendor's API, not from the URL."""

    def stands(self, unseen: str = "", message: str = "") -> Looked:
        """The result, unless the source has changed. ``unseen``: why that is not known."""
        news = unseen != self.known.unseen or not self.known.tells(self.record)
        return Looked(self.record, unseen, message, news, self.page)


def failed_write(etag: str, key: str) -> str:
    """A write that failed its proof, as the tracking DB stores it: the ETag that is left, and under which key."""
    return f"{etag} {key}" if etag else ""


@value
class Plan:
    """What will be done for one record. The source is pinned to ``pinned``."""

    record: Record
    source: Location
    source_id: int
    """63-bit hash of ``source.identity``, or of what a vendor's API is asked. It finds duplicates."""
    file_name: str
    key: str
    url: str
    """The future link."""
    duplicate: Duplicate | None = None
    """A proved copy of the same source under another record, if the tracking DB knows one."""
    pinned: ObjectFacts | None = None
    """What a listing said of the source; None: ask with HEAD."""
    known: Known | None = None
    page: int = 0
    """Number of the page it came with. The checkpoint moves when all of a page is recorded."""
    by_link: bool = False
    """As in ``Look``."""
    room: int = 100
    """By how many characters the link may grow, for the mark of changed content."""
    repeated: bool = False
    """A worker had it in hand when it was lost: the copy may be there."""

    @property
    def changed_key(self) -> str:
        """Template, with ``{etag8}``, of the key to use where ``key`` holds other content of ours.

        Raises Refused ``bad_key``, ``url_too_long`` where that would be too long.
        """
        return changed_template(self.key, self.room)


Work = Plan | Look
"""What the crew works on."""

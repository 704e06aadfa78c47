"""Plan: what will be done for one record; Look: what will be asked; Known: what the tracking DB says of it already."""

from __future__ import annotations

from typing import NamedTuple

from engine.model.facts import ObjectFacts
from engine.model.keys import changed_template
from engine.model.location import Location
from engine.model.outcome import Duplicate, Looked, Status
from engine.model.record import Record
from engine.model.value import value


class Known(NamedTuple):
    """The row of a record in the tracking DB, as far as planning needs it. A tuple: a page makes two thousand."""

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
    """Why the last look at its source could not be had; empty: it was."""
    failed_write: str = ""
    """The write of ours that failed its proof, see ``failed_write``: a later run may replace just that."""
    source_id: int = 0
    """Of what the copy was made from; 0: there is none."""
    duplicate: bool = False
    """It was made from another record's copy."""
    extra: str = ""
    """The record's further fields, as JSON; or nothing."""
    listed_etag: str = ""
    """ETag of the copy's source in the listing in force; empty: there is none, or it does not say."""

    def tells(self, record: Record) -> bool:
        """Whether the row has the record's Salesforce columns as they are."""
        return (
            record.modified == self.modified
            and record.name == self.name
            and record.account_id == self.account_id
            and record.account_name == self.account_name
        )


@value
class Look:
    """A copy that stands as far as the tracking DB knows, of which no listing tells: the source is asked."""

    record: Record
    source: Location
    source_id: int
    known: Known
    page: int = 0
    by_link: bool = False
    """A vendor's API is asked for the source, and not its URL."""

    def stands(self, unseen: str = "", message: str = "") -> Looked:
        """What it comes to, unless the source has changed. ``unseen``: why nobody could tell."""
        news = unseen != self.known.unseen or not self.known.tells(self.record)
        return Looked(self.record, unseen, message, news, self.page)


def failed_write(etag: str, key: str) -> str:
    """A write that failed its proof, as the tracking DB names it: what was left under which key."""
    return f"{etag} {key}" if etag else ""


@value
class Plan:
    """What will be done for one record. Copying obeys it and pins the source to ``pinned``."""

    record: Record
    source: Location
    source_id: int
    """63-bit hash of ``source.identity``, or of what a vendor's API is asked for: finds duplicates."""
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
    """Sequence number of the page it came with: the checkpoint moves when all of a page is recorded."""
    by_link: bool = False
    """As in ``Look``."""
    room: int = 100
    """By so many characters the link may grow: for the mark of changed content."""

    @property
    def changed_key(self) -> str:
        """Template of the key to use when ``key`` holds other content of ours; contains ``{etag8}``.

        Raises Refused ``bad_key``, ``url_too_long`` where that would be too long.
        """
        return changed_template(self.key, self.room)


Work = Plan | Look
"""What the crew takes."""

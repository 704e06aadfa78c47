"""The answer of ``engine import-legacy``."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from engine.model.answers.runs import RunHead, RunTail


class LegacyRows(TypedDict):
    """Rows of the scripts' DB."""

    read: int
    """All of them."""
    records: int
    """Records that they are about."""
    duplicates: int
    """Rows of records that a later row is about."""
    left_out: int
    """Rows that the test settings do not let through."""
    unfit: dict[str, int]
    """Rows that cannot be taken over, by reason."""
    known_already: int
    """Records that this tracking DB knows; they are left as they are."""


class ByState(TypedDict):
    """Records that were taken over, by state. In a dry run: what they would become."""

    pending: int
    backed_up: int
    failed: int
    skipped: int
    switched: int
    rolled_back: int
    gone: int


class BecomesOf(TypedDict):
    """What the scripts noted of some records, and what becomes of these."""

    noted_as: str
    """`backed up` or `switched`."""
    status: str
    """Their state here."""
    failure_class: str | None
    """`null`: no doubt is left."""
    count: int
    """Records."""


class LegacyLinks(TypedDict):
    """Links that the scripts have moved, or may have."""

    noted_as_moved: int
    """Rows that say so."""
    read: int
    """Links that were read in Salesforce."""
    journalled: int
    """Links that the journal gets."""
    journalled_before: int
    """Links that it had already."""
    ours: int
    """Of those that it gets: links that lead to our copies."""
    original: int
    """Links that are the original."""
    edited: int
    """Links that somebody has changed."""
    gone: int
    """Links of records that are deleted, or hidden from this login."""
    dead_link: int
    """Links that ask for another key than the one they mean."""
    broken_link: int
    """Links to a copy that is not proved."""
    no_way_back: int
    """Links that were seen to be moved, and whose original is not known, or not let in by the settings."""


class Scripts(TypedDict):
    """What the scripts noted of their own runs."""

    run_count: int
    """How many there were."""
    runs: int
    """Old name of `run_count`."""
    runs_never_closed: int
    """How many have no end."""
    runs_that_moved_links: int
    """How many may have moved links."""
    failed_records: dict[str, int]
    """Records without a row, by the kind of failure."""


class ImportTail(RunTail):
    """The rest of the answer of an import."""

    dry_run: bool
    """Whether nothing was written."""
    seconds: float
    """How long it took."""
    file: str
    """The scripts' DB."""
    timezone: str
    """Of its times."""
    rows: LegacyRows
    would_import: NotRequired[int]
    """Only in a dry run: records that it would take over."""
    records: ByState
    becomes: list[BecomesOf]
    failures: dict[str, int]
    """Records with a doubt, by failure class."""
    proofs: dict[str, int]
    """Proved copies by proof: `checksum`, `etag`, `received`, `size`."""
    looked_at_by_head: int
    """Copies that were looked at by HEAD."""
    links: LegacyLinks
    scripts: Scripts
    examples: dict[str, list[str]]
    """Up to three lines for each kind of doubt."""


class Imported(RunHead, ImportTail):
    """What an import of the scripts' tracking DB has taken over, or would."""

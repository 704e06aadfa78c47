"""The answers of runs: backup, switch, rollback, verify."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class RunHead(TypedDict):
    """How a run ended."""

    run_type: str
    """`backup`, `switch`, `rollback`, `verify` or `import-legacy`."""
    run_id: int | None
    """Its row in the tracking DB. `null`: a dry run, or a run that works without the DB."""
    status: str
    """`completed`, `completed_with_failures`, `stopped`, `failed`, or `planned` for a dry run."""
    exit_code: int
    reason: str
    """Why it was stopped; empty where it was not."""


class RunTail(TypedDict):
    """Where it is recorded."""

    database: str
    """The file of the tracking DB."""
    notes: list[str]
    """What to bear in mind, for people."""


class BackupRecords(TypedDict):
    """How many records ended how."""

    in_scope: int | None
    """Records that Salesforce counts in scope. `null`: not known."""
    processed: int
    """Records that were looked at."""
    unchanged: int
    """Copies that stand and need no work."""
    not_looked_at: int
    """Of these, copies whose source could not be looked at for changes; a dry run looks at none."""
    backed_up: int
    """Copied and proved. In a dry run an old name of `would_back_up`."""
    would_back_up: NotRequired[int]
    """Only in a dry run: what it would copy."""
    new: int
    """Of these, records that had no copy before."""
    skipped: int
    """Left out by a filter, or without a link."""
    failed: int
    """Could not be copied; `failures` says why."""
    gone: int
    """Deleted in Salesforce."""
    pending: int
    """Changed, and beyond the limit. In a dry run an old name of `would_retry`."""
    would_retry: NotRequired[int]
    """Only in a dry run: what it would try again."""


class BackupTail(RunTail):
    """The rest of a backup's answer."""

    dry_run: bool
    """Whether nothing was written."""
    seconds: float
    """How long it took."""
    records: BackupRecords
    bytes: int
    """Bytes that were copied."""
    bytes_through_this_machine: int
    """Of these, bytes that were not copied by the store itself."""
    retries: int
    """Tries beyond the first."""
    failures: dict[str, int]
    """Failed and skipped records by failure class."""
    not_looked_at_by_reason: dict[str, int]
    """Copies whose source could not be looked at, by reason."""
    not_looked_at: dict[str, int]
    """Old name of `not_looked_at_by_reason`."""
    methods: dict[str, int]
    """Copies by method: `server_copy`, `stream`, `http`, `adopted` …"""
    proofs: dict[str, int]
    """Copies by proof: `checksum`, `etag`, `received`, `size`."""


class Backup(RunHead, BackupTail):
    """How a backup ended."""


class LinkRecords(TypedDict):
    """How many links ended how."""

    planned: int
    """Links in scope."""
    switched: NotRequired[int]
    """Of a switch: links that lead to our copies now. In a dry run an old name of `would_switch`."""
    would_switch: NotRequired[int]
    """Only in the dry run of a switch: links that it would move."""
    restored: NotRequired[int]
    """Of a rollback: links that were put back. In a dry run an old name of `would_restore`."""
    would_restore: NotRequired[int]
    """Only in the dry run of a rollback: links that it would put back."""
    already: int
    """They were so before."""
    edited: int
    """Edited by others, and left alone."""
    gone: int
    """Deleted in Salesforce, or hidden from this login."""
    failed: int
    """Salesforce refused the change."""
    missing: int
    """Left alone: their copy is not there."""
    archived: int
    """Left alone: their copy cannot be opened."""
    stale: int
    """Of a switch: changed since the plan. Of a rollback: moved again by another switch."""
    rewritten: int
    """Written, but the org changed the value."""
    open: int
    """In doubt: the next start reads them first."""


class Wave(TypedDict):
    """One wave of a switch. A dry run knows only how many records it has."""

    wave: int
    """Its place in `switch.waves`, from 1."""
    records: int
    """Records in it."""
    done: NotRequired[int]
    """Links that were moved."""
    already: NotRequired[int]
    edited: NotRequired[int]
    gone: NotRequired[int]
    failed: NotRequired[int]
    missing: NotRequired[int]
    archived: NotRequired[int]
    stale: NotRequired[int]
    rewritten: NotRequired[int]


class Consent(TypedDict):
    """An answer to a question that stands before a write."""

    to: str
    """What was asked for: `the first write`, or a wave."""
    answer: str
    """`yes` or `no`."""
    at: str
    """When, UTC."""
    who: NotRequired[str]
    """Who answered."""
    asked: NotRequired[str]
    """Why nobody was asked."""


class LinkTail(RunTail):
    """The rest of the answer of a switch or a rollback."""

    dry_run: bool
    """Whether nothing was written."""
    seconds: float
    """How long it took. In a dry run: how long the writing would take."""
    records: LinkRecords
    not_looked_at_by_reason: dict[str, int]
    """Planned links to copies whose source the last scan could not look at, by reason."""
    not_looked_at: dict[str, int]
    """Old name of `not_looked_at_by_reason`."""
    waves: list[Wave]
    consent: list[Consent]
    """Who said yes, and when."""
    plan: str | None
    """The plan file."""
    plan_sha256: str | None
    """Its SHA-256, in hexadecimal."""
    rollback_file: str | None
    """The file that undoes this run."""
    api_calls: int | None
    """Only in a dry run: Salesforce calls that it would take."""
    api_remaining: int | None
    """Only in a dry run: calls that are left today. `null`: not known."""
    unseen_ms: int
    """The longest time between reading a link and the answer to its write; an edit in between was overwritten."""


class LinkChange(RunHead, LinkTail):
    """How a switch or a rollback ended."""


class VerifyCounts(TypedDict):
    """Copies by what was found of them."""

    match: int
    """As recorded."""
    differ: int
    """Another size, checksum or content."""
    missing_at_destination: int
    """Not there."""
    missing_at_source: int
    """There, but the source is gone."""
    error: int
    """They could not be checked."""


class BeyondBackup(TypedDict):
    """Broken links that no backup repairs, by reason."""

    changed: int
    """The source has changed since."""
    gone: int
    """The source is gone too."""


class VerifyTail(RunTail):
    """The rest of the answer of a verification."""

    level: str
    """`list`, `head` or `deep`."""
    seconds: float
    """How long it took."""
    copies: int
    """Copies in scope."""
    checked: int
    """Copies that were checked."""
    counts: VerifyCounts
    changed_sources: int
    """Copies that differ because the source has changed."""
    archived_copies: int
    """Copies that are as recorded and cannot be opened."""
    broken_links: int
    """Switched records whose copy is missing, differs or cannot be opened."""
    broken_beyond_backup: BeyondBackup
    foreign_link_count: int
    """Records whose link in the tracking DB is not made of their key. A switch refuses them."""
    foreign_links: int
    """Old name of `foreign_link_count`."""
    proofs_raised: int
    """Copies that now have a stronger proof."""
    unclaimed_objects: int
    """Objects in our bucket that no record claims."""
    examples: list[str]
    """Up to ten lines of what does not match."""
    report: str | None
    """The file of `--report`."""


class Verify(RunHead, VerifyTail):
    """What a verification has found."""

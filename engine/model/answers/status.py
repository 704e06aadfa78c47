"""The answer of ``engine status``."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict

from engine.model.answers.measures import ApiUse, Sample, Shares
from engine.model.answers.shared import Readiness


class Files(TypedDict):
    """Records by state. They add up to `tracked`, always."""

    tracked: int
    """All records in the tracking DB."""
    pending: int
    """To be copied."""
    backed_up: int
    """Copied and proved."""
    failed: int
    """Could not be copied."""
    skipped: int
    """Left out by a filter, or without a link."""
    switched: int
    """Their links lead to our copies."""
    rolled_back: int
    """Their links were put back."""
    gone: int
    """Deleted in Salesforce."""
    bytes: int
    """Bytes of all copies that stand."""


class ScopeOf(TypedDict):
    """How many records there are in scope, as the last full scan counted them."""

    records: int | None
    """`null`: nobody has counted them."""
    known: int
    """Records in the tracking DB that are not gone."""
    complete: bool
    """Whether a full scan was completed."""
    scan: str
    """The state of that scan: `none`, `running`, `completed` …"""
    counted_at: str | None
    """When they were counted, UTC."""


class Rates(TypedDict):
    """Files per second; `null` where that is not known."""

    now: float | None
    """In the last sample."""
    five_minutes: float | None
    """In the last five minutes."""
    run: float | None
    """In the whole run."""


class SecondsLeft(TypedDict):
    """How long the rest takes, in seconds, by the rates above."""

    likely: int
    """At the rate of the last five minutes."""
    least: int
    """At the fastest of the rates."""
    most: int
    """At the slowest of the rates."""


class ProgressOf(TypedDict):
    """The last run, as far as it has come."""

    run_id: int
    run: int
    """Old name of `run_id`."""
    run_type: str
    """`backup`, `switch`, `rollback` or `verify`."""
    status: str
    """As in `runs`."""
    pid: int | None
    """Its process."""
    host: str | None
    """The machine of that process."""
    started: str
    """UTC."""
    last_update: str | None
    """When it last wrote, UTC."""
    done: int
    """Records that it has looked at."""
    total: int | None
    """Records that it is to look at. `null`: not known."""
    files_per_s: Rates
    mb_per_s: float | None
    """Millions of bytes per second in the last sample."""
    seconds_left: SecondsLeft | None
    """`null`: not known."""


class RunRow(TypedDict):
    """A run, as the tracking DB has it."""

    run_id: int
    id: int
    """Old name of `run_id`."""
    run_type: str
    """`backup`, `switch`, `rollback` or `verify`."""
    start_time: str
    """UTC."""
    end_time: str | None
    """UTC. `null`: it has not ended."""
    total_files_processed: int
    """Records that were looked at."""
    successful_files: int
    """Records that were copied, or whose link was changed."""
    failed_files: int
    """Records that failed."""
    new_files: int
    """Records that had no copy before."""
    updated_files: int
    """Records whose copy was replaced."""
    skipped_files: int
    """Records that needed no work, or were left out."""
    bytes_copied: int
    """Bytes that were copied."""
    bytes_read: int
    """Bytes that passed through this machine."""
    status: str
    """`running`, `completed`, `completed_with_failures`, `stopped`, `failed` or `crashed`."""
    error_message: str | None
    """Why it ended, where it did not end well."""
    config_snapshot: NotRequired[dict[str, Any]]
    """With `--run-settings`: the settings of the run without secrets, and what it noted."""
    pid: int | None
    """Its process."""
    host: str | None
    """The machine of that process."""
    version: str | None
    """Of the engine."""
    last_update: str | None
    """When it last wrote, UTC."""


class ErrorExample(TypedDict):
    """The latest failure of a class; each `null` where none is known."""

    record_id: str | None
    message: str | None
    """What happened."""
    url: str | None
    """Without its query."""


class ErrorsOf(TypedDict):
    """Failed records of one failure class."""

    failure_class: str
    """See [failure classes](failures.md#failure-classes)."""
    count: int
    """Records."""
    latest: str | None
    """When the latest failed, UTC."""
    example: ErrorExample


class Account(TypedDict):
    """An account's records by state."""

    account_id: str
    """Empty: records without an account."""
    account_name: str
    record_count: int
    """All its records."""
    files: int
    """Old name of `record_count`."""
    pending: int
    backed_up: int
    failed: int
    skipped: int
    switched: int
    rolled_back: int
    gone: int


class RecentError(TypedDict):
    """One failure, or one failed try."""

    timestamp: str
    """UTC."""
    failure_class: str
    record_id: str
    doclist_entry_id: str
    """Old name of `record_id`."""
    error_message: str | None
    """What happened."""
    attempt: int
    """Which try it was."""
    run_id: int | None
    original_url: str | None
    """The record's link, without its query."""


class Waiver(TypedDict):
    """A waiver, or its undoing."""

    record_id: str
    doclist_entry_id: str
    """Old name of `record_id`."""
    event: str
    """`waived` or `undone`."""
    reason: str
    """Why, as it was given."""
    who: str
    """Who did it."""
    at: str
    """UTC."""


class Upgrade(TypedDict):
    """What a newer engine found in the claims of an older one."""

    version: int
    """Of the tracking DB."""
    at: str
    """UTC."""
    to_prove_anew: int
    """Copies whose MD5 differs from the source's."""
    now_received: int
    """Copies whose proof is called `received` now."""


class Status(TypedDict):
    """What the tracking DB knows, all of one moment. `--export` writes the same with all runs and accounts."""

    files: Files
    scope: ScopeOf
    progress: ProgressOf | None
    """`null`: there was no run."""
    account_count: int
    """Accounts with records."""
    accounts: int
    """Old name of `account_count`."""
    proofs: dict[str, int]
    """Copies by proof: `checksum`, `etag`, `received`, `size`."""
    upgrade: Upgrade | None
    """`null`: nothing to tell."""
    runs: list[RunRow]
    """The last ten runs, the latest first; all with `--export`."""
    errors: list[ErrorsOf]
    """Failed records by failure class, most first."""
    skipped_by_class: dict[str, int]
    """Skipped records by failure class."""
    skipped: dict[str, int]
    """Old name of `skipped_by_class`."""
    readiness: Readiness
    api: ApiUse | None
    """`null`: no run has noted it."""
    shares: Shares | None
    """`null`: no run has noted it."""
    trend: list[Sample]
    """The latest samples of the latest run that has any, oldest first."""
    account_breakdown: NotRequired[list[Account]]
    """With `--accounts`, and in an export."""
    recent_errors: NotRequired[list[RecentError]]
    """With `--recent-errors`, and in an export: the latest first."""
    waivers: NotRequired[list[Waiver]]
    """Only in an export."""

"""The answers of the smaller commands."""

from __future__ import annotations

from typing import TypedDict

from engine.model.answers.shared import Org, Readiness


class AccountRecords(TypedDict):
    """An account in Salesforce."""

    account_id: str | None
    """`null`: records without an account."""
    account_name: str
    record_count: int
    """Its records."""
    files: int
    """Old name of `record_count`."""
    last_modified: str | None
    """The latest change of its records, UTC."""


class Accounts(TypedDict):
    """Accounts and their records, counted by Salesforce."""

    org: Org
    account_count: int
    """Accounts with records, also beyond `--limit`."""
    total_accounts: int
    """Old name of `account_count`."""
    record_count: int
    """Records of all accounts, and of none."""
    total_files: int
    """Old name of `record_count`."""
    accounts: list[AccountRecords]
    """Most records first."""


class Waived(TypedDict):
    """What was noted of waived records."""

    event: str
    """`waived` or `undone`."""
    noted_record_ids: list[str]
    """Records of which it was noted."""
    noted: list[str]
    """Old name of `noted_record_ids`."""
    already_record_ids: list[str]
    """Records of which nothing had to be noted."""
    already: list[str]
    """Old name of `already_record_ids`."""
    unknown_record_ids: list[str]
    """Records that are not in the tracking DB."""
    unknown: list[str]
    """Old name of `unknown_record_ids`."""
    switched_record_ids: list[str]
    """Records that are switched, and cannot be waived."""
    switched: list[str]
    """Old name of `switched_record_ids`."""
    readiness: Readiness


class Snapshot(TypedDict):
    """A copy of the tracking DB."""

    file: str
    bytes: int
    """Its size."""
    record_count: int
    """Records in it."""
    records: int
    """Old name of `record_count`."""


class Rebuilt(TypedDict):
    """What came back of the journal."""

    database: str
    """The file of the tracking DB."""
    journal: str
    """Its name in the bucket."""
    rows: int
    """Rows of the journal now."""
    added: int
    """Rows that were missing."""
    run_ids: list[int]
    """Runs whose rows were added."""
    runs: list[int]
    """Old name of `run_ids`."""
    record_count: int
    """Records that are known again, without a proved copy."""
    records: int
    """Old name of `record_count`."""
    unformed: int
    """Links among them that the settings do not make of any key."""
    notes: list[str]
    """What to bear in mind, for people."""


class Exported(TypedDict):
    """A file that was written."""

    table: str
    """`accounts`, `failures`, `plan`, `journal` or `inventory`."""
    format: str
    """`csv`, `ndjson`, `parquet` or `rclone-urls`."""
    file: str
    rows: int
    """Rows in it."""
    sample_links: list[str]
    """With `plan`: up to 20 new links to open."""


class Point(TypedDict):
    """One value of a setting, measured."""

    value: int
    """The value that was tried."""
    per_second: float
    """In all rounds."""
    slowest_per_second: float
    """In the slowest round."""
    fastest_per_second: float
    """In the fastest round."""
    median_ms: float | None
    """Half of all took at most that. `null`: they were not timed one by one."""
    p95_ms: float | None
    """95 % of all took at most that."""
    refused: int
    """Requests that a store refused for now."""
    done: int
    """How many were measured."""


class UsedSettings(TypedDict):
    """The settings to use."""

    migration: dict[str, int]
    """Keys under `migration` in the settings, with their values."""


class Tuned(TypedDict):
    """Which settings are enough."""

    measured: str
    """What was measured, and where."""
    sweeps: dict[str, list[Point]]
    """By setting: `concurrency`, `queue_size`, `batch_size`."""
    use: UsedSettings
    no_difference_seen: list[str]
    """Settings whose values are not told apart."""
    not_measured: list[str]
    """Settings that follow from others."""
    notes: list[str]
    """What to bear in mind, for people."""

"""The answers of commands that check: doctor, audit, sweep, report."""

from __future__ import annotations

from typing import Any, NotRequired, TypedDict


class Finding(TypedDict):
    """One result of doctor."""

    check: str
    """A stable word."""
    level: str
    """`ok`, `warn`, `block` or `unknown`."""
    what: str
    """What was found."""
    fix: str
    """How to mend it; may be empty."""


class FindingCounts(TypedDict):
    """Findings by level."""

    ok: int
    """As it should be."""
    warn: int
    """Worth a look."""
    block: int
    """A run would fail or do harm."""
    unknown: int
    """It could not be checked."""


class Diagnosis(TypedDict):
    """What doctor has found."""

    purpose: str
    """What it was asked for: `backup` or `switch`."""
    org_id: str | None
    """The org that was looked at. `null`: nobody could log in."""
    at: str
    """When the checks began."""
    counts: FindingCounts
    findings: list[Finding]


class Policies(TypedDict):
    """With `--iam`: the least rights, as IAM policies."""

    source: dict[str, Any]
    """For the credentials that read the source."""
    destination: dict[str, Any]
    """For the credentials of the destination."""


class BucketWitness(TypedDict):
    """The comparison with what the bucket keeps of the journal."""

    compared: bool
    """Whether the journal was compared with it."""
    rows: int | None
    """How many rows the bucket knows of."""
    why: str
    """Why it was not compared; empty where it was, or where there is no journal yet."""
    passed_over: int
    """Objects there that are not of this journal, or damaged."""
    examples: list[str]
    """Some of them."""


class ForeignLinks(TypedDict):
    """Records whose link in the tracking DB is not made of their key."""

    count: int
    """Old name of `foreign_link_count`."""
    examples: list[str]
    """Old name of `foreign_link_examples`."""


class JournalSteps(TypedDict):
    """Steps of one kind in one wave of one run."""

    run_id: int
    wave: int
    event: str
    """`intended`, `applied`, `refused`, `undo_intended`, `undone`, `kept` or `settled`."""
    steps: int
    """How many."""
    first: str
    """UTC."""
    last: str
    """UTC."""


class JournalStep(TypedDict):
    """One row of the journal."""

    id: int
    """Its number."""
    run_id: int
    wave: int
    record_id: str
    record: str
    """Old name of `record_id`."""
    event: str
    """As above."""
    at: str
    """UTC."""
    link_state: str | None
    """What the record held after it, where the step ended a change: `ours`, `original`, `edited`, `gone` …"""
    detail: str
    """What else is known of it."""
    old_url: str
    """Without its query."""
    new_url: str
    """Without its query."""


class Audit(TypedDict):
    """Whether the journal is whole, and what it says."""

    database: str
    """The file of the tracking DB."""
    rows: int
    """Of the journal."""
    whole: bool
    """Whether every row is as it was written."""
    problem: str | None
    """Why it is not whole."""
    hint: str | None
    """What to do then."""
    exit_code: int
    head: str
    """The HMAC of the last row; empty where there is none, or the journal is not whole."""
    in_doubt: int
    """Links that the next run reads first."""
    bucket: BucketWitness
    foreign_link_count: int
    """Records whose link in the tracking DB is not made of their key."""
    foreign_link_examples: list[str]
    """Some of their Ids."""
    foreign_links: ForeignLinks
    """Old name of `foreign_link_count` and `foreign_link_examples`."""
    runs: NotRequired[list[JournalSteps]]
    """Without `--record`, `--account` and `--run`: the steps of each run and wave."""
    history: NotRequired[list[JournalStep]]
    """With one of them: the last steps, in the order in which they were written."""


class PointerExample(TypedDict):
    """A value that points at the vendor."""

    record_id: str | None
    """`null`: a formula, or a default value."""
    id: str | None
    """Old name of `record_id`."""
    value: str
    """Without its query."""


class Pointer(TypedDict):
    """A field in which something points at the vendor."""

    object: str
    """Its object in Salesforce."""
    field: str
    """Its name."""
    count: int
    """Records."""
    at_least: bool
    """Whether there may be more."""
    examples: list[PointerExample]


class Sweep(TypedDict):
    """What in the org still points at the vendor."""

    org_id: str
    """The org that was searched."""
    begun: str
    """When the search began. What was changed later may be missing."""
    watch: bool
    """Whether only new and changed records were searched (`--watch`): that gives no all-clear."""
    searched_for: list[str]
    """Buckets and hosts of the vendor, as links name them."""
    restricted_to: list[str] | None
    """The objects of `--object`. `null`: all were searched."""
    objects_searched: int
    """How many objects were searched."""
    fields_searched: int
    """How many fields were searched."""
    complete: bool
    """Whether everything was searched that the answer is about."""
    record_count: int
    """Places that point at the vendor."""
    records: int
    """Old name of `record_count`."""
    found: list[Pointer]
    """Most first."""
    not_searched: dict[str, str]
    """Objects that should have been searched, and why they were not."""
    set_aside: dict[str, str]
    """Objects that the answer is not about, and why."""
    skipped_objects: dict[str, str]
    """Objects that hold no text to search, or cannot be queried, and why."""
    skipped: dict[str, str]
    """Old name of `skipped_objects`."""
    stopped: str | None
    """Why it was stopped early."""


class Criterion(TypedDict):
    """One condition of the verdict."""

    name: str
    """What must hold."""
    holds: bool | None
    """`null`: nobody can say."""
    why: str
    """The arithmetic, or what is missing."""


class Verdict(TypedDict):
    """The verdict of the page that was written."""

    written_files: list[str]
    """The page, and its PDF."""
    files: list[str]
    """Old name of `written_files`."""
    certificate: bool
    """Whether the question was if the vendor may be cancelled; if not, it was if links may be switched."""
    holds: bool
    """Whether every criterion holds."""
    criteria: list[Criterion]
    exit_code: int

"""The answer of ``engine analyze``."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from engine.model.answers.forecast import ForecastOf
from engine.model.answers.shared import Interval, Org


class AnalyzedScope(TypedDict):
    """What the analysis was restricted to."""

    account_id: str | None
    """`null`: all accounts."""
    limit: int | None
    """`null`: no limit."""
    whole: bool
    """Whether it looked at all records."""


class AnalyzedRecords(TypedDict):
    """What a backup would do with the records."""

    total: int
    """All of them."""
    to_copy: int
    done: int
    """Copied already."""
    left_out: dict[str, int]
    """The others, by failure class."""
    without_account: int
    """Records without an account."""
    without_url: int
    """Records without a link."""


class AnalyzedFiles(TypedDict):
    """Files behind the links."""

    distinct: int
    """Different files."""
    to_copy: int
    shared: int
    """Files that several records name."""
    records_sharing: int
    """Records that name these."""
    reads_saved: int
    """Reads of the source that this saves."""
    bytes_saved: int | None
    """`null`: sizes are not known."""


class Orphans(TypedDict):
    """Objects that no record names."""

    objects: int
    """How many objects."""
    bytes: int


class Sizes(TypedDict):
    """How large the files are, and how that was found."""

    basis: str
    """`exact`, `sample` or `unknown`."""
    method: str
    """How the sizes were found, for people."""
    confidence: float | None
    """Of the intervals. `null`: they are exact."""
    bytes: Interval | None
    """Of all files. `null`: not known."""
    bytes_to_copy: Interval | None
    """What a backup would copy."""
    bytes_to_store: Interval | None
    """Each record has a copy."""
    files_of_unknown_size: int
    """Files whose size nobody could tell."""
    listed_buckets: dict[str, int]
    """Buckets that were listed completely, with their objects."""
    listed_objects: int
    """Objects in all listings."""
    heads: int
    """HEADs that were sent."""
    heads_refused: dict[str, int]
    """Those without an answer, by reason."""
    archived: Interval
    """Files in an archive class."""
    archived_bytes: int
    """What they hold, as far as it is known."""
    missing: Interval
    """Files that do not exist."""
    too_large: int
    """Files over `migration.max_file_size_mb`."""
    objects_without_record: Orphans | None
    """In the listed buckets. `null`: none was listed."""


class Collisions(TypedDict):
    """Destination keys of several records."""

    exact: int
    """Keys that are the same."""
    case_insensitive: int
    """Keys that differ only in upper and lower case."""


class BadUrls(TypedDict):
    """Links of one malformed kind."""

    reason: str
    """What is wrong with them."""
    records: int
    example_record_id: str
    example: str
    """Old name of `example_record_id`."""


class ForeignHost(TypedDict):
    """Links to a host that the settings do not allow."""

    host: str
    records: int
    example_record_id: str
    example: str
    """Old name of `example_record_id`."""


class Problems(TypedDict):
    """Links that cannot be followed."""

    bad_urls: list[BadUrls]
    foreign_hosts: list[ForeignHost]


class ByAccount(TypedDict):
    """Records of an account."""

    account_id: str
    """Empty: records without an account."""
    account_name: str | None
    records: int
    to_copy: int
    with_file: int
    """Records whose link leads to a file."""
    bytes: int | None
    """`null`: not known."""


class ByExtension(TypedDict):
    """Files with one ending."""

    extension: str
    """The ending, with its dot."""
    files: int
    records: int
    bytes: int | None


class BySizeClass(TypedDict):
    """Files of about one size."""

    size_class: str
    """Such as `up to 10 kB`."""
    files: int
    bytes: int | None


class ByStorageClass(TypedDict):
    """Files of one storage class."""

    storage_class: str
    """As S3 names it."""
    files: int
    bytes: int | None


class ByHost(TypedDict):
    """Records whose links lead to one host."""

    host: str
    records: int
    to_copy: int
    done: int


class Breakdown(TypedDict):
    """The first 50 rows of each; `--export` has all."""

    account: list[ByAccount]
    extension: list[ByExtension]
    size_class: list[BySizeClass]
    storage_class: list[ByStorageClass]
    host: list[ByHost]


class BreakdownRows(TypedDict):
    """How many rows each breakdown has."""

    account: int
    """Rows of `by.account`."""
    extension: int
    """Rows of `by.extension`."""
    size_class: int
    """Rows of `by.size_class`."""
    storage_class: int
    """Rows of `by.storage_class`."""
    host: int
    """Rows of `by.host`."""


class LargeFile(TypedDict):
    """One of the largest files that were looked at."""

    bytes: int
    storage_class: str
    """As S3 names it."""
    records: int
    """Records that name it."""
    record_id: str
    """One of them."""
    source: str
    """Where it lies."""


class LinkLengths(TypedDict):
    """The lengths of new links."""

    field_length: int
    """Characters that the field takes."""
    longest: int
    """Characters of the longest new link."""
    longest_record_id: str | None
    """The record that would get it. `null`: there is none."""
    longest_record: str | None
    """Old name of `longest_record_id`."""
    too_long: int
    """Links that do not fit."""
    excess: int
    """Characters by which the longest does not fit."""


class RouteOf(TypedDict):
    """How files of a source would be copied."""

    method: str
    """`server_copy`, `stream` or `http`."""
    why: str
    """How that was found, for people."""


class ArchivedFile(TypedDict):
    """The list of archived objects that was written."""

    file: str
    objects: int
    """Lines in it."""
    complete: bool
    """Whether all files were looked at."""


class Analysis(TypedDict):
    """What a backup would meet. `--export` writes the same with all rows of `by`, and without `by_rows`."""

    org: Org
    at: str
    """When, UTC."""
    scope: AnalyzedScope
    records: AnalyzedRecords
    files: AnalyzedFiles
    sizes: Sizes
    collisions: Collisions
    problems: Problems
    by: Breakdown
    by_rows: NotRequired[BreakdownRows]
    largest: list[LargeFile]
    links: LinkLengths
    routes: dict[str, RouteOf]
    """By source bucket."""
    forecast: ForecastOf
    recommendations: list[str]
    """What follows, for people."""
    archived_file: ArchivedFile | None
    """With `--archived`."""
    notes: list[str]
    """What to bear in mind, for people."""

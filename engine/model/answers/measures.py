"""What runs measure of themselves while they work."""

from __future__ import annotations

from typing import TypedDict


class ApiUse(TypedDict):
    """Salesforce calls within 24 hours, as a run has last noted them."""

    at: str
    """UTC."""
    used: int
    """Calls that were made."""
    max: int
    """Calls that the org may make."""


class WorkerShares(TypedDict):
    """What the workers waited for, as shares of their time."""

    plans: float
    """For records to copy."""
    source: float
    """For the source."""
    destination: float
    """For the destination."""
    disk: float
    """For commits of the tracking DB."""
    own: float
    """For nothing: they worked themselves."""


class FeedShares(TypedDict):
    """What the feed of plans waited for, as shares of its time."""

    salesforce: float
    """For answers of Salesforce."""
    room: float
    """For room in the queue."""
    own: float
    """For nothing: it worked itself."""


class Shares(TypedDict, total=False):
    """Where the time of the last backup went. Earlier versions noted less."""

    run_id: int
    run: int
    """Old name of `run_id`."""
    kind: str
    """Always `shares`."""
    workers: WorkerShares
    feed: FeedShares
    commits: float
    """The share of the time in which the tracking DB was committing."""
    cpu: float
    """Of one core."""
    blocked: float
    """The share of the time in which the event loop was blocked."""
    lag_ms: float
    """The longest that the event loop was late."""
    refusals: int
    """Requests that a store refused for now."""
    seconds: float
    """How long the run took."""


class ApiSample(TypedDict):
    """Salesforce calls within 24 hours."""

    used: int
    """Calls that were made."""
    max: int
    """Calls that the org may make."""


class WorkerSample(TypedDict):
    """A worker in a process of its own."""

    name: str
    """How messages call it."""
    files_per_s: float
    """Files per second that it copied since the sample before."""
    in_hand: int
    """Files that it was given and that have not ended."""
    silent_s: float
    """Seconds since its last sign of life, as the sample was taken."""


class Sample(TypedDict, total=False):
    """What a run noted every few seconds. Earlier versions noted less."""

    at: str
    """UTC."""
    kind: str
    """Always `sample`."""
    seconds: float
    """Since the sample before."""
    done: int
    """Records so far."""
    total: int | None
    """Records to look at."""
    files_per_s: float
    """Files per second since the sample before."""
    mb_per_s: float
    """Millions of bytes per second since the sample before."""
    in_flight: int
    """Copies under way."""
    leases: int
    """Batches that workers may still take."""
    unwritten: int
    """Outcomes that are not committed yet."""
    limit: int
    """Requests that may be in flight at the destination."""
    rate_limit: float | None
    """Requests per second there; `null`: no limit."""
    source_limit: int
    """Requests that may be in flight at the source."""
    refusals: int
    retries: int
    lag_ms: float
    """The longest that the event loop was late."""
    rss_mb: float
    """Memory in millions of bytes."""
    cpu: float
    """Of one core."""
    api: ApiSample
    workers: list[WorkerSample]
    """Only of a run with workers: those that were there. `limit` and the like are the sums of theirs then."""

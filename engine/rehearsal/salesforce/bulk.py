"""Bulk API 2.0 jobs and their states, shared by query and ingest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from engine.rehearsal.salesforce.clock import OrgClock, stamp
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, ApiResponse, as_json, not_found
from engine.rehearsal.salesforce.world import make_id

if TYPE_CHECKING:
    from engine.rehearsal.salesforce.auth import Session

LIFETIME = timedelta(days=7)
DELIMITERS = {"COMMA": ",", "SEMICOLON": ";", "TAB": "\t", "PIPE": "|", "CARET": "^", "BACKQUOTE": "`"}
LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}


@dataclass(slots=True)
class Job:
    """One job. ``polls`` counts how often somebody asked while it was waiting to be worked on."""

    id: str
    kind: str
    operation: str
    sobject: str
    version: str
    created: datetime
    user_id: str
    state: str
    delimiter: str = "COMMA"
    line_ending: str = "LF"
    query: str = ""
    polls: int = 0
    processed: int = 0
    failed: int = 0
    error: str | None = None
    found: list[Any] = field(default_factory=list)
    upload: bytes | None = None
    waiting: list[list[str]] = field(default_factory=list)
    header: list[str] = field(default_factory=list)
    results: dict[str, list[list[str]]] = field(default_factory=dict)
    closed: tuple[float, str, Session | None] | None = None
    """When, in running seconds and as a stamp in microseconds, and by whom."""

    def describe(self) -> dict[str, Any]:
        """The job as JSON, without its numbers."""
        moment = stamp(self.created)
        return {
            "id": self.id,
            "operation": self.operation,
            "object": self.sobject,
            "createdById": self.user_id,
            "createdDate": moment,
            "systemModstamp": moment,
            "state": self.state,
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(self.version),
            "lineEnding": self.line_ending,
            "columnDelimiter": self.delimiter,
        }


class Jobs:
    """All jobs of the org."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self.query_jobs = 0

    def new_id(self) -> str:
        """The next job id."""
        return make_id("750", len(self._jobs) + 1)

    def add(self, job: Job) -> None:
        """Remember a job."""
        self._jobs[job.id] = job
        self.query_jobs += job.kind == "query"

    def find(self, job_id: str, kind: str, clock: OrgClock) -> Job:
        """A living job of this kind; raises ApiError 404."""
        job = self._jobs.get(job_id)
        if job is None or job.kind != kind or job.state == "Deleted" or clock.now() - job.created > LIFETIME:
            raise not_found()
        return job

    def of_kind(self, kind: str) -> list[Job]:
        """All jobs of a kind that were not deleted."""
        return [job for job in self._jobs.values() if job.kind == kind and job.state != "Deleted"]


def check_version(job: Job, request: ApiRequest) -> None:
    """A job speaks only the API version it was made with; raises ApiError 409."""
    if job.version != request.version:
        raise ApiError(409, "API_VERSION_MISMATCH", f"the job was created with API version {job.version}")


def job_list(jobs: Iterable[dict[str, Any]]) -> ApiResponse:
    """The answer to asking for all jobs."""
    return as_json({"done": True, "records": list(jobs), "nextRecordsUrl": None})


def choice(body: dict[str, Any], key: str, known: dict[str, str], default: str) -> str:
    """A delimiter or line ending out of a job request; raises ApiError 400."""
    value = body.get(key) or default
    if value not in known:
        raise ApiError(400, "INVALIDJOB", f"{key} must be one of {', '.join(known)}")
    return str(value)

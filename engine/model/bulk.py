"""Bulk jobs: what they are called in the journal, and how far they are. Values only.

The journal's row of every change that travels in a job names the job, so that whoever comes after a kill knows what
may still be at work.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

_NAME = "bulk job "


class JobState(StrEnum):
    """As Salesforce names them."""

    OPEN = "Open"
    """Not closed by us: nothing of it is ever carried out."""
    QUEUED = "UploadComplete"
    WORKING = "InProgress"
    COMPLETE = "JobComplete"
    """Every row was tried."""
    FAILED = "Failed"
    ABORTED = "Aborted"
    DELETED = "Deleted"
    """Ours for 404."""

    @property
    def over(self) -> bool:
        """Nothing more is begun."""
        return self not in {JobState.OPEN, JobState.QUEUED, JobState.WORKING}


class Progress(NamedTuple):
    """How far a job is. ``processed`` counts the rows that were tried, ``message`` is Salesforce's own word."""

    state: JobState
    processed: int = 0
    message: str = ""


def told(job: str) -> str:
    """The journal's word for a change that travels in this job."""
    return _NAME + job


def job_in(detail: str | None) -> str:
    """The job that a journal row names; empty: none."""
    return detail.removeprefix(_NAME) if detail and detail.startswith(_NAME) else ""

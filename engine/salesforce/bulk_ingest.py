"""Bulk API 2.0 ingest: one job is one upload of (record, link), worked on by Salesforce in its own time.

Nothing of a job is carried out before it is closed; whatever is never closed, for instance because the answer to its
making was lost, does nothing, and Salesforce throws it away. No request is sent twice by itself, apart from those that
only read: Transient leaves open whether it was heeded, and only ``progress`` tells.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from engine.model.bulk import JobState, Progress
from engine.model.change import Said, Sent
from engine.model.errors import Transient
from engine.model.failures import FailureClass
from engine.model.ids import to18
from engine.salesforce import bulk_csv, soql
from engine.salesforce.faults import NotThere, QueryTooSlow, told
from engine.salesforce.links import row_refusal
from engine.salesforce.session import SalesforceSession

_JOBS = "jobs/ingest"
_ID = re.compile(r"[A-Za-z0-9]{15,18}")


class SalesforceBulk:
    """Update jobs of the one field of the one object that this program ever writes."""

    def __init__(self, session: SalesforceSession, object_name: str, url_field: str) -> None:
        self._session = session
        self._object = soql.name(object_name)
        self._field = soql.name(url_field)

    def fits(self, link: str) -> bool:
        """Whether a link may travel in a job."""
        return bulk_csv.fits(link)

    async def create(self) -> str:
        """A new, open job. Raises Transient, and Blocked or Refused where the org does not allow it."""
        body = {
            "object": self._object,
            "operation": "update",
            "contentType": "CSV",
            "lineEnding": "LF",
            "columnDelimiter": "COMMA",
        }
        doing = "make a bulk job"
        try:
            answer = await self._session.post_json(_JOBS, body, doing=doing)
        except QueryTooSlow as error:
            raise Transient(FailureClass.NETWORK, str(error)) from error
        job = answer.get("id") if isinstance(answer, dict) else None
        if not isinstance(job, str) or not _ID.fullmatch(job) or _state(answer) is not JobState.OPEN:
            raise _odd(doing)
        return job

    async def upload(self, job: str, changes: Sequence[tuple[str, str]]) -> None:
        """Send the rows (record, link); far below 100 MB.

        The transport may repeat a PUT, and a job takes only one: Blocked may mean that the rows are there already.
        """
        body = bulk_csv.written(["Id", self._field], changes)
        try:
            await self._session.put_csv(f"{_JOBS}/{job}/batches", body, doing="upload to a bulk job")
        except QueryTooSlow as error:
            raise Transient(FailureClass.NETWORK, str(error)) from error

    async def close(self, job: str) -> None:
        """From here on Salesforce may change the records."""
        await self._turn(job, JobState.QUEUED, "close a bulk job")

    async def abort(self, job: str) -> None:
        """Begin nothing more of it. Raises Blocked for a job that is over."""
        await self._turn(job, JobState.ABORTED, "abort a bulk job")

    async def progress(self, job: str) -> Progress:
        """How far it is. Raises Transient after every try, Fatal."""
        doing = "ask for a bulk job"
        try:
            answer = await self._session.get_json(f"{_JOBS}/{job}", doing=doing)
        except NotThere:
            return Progress(JobState.DELETED, message="it was deleted")
        if (state := _state(answer)) is None or answer.get("id") != job:
            raise _odd(doing)
        processed = answer.get("numberRecordsProcessed")
        return Progress(
            state, processed if isinstance(processed, int) else 0, told(str(answer.get("errorMessage") or ""))
        )

    async def results(self, job: str) -> dict[str, Said]:
        """What became of each row, by record, of a job that is over. Records that no list names were not tried, or
        were tried and not recorded: only reading them tells. Raises Transient after every try, Fatal."""
        found: dict[str, Said] = {}
        for row in await self._list(job, "successfulResults"):
            if record := _record(row):
                found[record] = Said(Sent.DONE)
        for row in await self._list(job, "failedResults"):
            if record := _record(row):
                found[record] = Said(Sent.UNKNOWN) if record in found else _failed(row.get("sf__Error", ""))
        return found

    async def _list(self, job: str, name: str) -> list[dict[str, str]]:
        doing = "read the results of a bulk job"
        text = await self._session.get_csv(f"{_JOBS}/{job}/{name}", doing=doing)
        try:
            return bulk_csv.read(text)
        except ValueError:
            raise _odd(doing) from None

    async def _turn(self, job: str, state: JobState, doing: str) -> None:
        try:
            answer = await self._session.patch_json(f"{_JOBS}/{job}", {"state": state.value}, doing=doing)
        except QueryTooSlow as error:
            raise Transient(FailureClass.NETWORK, str(error)) from error
        if _state(answer) is None:
            raise _odd(doing)


def _state(answer: Any) -> JobState | None:
    try:
        return JobState(answer["state"])
    except (KeyError, TypeError, ValueError):
        return None


def _record(row: dict[str, str]) -> str:
    """``Id`` is what we sent, ``sf__Id`` what Salesforce made of it; failed rows may lack the latter."""
    try:
        return to18(row.get("Id") or row.get("sf__Id", ""))
    except ValueError:
        return ""


def _failed(error: str) -> Said:
    """``CODE:message:fields --``."""
    code, _, rest = error.partition(":")
    message, _, fields = rest.rpartition(":")
    if not fields.endswith("--"):
        message = rest
    return row_refusal(code.strip(), message.strip() or "no reason given")


def _odd(doing: str) -> Transient:
    return Transient(FailureClass.NETWORK, f"Salesforce answered the request to {doing} with something else")

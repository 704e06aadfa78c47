"""Bulk API 2.0 ingest jobs: one CSV upload per job, worked on in chunks of 200 rows, with three lists of results."""

from __future__ import annotations

import csv
import io
import zlib
from typing import TYPE_CHECKING, Any

from engine.rehearsal.salesforce import dml
from engine.rehearsal.salesforce.bulk import DELIMITERS, LINE_ENDINGS, Job, check_version, choice, job_list
from engine.rehearsal.salesforce.clock import stamp
from engine.rehearsal.salesforce.schema import NUMERIC, Field, SObject
from engine.rehearsal.salesforce.wire import CSV_TYPE, ApiError, ApiRequest, ApiResponse, as_json
from engine.rehearsal.salesforce.world import stored

if TYPE_CHECKING:
    from engine.rehearsal.salesforce.org import Org

CHUNK = 200
_NULL = "#N/A"
_UNDER_WAY = frozenset({"UploadComplete", "InProgress"})
_FINISHED = frozenset({"JobComplete", "Failed", "Aborted"})
_WORK = {"insert": dml.create, "update": dml.update, "delete": dml.delete}
_RESULTS = {
    "successfulresults": ("successful", ["sf__Id", "sf__Created"]),
    "failedresults": ("failed", ["sf__Id", "sf__Error"]),
    "unprocessedrecords": ("unprocessed", []),
}


def create(org: Org, request: ApiRequest) -> ApiResponse:
    """``POST …/jobs/ingest``."""
    body = request.json_object()
    operation = body.get("operation")
    sobject = org.schema.find(str(body.get("object", "")))
    if operation not in _WORK or sobject is None or body.get("contentType", "CSV") != "CSV":
        raise ApiError(400, "INVALIDJOB", f"an ingest job needs a known object, CSV, and one of {', '.join(_WORK)}")
    job = Job(
        id=org.jobs.new_id(),
        kind="ingest",
        operation=operation,
        sobject=sobject.name,
        version=request.version,
        created=org.clock.now(),
        user_id=request.user_id(),
        state="Open",
        delimiter=choice(body, "columnDelimiter", DELIMITERS, "COMMA"),
        line_ending=choice(body, "lineEnding", LINE_ENDINGS, "LF"),
    )
    org.jobs.add(job)
    return as_json(_described(job))


def upload(org: Org, request: ApiRequest) -> ApiResponse:
    """``PUT …/jobs/ingest/<id>/batches`` → 201; once per job, and nobody looks into it yet."""
    job = _job(org, request)
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != CSV_TYPE:
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", "the upload must be text/csv")
    if job.state != "Open" or job.upload is not None:
        raise ApiError(400, "INVALIDJOBSTATE", "a job takes one upload, while it is Open")
    job.upload = request.body
    return ApiResponse(status=201)


def change(org: Org, request: ApiRequest) -> ApiResponse:
    """``PATCH …/jobs/ingest/<id>`` with a state of UploadComplete or Aborted."""
    job = _job(org, request)
    state = request.json_object().get("state")
    closing = state == "UploadComplete" and job.state == "Open"
    aborting = state == "Aborted" and job.state not in _FINISHED
    if not (closing or aborting):
        raise ApiError(400, "INVALIDJOBSTATE", f"a job that is {job.state} cannot become {state}")
    job.state = str(state)
    if closing:
        job.closed = (org.clock.monotonic(), org.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ"), request.session)
    return as_json(_described(job))


def info(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/jobs/ingest/<id>``: asking moves the job on, some thousand rows at a time, unless it goes by itself."""
    job = org.jobs.find(request.params["job"], "ingest", org.clock)
    waiting = job.state in _UNDER_WAY and org.settings.bulk_rows_per_s is None
    if waiting and not org.faults.strike(("bulk_stuck",), request.name, request.target()):
        job.polls += 1
        if job.state == "UploadComplete":
            _start(org, job)
        if job.state == "InProgress" and job.polls >= org.settings.bulk_polls_until_done:
            _work(org, request, job, org.settings.bulk_rows_per_poll)
    return as_json(_described(job))


def catch_up(org: Org) -> None:
    """Bring jobs that go by themselves to where they are by now. Nobody can tell that from a job in the background.

    What they write is in the log as ``ingest_work``, which arrived when its job was closed.
    """
    rate = org.settings.bulk_rows_per_s
    if rate is None:
        return
    for job in org.jobs.of_kind("ingest"):
        if job.state not in _UNDER_WAY or job.closed is None:
            continue
        begun, stamped, session = job.closed
        due = int((org.clock.monotonic() - begun - org.settings.bulk_queue_s) * rate) - job.processed
        path = f"/services/data/v{job.version}/jobs/ingest/{job.id}"
        request = ApiRequest(method="WORK", path=path, name="ingest_work", session=session)
        if due < 0 or org.faults.strike(("bulk_stuck",), request.name, request.target()):
            continue
        if job.state == "UploadComplete":
            _start(org, job)
        if due < len(job.waiting):
            due -= due % CHUNK
        if job.state != "InProgress" or (not due and job.waiting):
            continue
        _work(org, request, job, due)
        org.log.add(
            time=stamp(org.clock.now()), arrived=stamped, name=request.name, method=request.method, path=path, query="",
            status=200, bytes_in=0, bytes_out=0, seconds=0.0, faults="", ids_written=request.ids_written,
        )  # fmt: skip


def results(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/jobs/ingest/<id>/{successfulResults|failedResults|unprocessedrecords}``, in no order worth relying on."""
    job = _job(org, request)
    if job.state not in _FINISHED:
        raise ApiError(400, "INVALIDJOBSTATE", f"the job is {job.state}; results are there once it has ended")
    key, extra = _RESULTS[request.params["results"].lower()]
    rows = list(job.results.get(key, []))
    if key == "unprocessed":
        rows += job.waiting
    rule = org.faults.strike(("bulk_unrecorded",), request.name, request.target())
    if rule is not None:
        every = int(rule.params.get("every", 2))
        rows = [row for place, row in enumerate(rows, start=1) if place % every]
    rows.sort(key=lambda row: zlib.crc32("".join(row).encode()))
    text = io.StringIO()
    writer = csv.writer(
        text, delimiter=DELIMITERS[job.delimiter], lineterminator=LINE_ENDINGS[job.line_ending], quoting=csv.QUOTE_ALL
    )
    writer.writerow([*extra, *job.header])
    writer.writerows(rows)
    return ApiResponse(body=text.getvalue().encode(), content_type=CSV_TYPE)


def delete(org: Org, request: ApiRequest) -> ApiResponse:
    """``DELETE …/jobs/ingest/<id>`` → 204."""
    job = _job(org, request)
    if job.state not in _FINISHED:
        raise ApiError(400, "INVALIDJOBSTATE", f"a job that is {job.state} cannot be deleted")
    job.state, job.upload, job.waiting, job.results = "Deleted", None, [], {}
    return ApiResponse(status=204)


def listing(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/jobs/ingest``."""
    return job_list(_described(job) for job in org.jobs.of_kind("ingest"))


def _job(org: Org, request: ApiRequest) -> Job:
    job = org.jobs.find(request.params["job"], "ingest", org.clock)
    check_version(job, request)
    return job


def _start(org: Org, job: Job) -> None:
    try:
        text = (job.upload or b"").decode("utf-8-sig")
        lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=DELIMITERS[job.delimiter], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        _fail(job, f"InvalidBatch : {error}")
        return
    job.upload = None
    job.header, job.waiting = (lines[0], lines[1:]) if lines else ([], [])
    sobject = org.schema.get(job.sobject)
    unknown = [name for name in job.header if sobject.field(name) is None]
    has_id = any(name.lower() == "id" for name in job.header)
    if not job.header or unknown:
        _fail(job, f"InvalidBatch : Field name not found : {', '.join(unknown)}")
    elif has_id == (job.operation == "insert"):
        _fail(job, f"InvalidBatch : the Id column does not fit the operation {job.operation}")
    elif any(len(row) != len(job.header) for row in job.waiting):
        _fail(job, "InvalidBatch : the number of columns differs between the header and a row")
    else:
        job.state = "InProgress"


def _fail(job: Job, message: str) -> None:
    job.state, job.error = "Failed", message


def _work(org: Org, request: ApiRequest, job: Job, most: int) -> None:
    sobject = org.schema.get(job.sobject)
    fields = [sobject.field(name) for name in job.header]
    if None in fields:
        _fail(job, "InvalidBatch : a field of the header is gone")
        return
    known = [item for item in fields if item is not None]
    rule = org.faults.strike(("bulk_failed",), request.name, request.target())
    turn = most if rule is None else int(rule.params.get("rows", 0))
    now, job.waiting = job.waiting[:turn], job.waiting[turn:]
    for at in range(0, len(now), CHUNK):
        _work_chunk(org, request, job, sobject, known, now[at : at + CHUNK])
    if rule is not None:
        _fail(job, str(rule.params.get("message", "InternalServerError")))
    elif not job.waiting:
        job.state = "JobComplete"


def _work_chunk(
    org: Org, request: ApiRequest, job: Job, sobject: SObject, fields: list[Field], rows: list[list[str]]
) -> None:
    part = ApiRequest(method="PUT", path=request.path, name="ingest_rows", session=request.session)
    changes = [_change(sobject, fields, row) for row in rows]
    _WORK[job.operation](org, part, changes, all_or_none=False)
    request.ids_written += part.ids_written
    for change, row in zip(changes, rows, strict=True):
        job.processed += 1
        if change.errors:
            job.failed += 1
            job.results.setdefault("failed", []).append([str(change.id or ""), _error(change), *row])
        else:
            created = str(job.operation == "insert").lower()
            job.results.setdefault("successful", []).append([str(change.id), created, *row])


def _change(sobject: SObject, fields: list[Field], row: list[str]) -> dml.Change:
    change = dml.Change(sobject, None, {})
    values: dict[str, Any] = {}
    for item, cell in zip(fields, row, strict=True):
        if item.name == "Id":
            change.id = cell or None
        elif cell:
            try:
                values[item.name] = _value(item, cell)
            except ValueError:
                change.fail("INVALID_TYPE_ON_FIELD_IN_RECORD", f"{item.label}: value not of required type: {cell}")
    change.values = values
    return change


def _value(item: Field, cell: str) -> Any:
    if cell == _NULL:
        return None
    if item.type == "boolean":
        if cell.lower() not in {"true", "false", "1", "0"}:
            raise ValueError(cell)
        return cell.lower() in {"true", "1"}
    if item.type in NUMERIC:
        return float(cell)
    if item.type == "datetime":
        return stored(item, cell)
    return cell


def _error(change: dml.Change) -> str:
    first = change.errors[0]
    fields = f"{','.join(first['fields'])} --" if first["fields"] else "--"
    return f"{first['statusCode']}:{first['message']}:{fields}"


def _described(job: Job) -> dict[str, Any]:
    answer = {
        **job.describe(),
        "contentUrl": f"services/data/v{job.version}/jobs/ingest/{job.id}/batches",
        "jobType": "V2Ingest",
        "numberRecordsProcessed": job.processed,
        "numberRecordsFailed": job.failed,
        "retries": 0,
        "totalProcessingTime": job.polls * 100,
        "apiActiveProcessingTime": job.polls * 50,
        "apexProcessingTime": 0,
    }
    if job.error is not None:
        answer["errorMessage"] = job.error
    return answer

"""Bulk API 2.0 query jobs: a query that runs aside, its rows fetched as CSV pages that may be asked for again."""

from __future__ import annotations

import base64
import binascii
import csv
import io
from typing import TYPE_CHECKING, Any

from engine.rehearsal.salesforce.bulk import DELIMITERS, LINE_ENDINGS, Job, check_version, choice, job_list
from engine.rehearsal.salesforce.compile import Compiled, compile_query
from engine.rehearsal.salesforce.query import run
from engine.rehearsal.salesforce.shape import value_of
from engine.rehearsal.salesforce.soql import parse
from engine.rehearsal.salesforce.wire import CSV_TYPE, ApiError, ApiRequest, ApiResponse, as_json

if TYPE_CHECKING:
    from engine.rehearsal.salesforce.org import Org
    from engine.rehearsal.salesforce.shape import Column

_DEFAULT_PAGE = 50_000
_FINISHED = frozenset({"JobComplete", "Failed", "Aborted"})


def create(org: Org, request: ApiRequest) -> ApiResponse:
    """``POST …/jobs/query``."""
    body = request.json_object()
    operation, soql = body.get("operation"), body.get("query")
    if operation not in {"query", "queryAll"} or not isinstance(soql, str):
        raise ApiError(400, "INVALIDJOB", "a query job needs an operation, query or queryAll, and a query")
    compiled = compile_query(parse(soql), org.schema)
    if compiled.query.is_aggregate or compiled.query.offset:
        raise ApiError(400, "API_ERROR", "aggregates, GROUP BY and OFFSET are not supported in Bulk Query")
    job = Job(
        id=org.jobs.new_id(),
        kind="query",
        operation=operation,
        sobject=compiled.sobject.name,
        version=request.version,
        created=org.clock.now(),
        user_id=request.user_id(),
        state="UploadComplete",
        delimiter=choice(body, "columnDelimiter", DELIMITERS, "COMMA"),
        line_ending=choice(body, "lineEnding", LINE_ENDINGS, "LF"),
        query=soql,
    )
    org.jobs.add(job)
    return as_json(job.describe())


def info(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/jobs/query/<id>``: asking moves the job on, so that no test has to wait."""
    job = org.jobs.find(request.params["job"], "query", org.clock)
    if job.state not in _FINISHED and not org.faults.strike(("bulk_stuck",), request.name, request.target()):
        job.polls += 1
        job.state = "InProgress"
        if job.polls >= org.settings.bulk_polls_until_done:
            _finish(org, request, job)
    return as_json(_described(job))


def results(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/jobs/query/<id>/results?maxRecords=&locator=``."""
    job = org.jobs.find(request.params["job"], "query", org.clock)
    check_version(job, request)
    if job.state != "JobComplete":
        raise ApiError(400, "INVALIDJOBSTATE", f"the job is {job.state}; results are there once it is JobComplete")
    start = _offset(request.query.get("locator", ""))
    size = _whole(request.query.get("maxRecords", str(_DEFAULT_PAGE)))
    page = job.found[start : start + size]
    compiled = _compiled(org, job)
    text = io.StringIO()
    writer = csv.writer(
        text, delimiter=DELIMITERS[job.delimiter], lineterminator=LINE_ENDINGS[job.line_ending], quoting=csv.QUOTE_ALL
    )
    columns = compiled.shape.columns()
    writer.writerow([header for header, _ in columns])
    writer.writerows([[_cell(column, row) for _, column in columns] for row in page])
    following = start + len(page)
    locator = base64.b64encode(str(following).encode()).decode() if following < len(job.found) else "null"
    headers = {"Sforce-NumberOfRecords": str(len(page)), "Sforce-Locator": locator}
    return ApiResponse(body=text.getvalue().encode(), content_type=CSV_TYPE, headers=headers)


def change(org: Org, request: ApiRequest) -> ApiResponse:
    """``PATCH …/jobs/query/<id>`` with ``{"state": "Aborted"}``."""
    job = org.jobs.find(request.params["job"], "query", org.clock)
    if request.json_object().get("state") != "Aborted" or job.state in _FINISHED:
        raise ApiError(400, "INVALIDJOBSTATE", f"a job that is {job.state} can only become Aborted before it ends")
    job.state = "Aborted"
    return as_json(_described(job))


def delete(org: Org, request: ApiRequest) -> ApiResponse:
    """``DELETE …/jobs/query/<id>`` → 204."""
    job = org.jobs.find(request.params["job"], "query", org.clock)
    if job.state not in _FINISHED:
        raise ApiError(400, "INVALIDJOBSTATE", f"a job that is {job.state} cannot be deleted")
    job.state = "Deleted"
    job.found = []
    return ApiResponse(status=204)


def listing(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/jobs/query``."""
    return job_list(_described(job) for job in org.jobs.of_kind("query"))


def _finish(org: Org, request: ApiRequest, job: Job) -> None:
    rule = org.faults.strike(("bulk_failed",), request.name, request.target())
    if rule is not None:
        job.state, job.error = "Failed", str(rule.params.get("message", "InternalServerError"))
        return
    compiled = _compiled(org, job)
    limit = -1 if compiled.query.limit is None else compiled.query.limit
    job.found = run(org, compiled.sql(), compiled, limit, 0)
    job.processed = len(job.found)
    job.state = "JobComplete"


def _compiled(org: Org, job: Job) -> Compiled:
    return compile_query(parse(job.query), org.schema, include_deleted=job.operation == "queryAll")


def _described(job: Job) -> dict[str, Any]:
    answer = {
        **job.describe(),
        "jobType": "V2Query",
        "numberRecordsProcessed": job.processed,
        "retries": 0,
        "totalProcessingTime": job.polls * 100,
        "isPkChunkingSupported": True,
    }
    if job.error is not None:
        answer["errorMessage"] = job.error
    return answer


def _cell(column: Column, row: Any) -> Any:
    value = value_of(column, row)
    if isinstance(value, bool):
        return str(value).lower()
    if column.type == "datetime" and value is not None:
        return f"{value[:-5]}Z"
    return "" if value is None else value


def _offset(locator: str) -> int:
    if not locator:
        return 0
    try:
        return int(base64.b64decode(locator, validate=True))
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, "INVALID_QUERY_LOCATOR", "invalid query locator") from error


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ApiError(400, "API_ERROR", "maxRecords must be a positive whole number")
    return int(text)

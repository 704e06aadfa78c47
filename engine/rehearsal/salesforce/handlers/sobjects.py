"""Single rows: read, create, update, delete; and what was deleted or updated in a span of time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from engine.model.ids import is_id, to18
from engine.rehearsal.salesforce.clock import from_stamp, stamp
from engine.rehearsal.salesforce.handlers import dml
from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.schema import SObject
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, ApiResponse, as_json, not_found

_DELETED_DAYS, _UPDATED_DAYS = 15, 30
_MAX_IDS = 600_000
_STATUS = {"INSUFFICIENT_ACCESS_OR_READONLY": 403, "ENTITY_IS_DELETED": 404, "INVALID_CROSS_REFERENCE_KEY": 404}


def get(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/sobjects/X/<id>[?fields=A,B]``."""
    sobject, row_id, record = _existing(org, request)
    modified = from_stamp(record["LastModifiedDate"])
    since = _condition(request, "if-modified-since", ignore_bad=True)
    headers = {"Last-Modified": format_datetime(modified, usegmt=True)}
    if since is not None and modified <= since:
        return ApiResponse(status=304, headers=headers)
    asked = [name for name in request.query.get("fields", "").split(",") if name]
    names = [item.name for item in sobject.fields if item.readable]
    if asked:
        fields = [(name, sobject.field(name)) for name in asked]
        missing = [name for name, item in fields if item is None]
        if missing:
            raise ApiError(400, "INVALID_FIELD", f"No such column '{missing[0]}' on sobject of type {sobject.name}")
        names = ["Id", *(item.name for _, item in fields if item is not None and item.name != "Id")]
    url = f"/services/data/v{request.version}/sobjects/{sobject.name}/{row_id}"
    answer = as_json({"attributes": {"type": sobject.name, "url": url}, **{name: record[name] for name in names}})
    answer.headers.update(headers)
    return answer


def create(org: Org, request: ApiRequest) -> ApiResponse:
    """``POST …/sobjects/X`` → 201."""
    change = dml.Change(_object(org, request), None, _values(request))
    dml.create(org, request, [change], all_or_none=False)
    _raise_first(change)
    return as_json({"id": change.id, "success": True, "errors": []}, status=201)


def update(org: Org, request: ApiRequest) -> ApiResponse:
    """``PATCH …/sobjects/X/<id>`` → 204; a failed ``If-Unmodified-Since`` → 412."""
    unmodified = _condition(request, "if-unmodified-since")
    modified = _condition(request, "if-modified-since")
    values = _values(request)
    if any(name.lower() == "id" for name in values):
        raise ApiError(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
    sobject, row_id, record = _existing(org, request)
    last = from_stamp(record["LastModifiedDate"])
    if (unmodified is not None and last > unmodified) or (modified is not None and last <= modified):
        raise ApiError(412, "PRECONDITION_FAILED", "A precondition of the request was not met")
    change = dml.Change(sobject, row_id, values)
    dml.update(org, request, [change], all_or_none=False)
    _raise_first(change)
    return ApiResponse(status=204)


def delete(org: Org, request: ApiRequest) -> ApiResponse:
    """``DELETE …/sobjects/X/<id>`` → 204; the row goes to the recycle bin."""
    sobject, row_id, _ = _existing(org, request)
    change = dml.Change(sobject, row_id, {})
    dml.delete(org, request, [change], all_or_none=False)
    _raise_first(change)
    return ApiResponse(status=204)


def deleted(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/sobjects/X/deleted?start=&end=``: at most 15 days back, seconds ignored."""
    sobject, start, end = _span(org, request, _DELETED_DAYS)
    sql = (
        f'SELECT "Id", "SystemModstamp" FROM "{sobject.name}" '  # noqa: S608
        'WHERE "SystemModstamp" >= ? AND "SystemModstamp" < ? AND "IsDeleted" = 1 LIMIT ?'
    )
    rows = _bounded(org.world.connection.execute(sql, (start, end, _MAX_IDS + 1)).fetchall())
    return as_json(
        {
            "deletedRecords": [{"id": row_id, "deletedDate": moment} for row_id, moment in rows],
            "earliestDateAvailable": stamp(org.clock.now() - timedelta(days=_DELETED_DAYS)),
            "latestDateCovered": end,
        }
    )


def updated(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/sobjects/X/updated?start=&end=``: at most 30 days back, seconds ignored."""
    sobject, start, end = _span(org, request, _UPDATED_DAYS)
    sql = (
        f'SELECT "Id" FROM "{sobject.name}" '  # noqa: S608
        'WHERE "SystemModstamp" >= ? AND "SystemModstamp" < ? AND "IsDeleted" = 0 LIMIT ?'
    )
    rows = _bounded(org.world.connection.execute(sql, (start, end, _MAX_IDS + 1)).fetchall())
    return as_json({"ids": [row[0] for row in rows], "latestDateCovered": end})


def _bounded(rows: list[Any]) -> list[Any]:
    if len(rows) > _MAX_IDS:
        raise ApiError(400, "EXCEEDED_ID_LIMIT", "too many ids in this span of time; ask for a shorter one")
    return rows


def _span(org: Org, request: ApiRequest, days: int) -> tuple[SObject, str, str]:
    sobject = _object(org, request)
    try:
        start, end = (from_stamp(request.query[key]).replace(second=0, microsecond=0) for key in ("start", "end"))
    except (KeyError, ValueError) as error:
        raise ApiError(400, "INVALID_REPLICATION_DATE", "start and end must be ISO 8601 dateTimes") from error
    now = org.clock.now()
    if start >= end:
        raise ApiError(400, "INVALID_REPLICATION_DATE", "startDate before endDate must be at least one minute")
    if start < now - timedelta(days=days, minutes=1):
        raise ApiError(400, "INVALID_REPLICATION_DATE", f"startDate cannot be more than {days} days ago")
    return sobject, stamp(start), stamp(end)


def _object(org: Org, request: ApiRequest) -> SObject:
    sobject = org.schema.find(request.params["object"])
    if sobject is None:
        raise not_found()
    return sobject


def _existing(org: Org, request: ApiRequest) -> tuple[SObject, str, dict[str, Any]]:
    sobject = _object(org, request)
    text = request.params["id"]
    if not is_id(text) or not text.startswith(sobject.key_prefix):
        raise ApiError(400, "MALFORMED_ID", f"{sobject.label} ID: id value of incorrect type: {text}", fields=["Id"])
    record = org.world.record(text)
    if record is None:
        raise not_found()
    if record["IsDeleted"]:
        raise ApiError(404, "ENTITY_IS_DELETED", "entity is deleted", fields=[])
    return sobject, to18(text), record


def _values(request: ApiRequest) -> dict[str, Any]:
    return {name: value for name, value in request.json_object().items() if name != "attributes"}


def _raise_first(change: dml.Change) -> None:
    if change.errors:
        first = change.errors[0]
        code = first["statusCode"]
        raise ApiError(_STATUS.get(code, 400), code, first["message"], fields=first["fields"])


def _condition(request: ApiRequest, header: str, *, ignore_bad: bool = False) -> datetime | None:
    text = request.headers.get(header)
    if text is None:
        return None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError as error:
        if ignore_bad:
            return None
        raise ApiError(
            400, "INVALID_HEADER", f"{header}: not a date of the form EEE, dd MMM yyyy HH:mm:ss z"
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

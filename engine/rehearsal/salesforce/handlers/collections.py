"""sObject Collections: up to 200 rows written, or 2,000 read, in one call."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from engine.model.ids import is_id, to18
from engine.rehearsal.salesforce.handlers import dml
from engine.rehearsal.salesforce.handlers.query import rows_by_id
from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.soql.compiler import compile_query
from engine.rehearsal.salesforce.soql.parser import parse
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, ApiResponse, as_json, not_found, parser_error

MAX_WRITE, MAX_READ = 200, 2_000
_MAX_CHUNKS = 10


def update(org: Org, request: ApiRequest) -> ApiResponse:
    """``PATCH …/composite/sobjects``: 200 with one result per row, in request order."""
    changes, all_or_none = _changes(org, request)
    dml.update(org, request, changes, all_or_none=all_or_none)
    return as_json([change.result() for change in changes])


def create(org: Org, request: ApiRequest) -> ApiResponse:
    """``POST …/composite/sobjects``."""
    changes, all_or_none = _changes(org, request)
    dml.create(org, request, changes, all_or_none=all_or_none)
    return as_json([change.result() for change in changes])


def delete(org: Org, request: ApiRequest) -> ApiResponse:
    """``DELETE …/composite/sobjects?ids=a,b&allOrNone=false``."""
    ids = [text for text in request.query.get("ids", "").split(",") if text]
    _check_count(ids, MAX_WRITE)
    changes = []
    for text in ids:
        try:
            changes.append(dml.Change(org.world.object_of(text), text, {}))
        except KeyError as error:
            raise ApiError(400, "MALFORMED_ID", f"malformed id {text}", fields=["Id"]) from error
    dml.delete(org, request, changes, all_or_none=request.query.get("allOrNone", "false").lower() == "true")
    return as_json([change.result() for change in changes])


def retrieve(org: Org, request: ApiRequest) -> ApiResponse:
    """``POST …/composite/sobjects/X`` or ``GET`` with ``ids`` and ``fields``: null for rows nobody can see."""
    if request.method == "POST":
        body = request.json_object()
        ids, fields = _texts(body.get("ids")), _texts(body.get("fields"))
    else:
        ids, fields = (_texts(request.query.get(key, "").split(",")) for key in ("ids", "fields"))
    _check_count(ids, MAX_READ)
    sobject = org.schema.find(request.params["object"])
    if sobject is None:
        raise not_found()
    names = list({name.lower(): name for name in fields}.values())
    compiled = compile_query(parse(f"SELECT {', '.join(names)} FROM {sobject.name}"), org.schema)  # noqa: S608
    wanted = [to18(text) if is_id(text) else "" for text in ids]
    rows = rows_by_id(org, compiled, sorted({row_id for row_id in wanted if row_id}))
    found = dict(zip(rows, compiled.shape.records(rows.values(), request.version), strict=True))
    return as_json([found.get(row_id) for row_id in wanted])


def _changes(org: Org, request: ApiRequest) -> tuple[list[dml.Change], bool]:
    body = request.json_object()
    records = body.get("records")
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise parser_error("records must be an array of objects")
    all_or_none = body.get("allOrNone", False)
    if not isinstance(all_or_none, bool):
        raise parser_error("allOrNone must be a boolean")
    _check_count(records, MAX_WRITE)
    changes = [_change(org, record) for record in records]
    if sum(1 for _ in groupby(changes, key=lambda change: change.sobject.name)) > _MAX_CHUNKS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"more than {_MAX_CHUNKS} chunks of different types in one request")
    return changes, all_or_none


def _change(org: Org, record: dict[str, Any]) -> dml.Change:
    attributes = record.get("attributes")
    kind = attributes.get("type") if isinstance(attributes, dict) else None
    if not isinstance(kind, str):
        raise ApiError(400, "INVALID_TYPE", "every record needs attributes with a type")
    sobject = org.schema.find(kind)
    if sobject is None:
        raise ApiError(400, "INVALID_TYPE", f"sObject type '{kind}' is not supported.")
    row_id = next((value for name, value in record.items() if name.lower() == "id"), None)
    values = {name: value for name, value in record.items() if name != "attributes" and name.lower() != "id"}
    return dml.Change(sobject, row_id, values)


def _check_count(items: list[Any], most: int) -> None:
    if len(items) > most:
        raise ApiError(
            400, "EXCEEDED_ID_LIMIT", f"record limit reached. cannot submit more than {most} records into this call"
        )


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list) or not value or not all(isinstance(item, str) and item for item in value):
        raise parser_error("ids and fields must be non-empty arrays of strings")
    return value

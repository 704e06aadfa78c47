"""``/query``, ``/queryAll`` and their next pages."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from typing import Any

from engine.rehearsal.salesforce.faults import Rule
from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.soql.compiler import Compiled, compile_query
from engine.rehearsal.salesforce.soql.parser import parse, too_complicated
from engine.rehearsal.salesforce.soql.shape import Row
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, ApiResponse, as_json

MAX_PAGE, MIN_PAGE = 2_000, 200
LONG_TEXT_PAGE = 200
MAX_GROUPS = 2_000
_BATCH_SIZE = re.compile(r"batchSize\s*=\s*(\d+)", re.IGNORECASE)


def query(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/query?q=``; with ``explain=`` the plan instead."""
    if "explain" in request.query:
        return _explain(org, request.query["explain"])
    return _first_page(org, request, include_deleted=False)


def query_all(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/queryAll?q=``: the recycle bin too."""
    return _first_page(org, request, include_deleted=True)


def query_more(org: Org, request: ApiRequest) -> ApiResponse:
    """``GET …/query/01g…-2000``."""
    locator, offset = org.locators.find(request.params["locator"], single_use=org.settings.single_use_locators)
    compiled = compile_query(parse(locator.soql), org.schema, include_deleted=locator.include_deleted)
    if org.faults.strike(("empty_nonfinal_page",), request.name, request.target()):
        return _page(request, [], locator.total, f"{locator.id}-{offset}")
    size = _shortened(org, request, locator.page_size)
    ids = locator.page(offset, size)
    rows = rows_by_id(org, compiled, ids)
    records = compiled.shape.records((rows[row_id] for row_id in ids if row_id in rows), request.version)
    following = offset + len(ids)
    return _page(request, records, locator.total, f"{locator.id}-{following}" if following < locator.total else None)


def rows_by_id(org: Org, compiled: Compiled, ids: list[str]) -> dict[str, Row]:
    """The current rows with these ids, whatever WHERE said; deleted ones only if the statement asked for all."""
    visible = ("1" if compiled.include_deleted else 't."IsDeleted" = 0') + _shared(org)
    marks = ",".join("?" * len(ids))
    sql = f'SELECT {compiled.columns} FROM {compiled.source} WHERE {visible} AND t."Id" IN ({marks})'  # noqa: S608
    return {row[0]: row for row in org.world.connection.execute(sql, ids)}


def _shared(org: Org) -> str:
    """The condition that leaves out what sharing hides from the login."""
    if not org.hidden_ids:
        return ""
    ids = ",".join(f"'{row_id}'" for row_id in sorted(org.hidden_ids) if row_id.isalnum())
    return f' AND t."Id" NOT IN ({ids})'


def _first_page(org: Org, request: ApiRequest, *, include_deleted: bool) -> ApiResponse:
    soql = request.query.get("q", "")
    compiled = compile_query(parse(soql), org.schema, include_deleted=include_deleted)
    compiled = replace(compiled, where=compiled.where + _shared(org))
    if compiled.query.is_count:
        return _count(org, compiled)
    if compiled.query.is_aggregate:
        return _aggregates(org, request, compiled)
    asked = min(_asked_size(request), LONG_TEXT_PAGE if compiled.long_texts > 1 else MAX_PAGE)
    size = _shortened(org, request, asked)
    limit = -1 if compiled.query.limit is None else compiled.query.limit
    offset = compiled.query.offset
    first = size + 1 if limit < 0 else min(limit, size + 1)
    rows = _run(org, compiled.sql(), compiled, first, offset)
    if len(rows) <= size:
        total, following = len(rows), None
    else:
        found = _run(org, compiled.sql('t."Id"'), compiled, limit, offset)
        locator = org.locators.open(
            soql, include_deleted=include_deleted, page_size=asked, ids="".join(row[0] for row in found).encode()
        )
        total, following = locator.total, f"{locator.id}-{size}"
        rows = rows[:size]
        if org.faults.strike(("empty_nonfinal_page",), request.name, request.target()):
            rows, following = [], f"{locator.id}-0"
    rule = org.faults.strike(("approximate_total",), request.name, request.target())
    if rule is not None:
        total = int(total * float(rule.params.get("factor", 0.9)))
    return _page(request, compiled.shape.records(rows, request.version), total, following)


def _count(org: Org, compiled: Compiled) -> ApiResponse:
    total = _run(org, compiled.sql(), compiled, -1, 0)[0][0]
    if compiled.query.limit is not None:
        total = min(total, compiled.query.limit)
    return as_json({"totalSize": total, "done": True, "records": []})


def _aggregates(org: Org, request: ApiRequest, compiled: Compiled) -> ApiResponse:
    limit = MAX_GROUPS + 1 if compiled.query.limit is None else compiled.query.limit
    rows = _run(org, compiled.sql(), compiled, min(limit, MAX_GROUPS + 1), compiled.query.offset)
    if len(rows) > MAX_GROUPS:
        raise ApiError(
            400,
            "EXCEEDED_ID_LIMIT",
            "Aggregate query does not support queryMore(), use LIMIT to restrict the results to a single batch",
        )
    return _page(request, compiled.shape.records(rows, request.version), len(rows), None)


def _run(org: Org, sql: str, compiled: Compiled, limit: int, offset: int) -> list[Row]:
    """All rows of a compiled statement; limit -1 is none. Raises ApiError QUERY_TOO_COMPLICATED."""
    try:
        found: list[Row] = org.world.connection.execute(
            f"{sql} LIMIT ? OFFSET ?", (*compiled.params, limit, offset)
        ).fetchall()
    except sqlite3.OperationalError as error:  # an expression deeper than SQLite takes
        raise too_complicated() from error
    return found


def _page(request: ApiRequest, records: list[dict[str, Any]], total: int, following: str | None) -> ApiResponse:
    body: dict[str, Any] = {"totalSize": total, "done": following is None}
    if following is not None:
        body["nextRecordsUrl"] = f"/services/data/v{request.version}/query/{following}"
    body["records"] = records
    return as_json(body)


def _asked_size(request: ApiRequest) -> int:
    match = _BATCH_SIZE.search(request.headers.get("sforce-query-options", ""))
    return max(MIN_PAGE, min(MAX_PAGE, int(match.group(1)))) if match else MAX_PAGE


def _shortened(org: Org, request: ApiRequest, size: int) -> int:
    rule: Rule | None = org.faults.strike(("short_pages",), request.name, request.target())
    if rule is None:
        return size
    least = min(size, int(rule.params.get("min", 1)))
    most = min(size, int(rule.params.get("max", size)))
    return rule.integer(least, most)


def _explain(org: Org, soql: str) -> ApiResponse:
    compiled = compile_query(parse(soql), org.schema)
    plan = org.world.connection.execute(f"EXPLAIN QUERY PLAN {compiled.sql()}", compiled.params).fetchall()
    indexed = any("SEARCH t " in row[3] or "USING INDEX" in row[3] for row in plan)
    return as_json(
        {
            "plans": [
                {
                    "cardinality": org.world.count(compiled.sobject.name),
                    "fields": [],
                    "leadingOperationType": "Index" if indexed else "TableScan",
                    "notes": [],
                    "relativeCost": 0.1 if indexed else 1.5,
                    "sobjectCardinality": org.world.count(compiled.sobject.name),
                    "sobjectType": compiled.sobject.name,
                }
            ]
        }
    )

"""Several calls in one: ``/composite`` (one call of the allowance) and ``/composite/batch`` (one per part)."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, ApiResponse, as_json, parser_error

MAX_PARTS = 25
MAX_HEAVY_PARTS = 5
HEAVY = frozenset(
    {
        "query",
        "query_all",
        "query_more",
        "collections_update",
        "collections_create",
        "collections_delete",
        "collections_retrieve",
    }
)


def composite(org: Org, request: ApiRequest) -> ApiResponse:
    """``POST …/composite``: at most 25 parts, 5 of them queries or collections; references are not resolved here."""
    body = request.json_object()
    parts = _parts(body, "compositeRequest")
    subs = [_subrequest(request, part) for part in parts]
    heavy = sum(_name(org, sub) in HEAVY for sub in subs)
    if heavy > MAX_HEAVY_PARTS:
        raise ApiError(
            400, "LIMIT_EXCEEDED", f"no more than {MAX_HEAVY_PARTS} queries or collections in a composite call"
        )
    if body.get("allOrNone"):
        return as_json({"compositeResponse": _all_or_none(org, request, parts, subs)})
    return as_json({"compositeResponse": _answers(org, request, parts, subs)})


def batch(org: Org, request: ApiRequest) -> ApiResponse:
    """``POST …/composite/batch``: independent parts, each counted."""
    body = request.json_object()
    halt = body.get("haltOnError", False)
    results: list[dict[str, Any]] = []
    failed = False
    for number, part in enumerate(_parts(body, "batchRequests")):
        if failed and halt:
            message = [{"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted per request"}]
            results.append({"statusCode": 412, "result": message})
            continue
        sub = _subrequest(
            request, {**part, "url": f"/services/data/{str(part.get('url', '')).lstrip('/')}"}, "richInput"
        )
        answer = _paid(org, request, sub, free=number == 0)
        failed = failed or answer.status >= 400
        results.append({"statusCode": answer.status, "result": answer.value})
    return as_json({"hasErrors": failed, "results": results})


def _answers(
    org: Org, request: ApiRequest, parts: list[dict[str, Any]], subs: list[ApiRequest]
) -> list[dict[str, Any]]:
    return [_entry(part, _dispatch(org, request, sub)) for part, sub in zip(parts, subs, strict=True)]


def _all_or_none(
    org: Org, request: ApiRequest, parts: list[dict[str, Any]], subs: list[ApiRequest]
) -> list[dict[str, Any]]:
    written = len(request.ids_written)
    connection = org.world.connection
    connection.execute("BEGIN IMMEDIATE")
    entries = _answers(org, request, parts, subs)
    if all(entry["httpStatusCode"] < 400 for entry in entries):
        connection.execute("COMMIT")
        return entries
    connection.execute("ROLLBACK")
    del request.ids_written[written:]
    halted = [
        {
            "errorCode": "PROCESSING_HALTED",
            "message": "The transaction was rolled back since another operation in the same transaction failed.",
        }
    ]
    return [
        entry if entry["httpStatusCode"] >= 400 else {**entry, "body": halted, "httpStatusCode": 400}
        for entry in entries
    ]


def _entry(part: dict[str, Any], answer: ApiResponse) -> dict[str, Any]:
    return {
        "body": answer.value,
        "httpHeaders": answer.headers,
        "httpStatusCode": answer.status,
        "referenceId": part["referenceId"],
    }


def _dispatch(org: Org, request: ApiRequest, sub: ApiRequest) -> ApiResponse:
    answer = org.router.dispatch(org, sub)
    request.ids_written += sub.ids_written
    return answer


def _paid(org: Org, request: ApiRequest, sub: ApiRequest, *, free: bool) -> ApiResponse:
    # The first part of a batch is paid for by the call itself.
    try:
        if not free:
            org.usage.spend()
    except ApiError as error:
        return error.response()
    return _dispatch(org, request, sub)


def _name(org: Org, sub: ApiRequest) -> str:
    try:
        return org.router.resolve(sub).name
    except ApiError:
        return "unknown"


def _parts(body: dict[str, Any], key: str) -> list[dict[str, Any]]:
    parts = body.get(key)
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) for part in parts):
        raise parser_error(f"{key} must be a non-empty array of objects")
    if len(parts) > MAX_PARTS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"no more than {MAX_PARTS} subrequests are allowed")
    if key == "compositeRequest":
        references = [part.get("referenceId") for part in parts]
        if not all(isinstance(name, str) and name for name in references) or len(set(references)) < len(references):
            raise ApiError(400, "INVALID_REQUEST", "every subrequest needs a referenceId of its own")
    return parts


def _subrequest(request: ApiRequest, part: dict[str, Any], body_key: str = "body") -> ApiRequest:
    method, url = part.get("method"), part.get("url")
    if not isinstance(method, str) or not isinstance(url, str):
        raise parser_error("every subrequest needs a method and a url")
    split = urlsplit(url)
    path = unquote(split.path)
    if path.rstrip("/").endswith(("/composite", "/composite/batch")) or not path.startswith("/services/data/"):
        raise ApiError(400, "INVALID_REQUEST", f"this address cannot be part of a composite call: {path}")
    content = part.get(body_key)
    headers = {str(name).lower(): str(value) for name, value in (part.get("httpHeaders") or {}).items()}
    return ApiRequest(
        method=method.upper(),
        path=path,
        query=dict(parse_qsl(split.query, keep_blank_values=True)),
        headers={**headers, "content-type": "application/json"},
        body=orjson.dumps(content) if content is not None else b"",
        session=request.session,
        taken=request.taken,
    )

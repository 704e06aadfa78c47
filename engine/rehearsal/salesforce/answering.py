"""From a request to its answer, without a socket: faults that refuse, the session, the allowance, the handler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.rehearsal.salesforce.faults import Rule
from engine.rehearsal.salesforce.locators import lost
from engine.rehearsal.salesforce.org import Org
from engine.rehearsal.salesforce.routing import Route
from engine.rehearsal.salesforce.usage import concurrent_limit, daily_limit
from engine.rehearsal.salesforce.wire import (
    HTML_TYPE,
    ApiError,
    ApiRequest,
    ApiResponse,
    OAuthError,
    not_found,
    session_expired,
)

MAX_URI = 16_384
MAX_BODY = 50 * 1024 * 1024


def route_of(org: Org, request: ApiRequest) -> Route[Org] | ApiError:
    """The route a request takes, with its name filled in; or why it takes none."""
    try:
        return org.router.resolve(request)
    except ApiError as error:
        return error


def answer(
    org: Org, request: ApiRequest, route: Route[Org] | ApiError, refusal: Rule | None, long_calls: int
) -> ApiResponse:
    """The service's answer; the usage header is on every answer to somebody who is logged in."""
    exhausted = refusal is not None and refusal.kind == "daily_limit"
    try:
        response = _answered(org, request, route, refusal, long_calls)
    except ApiError as error:
        response = error.response()
    if request.session is not None and response.content_type != HTML_TYPE:
        response.headers["Sforce-Limit-Info"] = org.usage.header(exhausted=exhausted)
    return response


def _answered(
    org: Org, request: ApiRequest, route: Route[Org] | ApiError, refusal: Rule | None, long_calls: int
) -> ApiResponse:
    is_open = not isinstance(route, ApiError) and route.open
    if request.on_login_host and not is_open:
        raise not_found()
    if refusal is not None and refusal.kind in _EDGE:
        return refused(org, request, refusal)
    if not is_open:
        request.session = org.sessions.of(request)
    if refusal is not None:
        return refused(org, request, refusal)
    if isinstance(route, ApiError):
        org.usage.spend()
        raise route
    if not is_open:
        if long_calls >= org.settings.long_request_max:
            raise concurrent_limit()
        org.usage.spend()
        _check_size(request)
    return route.handler(org, request)


def _check_size(request: ApiRequest) -> None:
    if len(request.body) > MAX_BODY:
        raise ApiError(413, "EXCEEDED_MAX_SIZE_REQUEST", f"The request body is larger than {MAX_BODY} bytes")


def refused(org: Org, request: ApiRequest, rule: Rule) -> ApiResponse:
    """The answer a refusing fault gives instead of doing the work."""
    kind, params = rule.kind, rule.params
    if kind == "session_expired":
        org.sessions.revoke_of(request)
        raise session_expired()
    if kind == "burst_401":
        org.sessions.revoke()
        raise session_expired()
    if kind == "uncurable_401":
        raise ApiError(401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API")
    if kind == "refresh_fails":
        raise OAuthError(
            params.get("error", "invalid_grant"), params.get("description", "expired access/refresh token")
        )
    if kind == "daily_limit":
        raise daily_limit()
    if kind == "concurrent_limit":
        raise concurrent_limit()
    if kind == "500_unknown":
        error_id = f"{rule.integer(10**8, 10**9)}-{rule.integer(10**4, 10**5)} (-{rule.integer(10**8, 10**9)})"
        raise ApiError(
            500,
            "UNKNOWN_EXCEPTION",
            f"An unexpected error occurred. Please include this ErrorId if you contact support: {error_id}",
        )
    if kind == "query_timeout":
        raise ApiError(400, "QUERY_TIMEOUT", "Your query request was running for too long.")
    if kind == "locator_lost":
        org.locators.drop(request.params.get("locator", ""))
        raise lost()
    if kind == "refused":
        raise ApiError(int(params.get("status", 400)), params["code"], params.get("message", "no"))
    return _edge_answer(kind, params)


_EDGE = frozenset({"503_json", "503_html", "502_html", "420", "429", "html_200", "refresh_fails"})
_PAGES = {
    "503_html": (503, "<html><head><title>Maintenance</title></head><body>We are down for maintenance.</body></html>"),
    "502_html": (502, "<html><body><h1>502 Bad Gateway</h1></body></html>"),
    "html_200": (200, "<html><head><title>Login</title></head><body><form action='/login'></form></body></html>"),
}


def unavailable(params: Mapping[str, Any]) -> ApiResponse:
    """503 in JSON."""
    response = ApiError(503, "SERVER_UNAVAILABLE", "Server Unavailable").response()
    return _after(response, params)


def page_of_a_proxy() -> ApiResponse:
    """What stands between client and org says no, whatever the org did."""
    page = b"<html><body><h1>Blocked</h1><p>Your request was stopped by policy 4711.</p></body></html>"
    return ApiResponse(status=403, body=page, content_type=HTML_TYPE)


def _edge_answer(kind: str, params: Mapping[str, Any]) -> ApiResponse:
    if kind == "503_json":
        return unavailable(params)
    if kind == "420":
        return ApiResponse(status=420, body=b"Edge: no routing for this host", content_type="text/plain")
    if kind == "429":
        response = ApiError(429, "REQUEST_LIMIT_EXCEEDED", "Too many requests").response()
        return _after(response, {"retry_after": 1, **params})
    status, page = _PAGES[kind]
    return _after(ApiResponse(status=status, body=page.encode(), content_type=HTML_TYPE), params)


def _after(response: ApiResponse, params: Mapping[str, Any]) -> ApiResponse:
    if "retry_after" in params:
        response.headers["Retry-After"] = str(params["retry_after"])
    return response


def change_world(org: Org, rule: Rule) -> None:
    """What somebody else does to the org just before a call is answered; raises KeyError or ValueError."""
    params = rule.params
    if rule.kind == "edit":
        org.world.edit(params["ids"], params["set"], org.colleague_id)
    elif rule.kind == "delete":
        org.world.set_deleted(params["ids"], deleted=True, user_id=org.colleague_id)
    elif rule.kind == "insert":
        org.world.load(params["object"], params["records"])
    else:
        item = org.schema.get(params["object"]).column(params["field"])
        if item is None:
            raise KeyError(f"{params['object']} has no field {params['field']!r}")
        if rule.kind == "field_shortened":
            item.length = int(params["length"])
        else:
            item.updateable = False
            item.readable = params.get("mode", "hidden") != "hidden"

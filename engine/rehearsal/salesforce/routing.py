"""From method and path to a handler, with the service's own 404, 405 and 410."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from engine.rehearsal.salesforce.settings import FIRST_VERSION, LAST_VERSION
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, ApiResponse, not_found

T = TypeVar("T")
"""What every handler gets beside the request: the org."""
Handler = Callable[[T, ApiRequest], ApiResponse]
_VERSIONED = re.compile(r"/services/data/v([^/]+)(/.*)?")
_FIRST_EVER_REST = 20.0


@dataclass(frozen=True, slots=True)
class Route(Generic[T]):
    """A handler with the name that latencies, faults and the log know it by.

    ``pattern`` is a path under ``/services/data/vXX.X`` unless ``versioned`` is False. An ``open`` route is free and
    needs no session.
    """

    name: str
    method: str
    pattern: re.Pattern[str]
    handler: Handler[T]
    versioned: bool = True
    open: bool = False


class Router(Generic[T]):
    """All routes; the first that fits wins."""

    def __init__(self, routes: Iterable[Route[T]]) -> None:
        self._routes = list(routes)

    def resolve(self, request: ApiRequest) -> Route[T]:
        """Find the route and fill ``name``, ``params`` and ``version`` in; raises ApiError 404, 405 or 410."""
        match = _VERSIONED.fullmatch(request.path.rstrip("/") or "/")
        rest = request.path.rstrip("/")
        versioned = match is not None
        if match is not None:
            request.version = _checked_version(match.group(1))
            rest = (match.group(2) or "").rstrip("/")
        allowed: list[str] = []
        for route in self._routes:
            if route.versioned != versioned:
                continue
            found = route.pattern.fullmatch(rest)
            if found is None:
                continue
            if route.method == request.method or (route.method == "GET" and request.method == "HEAD"):
                request.name = route.name
                request.params = {key: value for key, value in found.groupdict().items() if value is not None}
                return route
            allowed.append(route.method)
        if allowed:
            raise ApiError(
                405,
                "METHOD_NOT_ALLOWED",
                f"HTTP Method '{request.method}' not allowed. Allowed are {','.join(sorted(set(allowed)))}",
                headers={"Allow": ", ".join(sorted(set(allowed)))},
            )
        raise not_found()

    def dispatch(self, org: T, request: ApiRequest) -> ApiResponse:
        """Resolve and answer, errors included: what composite calls use for their parts."""
        try:
            return self.resolve(request).handler(org, request)
        except ApiError as error:
            return error.response()


def _checked_version(text: str) -> str:
    if not re.fullmatch(r"\d{2}\.0", text) or not _FIRST_EVER_REST <= float(text) <= LAST_VERSION:
        raise not_found()
    if float(text) < FIRST_VERSION:
        raise ApiError(410, "UNSUPPORTED_API_VERSION", f"API version {text} has been retired")
    return text

"""One API call and its answer as plain values, and the errors an answer can be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

JSON_TYPE = "application/json;charset=UTF-8"
HTML_TYPE = "text/html;charset=UTF-8"


@dataclass(slots=True)
class Session:
    """A token somebody holds; it dies of idleness, of ``revoke``, and never by age."""

    user_id: str
    last_used: datetime


@dataclass(slots=True)
class ApiRequest:
    """A call after HTTP is peeled off. Header names are lower case; ``path`` is decoded and has no query.

    ``name`` and ``params`` come from the route; ``version`` is ``62.0``. Handlers add to ``ids_written``.
    ``taken`` are parents that another call was writing to when this one came (``locks.py``).
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    name: str = "unknown"
    params: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    session: Session | None = None
    on_login_host: bool = False
    ids_written: list[str] = field(default_factory=list)
    taken: frozenset[str] = frozenset()

    def target(self) -> str:
        """What fault rules match against: method, path and decoded query."""
        words = "&".join(f"{key}={value}" for key, value in self.query.items())
        return f"{self.method} {self.path}{'?' if words else ''}{words}"

    def json(self) -> Any:
        """The body as JSON; raises ApiError 400 or 415."""
        kind = self.headers.get("content-type", "application/json").split(";")[0].strip().lower()
        if kind != "application/json":
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", f"Unsupported Media Type: {kind}")
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError as error:
            raise parser_error(f"Unexpected character or end of input: {error}") from error

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; raises ApiError 400 or 415."""
        value = self.json()
        if not isinstance(value, dict):
            raise parser_error("The HTTP entity body must be a JSON object")
        return value

    def user_id(self) -> str:
        """Who is asking."""
        if self.session is None:
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return self.session.user_id


@dataclass(slots=True)
class ApiResponse:
    """An answer before HTTP is put on. ``value`` is the JSON behind the body, for composite calls."""

    status: int = 200
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    value: Any = None


class ApiError(Exception):
    """A whole-request failure: an HTTP status and an array of one error object."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        fields: Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields
        self.headers = dict(headers or {})

    def response(self) -> ApiResponse:
        """The answer this error is."""
        item: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            item["fields"] = list(self.fields)
        answer = as_json([item], status=self.status)
        answer.headers.update(self.headers)
        return answer


class OAuthError(ApiError):
    """The token endpoint says no: HTTP 400 with an object, not the REST array."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(400, error, description)

    def response(self) -> ApiResponse:
        """The answer this error is."""
        return as_json({"error": self.code, "error_description": self.message}, status=self.status)


def as_json(value: Any, status: int = 200) -> ApiResponse:
    """A JSON answer."""
    return ApiResponse(status=status, body=orjson.dumps(value), value=value)


def parser_error(message: str) -> ApiError:
    """The body was not the JSON that was expected."""
    return ApiError(400, "JSON_PARSER_ERROR", message)


def not_found() -> ApiError:
    """No such object, row or address."""
    return ApiError(404, "NOT_FOUND", "The requested resource does not exist")


def session_expired() -> ApiError:
    """The 401 that a new token cures."""
    return ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")

"""Error answers of every shape, each turned into one error of ours, fit to be read."""

from __future__ import annotations

import json

import aiohttp
import pytest

from engine.limiting.backoff import retry_after_s
from engine.model.errors import Blocked, EngineError, Fatal, Paused, Refused, Transient, Usage
from engine.model.failures import FailureClass
from engine.salesforce.faults import (
    LocatorLost,
    NotThere,
    QueryTooSlow,
    SessionExpired,
    Unaskable,
    from_answer,
    from_network,
    parsed,
    problems_in,
    shortened,
)


def error_of(
    status: int, body: bytes | list[dict[str, str]] = b"", headers: dict[str, str] | None = None
) -> EngineError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return from_answer(status, headers or {}, raw)


def coded(code: str, message: str = "said so") -> list[dict[str, str]]:
    return [{"errorCode": code, "message": message}]


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (401, "INVALID_SESSION_ID", "Session expired or invalid", SessionExpired),
        (400, "INVALID_SESSION_ID", "Session expired or invalid", SessionExpired),
        (401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API", Blocked),
        (401, "INVALID_SESSION_ID", "Connected app is not attached to Agent", Blocked),
        (401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE", SessionExpired),
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", Paused),
        (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded.", Transient),
        (403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded.", Transient),
        (503, "SERVER_UNAVAILABLE", "too busy", Transient),
        (200, "UNKNOWN_EXCEPTION", "ErrorId: 1-2 (-3)", Transient),
        (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access to this record", Transient),
        (400, "QUERY_TIMEOUT", "Your query request was running for too long.", QueryTooSlow),
        (404, "INVALID_QUERY_LOCATOR", "invalid query locator", LocatorLost),
        (400, "INVALID_QUERY_LOCATOR", "invalid query locator", LocatorLost),
        (400, "INVALID_FIELD", "No such column 'X__c' on entity 'Y'", Blocked),
        (400, "INVALID_TYPE", "sObject type 'X' is not supported.", Blocked),
        (400, "MALFORMED_QUERY", "unexpected token: x", Unaskable),
        (400, "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION", "not for this entity", Unaskable),
        (400, "INVALID_TYPE_FOR_OPERATION", "entity type X does not support query", Unaskable),
        (404, "NOT_FOUND", "The requested resource does not exist", NotThere),
        (403, "API_DISABLED_FOR_ORG", "API is not enabled", Blocked),
        (404, "ENTITY_IS_DELETED", "entity is deleted", Refused),
        (400, "STRING_TOO_LONG", "Document: data value too large", Refused),
        (400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "must be a PDF", Refused),
        (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "T: execution of BeforeUpdate", Refused),
        (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "caused by: UNABLE_TO_LOCK_ROW", Transient),
        (400, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: X__c", Blocked),
        (418, "BRAND_NEW_CODE", "what now", Blocked),
        (500, "BRAND_NEW_CODE", "what now", Transient),
    ],
)
def test_an_error_code_decides_whatever_the_status(status: int, code: str, message: str, kind: type) -> None:
    error = error_of(status, coded(code, message))
    assert type(error) is kind
    assert code in str(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, SessionExpired),
        (304, Blocked),
        (400, Blocked),
        (403, Blocked),
        (404, NotThere),
        (407, Blocked),
        (408, Transient),
        (410, Blocked),
        (414, Usage),
        (420, Transient),
        (429, Transient),
        (431, Usage),
        (500, Transient),
        (502, Transient),
        (503, Transient),
        (504, Transient),
        (599, Transient),
    ],
)
@pytest.mark.parametrize(
    "body", [b"", b"<html><body>Maintenance</body></html>", b"busy", b"[]", b"{}", b"[null]", b"3"]
)
def test_without_a_code_the_status_decides(status: int, kind: type, body: bytes) -> None:
    assert type(error_of(status, body)) is kind


def test_uncaught_session_and_cursor_errors_end_the_run_with_a_proper_exit_code() -> None:
    assert SessionExpired("x").exit_code == 4
    assert QueryTooSlow("x").exit_code == 5
    assert isinstance(LocatorLost("x"), Fatal)


def test_a_known_problem_is_found_behind_an_unknown_one() -> None:
    assert isinstance(error_of(400, [*coded("BRAND_NEW"), *coded("QUERY_TIMEOUT")]), QueryTooSlow)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'[{"errorCode":"A","message":"b","fields":["Id"]}]', [("A", "b")]),
        (b'{"error":"invalid_grant","error_description":"no"}', [("invalid_grant", "no")]),
        (b'{"error":"invalid_grant"}', [("invalid_grant", "")]),
        (b'[{"statusCode":"A","message":"b"}]', [("A", "b")]),
        (b'[{"message":null,"errorCode":7}]', [("7", "")]),
        (b'["x", null, {"other": 1}]', []),
        (b"\xff\xfe", []),
        (b"", []),
    ],
)
def test_problems_are_read_from_every_shape(body: bytes, expected: list[tuple[str, str]]) -> None:
    assert [(problem.code, problem.message) for problem in problems_in(body)] == expected


def test_foreign_text_is_shown_on_one_bounded_line_without_secrets() -> None:
    text = (
        "bad\n value https://b.s3.amazonaws.com/k?X-Amz-Signature=abc of 00D5e00000SimOr!AQxyz.123 \x1b[31m" + "x" * 500
    )
    shown = shortened(text)
    assert len(shown) == 300
    assert "X-Amz" not in shown
    assert "AQxyz" not in shown
    assert "\n" not in shown
    assert "\x1b" not in shown


def test_values_in_error_messages_lose_their_signatures() -> None:
    error = error_of(400, coded("STRING_TOO_LONG", "Document: data value too large: https://b/k?X-Amz-Signature=abc"))
    assert isinstance(error, Refused)
    assert error.failure is FailureClass.URL_TOO_LONG
    assert "abc" not in str(error)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("99999", 300.0),
        ("-1", None),
        ("soon", None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", None),
        ("", None),
    ],
)
def test_retry_after_is_heeded_within_reason(value: str, seconds: float | None) -> None:
    assert retry_after_s(value) == seconds
    error = error_of(503, b"", {"Retry-After": value})
    assert isinstance(error, Transient)
    assert error.retry_after_s == seconds


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"totalSize": 1, "rec', "application/json", "cut short"),
        (b"", "application/json", "cut short"),
        (b"<!DOCTYPE html><html>", "text/plain", "web page"),
        (b"{", "text/html;charset=UTF-8", "web page"),
        (b'{"a": "\xff"}', "application/json", "damaged"),
    ],
)
def test_a_200_that_is_no_json_is_transient_and_says_why(body: bytes, kind: str, words: str) -> None:
    with pytest.raises(Transient, match=words):
        parsed(body, {"Content-Type": kind}, host="org.test")


@pytest.mark.parametrize(
    "error",
    [
        TimeoutError(),
        aiohttp.ServerTimeoutError(),
        aiohttp.SocketTimeoutError(),
        aiohttp.ClientPayloadError("Response payload is not completed"),
        aiohttp.ServerDisconnectedError(),
        ConnectionResetError("https://x/?sid=s3cret"),
    ],
)
def test_trouble_below_http_is_transient_and_tells_no_url(error: Exception) -> None:
    found = from_network(error, host="org.test")
    assert isinstance(found, Transient)
    assert found.failure is FailureClass.NETWORK
    assert "org.test" in str(found)
    assert "s3cret" not in str(found)


def test_json_keeps_lone_surrogates_and_control_characters() -> None:
    body = b'{"a": "\\ud800", "b": "x\x01\\u0000y", "c": "\xed\xa0\x80", "d": "\xc3\xa9"}'
    assert parsed(body, {}, host="h") == {"a": "\ud800", "b": "x\x01\0y", "c": "\ud800", "d": "é"}

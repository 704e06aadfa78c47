"""Error answers of Salesforce, its edge servers and the network, translated once into our errors.

A whole-request error is a JSON array of ``{message, errorCode}``; the login endpoint answers an object; proxies and
maintenance pages answer HTML, plain text or nothing. The ``errorCode`` decides first, because statuses vary between
instances, and the status second.

Some answers mean more than "again", "not this record" or "stop". They have classes of their own, which login, session
and pager catch. Uncaught, they end the run like the class they extend.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson

from engine.limiting.backoff import retry_after_s
from engine.limiting.open_files import none_left
from engine.model.errors import Blocked, EngineError, Fatal, Paused, Refused, Transient, Usage
from engine.model.failures import FailureClass
from engine.model.text import bare_urls, beginning, json_in, printable


class SessionExpired(Blocked):
    """401: the token of this request is not valid, or no longer. Caught by the session."""


class Moved(Blocked):
    """A redirect: the org has moved to another host. Caught by the session, which logs in again once."""


class LocatorLost(Fatal):
    """The cursor behind ``nextRecordsUrl`` is gone. Caught by the pager, which restarts behind the last Id."""


class QueryTooSlow(Paused):
    """The query ran out of its two minutes. Caught by the pager, which asks for fewer rows."""


class Unaskable(Blocked):
    """Salesforce refuses a valid query of this object: some objects of the platform answer only with a special filter.
    The messages differ, and are in the user's language. Caught by the sweep."""


class Unreachable(Transient):
    """No connection at all: a wrong name or port, or no network. Only the first login tells it apart."""


class NotDone(Transient):
    """Salesforce itself has turned a write away: nothing of it was, or will be, carried out."""


class NotThere(Blocked):
    """404: no such object, record or path, or none that this user may see."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One item of an error answer."""

    code: str
    message: str


_CONCURRENCY_PAUSE_S = 5.0

#: Messages of INVALID_SESSION_ID that a fresh token does not help.
_INCURABLE = ("not valid for use with the REST API", "Connected app is not attached to Agent")

_PERMISSION_HINT = "Give the integration user read access to the object and its fields, or change salesforce.where."

TOO_LONG = "Shorten salesforce.where: it is part of every query, and Salesforce and proxies limit the length of a URL."

_BLOCKED_HINTS: Mapping[str, str] = {
    "INVALID_FIELD": "Check the field names in the salesforce section; field-level security hides fields as well.",
    "INVALID_TYPE": "Check salesforce.object, and that the integration user may read it.",
    "MALFORMED_QUERY": "Check salesforce.where: it must be a SOQL condition without WHERE.",
    "QUERY_TOO_COMPLICATED": "Simplify salesforce.where.",
    "INVALID_QUERY_FILTER_OPERATOR": "Check salesforce.where.",
    "MALFORMED_ID": "Check the ids in settings and flags.",
    "JSON_PARSER_ERROR": "",
    "METHOD_NOT_ALLOWED": "",
    "UNSUPPORTED_MEDIA_TYPE": "",
    "EXCEEDED_ID_LIMIT": "",
    "API_DISABLED_FOR_ORG": "Enable the API for this org, or the 'API Enabled' permission for the user.",
    "API_CURRENTLY_DISABLED": "Enable the API for this org, or the 'API Enabled' permission for the user.",
    "FUNCTIONALITY_NOT_ENABLED": "",
    "INSUFFICIENT_ACCESS": _PERMISSION_HINT,
    "TXN_SECURITY_NO_ACCESS": "A transaction security policy of the org blocks this user.",
    "TXN_SECURITY_APEX_ERROR": "A transaction security policy of the org blocks this user.",
    "TXN_SECURITY_RUNTIME_ERROR": "A transaction security policy of the org blocks this user.",
    "UNSUPPORTED_API_VERSION": "Set salesforce.api_version to one that this org still serves.",
    "INVALID_FIELD_FOR_INSERT_UPDATE": "Let the integration user edit the URL field (field-level security).",
    "STORAGE_LIMIT_EXCEEDED": "The org is out of data storage.",
}

_REFUSED: Mapping[str, FailureClass] = {
    "ENTITY_IS_DELETED": FailureClass.DELETED,
    "INVALID_CROSS_REFERENCE_KEY": FailureClass.DELETED,
    "STRING_TOO_LONG": FailureClass.URL_TOO_LONG,
    "INSUFFICIENT_ACCESS_OR_READONLY": FailureClass.REJECTED,
    "INSUFFICIENT_ACCESS_ON_CROSS_REFERENCE_ENTITY": FailureClass.REJECTED,
    "FIELD_CUSTOM_VALIDATION_EXCEPTION": FailureClass.REJECTED,
    "FIELD_INTEGRITY_EXCEPTION": FailureClass.REJECTED,
    "FIELD_FILTER_VALIDATION_EXCEPTION": FailureClass.REJECTED,
    "REQUIRED_FIELD_MISSING": FailureClass.REJECTED,
    "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY": FailureClass.REJECTED,
    "CANNOT_EXECUTE_FLOW_TRIGGER": FailureClass.REJECTED,
    "CANNOT_UPDATE_CONVERTED_LEAD": FailureClass.REJECTED,
    "DUPLICATES_DETECTED": FailureClass.REJECTED,
    "DUPLICATE_VALUE": FailureClass.REJECTED,
    "ENTITY_IS_LOCKED": FailureClass.REJECTED,
    "INVALID_OPERATION": FailureClass.REJECTED,
}

_TRANSIENT: Mapping[str, FailureClass] = {
    "SERVER_UNAVAILABLE": FailureClass.THROTTLED,
    "UNABLE_TO_LOCK_ROW": FailureClass.THROTTLED,
    "TXN_SECURITY_METERING_ERROR": FailureClass.THROTTLED,
    "UNKNOWN_EXCEPTION": FailureClass.NETWORK,
}

_UNASKABLE = frozenset(
    {
        "MALFORMED_QUERY",
        "INVALID_TYPE_FOR_OPERATION",
        "EXTERNAL_OBJECT_UNSUPPORTED_EXCEPTION",
        "EXTERNAL_OBJECT_EXCEPTION",
    }
)
_TOO_SLOW = frozenset({"QUERY_TIMEOUT", "OPERATION_TOO_LARGE", "REQUEST_RUNNING_TOO_LONG"})


def from_answer(status: int, headers: Mapping[str, str], body: bytes, *, write: bool = False) -> EngineError:
    """The error that an answer with a status other than 2xx means.

    ``write``: the request was to change something. Then only Salesforce's own answer says that nothing was done: a
    proxy may answer behind the deed. A redirect, and a proxy that wants a login, come before it.
    """
    problems = problems_in(body)
    if write and status >= 400 and status != 407 and not _own(body):
        failure = FailureClass.THROTTLED if status in {429, 503} else FailureClass.NETWORK
        said = f"an answer {status} that is not Salesforce's own, so nobody knows whether the write was carried out"
        return Transient(failure, said, retry_after_s=retry_after_s(headers.get("Retry-After", "")))
    first = problems[0] if problems else Problem("", "")
    said = f"Salesforce answered {status}" + (f": {_shown(first)}" if problems else "")
    for problem in problems:
        if (error := by_code(problem, f"Salesforce answered {status}: {_shown(problem)}")) is not None:
            if write and status < 500 and isinstance(error, Transient):
                return NotDone(error.failure, str(error), retry_after_s=error.retry_after_s)
            return error
    if not problems and body.strip():
        said += " with a page that is not an API answer"
    return _by_status(status, headers, said, first)


def problems_in(body: bytes) -> list[Problem]:
    """The problems that an error answer lists; none when it is not in one of Salesforce's own formats."""
    try:
        answer = json_in(body)
    except ValueError:
        return []
    items = answer if isinstance(answer, list) else [answer]
    return [problem for item in items if isinstance(item, dict) and (problem := _problem(item)) is not None]


def _own(body: bytes) -> bool:
    """Whether an error answer has the form that Salesforce gives to all of those about data."""
    try:
        items = json_in(body)
    except ValueError:
        return False
    return (
        isinstance(items, list)
        and bool(items)
        and all(isinstance(item, dict) and isinstance(item.get("errorCode"), str) for item in items)
    )


def _problem(item: Mapping[str, Any]) -> Problem | None:
    code = item.get("errorCode") or item.get("statusCode") or item.get("error")
    message = item.get("message") or item.get("error_description")
    if code is None and message is None:
        return None
    return Problem(str(code or ""), str(message or ""))


def by_code(problem: Problem, said: str) -> EngineError | None:
    """What an errorCode means, of a whole answer or of a row within a 200; None for a code that nobody has met."""
    code = problem.code.upper()
    if code == "REQUEST_LIMIT_EXCEEDED":
        if "total" in problem.message.lower():
            return Paused(said, hint="The org's daily API calls are used up; start the same command again tomorrow.")
        return Transient(FailureClass.THROTTLED, said, retry_after_s=_CONCURRENCY_PAUSE_S)
    if code == "INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE":
        return Paused(said, hint="The org is read-only during maintenance; start the same command again afterwards.")
    if code == "INVALID_SESSION_ID":
        if any(words in problem.message for words in _INCURABLE):
            return Blocked(said, hint="The user's profile or app does not allow API sessions of this kind.")
        return SessionExpired(said)
    if code == "INVALID_AUTH_HEADER":
        return SessionExpired(said)
    if code == "INVALID_QUERY_LOCATOR":
        return LocatorLost(said)
    if code in _TOO_SLOW:
        return QueryTooSlow(said, hint="The org is too busy for this query; try at a quieter hour, or narrow it.")
    if code == "NOT_FOUND":
        return NotThere(said, hint="Check salesforce.object, salesforce.api_version and the instance URL.")
    if code == "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY" and "UNABLE_TO_LOCK_ROW" in problem.message:
        return Transient(FailureClass.THROTTLED, said)
    if (failure := _TRANSIENT.get(code)) is not None:
        return Transient(failure, said)
    if (failure := _REFUSED.get(code)) is not None:
        return Refused(failure, said)
    if code in _UNASKABLE:
        return Unaskable(said, hint=_BLOCKED_HINTS.get(code, "Check salesforce.object."))
    if (hint := _BLOCKED_HINTS.get(code)) is not None:
        return Blocked(said, hint=hint)
    return None


def _by_status(status: int, headers: Mapping[str, str], said: str, first: Problem) -> EngineError:
    pause_s = retry_after_s(headers.get("Retry-After", ""))
    if status == 401:
        return SessionExpired(said)
    if 300 <= status < 400:
        hint = f"It redirects{redirected_to(headers)}; set the org's own https://….my.salesforce.com URL."
        return Moved(said, hint=hint) if "Location" in headers else Blocked(said, hint=hint)
    if status in {414, 431}:
        return Usage(f"{said}: the request is too long", hint=TOO_LONG)
    if status == 410:
        return Blocked(said, hint=_BLOCKED_HINTS["UNSUPPORTED_API_VERSION"])
    if status == 407:
        return Blocked(said, hint="The proxy wants a login: check network.proxy.")
    if status in {429, 503}:
        return Transient(FailureClass.THROTTLED, said, retry_after_s=pause_s)
    if status in {408, 420} or status >= 500:
        return Transient(FailureClass.NETWORK, said, retry_after_s=pause_s)
    if status == 404:
        return NotThere(said, hint="Check salesforce.api_version and the instance URL.")
    if status == 403:
        return Blocked(said, hint=_PERMISSION_HINT)
    if first.code:
        return Blocked(said)
    return Blocked(said, hint="This does not look like the Salesforce API: check the login and instance URLs.")


def from_network(error: Exception, *, host: str) -> EngineError:
    """A failure below HTTP: name, connection, TLS, time, a body cut short. Messages name its kind, never a URL."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLError | aiohttp.ClientConnectorSSLError):
        return Blocked(
            f"the certificate of {host} is not trusted",
            hint="Behind a TLS-inspecting proxy, set network.ca_file to its certificate.",
        )
    if none_left(error):
        return Transient(FailureClass.THROTTLED, f"no connection to {host} for now: too many open files")
    if isinstance(error, aiohttp.ClientHttpProxyError) and error.status == 407:
        return Blocked("the proxy refused our login", hint="Check network.proxy.")
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return Transient(FailureClass.NETWORK, f"no answer from {host} in time")
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return Unreachable(FailureClass.NETWORK, "no connection to the proxy of network.proxy")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(FailureClass.NETWORK, f"the name {host} could not be resolved")
    if isinstance(error, aiohttp.ClientConnectorError):
        return Unreachable(FailureClass.NETWORK, f"no connection to {host}")
    return Transient(FailureClass.NETWORK, f"the connection to {host} broke ({type(error).__name__})")


#: What a request may raise below HTTP. ``TimeoutError`` comes from aiohttp and from our own deadline.
NETWORK_ERRORS: tuple[type[Exception], ...] = (aiohttp.ClientError, TimeoutError, OSError)


def parsed(body: bytes, headers: Mapping[str, str], *, host: str) -> Any:
    """The JSON of a 2xx answer. Raises Transient for one that is cut short or damaged, and for a web page.

    Values keep lone surrogates and control characters: a URL field may hold them, and must not be changed here.
    """
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(body)  # twice as fast, but strict: the other parser takes more
    try:
        return json_in(body.decode("utf-8", "surrogatepass"), strict=False)
    except ValueError:
        kind = headers.get("Content-Type", "")
        if "html" in kind.lower() or body.lstrip()[:1] == b"<":
            message = f"{host} answered with a web page: maintenance, or not the org's API host"
        else:
            message = f"the answer of {host} is damaged or cut short"
        raise Transient(FailureClass.NETWORK, message) from None


_TOKEN = re.compile(r"\b00D\w{12,15}![\w.]+|\beyJ[\w-]+\.[\w-]+\.[\w-]*")


def shortened(text: str, limit: int = 300) -> str:
    """A message from outside, fit for ours: one line, no query of a URL, no token, not too long."""
    short = beginning(text, 4 * limit)
    clean = _TOKEN.sub("[token]", bare_urls(" ".join(printable(short).split())))
    return clean if len(clean) <= limit and short is text else clean[: limit - 1] + "…"


def _shown(problem: Problem) -> str:
    return shortened(": ".join(part for part in (problem.code, problem.message) if part))


def redirected_to(headers: Mapping[str, str]) -> str:
    """`` to HOST``, for a message about a redirect; empty where it names no host."""
    match = re.match(r"https?://[^/?#@]+", headers.get("Location", ""))
    return f" to {match.group()}" if match else ""

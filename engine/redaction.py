"""Secrets are cut out of log lines here: by value, by key, by the shape of tokens, and out of URLs.

The values come from the settings (``secret_values``). Tokens that a run gets later are known by their shape. Of
objects, only plain values, dataclass fields and exceptions are shown: the repr of anything else may hold request
headers.
"""

from __future__ import annotations

import base64
import datetime as dt
import html
import json
import re
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from engine.model.proxy import proxy_of
from engine.model.text import bare_urls, beginning

if TYPE_CHECKING:
    from engine.settings import Settings

HIDDEN = "[redacted]"
MIN_SECRET = 4
"""Shorter values are not searched for: they would hit ordinary words."""
MAX_TEXT, MAX_ITEMS, MAX_DEPTH, MAX_FRAMES, MAX_NAMES = 8_192, 100, 6, 40, 1_000

_SECRET_KEY = re.compile(
    r"secret|passw|token$|authorization|cookie|signature|credential|private_?key|api_?key|access_key|^sid$|session_?id"
    r"|^assertion$",
    re.IGNORECASE,
)


def _web_token(found: re.Match[str]) -> str:
    """A JSON web token. Text that only begins like one is matched as a whole too, so that no start in it is tried."""
    return HIDDEN if "." in found[0] else found[0]


_SHAPES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
    (re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?)(?:\w[\w-]* +)?[^\s'\"]+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\b(bearer +)[^\s'\"]{12,}", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(r"\beyJ(?:[\w-]{8,}+\.[\w-]+(?:\.[\w-]*)?|[\w-]*+)"), _web_token),
    (re.compile(r"\b00D[A-Za-z0-9]{12,15}(?:!|%21)[A-Za-z0-9._]{12,}"), HIDDEN),  # Salesforce session ids
    (re.compile(r"\b5Aep[A-Za-z0-9._]{20,}"), HIDDEN),  # Salesforce refresh tokens
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),  # AWS key ids
    (re.compile(r"\b(?:FwoG|IQoJ|FQoG)[A-Za-z0-9+/=_%-]{40,}"), HIDDEN),  # AWS session tokens
    (
        re.compile(
            r"\b((?:client_secret|password|refresh_token|access_token|session_token|secret_access_key|assertion"
            r"|X-Amz-(?:Signature|Credential|Security-Token)|Signature)['\"]?(?:\s*[:=]\s*|%3D)['\"]?)[^\s'\"&,;}<]+",
            re.IGNORECASE,
        ),
        rf"\1{HIDDEN}",
    ),
]

_MARKS = (
    *("private key", "authorization", "bearer", "eyj", "00d", "5aep", "akia", "asia", "fwog", "iqoj", "fqog"),
    *("secret", "passw", "_token", "assertion", "x-amz-", "signature"),
)
"""One piece of every shape, in lower case: text without any of them is not searched further."""


def secret_values(settings: Settings) -> set[str]:
    """Every secret of the settings in plain text, and in the form of Basic credentials."""
    values = set(_secrets(settings))
    proxy = proxy_of(settings.network.proxy)
    for user, password in ((proxy.user, proxy.password) if proxy else ("", ""), _client(settings)):
        if password:
            values |= {password, base64.b64encode(f"{user}:{password}".encode()).decode()}
    return values


def _secrets(section: Any) -> Iterator[str]:
    from pydantic import BaseModel, SecretStr  # here, so that `engine --help` need not import pydantic

    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
        elif isinstance(value, BaseModel):
            yield from _secrets(value)


def _client(settings: Settings) -> tuple[str, str]:
    secret = settings.salesforce.client_secret
    return settings.salesforce.client_id or "", secret.get_secret_value() if secret else ""


class Redactor:
    """Turns any value into plain JSON values without secrets."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        spellings = {spelling for secret in secrets if len(secret) >= MIN_SECRET for spelling in _spellings(secret)}
        self._values = sorted(spellings, key=len, reverse=True)  # a longer one may contain a shorter one
        self._names: dict[str, str] = {}  # the same few names come with every event

    def text(self, text: str) -> str:
        """``text`` without secrets, tokens and the queries of URLs."""
        for value in self._values:
            if value in text:
                text = text.replace(value, HIDDEN)
        text = bare_urls(text)
        lower = text.lower()
        if any(mark in lower for mark in _MARKS):
            for shape, instead in _SHAPES:
                text = shape.sub(instead, text)
        return text

    def plain(self, value: Any, depth: int = 0) -> Any:
        """``value`` as JSON values of bounded size, without secrets."""
        match value:
            case None | bool() | float():
                return value
            case str():
                return self._bounded(value.encode("utf-8", "backslashreplace").decode())
            case Enum():
                return self.plain(value.value, depth)
            case int():
                return value if -(2**63) <= value < 2**63 else str(value)
            case bytes() | bytearray() | memoryview():
                return f"<{len(value)} bytes>"
            case BaseException():
                return self._bounded(f"{type(value).__name__}: {value}")
            case Path() | dt.date() | dt.timedelta():
                return self.text(str(value))
        if depth >= MAX_DEPTH:
            return "…"
        if isinstance(value, Mapping):
            return {self._name(str(name)): self._item(str(name), item, depth) for name, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.plain(item, depth + 1) for item, _ in zip(value, range(MAX_ITEMS), strict=False)]
        if is_dataclass(value) and not isinstance(value, type):
            return {f.name: self._item(f.name, getattr(value, f.name), depth) for f in fields(value) if f.repr}
        return f"<{type(value).__qualname__}>"

    def _bounded(self, text: str) -> str:
        """Cut first, then searched; never cut within a secret, whose half would not be recognised."""
        if len(text) <= MAX_TEXT:
            return self.text(text)
        end, moved = MAX_TEXT, True
        while moved:
            moved = False
            for value in self._values:
                at = text.find(value, max(0, end - len(value) + 1), end + len(value) - 1)
                if at >= 0:
                    end, moved = at, True
        return f"{self.text(beginning(text[: end + 1], end))}… ({len(text)} characters)"

    def _name(self, name: str) -> str:
        shown = self._names.get(name)
        if shown is None:
            shown = self._bounded(name)
            if len(self._names) < MAX_NAMES:
                self._names[name] = shown
        return shown

    def _item(self, name: str, value: Any, depth: int) -> Any:
        if isinstance(value, str | bytes) and _SECRET_KEY.search(name):
            return HIDDEN
        return self.plain(value, depth + 1)

    def exception(self, error: BaseException, depth: int = 0) -> dict[str, Any]:
        """Type, message, frames without local variables, and the same of its cause."""
        frames = traceback.extract_tb(error.__traceback__)[-MAX_FRAMES:]
        shown: dict[str, Any] = {
            "type": f"{type(error).__module__}.{type(error).__qualname__}",
            "message": self.plain(str(error)),
            "frames": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        }
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if depth < MAX_DEPTH and cause is not None:
            shown["cause"] = self.exception(cause, depth + 1)
        if depth < MAX_DEPTH and isinstance(error, BaseExceptionGroup):
            shown["errors"] = [self.exception(inner, depth + 1) for inner in error.exceptions[:10]]
        return shown

    def traceback(self, error: BaseException) -> str:
        """The traceback as Python prints it, redacted, without local variables."""
        return self.text("".join(traceback.TracebackException.from_exception(error, capture_locals=False).format()))


def _spellings(secret: str) -> set[str]:
    """A secret as it is, and as it stands in URLs, forms, JSON, HTML, a repr, and base64."""
    raw = secret.encode("utf-8", "surrogateescape")
    return {
        secret,
        quote(raw, safe=""),
        quote_plus(raw),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        html.escape(secret),
        repr(secret)[1:-1],
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
    }

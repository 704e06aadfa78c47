"""What single settings must look like: the validators that ``engine/settings.py`` builds its fields from.

Each message says what is expected, without the value: the loader shows the value, and knows when it must not.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import AfterValidator, PlainSerializer, ValidationInfo

from engine.model.text import bare_urls

HOME = "home"
"""Under this name the context of a validation holds the folder at which relative paths start."""
LOOPBACK = re.compile(r"^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$")


def is_loopback(host: str) -> bool:
    """Whether a host name or address literal is this machine."""
    return bool(LOOPBACK.match(host.lower()))


def is_local(url: str) -> bool:
    """Whether a URL, or a bare ``host:port``, leads to this machine."""
    try:
        return is_loopback(urlsplit(url if "//" in url else f"//{url}").hostname or "")
    except ValueError:
        return False


def url_fault(value: str, *, insecure: bool) -> str | None:
    """What keeps ``value`` from being a safe http(s) base URL, or None.

    Credentials do not belong in it, and plain http goes to loopback only, unless marked ``insecure: true``.
    """
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL; write one such as https://example.my.salesforce.com"
    if parts.scheme not in {"http", "https"} or not host:
        return "must be an http(s) URL with a host, such as https://example.my.salesforce.com"
    if parts.username or parts.password:
        return "must not hold a user name or password"
    if parts.scheme == "http" and not insecure and not is_loopback(host):
        return f"is plain http to {host}: use https, or set `insecure: true` beside it if that is meant"
    return None


def checked_url(value: str, *, insecure: bool, key: str) -> str:
    """``value`` without trailing slashes when it is a safe base URL (see ``url_fault``), else ValueError."""
    if fault := url_fault(value, insecure=insecure):
        msg = f"{key} {fault}"
        raise ValueError(msg)
    return value.rstrip("/")


def matching(pattern: str, expected: str) -> AfterValidator:
    """A validator that wants the whole text to match ``pattern`` and otherwise says it must be ``expected``."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            msg = f"must be {expected}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def template_fault(template: str, *, known: set[str], needed: str, why: str) -> str | None:
    """What is wrong with a ``{name}`` template: an unknown name, or the one it cannot do without."""
    names = set(re.findall(r"\{([^{}]*)\}", template))
    if unknown := names - known:
        return f"names {{{min(unknown)}}}; known: {', '.join(sorted(known))}"
    if needed not in names:
        return f"must contain {{{needed}}}{why}"
    return None


def _at_home(path: Path, known: ValidationInfo) -> Path:
    home: Path = (known.context or {}).get(HOME, Path())
    try:
        return home / path.expanduser()
    except RuntimeError as error:
        msg = "starts with ~, and there is no such home directory; write the whole path"
        raise ValueError(msg) from error


AT_HOME = AfterValidator(_at_home)
"""``~`` in a path is the home directory; a relative one starts at HOME of the validation's context."""


def _veiled(value: str | None) -> str | None:
    return None if value is None else bare_urls(value)


VEILED = PlainSerializer(_veiled)
"""Marks a URL that may carry credentials: reprs, dumps and snapshots show it without user name, password and query."""

"""The URLs of settings: which of them are safe to send a login to, and which lead to this machine. Pure."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_LOOPBACK = re.compile(r"^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$")


def is_loopback(host: str) -> bool:
    """Whether a host name or address literal is this machine."""
    return bool(_LOOPBACK.match(host.lower()))


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

"""The proxy of ``network.proxy``, the same for every client: where it is, and how we log in to it."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class Proxy:
    """``user`` and ``password`` in clear, so they stay out of its repr."""

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def login(self) -> str:
        """The value of ``Proxy-Authorization``, UTF-8 within (RFC 7617); empty where there is no login."""
        if not (self.user or self.password):
            return ""
        return f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}"

    @property
    def url(self) -> str:
        """As aiohttp takes it. aiohttp sends a login in Latin-1, so the bytes of UTF-8 are written as Latin-1 here."""
        user, password = (quote(text.encode().decode("latin-1"), safe="") for text in (self.user, self.password))
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{f'{user}:{password}@' if self.login else ''}{host}:{self.port}"


def proxy_of(setting: str | None) -> Proxy | None:
    """The proxy of a checked setting; None where there is none."""
    if not setting:
        return None
    scheme, _, rest = setting.partition("://")
    login, _, place = rest.rpartition("@")
    user, _, password = login.partition(":")
    parts = urlsplit(f"{scheme}://{place}")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return Proxy(parts.scheme, parts.hostname or "", port, unquote(user), unquote(password))

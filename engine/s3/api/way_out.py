"""How requests leave this machine: by ``network.proxy``, trusting ``network.ca_file`` beside the system's authorities.

Those of the SDK follow no redirect. That holds for its calls to S3, and for those that fetch credentials (STS, SSO).
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.limiting.tls import trusting
from engine.model.proxy import Proxy

_REFUSAL_S = 60.0


@dataclass(frozen=True, slots=True)
class WayOut:
    """The proxy, and a private authority that is trusted beside the system's."""

    proxy: Proxy | None = None
    ca_file: Path | None = None

    @property
    def tls(self) -> ssl.SSLContext:
        """Raises Usage where ``ca_file`` cannot be read."""
        return trusting(self.ca_file)


def sdk_config(out: WayOut, *, refusal_s: float = _REFUSAL_S) -> dict[str, Any]:
    """What an AioConfig takes. ``refusal_s``: how long the body of a refusal may take, whatever its request may.

    Raises Usage where ``network.ca_file`` cannot be read.
    """
    from aiobotocore.httpsession import AIOHTTPSession

    tls, proxy = out.tls, out.proxy

    class Session(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore ships no types
        def _build_verify_context(self) -> ssl.SSLContext:
            return tls  # and not the authorities that botocore brings along

        async def _get_session(self, proxy_url: str | None) -> _Unredirected:
            return _Unredirected(await super()._get_session(proxy_url), refusal_s)

    return {
        "proxies": {"http": proxy.url, "https": proxy.url} if proxy else {},  # never the exported one
        "http_session_cls": Session,
    }


class _ProxyLogin(Exception):
    status = 407


class _Unredirected:
    """An aiohttp session whose requests never follow a redirect, and whose refusals must end in time."""

    def __init__(self, session: Any, refusal_s: float) -> None:
        self._session = session
        self._refusal_s = refusal_s

    async def request(self, method: str, **arguments: Any) -> Any:
        response = await self._session.request(method, **arguments, allow_redirects=False)
        if response.status == 407 and arguments.get("proxy") and arguments["url"].scheme == "http":
            raise _ProxyLogin
        if response.status >= 300:
            async with asyncio.timeout(self._refusal_s):
                await response.read()  # it keeps what it has read
        return response

"""Who may see the pages: this machine alone, or whoever has the token. And what a browser may do with them."""

from __future__ import annotations

import hmac
from urllib.parse import urlencode

from aiohttp import web
from aiohttp.typedefs import Handler

from engine.model.base_url import is_loopback

COOKIE = "engine-dashboard"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self';"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """``token``: None: none is needed. ``host``: where the server listens."""

    def __init__(self, host: str, token: str | None) -> None:
        self._host = host
        self._token = token

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuses strangers; everything else gets the headers."""
        if request.method not in {"GET", "HEAD"}:
            response: web.StreamResponse = web.Response(status=405, text="This desk only shows.\n")
        elif self._token is None and not self._names_us(request.host):
            # a page elsewhere may have given its own name our address
            response = web.Response(status=403, text="Open this page under the address that the command printed.\n")
        elif self._token is not None and not self._has_token(request):
            response = web.Response(status=401, text="Add ?token=… to the address, once.\n")
        elif self._token is not None and "token" in request.query:
            response = self._remember(request)
        else:
            try:
                response = await handler(request)
            except web.HTTPException as error:
                response = web.Response(status=error.status, text=f"{error.reason}\n")
        if not response.prepared:
            response.headers.update(HEADERS)
        return response

    def _names_us(self, asked: str) -> bool:
        name = asked.rpartition(":")[0] if asked.rpartition(":")[2].isdigit() else asked
        return is_loopback(name.strip("[]")) or name.strip("[]") == self._host

    def _has_token(self, request: web.Request) -> bool:
        assert self._token is not None
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = (request.query.get("token", ""), request.cookies.get(COOKIE, ""), bearer)
        return any(hmac.compare_digest(each.encode(), self._token.encode()) for each in given if each)

    def _remember(self, request: web.Request) -> web.Response:
        """The token leaves the address, which browsers keep and show."""
        assert self._token is not None
        rest = [(name, value) for name, value in request.query.items() if name != "token"]
        response = web.Response(
            status=303, headers={"Location": request.path + (f"?{urlencode(rest)}" if rest else "")}
        )
        response.set_cookie(COOKIE, self._token, httponly=True, samesite="Strict", secure=request.secure)
        return response

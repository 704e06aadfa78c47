"""Sessions: the tokens that people hold."""

from __future__ import annotations

from datetime import timedelta

from engine.rehearsal.salesforce.clock import OrgClock
from engine.rehearsal.salesforce.wire import ApiError, ApiRequest, Session, session_expired

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"


class Sessions:
    """All living tokens of the org."""

    def __init__(self, org_id: str, clock: OrgClock, idle_s: float) -> None:
        self._org_id = org_id
        self._clock = clock
        self._idle = timedelta(seconds=idle_s)
        self._by_token: dict[str, Session] = {}

    def open(self, user_id: str) -> str:
        """A new token, ``00D…!AQ…``."""
        tail = "".join(_ALPHABET[int(self._clock.random() * len(_ALPHABET))] for _ in range(80))
        token = f"{self._org_id[:15]}!AQ{tail}"
        self._by_token[token] = Session(user_id, self._clock.now())
        return token

    def of(self, request: ApiRequest) -> Session:
        """The session a request comes with, kept awake by it; raises ApiError 401."""
        header = request.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        if not header:
            raise session_expired()
        if scheme.lower() not in {"bearer", "oauth"} or not token:
            raise ApiError(401, "INVALID_AUTH_HEADER", "INVALID_HEADER_TYPE")
        session = self._by_token.get(token.strip())
        now = self._clock.now()
        if session is None or now - session.last_used > self._idle:
            raise session_expired()
        session.last_used = now
        return session

    def revoke(self, token: str | None = None) -> int:
        """End one session, or all of them; the number ended."""
        if token is not None:
            return int(self._by_token.pop(token, None) is not None)
        count = len(self._by_token)
        self._by_token.clear()
        return count

    def revoke_of(self, request: ApiRequest) -> None:
        """End the session this request came with."""
        self.revoke(request.headers.get("authorization", "").partition(" ")[2].strip())

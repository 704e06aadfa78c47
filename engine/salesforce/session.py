"""SalesforceSession: authorised requests to the org, with one login shared by all of them.

Every request remembers the generation of the token it was sent with. A 401 for an older generation is simply sent
again; a 401 for the current one renews it, once for however many requests were hit. A token that was never accepted
is not worth renewing: that would loop, and lock the user out.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlsplit

from engine.limiting.clock import Clock
from engine.limiting.retry import retry
from engine.model.errors import Blocked, Fatal, Transient, Usage
from engine.model.failures import FailureClass
from engine.salesforce.auth import Login, Session
from engine.salesforce.faults import TOO_LONG, Moved, SessionExpired, from_answer, parsed
from engine.salesforce.http import Answer, Http
from engine.salesforce.limits import DailyCalls, limits_in

_RENEWALS = 2
"""Renewals that one request may cause before its 401 is taken to be about something else."""
ATTEMPTS = 5
"""Tries of a read. ``migration.max_attempts`` is about files."""
_JSON = "application/json"
LONGEST_URI = 16_384 - 4_096
"""Bytes. Salesforce takes 16,384 for the URI and all headers together; tokens can be over a kilobyte."""


class SalesforceSession:
    """The org's REST API. Reads are retried here; writes are not, since one may have happened all the same."""

    def __init__(
        self,
        http: Http,
        login: Login,
        clock: Clock,
        *,
        api_version: str,
        api_budget: float = 1.0,
    ) -> None:
        self._http = http
        self._login = login
        self._clock = clock
        self._root = f"/services/data/v{api_version}"
        self._budget = api_budget
        self._session: Session | None = None
        self._generation = 0
        self._accepted = 0
        """The youngest generation that the org has honoured."""
        self._renewing = asyncio.Lock()
        self._dead: Fatal | None = None
        self._server_date: datetime | None = None
        self._sent = 0
        self._under_way = 0
        self._sent_before = 0
        """Requests sent when the limits were told; answers to these say nothing newer, only perhaps more."""
        self.limits: DailyCalls | None = None
        """As the answers told them; None before the first."""
        self.throttled = 0
        """How often the org has asked for patience: too many requests at once, or out of service."""

    @property
    def under_way(self) -> int:
        """Requests sent and not answered yet."""
        return self._under_way

    async def get_json(
        self,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        doing: str,
        read: Callable[[Any], Any] = lambda value: value,
    ) -> Any:
        """GET, parse and ``read``. ``path`` is host-relative: ``/services/…`` as the org gave it, or below the
        versioned root.

        Transient failures are tried again, ``read``'s too; the last of them passes through.
        """
        target = self._target(path, query)

        async def once() -> Any:
            return read(await self._call("GET", target, None, doing))

        value, _ = await retry(once, clock=self._clock, attempts=ATTEMPTS, on_failure=self._failed)
        return value

    async def post_json(self, path: str, body: Any, *, doing: str, attempts: int = 1) -> Any:
        """POST and parse. ``attempts`` above 1 only where the POST reads."""
        target, payload = self._target(path), _encoded(body)
        value, _ = await retry(lambda: self._call("POST", target, payload, doing), clock=self._clock, attempts=attempts)
        return value

    async def patch_json(self, path: str, body: Any, *, doing: str) -> Any:
        """PATCH and parse; None for an empty answer. Sent once: a Transient leaves open whether it was applied."""
        return await self._call("PATCH", self._target(path), _encoded(body), doing)

    def versioned(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """A path below the versioned root, for requests inside requests. Raises Usage for one that is too long."""
        return self._target(path, query)

    async def login(self) -> Session:
        """The current token, minted if there is none yet."""
        _, session = await self._current()
        return session

    async def server_now(self) -> datetime:
        """The org's clock as of its last answer, UTC: never later than now, so fit for watermarks."""
        if self._server_date is None:
            await self.get_json("/services/data/", doing="read the time")
        if self._server_date is None:
            raise Blocked("the org's answers carry no Date, so there is no safe watermark for an incremental run")
        return self._server_date

    def _target(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Path and query in wire form. Raises Fatal for anything that could lead to another host."""
        if urlsplit(path).netloc or urlsplit(path).scheme:
            path = self._own_path(path)
        if path.startswith("//") or "\\" in path or any(ord(char) <= 32 or ord(char) > 126 for char in path):
            raise Fatal("Salesforce gave a path that is not one of its own", hint="Check the instance URL.")
        if not path.startswith("/services/"):
            path = f"{self._root}/{path.lstrip('/')}"
        if query:
            path += "?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in query.items())
        if query and len(path) > LONGEST_URI:
            raise Usage(f"a Salesforce request of {len(path):,} bytes is too long", hint=TOO_LONG)
        return path

    def _own_path(self, url: str) -> str:
        base = self._session.instance_url if self._session else ""
        if not base or not url.startswith(base + "/"):
            raise Blocked(
                "Salesforce sent us on to another host, which we do not follow", hint="Check the instance URL."
            )
        return url[len(base) :]

    async def _call(self, method: str, target: str, body: bytes | None, doing: str) -> Any:
        """One request; sent again after a renewed login, at most twice. Neither a 401 nor a redirect did anything."""
        renewals = 0
        while True:
            generation, session = await self._current()
            if self.limits is not None:
                self.limits.check(self._budget, under_way=self._under_way)
            try:
                return await self._send(method, session, target, body, doing, generation)
            except (SessionExpired, Moved) as error:
                if generation == self._generation:
                    if renewals == _RENEWALS or self._accepted < generation:
                        raise (self._hopeless(error) if isinstance(error, SessionExpired) else error) from None
                    renewals += 1
                    await self._renew(generation)

    async def _send(
        self, method: str, session: Session, target: str, body: bytes | None, doing: str, generation: int
    ) -> Any:
        headers = {
            "Authorization": f"Bearer {session.token}",
            "Accept": _JSON,
            "Sforce-Call-Options": "client=engine",
            "Sforce-Query-Options": "batchSize=2000",
        }
        if body is not None:
            headers["Content-Type"] = f"{_JSON}; charset=utf-8"
        self._sent += 1
        self._under_way += 1
        number = self._sent
        try:
            answer = await self._http.send(
                method, session.instance_url + target, headers=headers, body=body, doing=doing
            )
        finally:
            self._under_way -= 1
        self._note(answer, number)
        if not 200 <= answer.status < 300:
            raise from_answer(answer.status, answer.headers, answer.body, doing=doing)
        value = None
        if answer.body or method == "GET":
            value = parsed(answer.body, answer.headers, doing=doing, host=urlsplit(session.instance_url).netloc)
        self._accepted = max(self._accepted, generation)
        return value

    async def _failed(self, _number: int, error: Transient) -> None:
        self.throttled += error.failure is FailureClass.THROTTLED

    def _note(self, answer: Answer, number: int) -> None:
        """What every answer tells, errors too: usage and the time."""
        limits = limits_in(answer.headers.get("Sforce-Limit-Info"))
        known = self.limits
        if limits is not None and (known is None or number > self._sent_before or limits.used > known.used):
            self.limits, self._sent_before = limits, self._sent
        try:
            self._server_date = parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return

    async def _current(self) -> tuple[int, Session]:
        if self._session is None:
            await self._renew(0)
        assert self._session is not None
        return self._generation, self._session

    async def _renew(self, generation: int) -> None:
        """Log in anew, unless somebody has since ``generation``. A login that failed for good is not tried again."""
        async with self._renewing:
            if self._dead is not None:
                raise self._dead
            if self._generation != generation:
                return
            try:
                self._session = await self._login()
            except Fatal as error:
                self._dead = error
                raise
            self._generation += 1

    def _hopeless(self, error: SessionExpired) -> Blocked:
        self._dead = Blocked(
            f"Salesforce refuses the token it was just given: {error}",
            hint="Check that the instance URL is the org's own …my.salesforce.com, that the user may use the API, "
            "and that sessions are not locked to one address where this network has several.",
        )
        return self._dead


def _encoded(body: Any) -> bytes:
    """ASCII JSON: survives lone surrogates."""
    return json.dumps(body, separators=(",", ":")).encode("ascii")

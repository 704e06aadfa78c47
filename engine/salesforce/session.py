"""SalesforceSession: authorised requests to the org, behind one login, one limiter and one budget of daily calls."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from engine.limiting.clock import Clock
from engine.limiting.limiter import Limiter
from engine.limiting.retry import retry
from engine.model.errors import Blocked, EngineError, Fatal, Operation, Transient, Usage
from engine.model.failures import FailureClass
from engine.salesforce.auth import Login, Session, identity
from engine.salesforce.faults import TOO_LONG, Moved, SessionExpired, from_answer, parsed
from engine.salesforce.http import CONNECTIONS, Http
from engine.salesforce.limits import CallBudget, DailyCalls
from engine.salesforce.server_time import ServerTime
from engine.salesforce.shared_login import SharedLogin

ATTEMPTS = 5
"""Tries of a read. ``migration.max_attempts`` is about files."""
_JSON = "application/json"
_HEADERS = {"Accept": _JSON, "Sforce-Call-Options": "client=engine", "Sforce-Query-Options": "batchSize=2000"}
LONGEST_URI = 16_384 - 4_096
"""Bytes. Salesforce takes 16,384 for the URI and all headers together; tokens can be over a kilobyte."""


class _Request(NamedTuple):
    """``target``: path and query. ``doing`` names the request for a person. ``write``: it changes records."""

    method: str
    target: str
    body: bytes | None
    doing: str
    write: bool = False


class SalesforceSession:
    """The org's REST API. Reads are retried here; writes are not, since one may have happened all the same."""

    def __init__(self, http: Http, login: Login, clock: Clock, *, api_version: str, api_budget: float = 1.0) -> None:
        self._http = http
        self._login = SharedLogin(login)
        self._clock = clock
        self._root = f"/services/data/v{api_version}"
        self.budget = CallBudget(api_budget)
        self.limiter = Limiter(clock, most=CONNECTIONS)
        self.time = ServerTime(clock)
        self._user = "", ""
        """A token, and whose it is; where the login did not say that."""
        self._asking = asyncio.Lock()

    @property
    def limits(self) -> DailyCalls | None:
        """Daily API calls as the answers stated them; None before the first."""
        return self.budget.known

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

        Transient failures are tried again, those of ``read`` too; the last of them passes through.
        """
        request = _Request("GET", self.versioned(path, query), None, doing)

        async def once() -> Any:
            return read(await self._call(request))

        return await retry(once, clock=self._clock, attempts=ATTEMPTS)

    async def get_list(
        self, path: str, key: str, *, query: Mapping[str, str] | None = None, doing: str
    ) -> list[Mapping[str, Any]]:
        """GET the list of objects under a key of the answer. Raises Transient for an answer without one."""
        answer = await self.get_json(path, query=query, doing=doing)
        items = answer.get(key) if isinstance(answer, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise Transient(FailureClass.NETWORK, "the answer has an unknown format", operation=Operation(doing))
        return items

    async def post_json(self, path: str, body: Any, *, doing: str, attempts: int = 1) -> Any:
        """POST and parse. ``attempts`` above 1 only where the POST reads."""
        request = _Request("POST", self.versioned(path), _encoded(body), doing, write=attempts == 1)
        return await retry(lambda: self._call(request), clock=self._clock, attempts=attempts)

    async def patch_json(self, path: str, body: Any, *, doing: str) -> Any:
        """PATCH and parse; None for an empty answer. Sent once: a Transient leaves open whether it was applied."""
        return await self._call(_Request("PATCH", self.versioned(path), _encoded(body), doing, write=True))

    async def login(self) -> Session:
        """The current session, after a login if there is none yet."""
        return await self._login.session()

    async def user(self) -> str:
        """The Id of the user of this login; empty where neither the login nor the org says it. Raises Transient,
        Fatal."""
        async with self._asking:
            session = await self.login()
            if session.user_id:
                return session.user_id
            if self._user[0] != session.token:
                try:
                    answer = await self.get_json(f"{self._root}/", doing="ask who this login is")
                except Blocked:
                    answer = None
                self._user = session.token, identity(answer.get("identity") if isinstance(answer, dict) else None)[1]
            return self._user[1]

    async def server_now(self) -> datetime:
        """The org's clock as of its last answer, UTC. It is never later than now, so it is safe as a watermark."""
        if self.time.date is None:
            await self.get_json("/services/data/", doing="read the time")
        if self.time.date is None:
            raise Blocked("the org's answers carry no Date, so there is no safe watermark for an incremental run")
        return self.time.date

    def versioned(self, path: str, query: Mapping[str, str] | None = None) -> str:
        """Path and query in wire form, below the versioned root where the path is not absolute.

        Raises Fatal for anything that could lead to another host, Usage for what is too long.
        """
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
        session = self._login.current
        base = session.instance_url if session else ""
        if not base or not url.startswith(base + "/"):
            raise Blocked(
                "Salesforce referred us to another host, which we do not follow", hint="Check the instance URL."
            )
        return url[len(base) :]

    async def _call(self, request: _Request) -> Any:
        """One request; sent again after a renewed login: a 401 or a redirect has done nothing."""
        renewals = 0
        while True:
            session = await self._login.session()
            try:
                return await self._through(session, request)
            except (SessionExpired, Moved) as error:
                renewals += await self._login.refused(session, error, renewals)

    async def _through(self, session: Session, request: _Request) -> Any:
        """One request, when the limiter lets it through."""
        limiter = self.limiter
        ticket = limiter.enter() or await limiter.turn()
        try:
            number = self.budget.take(under_way=limiter.in_flight - 1)
            value = await self._send(session, request, number)
        except BaseException as error:
            limiter.failed(ticket, error)
            raise
        limiter.passed(ticket)
        self._login.accepted(session)
        return value

    async def _send(self, session: Session, request: _Request, number: int) -> Any:
        headers = {"Authorization": f"Bearer {session.token}", **_HEADERS}
        method, target, body, doing, write = request
        if body is not None:
            headers["Content-Type"] = f"{_JSON}; charset=utf-8"
        try:
            asked = self._clock.monotonic()
            answer = await self._http.send(method, session.instance_url + target, headers=headers, body=body)
            self.budget.learn(answer.headers.get("Sforce-Limit-Info"), number)  # errors tell it too
            if not 200 <= answer.status < 300:
                raise from_answer(answer.status, answer.headers, answer.body, write=write)
            told = None
            if answer.body or method == "GET":
                told = parsed(answer.body, answer.headers, host=urlsplit(session.instance_url).netloc)
            self.time.note(answer.headers.get("Date", ""), asked)  # Salesforce's own, not that of a proxy's page
        except EngineError as error:
            error.operation = Operation(doing)
            raise
        return told


def _encoded(body: Any) -> bytes:
    """ASCII JSON, which can hold lone surrogates."""
    return json.dumps(body, separators=(",", ":")).encode("ascii")

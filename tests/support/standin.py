"""A caller of the Salesforce stand-in, and a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from engine.rehearsal.salesforce import SalesforceStandIn, Schema, Server, StandInSettings, World

VERSION = "/services/data/v62.0"


LOGIN = {"grant_type": "client_credentials", "client_id": "rehearsal", "client_secret": "rehearsal-secret"}


class StillClock:
    """Time stands still, sleeping takes none and is written down, chance is always the same."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> datetime:
        return datetime(2026, 11, 22, 10, 0, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def random(self) -> float:
        return 0.25


@dataclass
class Answer:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The errorCode of the first item of an error array."""
        return str(self.json[0]["errorCode"])

    @property
    def message(self) -> str:
        return str(self.json[0]["message"])


class Caller:
    """Talks to a stand-in as a logged-in client; paths are relative to the API version."""

    def __init__(self, server: Server, http: aiohttp.ClientSession, clock: StillClock) -> None:
        self.server = server
        self.http = http
        self.clock = clock
        self.token = ""

    @property
    def world(self) -> World:
        return self.server.world

    async def login(self) -> None:
        answer = await self.raw("POST", f"{self.server.login_url}/services/oauth2/token", data=LOGIN)
        assert answer.status == 200, answer.body
        self.token = answer.json["access_token"]

    async def raw(self, method: str, url: str, **more: Any) -> Answer:
        async with self.http.request(method, url, **more) as response:
            body = await response.read()
            return Answer(response.status, dict(response.headers), body)

    async def call(self, method: str, path: str, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        url = self.server.url + (path if path.startswith("/services") else VERSION + path)
        return await self.raw(method, url, headers=headers, **more)

    async def query(self, soql: str, path: str = "/query", **more: Any) -> Answer:
        return await self.call("GET", path, params={"q": soql}, **more)

    async def names(self, where: str, *, sobject: str = "DocListEntry__c", path: str = "/query") -> list[str]:
        """The Names of the rows a condition finds."""
        answer = await self.query(f"SELECT Name FROM {sobject} {where}", path)
        assert answer.status == 200, answer.body
        return [record["Name"] for record in answer.json["records"]]

    async def patch(self, records: Iterable[dict[str, Any]], *, all_or_none: bool = False) -> Answer:
        body = {"allOrNone": all_or_none, "records": list(records)}
        return await self.call("PATCH", "/composite/sobjects", json=body)

    async def sim(self, method: str, action: str, **more: Any) -> Any:
        answer = await self.raw(method, f"{self.server.url}/__sim__/{action}", **more)
        assert answer.status == 200, answer.body
        return answer.json

    async def faults(self, *rules: dict[str, Any]) -> None:
        await self.sim("POST", "faults", json=list(rules))

    def load(self, count: int, **fields: Any) -> list[str]:
        """So many list entries, named 0000, 0001 and on."""
        return self.world.load("DocListEntry__c", [{"Name": f"{n:04}", **fields} for n in range(count)])


def entry(row_id: str, **values: Any) -> dict[str, Any]:
    """One record of a collections call."""
    return {"attributes": {"type": "DocListEntry__c"}, "id": row_id, **values}


@asynccontextmanager
async def calling(
    settings: StandInSettings | None = None,
    *,
    schema: Schema | None = None,
    clock: StillClock | None = None,
    login: bool = True,
) -> AsyncIterator[Caller]:
    """A stand-in and a caller that has logged in."""
    clock = clock or StillClock()
    stand_in = SalesforceStandIn(settings or StandInSettings(), schema=schema, clock=clock)
    async with stand_in.serve() as server, aiohttp.ClientSession() as http:
        caller = Caller(server, http, clock)
        if login:
            await caller.login()
        yield caller

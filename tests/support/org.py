"""A stand-in org, and the client's end of it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from engine.rehearsal.salesforce import Server
from engine.rehearsal.salesforce.faults import rule_from
from engine.salesforce.connection import Salesforce, open_salesforce
from engine.settings import NetworkSettings, SalesforceSettings
from tests.support.servers.salesforce import Reply, ScriptedServer, Seen

OBJECT = "DocListEntry__c"


class QuickClock:
    """Real time, but nobody waits: sleeps are noted and over."""

    def __init__(self) -> None:
        self.slept: list[float] = []
        self._ticks = itertools.count()

    def now(self) -> datetime:
        return datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

    def monotonic(self) -> float:
        return next(self._ticks) + sum(self.slept)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)

    def random(self) -> float:
        return 0.5


def settings_for(server: Server, **changes: Any) -> SalesforceSettings:
    """Settings that log in to the stand-in by client credentials, unless changed."""
    base = {"login_url": server.login_url, "client_id": "rehearsal", "client_secret": "rehearsal-secret"}
    return SalesforceSettings(**{**base, **changes})


@asynccontextmanager
async def connected(
    server: Server, clock: QuickClock, extra: tuple[str, ...] = (), **changes: Any
) -> AsyncIterator[Salesforce]:
    async with open_salesforce(settings_for(server, **changes), NetworkSettings(), clock, extra) as salesforce:
        yield salesforce


def fault(server: Server, *rules: dict[str, Any]) -> None:
    """Set the stand-in's fault rules."""
    server.org.faults.set([rule_from(rule) for rule in rules])


def load(server: Server, count: int, **fields: Any) -> list[str]:
    """So many records; returns their Ids in the server's order."""
    numbered = ({"Name": f"D{n}", "Document__c": f"https://files.test/{n}.pdf", **fields} for n in range(count))
    return sorted(server.world.load(OBJECT, numbered))


def asked(server: Server, name: str) -> int:
    """How many calls of that name the stand-in has seen."""
    return sum(1 for entry in server.org.log if entry.name == name)


Scripted = Callable[[Callable[[Seen], Reply]], AbstractAsyncContextManager[tuple[Salesforce, ScriptedServer]]]

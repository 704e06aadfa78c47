"""A stand-in org, and the client's end of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from engine.rehearsal.salesforce import SalesforceStandIn, Server, StandInSettings
from engine.salesforce.connection import Salesforce, open_salesforce
from engine.settings import NetworkSettings, SalesforceSettings
from tests.support.org import QuickClock, Scripted
from tests.support.servers.salesforce import Reply, ScriptedServer, Seen, token_reply


@pytest.fixture
def clock() -> QuickClock:
    return QuickClock()


@pytest.fixture
async def org() -> AsyncIterator[Server]:
    """An empty stand-in org."""
    async with SalesforceStandIn(StandInSettings()).serve() as server:
        yield server


@pytest.fixture
def scripted(clock: QuickClock) -> Scripted:
    """A client of a scripted server; the script sees all requests but the login."""

    @asynccontextmanager
    async def open_scripted(script: Callable[[Seen], Reply]) -> AsyncIterator[tuple[Salesforce, ScriptedServer]]:
        def with_login(seen: Seen) -> Reply:
            return token_reply(server.url) if seen.path == "/services/oauth2/token" else script(seen)

        async with ScriptedServer(with_login).serve() as server:
            settings = SalesforceSettings(login_url=server.url, client_id="app", client_secret="s3cret")
            async with open_salesforce(settings, NetworkSettings(), clock) as salesforce:
                yield salesforce, server

    return open_scripted

"""Salesforce, opened: one login and one connection pool behind pages, shapes, accounts and limits."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

from engine.limiting.clock import Clock
from engine.model.record import IdRange, ObjectShape, Scope
from engine.salesforce import shape
from engine.salesforce.accounts import AccountFiles, accounts
from engine.salesforce.auth import login_for
from engine.salesforce.http import OpenHttp, open_http
from engine.salesforce.limits import DailyCalls
from engine.salesforce.links import SalesforceLinks
from engine.salesforce.pages import SalesforcePages
from engine.salesforce.ranges import ranges
from engine.salesforce.session import SalesforceSession
from engine.salesforce.shape import Organization
from engine.settings import NetworkSettings, SalesforceSettings


class Salesforce:
    """The org as the rest of the engine knows it. Logs in with the first request."""

    def __init__(
        self, session: SalesforceSession, settings: SalesforceSettings, extra_fields: Sequence[str] = ()
    ) -> None:
        self.session = session
        self.pages = SalesforcePages(session, settings, extra_fields)
        self.links = SalesforceLinks(session, settings.object, settings.url_field)
        self._settings = settings
        self._extra_fields = extra_fields

    @property
    def limits(self) -> DailyCalls | None:
        """Daily API calls as the last answer told them."""
        return self.session.limits

    async def organization(self) -> Organization:
        """The org; Blocked when it is not the pinned one, or does not serve the API version."""
        return await shape.organization(self.session, self._settings)

    async def shape(self) -> ObjectShape:
        """The object that holds the links; Blocked when it or a field is missing or unfit."""
        return await shape.object_shape(self.session, self._settings, self._extra_fields)

    async def ranges(self, scope: Scope, parts: int) -> list[IdRange]:
        """The scope in up to so many ranges that can be read side by side."""
        return await ranges(self.pages, scope, parts)

    @property
    def asking(self) -> bool:
        """Whether the org owes us an answer right now."""
        limiter = self.session.limiter
        return limiter.in_flight > 0 or limiter.waiting > 0

    def accounts(self, only: str | None = None) -> AsyncIterator[AccountFiles]:
        """Every account that holds records, or this one, and how many."""
        return accounts(self.pages, self._settings, only=only)

    async def server_now(self) -> datetime:
        """The org's clock as of its last answer: the watermark of a scan, when asked before its first page."""
        return await self.session.server_now()


@asynccontextmanager
async def open_salesforce(
    settings: SalesforceSettings,
    network: NetworkSettings,
    clock: Clock,
    extra_fields: Sequence[str] = (),
    *,
    database: Path | None = None,
    http: OpenHttp = open_http,
) -> AsyncIterator[Salesforce]:
    """Open the connection pool; nothing is sent yet. A refresh token that rotates may be kept beside ``database``.

    Raises Usage when a key that ``salesforce.auth`` needs is not set.
    """
    async with http(network) as client:
        session = SalesforceSession(
            client,
            login_for(settings, client, clock, database),
            clock,
            api_version=settings.api_version,
            api_budget=settings.api_budget,
        )
        yield Salesforce(session, settings, extra_fields)

"""Salesforce, opened: one login and one connection pool for pages, links, the object's shape and accounts."""

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
    """The org, as the rest of the engine sees it. It logs in with the first request."""

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
        """The daily API calls, as of the last answer."""
        return self.session.limits

    async def organization(self) -> Organization:
        """The org. Raises Blocked when it is not the pinned one, or does not serve the API version."""
        settings = self._settings
        return await shape.organization(self.session, org_id=settings.org_id, api_version=settings.api_version)

    async def shape(self) -> ObjectShape:
        """The object that holds the links. Raises Blocked when it or a field is missing or of the wrong type."""
        return await shape.object_shape(self.session, self._settings, self._extra_fields)

    async def ranges(self, scope: Scope, parts: int) -> list[IdRange]:
        """The scope in at most ``parts`` ranges, to be read side by side."""
        return await ranges(self.pages, scope, parts)

    @property
    def answer_due(self) -> bool:
        """Whether a request is under way, or waits for its turn."""
        limiter = self.session.limiter
        return limiter.in_flight > 0 or limiter.waiting > 0

    def accounts(self, only: str | None = None) -> AsyncIterator[AccountFiles]:
        """Every account that has records, or only this one, with their number."""
        return accounts(self.pages, only=only)

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
    """Open the connection pool; nothing is sent yet. A new refresh token may be kept beside ``database``.

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

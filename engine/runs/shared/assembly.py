"""Opens adapters from the settings; nothing else does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from engine.limiting import open_files
from engine.limiting.bandwidth import Bandwidth
from engine.limiting.clock import Clock
from engine.limiting.limiters import Limiters
from engine.limiting.retry import Retries
from engine.model.byte_units import MB
from engine.model.facts import Method
from engine.model.hosts import SourceRules, origin_of, reachable, source_rules
from engine.model.location import Location, Origin
from engine.model.ports import Source
from engine.model.record import ObjectShape
from engine.model.urls import parse_url
from engine.pipeline.allowance import Allowance
from engine.pipeline.copying import Copying
from engine.pipeline.duplicates import DuplicateSources
from engine.pipeline.ends import Ends
from engine.pipeline.limited import LimitedSource
from engine.pipeline.placing import Target
from engine.pipeline.planning import Filters, Planner
from engine.pipeline.routes import Route, Routes
from engine.pipeline.source_ids import SourceIds, VendorLinks
from engine.pipeline.transfer import Transfer
from engine.runs.shared.place import Place
from engine.runs.shared.world import WORLD
from engine.s3.open import S3, open_s3
from engine.s3.transport import Transport
from engine.salesforce.connection import Salesforce, open_salesforce
from engine.settings import DestinationSettings, NetworkSettings, Settings
from engine.tracking.db.chain import key_path
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.web.client import WebClient
from engine.web.resolver import LinkResolver, fields_of, resolver_origin
from engine.web.source import WebSource

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Both sides of S3 and the web, open: what copying a file takes."""

    clock: Clock
    s3: S3
    limiters: Limiters
    bandwidth: Bandwidth
    web: Source
    resolver: LinkResolver | None
    rules: SourceRules
    filters: Filters
    ours: DestinationSettings
    retries: Retries
    """How often a request outside the flow is tried."""

    def locate(self, key: str) -> Location:
        """One of our own objects."""
        url = self.ours.link_template.url(key)
        scheme, _, rest = url.partition("://")
        return Location(origin_of(scheme, rest.partition("/")[0]), url, bucket=self.ours.bucket, key=key)

    def planner(self, shape: ObjectShape, account_id: str | None, routes: Routes | None = None) -> Planner:
        """The planner of this run. Without routes it knows sources by their URLs only."""
        ours = self.ours
        target = Target(
            ours.bucket, ours.region, ours.endpoint_url, ours.key_template, ours.url_template, shape.url_length
        )
        filters = replace(self.filters, account_id=account_id)
        return Planner(self.rules, target, filters, SourceIds(self.links, routes))

    @property
    def links(self) -> VendorLinks | None:
        """The vendor's API that gives a link per record, where there is one."""
        route = Route(Method.HTTP, self.web, "by a link from source.resolver")
        return None if self.resolver is None else VendorLinks(self.resolver.source_id, self.resolver.resolve, route)

    async def probe(self, bucket: str, samples: Sequence[Location]) -> Route:
        """How the bytes of one source bucket travel; ``""`` stands for plain http."""
        if not bucket:
            return Route(Method.HTTP, self.web, "not in a bucket: plain http")
        found = await self.retries.patiently(lambda: self.s3.source_access.probe(samples))
        return Route(found.method, self.reader(found.method), found.why, found.settled)

    def reader(self, method: Method) -> Source:
        """Who reads by a method."""
        return {Method.SERVER_COPY: self.s3.across, Method.STREAM: self.s3.source}.get(method, self.web)

    def transfer(
        self,
        planner: Planner,
        routes: Routes,
        ends: Ends,
        allowance: Allowance,
        duplicates: DuplicateSources | None = None,
    ) -> Transfer:
        """What brings a plan to its end."""
        copying = Copying(
            self.s3.destination,
            self.s3.across,
            self.locate,
            max_bytes=self.filters.max_bytes,
            fast_path=self.s3.fast_path,
            short_stream=self.s3.short_stream,
        )
        return Transfer(
            copying,
            planner,
            routes,
            ends,
            self.retries,
            allowance=allowance,
            links=self.links,
            duplicates=duplicates,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapters(Stores):
    """Everything beyond this machine, open."""

    salesforce: Salesforce


@dataclass(frozen=True, slots=True, kw_only=True)
class Services(Adapters):
    """Everything a run works with, open."""

    ledger: Ledger
    journal_key: Path
    """Where the key of the journal lies."""
    settle_after_s: float
    """``switch.settle_after``."""
    off_box: bool
    """``switch.off_box``."""
    object_and_field: tuple[str, str]


def max_bytes(settings: Settings) -> int | None:
    """``migration.max_file_size_mb`` in bytes."""
    limit = settings.migration.max_file_size_mb
    return None if limit is None else int(limit * MB)


def resolver_fields(settings: Settings) -> tuple[str, ...]:
    """Salesforce fields that the resolver's URL asks for."""
    resolver = settings.source.resolver
    return tuple(name for name in fields_of(resolver.url) if name != "Id") if resolver else ()


@asynccontextmanager
async def assemble(
    settings: Settings, clock: Clock, *, transport: Transport, place: Place | None = None
) -> AsyncIterator[Services]:
    """Open the tracking DB, Salesforce and both sides of S3. The caller holds the run lock. ``place``: of the tracking
    DB; None: that of the settings."""
    async with AsyncExitStack() as stack:
        world = WORLD.get()
        place = place or Place(settings.tracking.database)
        database = open_database(place.path, clock, world.connect, world.files, may_write=place.may_write)
        ledger = Ledger(await stack.enter_async_context(database))
        # what messages name, and beside which the journal's key and tip lie, wherever the rows are
        ledger.database.path = settings.tracking.database
        org = settings.salesforce
        await ledger.check_pins(settings.destination.bucket, org.object, org.url_field)
        adapters = await stack.enter_async_context(open_adapters(settings, clock, transport=transport))
        journal_key = key_path(settings.tracking.database, settings.switch.journal_key_file)
        yield Services(
            **_fields(adapters),
            ledger=ledger,
            journal_key=journal_key,
            settle_after_s=settings.switch.settle_after_s,
            off_box=settings.switch.off_box == "always",
            object_and_field=(org.object, org.url_field),
        )


def within_open_files(settings: Settings) -> Settings:
    """The settings with no more copies at once than the limit of open files has room for."""
    wanted, most = settings.migration.concurrency, open_files.limit()
    room = open_files.copies_within(most, wanted)
    if room == wanted:
        return settings
    log.warning("the limit of open files has no room for migration.concurrency", limit=most, copies_at_once=room)
    migration = settings.migration.model_copy(update={"concurrency": room})
    return settings.model_copy(update={"migration": migration})


@asynccontextmanager
async def open_adapters(settings: Settings, clock: Clock, *, transport: Transport) -> AsyncIterator[Adapters]:
    """Open Salesforce and both sides of S3, and leave the tracking DB alone."""
    async with AsyncExitStack() as stack:
        salesforce = await stack.enter_async_context(
            open_salesforce(
                settings.salesforce,
                settings.network,
                clock,
                resolver_fields(settings),
                database=settings.tracking.database,
                http=WORLD.get().http,
            )
        )
        stores = await stack.enter_async_context(open_stores(settings, clock, transport=transport))
        yield Adapters(**_fields(stores), salesforce=salesforce)


@asynccontextmanager
async def open_stores(
    settings: Settings, clock: Clock, *, transport: Transport, workers: int = 1
) -> AsyncIterator[Stores]:
    """Open both sides of S3 and the web. ``workers``: among so many the limits of the settings are shared out."""
    world, settings = WORLD.get(), within_open_files(_shared_out(settings, workers))
    source = settings.source
    rules = source_rules(source.buckets, source.endpoint_url, source.region, source.allowed_hosts)
    bandwidth = Bandwidth(settings.migration.bandwidth_mb_s * MB if settings.migration.bandwidth_mb_s else None, clock)
    bandwidth.share(workers)
    limiters = Limiters(clock, settings.migration.concurrency, workers=workers)
    async with AsyncExitStack() as stack:
        s3 = await stack.enter_async_context(
            open_s3(
                settings,
                clock,
                transport=transport,
                clients=world.clients,
                spend=bandwidth.spend,
                limiters=limiters,
            )
        )
        resolver = source.resolver
        origins, private = set(reachable(rules)), {rules.endpoint.host} if rules.endpoint else set()
        if resolver is not None:
            origins.add(resolver_origin(resolver))
            private.add(resolver_origin(resolver).host)
        client = await stack.enter_async_context(
            world.web(origins, settings.network, connections=settings.migration.concurrency, private_hosts=private)
        )
        wanted = settings.migration
        yield Stores(
            clock=clock,
            s3=s3,
            limiters=limiters,
            bandwidth=bandwidth,
            web=LimitedSource(WebSource(client, clock), limiters),
            resolver=LinkResolver(resolver, client, partial(parse_url, rules=rules), clock) if resolver else None,
            rules=rules,
            filters=Filters(frozenset(wanted.allowed_extensions), max_bytes(settings)),
            ours=settings.destination,
            retries=Retries(clock, wanted.max_attempts),
        )


def _shared_out(settings: Settings, workers: int) -> Settings:
    """The settings with one worker's share of what all may do."""
    if workers == 1:
        return settings
    migration = settings.migration
    share = {"concurrency": max(1, migration.concurrency // workers)}
    return settings.model_copy(update={"migration": migration.model_copy(update=share)})


def _fields(of: Stores) -> dict[str, Any]:
    return {each.name: getattr(of, each.name) for each in fields(of)}


@asynccontextmanager
async def open_org(settings: Settings, clock: Clock) -> AsyncIterator[Salesforce]:
    """Salesforce alone."""
    database, http = settings.tracking.database, WORLD.get().http
    async with open_salesforce(
        settings.salesforce, settings.network, clock, database=database, http=http
    ) as salesforce:
        yield salesforce


def origins_of(links: Iterable[str]) -> set[Origin]:
    """Where these links lead. Raises Refused."""
    parts = (link.partition("://") for link in links)
    return {origin_of(scheme, rest.partition("/")[0]) for scheme, _, rest in parts}


@asynccontextmanager
async def open_as_user(network: NetworkSettings, links: Iterable[str]) -> AsyncIterator[WebClient]:
    """Plain GETs of our own links' hosts. These are our own choice, so they may be private addresses. Raises Refused
    where a link names no valid host."""
    origins = origins_of(links)
    hosts = {origin.host for origin in origins}
    async with WORLD.get().web(origins, network, connections=4, private_hosts=hosts) as client:
        yield client

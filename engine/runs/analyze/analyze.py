"""``engine analyze``: what a backup would meet, how large it is, how long it takes and what it costs.

Salesforce is only read. The source gets List and HEAD (plain http: a GET of one byte where HEAD is refused). The
destination's credentials are only tried on the source. Neither the tracking DB nor any bucket is written to, and there
is no lock: an analysis can run beside a run.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.limiting.clock import Clock, SystemClock, iso
from engine.model.byte_units import MB, MIB
from engine.model.errors import Blocked, Paused, Usage
from engine.model.facts import Method
from engine.model.prices import Prices, prices_of
from engine.model.record import IdRange, Page, Scope
from engine.pipeline.census import Census
from engine.pipeline.paging import ParallelPages
from engine.pipeline.planning import Planner
from engine.pipeline.routes import Route, Routes
from engine.runs.analyze.advice import advice
from engine.runs.analyze.files import write_rows, write_text
from engine.runs.analyze.forecast import Surroundings, Throughput, Work, forecast
from engine.runs.analyze.show import after_analysis
from engine.runs.analyze.sizes import Sizes
from engine.runs.shared.answer import Found, answered, document_text
from engine.runs.shared.assembly import Adapters, open_adapters
from engine.runs.shared.bounds import Bounds, bounds_of
from engine.runs.shared.command import to_type
from engine.runs.shared.preflight import check_org, check_stores
from engine.runs.shared.screen import Say, Screen
from engine.s3.transfer.parts import COPY_LIMIT, COPY_PART
from engine.salesforce.shape import Organization
from engine.settings import Settings
from engine.tracking.db.scratch import Scratch
from engine.tracking.read.analysis import AnalysisFigures, Measured, shortened
from engine.tracking.read.prior_runs import PriorRuns, RunThroughput, open_prior_runs

SAMPLE = 2000


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """The flags; None: not given."""

    account: str | None = None
    limit: int | None = None
    sample: int = SAMPLE
    archived: Path | None = None
    export: Path | None = None


async def analyze(
    settings: Settings, options: AnalyzeOptions, screen: Screen, clock: Clock | None = None
) -> dict[str, Any]:
    """The document that ``--json`` prints. Raises Fatal."""
    clock = clock or SystemClock()
    bounds = bounds_of(settings.migration, account=options.account, limit=options.limit)
    prices = prices_of(settings.prices, settings.destination.storage_class)
    for file in (options.archived, options.export):
        if file is not None and (file.is_dir() or not file.absolute().parent.is_dir()):
            raise Usage(f"{file} cannot be written", hint="name a file in a folder that exists")
    with open_prior_runs(settings.tracking.database) as prior, Scratch() as scratch:
        async with open_adapters(settings, clock, transport="fast") as adapters:
            work = _Analysis(settings, adapters, prior, scratch, bounds, options, prices, screen)
            document = await work.run()
    if options.export is not None:
        write_text(options.export, document_text(answered(Found(document, after_analysis(document)))))
    return shortened(document)


class _Analysis:
    def __init__(
        self,
        settings: Settings,
        adapters: Adapters,
        prior: PriorRuns | None,
        scratch: Scratch,
        bounds: Bounds,
        options: AnalyzeOptions,
        prices: Prices,
        screen: Screen,
    ) -> None:
        self._settings = settings
        self._adapters = adapters
        self._prior = prior
        self._scratch = scratch
        self._bounds = bounds
        self._options = options
        self._prices = prices
        self._screen = screen
        self._notes: list[str] = []
        self._scan_s = 0.0

    async def run(self) -> dict[str, Any]:
        adapters, whole = self._adapters, self._bounds.account_id is None and self._bounds.limit is None
        scope = Scope(account_id=self._bounds.account_id)
        organization, shape = await check_org(adapters.salesforce, scope)
        await check_stores(adapters)
        await self._check_prior(organization)
        routes = Routes(adapters.probe)
        planner = adapters.planner(shape, self._bounds.account_id, routes)
        census = Census(planner, shape.url_length)
        with self._screen.steps(self._adapters.clock) as say:
            await self._scan(census, planner, routes, scope, say)
            ways = await _learnt(routes, census)
            sizes = Sizes(adapters, self._settings.source, self._scratch, ways, say)
            measured = await sizes.measure(self._options.sample, whole=whole)
            say("adding up")
            findings = AnalysisFigures(self._scratch, measured, adapters.filters.max_bytes)
            document = findings.document(adapters.rules) | {"links": census.links.as_json(), "routes": _routes(ways)}
        document["forecast"] = await self._forecast(document, findings, measured, ways)
        document["recommendations"] = [to_type(each) for each in advice(document, self._settings)]
        archived = self._list_archived(findings)
        return {
            "org": {"org_id": organization.id, "id": organization.id, "name": organization.name},
            "at": iso(self._adapters.clock.now()),
            "scope": {"account_id": self._bounds.account_id, "limit": self._bounds.limit, "whole": whole},
            **document,
            "archived_file": archived,
            "notes": [*measured.notes, *self._notes],
        }

    async def _check_prior(self, organization: Organization) -> None:
        followed = await self._prior.org_id() if self._prior is not None else ""
        if followed and followed != organization.id:
            raise Blocked(
                f"{self._settings.tracking.database} follows the org {followed}, but this login leads to "
                f"{organization.id}",
                hint="Log in to that org, or set tracking.database to another file.",
            )

    async def _scan(self, census: Census, planner: Planner, routes: Routes, scope: Scope, say: Say) -> None:
        pages = self._adapters.salesforce.pages
        try:
            expected: int | None = await pages.count(scope)
        except Paused:
            expected = None  # too many to count in one call
        of = f" of {expected:,}" if expected is not None else ""
        begun, left = self._adapters.clock.monotonic(), self._bounds.limit
        async for page in self._pages(scope, expected):
            records = page.records if left is None else page.records[:left]
            known = await self._prior.known([record.id for record in records]) if self._prior is not None else {}
            await routes.learn(planner.undecided(records, known))
            self._scratch.add(
                list(census.take(records, known)), {(each.account_id, each.account_name) for each in records}
            )
            say(f"reading records: {census.records:,}{of}")
            if left is not None:
                left -= len(records)
                if left <= 0:
                    self._notes.append(f"only the first {census.records:,}{of} records, by Id")
                    break
        self._scan_s = self._adapters.clock.monotonic() - begun

    async def _pages(self, scope: Scope, expected: int | None) -> AsyncIterator[Page]:
        salesforce = self._adapters.salesforce
        if self._bounds.limit is not None:
            async with aclosing(salesforce.pages.pages(scope)) as pages:
                async for page in pages:
                    yield page
            return
        numbers = iter(range(2, 1 << 30))

        async def on_cut(kept: IdRange, others: Sequence[IdRange]) -> list[IdRange]:
            del kept  # nothing is stored: an analysis that was stopped starts from the beginning
            return [replace(each, number=next(numbers)) for each in others]

        async with ParallelPages(
            salesforce.pages,
            scope,
            [IdRange(number=1)],
            cut=salesforce.ranges,
            on_cut=on_cut,
            clock=self._adapters.clock,
            expected=expected,
        ) as side_by_side:
            async for page in side_by_side:
                yield page

    async def _forecast(
        self, document: dict[str, Any], findings: AnalysisFigures, measured: Measured, routes: dict[str, Route]
    ) -> dict[str, Any]:
        settings, limits = self._settings, self._adapters.salesforce.limits
        records = document["records"]
        cap = settings.migration.bandwidth_mb_s
        around = Surroundings(
            records=records["total"],
            listed_objects=measured.listed_objects,
            scan_records_s=records["total"] / self._scan_s if self._scan_s > 0 and records["total"] > 10_000 else None,
            bandwidth=cap * MB if cap else None,
            same_region=settings.source.region == settings.destination.region,
            kms=settings.destination.sse == "aws:kms",
            switchable=records["to_copy"] + records["done"],
            api_calls_a_day=limits.allowed * settings.salesforce.api_budget if limits else None,
        )
        measured_rates = measured_throughputs(await self._prior.throughputs() if self._prior is not None else [])
        work = [self._work(findings, bucket, route, measured) for bucket, route in routes.items()]
        return forecast(work, around, measured_rates, self._prices).as_json()

    def _work(self, findings: AnalysisFigures, bucket: str, route: Route, measured: Measured) -> Work:
        # the settings refuse a bucket name with a quote in it
        here = f"bucket = '{bucket}'"
        copying = route.method is Method.SERVER_COPY
        ours = self._settings.migration.part_size_mb * MIB
        limit, part = (COPY_LIMIT, COPY_PART) if copying else (ours, ours)
        sizes = findings.bytes(here)
        large = f"{here} AND {findings.wanted} AND size > {limit}"
        unknown = findings.weighed_unknown(here)
        return Work(
            method=route.method,
            files=findings.weighed("1", f"{here} AND {findings.wanted}") + unknown,
            duplicates=findings.weighed("todo - 1", f"{here} AND {findings.wanted}"),
            bytes=sizes.to_copy,
            stored=sizes.to_store,
            large=findings.weighed("1", large),
            parts=findings.weighed(f"(size + {part} - 1) / {part}", large),
            listed=bucket in measured.listed,
        )

    def _list_archived(self, findings: AnalysisFigures) -> dict[str, Any] | None:
        file = self._options.archived
        if file is None:
            return None
        count = 0

        def counted() -> Iterator[dict[str, Any]]:
            nonlocal count
            for each in findings.archived(self._adapters.rules):
                count += 1
                yield each

        write_rows(file, counted())
        complete = findings.basis == "exact"
        if not complete:
            self._notes.append(f"{file} lists only those archived files that were checked")
        return {"file": str(file), "objects": count, "complete": complete}


async def _learnt(routes: Routes, census: Census) -> dict[str, Route]:
    """The routes of all sources, each found by a few of its files."""
    found = {}
    for bucket, some in sorted(census.samples.items()):
        await routes.learn(some)
        found[bucket] = routes.of(some[0])
    return found


def _routes(routes: Mapping[str, Route]) -> dict[str, Any]:
    return {
        f"s3://{bucket}" if bucket else "plain http": {"method": route.method.value, "why": route.why}
        for bucket, route in routes.items()
    }


def measured_throughputs(runs: Sequence[RunThroughput]) -> dict[Method, Throughput]:
    """The throughput of earlier runs by method: all their files over all their time."""
    found: dict[Method, Throughput] = {}
    for method in (Method.SERVER_COPY, Method.STREAM, Method.HTTP):
        mine = [run for run in runs if run.method == method.value]
        if not mine:
            continue
        files, size, seconds = (sum(getattr(run, name) for run in mine) for name in ("files", "bytes", "seconds"))
        numbers = ", ".join(str(run.run_id) for run in mine)
        basis = f"measured: {files:,} files, {size / 1e9:,.2f} GB in {seconds:,.0f} s (run {numbers})"
        found[method] = Throughput(files / seconds, size / seconds if size else None, basis, measured=True)
    return found

"""``engine sweep``: what in the org still points at the vendor? The question before the vendor is cancelled.

Every URL, text and long-text field of every object that the login can see is searched for the vendor's buckets and
hosts; nothing is written anywhere. What could not be searched is named: a clean answer is only given for the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from engine.limiting.clock import Clock, SystemClock, iso
from engine.limiting.side_by_side import side_by_side
from engine.model.command import Command
from engine.model.errors import Blocked, Fatal, Paused, Refused, Transient, Usage
from engine.model.record import Scope
from engine.model.text import printable
from engine.pipeline.stop import Stop
from engine.runs.shared.assembly import open_org
from engine.runs.shared.command import as_flags
from engine.runs.shared.preflight import check_org, unless_stopped
from engine.runs.shared.screen import Screen
from engine.runs.shared.signals import stopping
from engine.runs.sweep.report import EXCEPTED, Pointer, SweepReport
from engine.runs.sweep.terms import Vendor, shown, terms_of
from engine.runs.sweep.watch import EXAMPLES, Watch, Watching
from engine.salesforce.faults import QueryTooSlow, Unaskable
from engine.salesforce.search import Place, Search, value
from engine.salesforce.shape import suggestion
from engine.settings import Settings

AT_ONCE = 4
ROWS = 100_000


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """``limit``: rows read per object where its text cannot be filtered. ``objects``: only these; empty: all, but for
    those of ``excepted``. ``watching``: search for new and changed records instead."""

    hosts: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()
    limit: int = ROWS
    watching: Watching | None = None

    @property
    def again(self) -> Command:
        """The same command."""
        watching = self.watching or Watching()
        flags = as_flags(
            watch=self.watching is not None,
            once=watching.once,
            host=self.hosts,
            object=self.objects,
            limit=None if self.limit == ROWS else self.limit,
            **{"except": self.excepted},
        )
        return Command(f"sweep{flags}")


async def sweep(settings: Settings, options: SweepOptions, screen: Screen, clock: Clock | None = None) -> SweepReport:
    """Search the org. Raises Fatal where it cannot start."""
    clock = clock or SystemClock()
    terms = terms_of(settings, options.hosts)
    if not terms:
        raise Blocked("there is nothing to search for", hint="set source.buckets, source.allowed_hosts, or give --host")
    stop, watching = Stop(), options.watching
    report = SweepReport(terms, only=options.objects, watch=watching is not None, again=options.again)
    report.begun = iso(clock.now())
    with stopping(stop, screen.say, settings.migration.drain_seconds), screen.logging(settings):
        async with open_org(settings, clock) as salesforce:
            organization, _ = await unless_stopped(check_org(salesforce, Scope()), stop)
            report.org_id = organization.id
            search = Search(salesforce)
            if watching is None:
                await _Sweep(search, options, screen, stop, report).run()
            else:
                names = options.objects or (settings.salesforce.object,)
                await Watch(search, watching, screen, stop, clock, report).run(names)
    report.stopped, report.stopped_with = stop.reason, stop.exit_code
    return report


class _Sweep:
    """Every object, or those that were named."""

    def __init__(self, search: Search, options: SweepOptions, screen: Screen, stop: Stop, report: SweepReport) -> None:
        self._search = search
        self._options = options
        self._screen = screen
        self._stop = stop
        self._report = report
        self._vendor = Vendor(report.terms)

    async def run(self) -> None:
        names = list(self._options.objects)
        try:
            if not names:
                names, self._report.coverage.skipped = await self._objects()
                names = self._without_excepted(names)
            await side_by_side(names, self._object, at_once=AT_ONCE)
        except Paused as error:
            self._stop.request(str(error), Paused.exit_code)
        self._report.found.sort(key=lambda found: (-found.count, found.object, found.field))

    async def _objects(self) -> tuple[list[str], dict[str, str]]:
        try:
            return await self._search.objects()
        except Transient as error:
            raise Paused(f"Salesforce does not answer: {error}") from error
        except Refused as error:
            raise Blocked(
                f"this login may not list the org's objects: {error}", hint="name them instead: --object NAME …"
            ) from error

    def _without_excepted(self, names: Sequence[str]) -> list[str]:
        """The names without those of ``--except``. Raises Usage for a name that the org does not have."""
        covered = self._report.coverage
        known = {name.lower(): name for name in (*names, *covered.skipped)}
        for given in self._options.excepted:
            if given.lower() not in known:
                near = suggestion(given, known.values())
                raise Usage(f"--except {printable(given)}: the org shows this login no such object{near}")
            covered.set_aside[known[given.lower()]] = EXCEPTED
        return [name for name in names if name not in covered.set_aside]

    async def _object(self, name: str) -> None:
        if self._stop.requested:
            return
        covered = self._report.coverage
        try:
            place = await self._search.place(name)
            self._set_up(place)
            await self._filtered(place)
            await self._read(place, [column.name for column in place.columns if not column.filterable])
            covered.objects += 1
            covered.fields += len(place.columns)
        except Unaskable as error:
            await self._unaskable(name, str(error))
        except QueryTooSlow as error:
            covered.unsearched[name] = str(error)
        except Paused:
            raise
        except (Fatal, Refused, Transient) as error:
            covered.unsearched[name] = str(error)
        if not self._screen.quiet and covered.objects % 100 == 99:
            self._screen.say(f"sweep: {covered.objects + 1:,} objects searched")

    async def _unaskable(self, name: str, why: str) -> None:
        """Set a platform object aside that Salesforce lets nobody search. Custom objects, and those that answer a plain
        query, may well hold links."""
        try:
            closed = "__" not in name and not await self._search.askable(name)
        except Paused:
            raise
        except (Fatal, Refused, Transient):
            closed = False
        covered = self._report.coverage
        (covered.set_aside if closed else covered.unsearched)[name] = why

    def _set_up(self, place: Place) -> None:
        for name, text in place.formulas.items():
            if self._vendor.is_in(text):
                example = ("", f"in its set-up: {shown(text)}")
                self._report.found.append(Pointer(place.name, name, 1, (example,)))

    async def _filtered(self, place: Place) -> None:
        names = [column.name for column in place.columns if column.filterable]
        if not names:
            return
        terms, left = self._report.terms, list(names)
        try:
            if not await self._search.perhaps(place.name, names, terms):
                return
            for name in names:
                count = await self._search.count(place.name, name, terms)
                if count is None:
                    await self._read(place, [name])
                elif count:
                    rows = await self._search.rows(place.name, name, terms, most=EXAMPLES)
                    self._report.found.append(Pointer(place.name, name, count, self._vendor.examples(rows)))
                left.remove(name)
        except (QueryTooSlow, Unaskable):
            await self._read(place, left)  # the org cannot search them in its two minutes, or takes no such filter

    async def _read(self, place: Place, names: list[str]) -> None:
        """Search the rows themselves, up to the limit."""
        if not names:
            return
        seen, counts = 0, Counter[str]()
        examples: dict[str, list[tuple[str, str]]] = {}
        whole = True
        async for rows in self._search.scan(place.name, names):
            for row in rows:
                for name in names:
                    text = value(row, name)
                    if text and self._vendor.is_in(text):
                        counts[name] += 1
                        kept = examples.setdefault(name, [])
                        if len(kept) < EXAMPLES:
                            kept.append((str(row.get("Id")), text))
            seen += len(rows)
            if seen >= self._options.limit or self._stop.requested:
                whole = False
                break
        if not whole:
            self._report.coverage.unsearched[place.name] = (
                f"only {seen:,} rows of {', '.join(names)} were read: raise --limit for a full answer"
            )
        for name, count in counts.items():
            shown_ones = self._vendor.examples(examples[name])
            self._report.found.append(Pointer(place.name, name, count, shown_ones, at_least=not whole))

"""``engine sweep``: what in the org still points at the vendor? The question before the vendor is cancelled.

Every URL, text and long-text field of every object that the login can see is searched for the vendor's buckets and
hosts; nothing is written anywhere. What could not be searched is named: a clean answer is only given for the whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from engine.limiting.clock import Clock, SystemClock, iso
from engine.limiting.side_by_side import side_by_side
from engine.model.errors import Blocked, Fatal, Paused, Refused, Transient, Usage
from engine.model.record import Scope
from engine.model.text import bare_urls, printable
from engine.pipeline.stop import Stop
from engine.runs.shared.assembly import open_org
from engine.runs.shared.preflight import check_org, unless_stopped
from engine.runs.shared.screen import Screen
from engine.runs.shared.signals import stopping
from engine.runs.sweep.report import Pointer, Swept
from engine.runs.sweep.terms import terms_of
from engine.salesforce.faults import QueryTooSlow, Unaskable
from engine.salesforce.search import Place, Search, finder, value
from engine.salesforce.shape import suggestion
from engine.settings import Settings

AT_ONCE = 4
EXAMPLES = 3
WATCH_MOST = 2000
"""New records that one round of a watch names."""


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """``limit``: rows read per object where its text cannot be filtered. ``objects``: only these; empty: all, but for
    those of ``excepted``."""

    hosts: tuple[str, ...] = ()
    objects: tuple[str, ...] = ()
    excepted: tuple[str, ...] = ()
    limit: int = 100_000
    watch: bool = False
    once: bool = False
    every_s: float = 900.0
    since: str | None = None


async def sweep(settings: Settings, options: SweepOptions, screen: Screen, clock: Clock | None = None) -> Swept:
    """Search the org. Raises Fatal where it cannot start."""
    clock = clock or SystemClock()
    terms = terms_of(settings, options.hosts)
    if not terms:
        raise Blocked("there is nothing to search for", hint="set source.buckets, source.allowed_hosts, or give --host")
    stop = Stop()
    with screen.logging(settings), stopping(stop, screen.say, settings.migration.drain_seconds):
        async with open_org(settings, clock) as salesforce:
            await unless_stopped(check_org(salesforce, Scope()), stop)
            swept = Swept(terms, only=options.objects, watch=options.watch)
            work = _Sweep(Search(salesforce), settings, options, screen, stop, clock, swept)
            return await (work.watch() if options.watch else work.whole())


class _Sweep:
    def __init__(
        self,
        search: Search,
        settings: Settings,
        options: SweepOptions,
        screen: Screen,
        stop: Stop,
        clock: Clock,
        swept: Swept,
    ) -> None:
        self._search = search
        self._settings = settings
        self._options = options
        self._screen = screen
        self._stop = stop
        self._clock = clock
        self._swept = swept
        self._finder = finder(swept.terms)

    async def whole(self) -> Swept:
        """Every object, or those that were named."""
        swept = self._swept
        names = list(self._options.objects)
        try:
            if not names:
                names, swept.skipped = await self._objects()
                names = self._without_excepted(names)
            await side_by_side(names, self._object, at_once=AT_ONCE)
        except Paused as error:
            swept.stopped, swept.exit_code_of_stop = str(error), Paused.exit_code
        if self._stop.requested:
            swept.stopped, swept.exit_code_of_stop = self._stop.reason, self._stop.exit_code
        swept.found.sort(key=lambda found: (-found.count, found.object, found.field))
        return swept

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
        """What ``--except`` leaves. Raises Usage for a name that the org does not have: it would except nothing."""
        known = {name.lower(): name for name in (*names, *self._swept.skipped)}
        for given in self._options.excepted:
            if given.lower() not in known:
                near = suggestion(given, known.values())
                raise Usage(f"--except {printable(given)}: the org shows this login no such object{near}")
            self._swept.set_aside[known[given.lower()]] = "--except"
        return [name for name in names if name not in self._swept.set_aside]

    async def _object(self, name: str) -> None:
        if self._stop.requested:
            return
        try:
            place = await self._search.place(name)
            self._set_up(place)
            await self._filtered(place)
            await self._read(place, [column.name for column in place.columns if not column.filterable])
            self._swept.searched += 1
            self._swept.fields += len(place.columns)
        except Unaskable as error:
            await self._unaskable(name, str(error))
        except QueryTooSlow as error:
            self._swept.unsearched[name] = str(error)
        except Paused:
            raise
        except (Fatal, Refused, Transient) as error:
            self._swept.unsearched[name] = str(error)
        if not self._screen.quiet and self._swept.searched % 100 == 99:
            self._screen.say(f"sweep: {self._swept.searched + 1:,} objects searched")

    async def _unaskable(self, name: str, why: str) -> None:
        """Set an object of the platform aside that nobody may search; anybody's own, and what takes a plain question,
        may well hold links."""
        try:
            nobody = "__" not in name and not await self._search.askable(name)
        except Paused:
            raise
        except (Fatal, Refused, Transient):
            nobody = False
        (self._swept.set_aside if nobody else self._swept.unsearched)[name] = why

    def _set_up(self, place: Place) -> None:
        for name, text in place.formulas.items():
            if self._holds(text):
                self._swept.found.append(Pointer(place.name, name, 1, (("", f"in its set-up: {_shown(text)}"),)))

    async def _filtered(self, place: Place) -> None:
        names = [column.name for column in place.columns if column.filterable]
        if not names:
            return
        terms, left = self._swept.terms, list(names)
        try:
            if not await self._search.perhaps(place.name, names, terms):
                return
            for name in names:
                count = await self._search.count(place.name, name, terms)
                if count is None:
                    await self._read(place, [name])
                elif count:
                    rows = await self._search.rows(place.name, name, terms, most=EXAMPLES)
                    self._add(place.name, name, count, rows)
                left.remove(name)
        except (QueryTooSlow, Unaskable):
            await self._read(place, left)  # the org cannot search them in its two minutes, or takes no such filter

    async def _read(self, place: Place, names: list[str]) -> None:
        """Look at the rows themselves, up to the limit."""
        if not names:
            return
        seen, counts = 0, Counter[str]()
        examples: dict[str, list[tuple[str, str]]] = {}
        whole = True
        async for rows in self._search.scan(place.name, names):
            for row in rows:
                for name in names:
                    text = value(row, name)
                    if text and self._holds(text):
                        counts[name] += 1
                        kept = examples.setdefault(name, [])
                        if len(kept) < EXAMPLES:
                            kept.append((str(row.get("Id")), text))
            seen += len(rows)
            if seen >= self._options.limit or self._stop.requested:
                whole = False
                break
        if not whole:
            self._swept.unsearched[place.name] = (
                f"only {seen:,} rows of {', '.join(names)} were read: raise --limit for a full answer"
            )
        for name, count in counts.items():
            self._add(place.name, name, count, examples[name], at_least=not whole)

    def _add(
        self, place: str, name: str, count: int, rows: Sequence[tuple[str, str]], *, at_least: bool = False
    ) -> None:
        shown = tuple((record, self._around(text)) for record, text in rows)
        self._swept.found.append(Pointer(place, name, count, shown, at_least))

    def _holds(self, text: str) -> bool:
        return self._finder.search(text) is not None

    def _around(self, text: str) -> str:
        """The part of a text that gives it away, without queries."""
        found = self._finder.search(text)
        at = found.start() if found else 0
        start = max(0, at - 20)
        return _shown(("…" if start else "") + text[start : at + 140])

    # the watch

    async def watch(self) -> Swept:
        """Look for records that came or changed since, again and again; with ``once`` a single time."""
        options, clock = self._options, self._clock
        since = options.since or iso(clock.now() - timedelta(seconds=max(options.every_s, 86_400.0)))
        told: set[str] = set()
        names = options.objects or (self._settings.salesforce.object,)
        while not self._stop.requested:
            began = iso(clock.now() - timedelta(minutes=15))  # a transaction shows with the time of its start
            for name in names:
                try:
                    await self._new_in(name, since, told)
                    self._swept.unsearched.pop(name, None)
                except (Transient, Refused, QueryTooSlow) as error:
                    self._swept.unsearched[name] = str(error)
                except Paused as error:
                    self._swept.stopped, self._swept.exit_code_of_stop = str(error), Paused.exit_code
                    return self._swept
            self._swept.searched = len(names)
            if options.once:
                return self._swept
            if not self._swept.unsearched:
                since = began
            await self._pause()
        self._swept.stopped, self._swept.exit_code_of_stop = self._stop.reason, self._stop.exit_code
        return self._swept

    async def _new_in(self, name: str, since: str, told: set[str]) -> None:
        place = await self._search.place(name)
        for column in place.columns:
            if not column.filterable:
                continue
            rows = await self._search.rows(name, column.name, self._swept.terms, most=WATCH_MOST, since=since)
            fresh = [(record, text) for record, text in rows if f"{record} {column.name}" not in told]
            told.update(f"{record} {column.name}" for record, _ in fresh)
            if fresh:
                self._add(name, column.name, len(fresh), fresh[:EXAMPLES], at_least=len(rows) == WATCH_MOST)
                if not self._options.once:
                    first, text = fresh[0]
                    self._screen.say(
                        f"{iso(self._clock.now())} {len(fresh):,} new or changed {name} records point at the vendor in "
                        f"{column.name}, such as {first}: {self._around(text)}"
                    )

    async def _pause(self) -> None:
        """Until the next round, or until a stop."""
        until = self._clock.monotonic() + self._options.every_s
        while not self._stop.requested and (left := until - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left, 1.0))


def _shown(text: str) -> str:
    return printable(bare_urls(text))[:160]

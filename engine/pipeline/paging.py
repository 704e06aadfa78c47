"""Paging side by side: one scan, read in several ranges of Ids at once.

A scan begins with what is left of its ranges, at first a single one. Where pagers have no range to read, the widest
range gives up part of its rest: between two of its pages its pager has the rest cut, records the new ranges for good
(``on_cut``), and only then reads on, up to its new end. So the ranges cover the scan at any moment, exactly once, and a
scan that is killed at any moment is resumed from what was recorded.

How many pagers: as many as it takes, at the latency measured, to bring ``RECORDS_A_SECOND``. An org that is too busy
for them is spared by the limiter that all requests to it pass: pagers wait there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from math import ceil, inf
from types import TracebackType
from typing import Protocol, Self

from engine.limiting.clock import Clock
from engine.model.id_space import position
from engine.model.record import IdRange, Page, Scope
from engine.pipeline.channel import Channel, Ended

MOST_PAGERS = 8
"""Salesforce allows 25 long requests at a time, small orgs 5; pages take no 20 seconds, but others use the org too."""
RECORDS_A_SECOND = 50_000
"""Twice what the engine can plan: more need not be read."""
SMALLEST_PART = 10_000
"""Records below which a range is not worth the calls that cutting it off costs."""
_PLENTY = 10**9

Cut = Callable[[Scope, int], Awaitable[list[IdRange]]]
"""A scope in so many parts, in order; fewer where it holds little."""
OnCut = Callable[[IdRange, Sequence[IdRange]], Awaitable[list[IdRange]]]
"""Record a range as it is from now on, and the ranges that it gave up; returns these with numbers."""


class Chain(Protocol):
    """Where pages come from; ``SalesforcePages`` fits."""

    def pages(self, scope: Scope) -> AsyncGenerator[Page, None]: ...


@dataclass(slots=True, eq=False)
class _Reading:
    """A range, and how far it has been read."""

    range: IdRange
    cursor: str | None
    expected: int | None = None
    first: str | None = None
    records: int = 0
    whole: bool = False
    """It cannot be cut."""

    def read(self, page: Page) -> None:
        self.first = self.first or page.records[0].id
        self.cursor = page.last_id
        self.records += len(page.records)

    @property
    def rest(self) -> float:
        """About how many records are left, going by how densely they lay so far. A guess that only saves calls."""
        last = self.range.last or self.range.until
        if last is None:
            return inf if self.expected is None else self.expected - self.records
        if self.first is None or self.cursor is None:
            return 0.0
        begun, here, end = position(self.first), position(self.cursor), position(last)
        return self.records * (end - here) / (here - begun) if begun < here < end else 0.0


class _Ranges:
    """The ranges of a scan that are not through: those that wait for a pager, and those being read."""

    def __init__(self, waiting: Iterable[_Reading], smallest_part: int) -> None:
        self._waiting = deque(waiting)
        self._read: list[_Reading] = []
        self._promised = 0
        """Ranges that are being cut off now."""
        self._smallest_part = smallest_part

    @property
    def through(self) -> bool:
        return not (self._waiting or self._read)

    def take(self, pagers: int) -> _Reading | None:
        """A range to read, where one waits and fewer than so many are being read."""
        if not self._waiting or len(self._read) >= pagers:
            return None
        self._read.append(reading := self._waiting.popleft())
        return reading

    def done(self, reading: _Reading) -> None:
        self._read.remove(reading)

    def parts(self, reading: _Reading, pagers: int) -> int:
        """In how many parts the rest of a range should be cut: one for each pager that has nothing to read, where no
        other range has more left. Below 2: it should not."""
        if reading.whole or reading.rest < max(each.rest for each in self._read if not each.whole):
            return 1
        idle = pagers - len(self._read) - len(self._waiting) - self._promised
        return min(idle + 1, int(min(reading.rest, _PLENTY) // self._smallest_part))

    @contextmanager
    def promised(self, count: int) -> Iterator[None]:
        """While so many ranges are being cut off, no pager counts as idle for their sake."""
        self._promised += count
        try:
            yield
        finally:
            self._promised -= count

    def add(self, given: Iterable[IdRange]) -> None:
        self._waiting.extend(_Reading(each, each.after) for each in given)


class _Demand:
    """How many pagers it takes to bring ``RECORDS_A_SECOND``, at the latency of the pages so far."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._seconds_a_record: float | None = None

    @property
    def pagers(self) -> int:
        """One before the first page."""
        if self._seconds_a_record is None:
            return 1
        return min(MOST_PAGERS, max(2, ceil(self._seconds_a_record * RECORDS_A_SECOND)))

    async def timed(self, coming: Awaitable[Page | None]) -> Page | None:
        begun = self._clock.monotonic()
        page = await coming
        if page is not None and page.records:
            sample, known = (self._clock.monotonic() - begun) / len(page.records), self._seconds_a_record
            self._seconds_a_record = sample if known is None else 0.7 * known + 0.3 * sample
        return page


class ParallelPages:
    """An async context manager to iterate over. Pages carry the number of their range and come in its order.

    A range that is through ends with a page that says so (``ends``) and holds no records. At most two pages wait here,
    and one with each pager. An error of any pager ends them all; it is raised once the pages before it are taken.
    Leaving the context ends all pagers.
    """

    def __init__(
        self,
        chain: Chain,
        scope: Scope,
        ranges: Sequence[IdRange],
        *,
        cut: Cut,
        on_cut: OnCut,
        clock: Clock,
        expected: int | None = None,
        smallest_part: int = SMALLEST_PART,
    ) -> None:
        """``expected``: records in all, where known."""
        self._chain = chain
        self._scope = scope
        self._cut = cut
        self._on_cut = on_cut
        self._demand = _Demand(clock)
        self._ranges = _Ranges((_Reading(each, each.after, expected) for each in ranges), smallest_part)
        self._changed = asyncio.Event()
        self._pages: Channel[Page] = Channel(2)
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None

    @property
    def pagers(self) -> int:
        """How many should read at a time now."""
        return self._demand.pagers

    async def __aenter__(self) -> Self:
        for number in range(MOST_PAGERS):
            task = asyncio.create_task(self._pager(), name=f"pager-{number}")
            self._tasks.append(task)
            task.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Page:
        try:
            return await self._pages.get()
        except Ended:
            if self._failure is not None:
                raise self._failure from None
            raise StopAsyncIteration from None

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None and self._failure is None:
            self._failure = error
            for other in self._tasks:
                other.cancel()
        if all(other.done() for other in self._tasks):
            self._pages.close()

    async def _pager(self) -> None:
        while (reading := await self._next()) is not None:
            try:
                await self._read(reading)
            finally:
                self._ranges.done(reading)
                self._changed.set()

    async def _next(self) -> _Reading | None:
        """A range to read; None once all are through."""
        while not self._ranges.through:
            if (reading := self._ranges.take(self.pagers)) is not None:
                return reading
            self._changed.clear()
            await self._changed.wait()
        return None

    async def _read(self, reading: _Reading) -> None:
        number, through = reading.range.number, False
        while not through:
            scope = replace(self._scope, after_id=reading.cursor, until_id=reading.range.until)
            async with aclosing(self._chain.pages(scope)) as pages:
                through = True
                while (page := await self._fetch(pages)) is not None:
                    reading.read(page)
                    await self._pages.put(replace(page, range=number))
                    if await self._gave_up_a_part(reading):
                        through = False  # from here on with another end
                        break
        await self._pages.put(Page([], reading.cursor or "", self._scope.deleted, number, ends=True))

    async def _fetch(self, pages: AsyncGenerator[Page, None]) -> Page | None:
        """The next page; None at the end."""
        page = await self._demand.timed(anext(pages, None))
        self._changed.set()
        return page

    async def _gave_up_a_part(self, reading: _Reading) -> bool:
        """Cut what is left of a range, where pagers have nothing to read and this range has most left."""
        parts = self._ranges.parts(reading, self.pagers)
        if parts < 2:
            return False
        with self._ranges.promised(parts - 1):
            known = reading.range.last or reading.range.until  # where most of it ends
            rest = replace(self._scope, after_id=reading.cursor, until_id=known)
            kept, *others = await self._cut(rest, parts)
            if not others:
                reading.whole = True
                return False
            others[-1] = replace(others[-1], until=reading.range.until)
            reading.range = replace(reading.range, until=kept.until, last=kept.last)
            given = await self._on_cut(reading.range, others)
        self._ranges.add(given)
        self._changed.set()
        return True

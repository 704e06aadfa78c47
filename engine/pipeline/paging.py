"""Paging side by side: one scan, read in several ranges of Ids at once.

A scan begins with what is left of its ranges, at first a single one. Pagers without a range of their own make the
widest one give up part of its rest: between two of its pages its pager has the rest cut, puts the new ranges down for
good (``on_cut``), and only then reads on, up to its new end. So the ranges cover the scan at any moment, exactly once,
and a scan killed at any moment is taken up from what was put down.

How many pagers: as many as it takes, at the latency measured, to bring ``RECORDS_A_SECOND``; fewer after the org has
asked for patience, one more again after each calm while.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
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
"""Twice what the engine can look at: more need not be read."""
SMALLEST_PART = 10_000
"""Records below which a range is not worth the calls that cutting it off costs."""
_PLENTY = 10**9
CALM = 2
"""Pages per pager without a complaint before there is one more."""

Cut = Callable[[Scope, int], Awaitable[list[IdRange]]]
"""A scope in so many parts, in order; fewer where it holds little."""
OnCut = Callable[[IdRange, Sequence[IdRange]], Awaitable[list[IdRange]]]
"""Put down a range as it is from now on, and what it gave up, for good; returns the latter with numbers."""


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

    def moved(self, page: Page) -> None:
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
        throttled: Callable[[], int] = lambda: 0,
        expected: int | None = None,
        most: int = MOST_PAGERS,
        smallest_part: int = SMALLEST_PART,
    ) -> None:
        """``expected``: records in all, where known; ``throttled`` counts how often the org has asked for patience."""
        self._chain = chain
        self._scope = scope
        self._cut = cut
        self._on_cut = on_cut
        self._clock = clock
        self._throttled = throttled
        self._smallest_part = smallest_part
        self._waiting = deque(_Reading(each, each.after, expected) for each in ranges)
        self._reading: list[_Reading] = []
        self._promised = 0
        self._fetching = 0
        self._crowd = _Crowd(most, throttled())
        self._changed = asyncio.Event()
        self._pages: Channel[Page] = Channel(2)
        self._tasks: list[asyncio.Task[None]] = []
        self._failure: BaseException | None = None

    @property
    def pagers(self) -> int:
        """How many may read at a time now."""
        return self._crowd.allowed

    async def __aenter__(self) -> Self:
        for number in range(self._crowd.most):
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
                self._reading.remove(reading)
                self._changed.set()

    async def _next(self) -> _Reading | None:
        """A range to read; None once all are through."""
        while True:
            if self._waiting and len(self._reading) < self._crowd.allowed:
                self._reading.append(reading := self._waiting.popleft())
                return reading
            if not (self._waiting or self._reading):
                return None
            await self._change()

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _read(self, reading: _Reading) -> None:
        number, through = reading.range.number, False
        while not through:
            scope = replace(self._scope, after_id=reading.cursor, until_id=reading.range.until)
            async with aclosing(self._chain.pages(scope)) as pages:
                through = True
                while (page := await self._fetch(pages)) is not None:
                    reading.moved(page)
                    await self._pages.put(replace(page, range=number))
                    if await self._gave_up_a_part(reading):
                        through = False  # from here on with another end
                        break
        await self._pages.put(Page([], reading.cursor or "", self._scope.deleted, number, ends=True))

    async def _fetch(self, pages: AsyncGenerator[Page, None]) -> Page | None:
        """The next page, when it is this pager's turn; None at the end."""
        while self._fetching >= self._crowd.allowed:
            await self._change()
        self._fetching += 1
        begun = self._clock.monotonic()
        try:
            page = await anext(pages, None)
        finally:
            self._fetching -= 1
            self._changed.set()
        self._crowd.learn(begun, self._clock.monotonic(), len(page.records) if page else 0, self._throttled())
        return page

    async def _gave_up_a_part(self, reading: _Reading) -> bool:
        """Cut what is left of a range, where others have nothing to read and this one has most left."""
        idle = self._crowd.allowed - len(self._reading) - len(self._waiting) - self._promised
        parts = min(idle + 1, int(min(reading.rest, _PLENTY) // self._smallest_part))
        if reading.whole or parts < 2 or reading.rest < max(each.rest for each in self._reading if not each.whole):
            return False
        self._promised += parts - 1
        try:
            known = reading.range.last or reading.range.until  # where most of it ends
            rest = replace(self._scope, after_id=reading.cursor, until_id=known)
            kept, *others = await self._cut(rest, parts)
            if not others:
                reading.whole = True
                return False
            others[-1] = replace(others[-1], until=reading.range.until)
            reading.range = replace(reading.range, until=kept.until, last=kept.last)
            given = await self._on_cut(reading.range, others)
        finally:
            self._promised -= parts - 1
        self._waiting.extend(_Reading(each, each.after) for each in given)
        self._changed.set()
        return True


class _Crowd:
    """How many pagers may read at a time."""

    def __init__(self, most: int, complaints: int) -> None:
        self.most = most
        self._bound = most
        self._wanted = 1
        self._seconds_a_record = 0.0
        self._complaints = complaints
        self._narrowed = -inf
        self._calm = 0

    @property
    def allowed(self) -> int:
        return min(self._bound, self._wanted)

    def learn(self, begun: float, ended: float, records: int, complaints: int) -> None:
        """After each page: when it was asked for and came, what it held, how often the org has complained in all."""
        if complaints > self._complaints:
            self._complaints, self._calm = complaints, 0
            if begun >= self._narrowed:  # who asked before that is part of the same crowd
                self._bound, self._narrowed = max(1, self.allowed // 2), ended
            return
        if records:
            sample = (ended - begun) / records
            known = self._seconds_a_record
            self._seconds_a_record = 0.7 * known + 0.3 * sample if known else sample
            self._wanted = min(self.most, max(2, ceil(self._seconds_a_record * RECORDS_A_SECOND)))
        self._calm += 1
        if self._calm > CALM * self._bound:
            self._bound, self._calm = min(self.most, self._bound + 1), 0

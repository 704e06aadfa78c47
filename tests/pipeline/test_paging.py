"""Paging side by side: every record once, whatever happens on the way, and no pager outlives its scan."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.limiting.limiter import Limiter
from engine.model.errors import Fatal, Paused
from engine.model.id_space import id_at, position
from engine.model.record import IdRange, Page, Record, Scope
from engine.pipeline.paging import MOST_PAGERS, ParallelPages
from engine.salesforce.ranges import ranges
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.pages import FakePages

BASE = position("a0X5e0000000000")


def row_id(number: int) -> str:
    return id_at(BASE + number)


def row(number: int) -> Record:
    return Record(row_id(number), "n", "u", "a", "b", "2026-01-01T00:00:00.000Z")


class Org(FakePages):
    """A fake org whose pages take time: each waits for its turn in a loop, or for ``clock``.

    Like the real one it is behind a limiter, and what it refuses is asked for again.
    """

    def __init__(self, *args: Any, seconds: float = 0.0, clock: ManualClock | None = None, **more: Any) -> None:
        super().__init__(*args, **more)
        self.seconds = seconds
        self.clock = clock
        self.limiter = Limiter(clock or ManualClock(), most=16)
        self.refuses: Callable[[int], bool] = lambda _asked: False
        self.asked = 0
        self.at_once: list[int] = []
        """How many pages were being fetched, at each answer."""
        self.reading = 0
        self.before_page: Callable[[int], None] = lambda _served: None
        self.served = 0

    async def pages(self, scope: Scope) -> AsyncGenerator[Page, None]:
        async for page in super().pages(scope):
            while not await self._answers():
                pass
            self.served += 1
            self.before_page(self.served)
            yield page

    async def _answers(self) -> bool:
        ticket = self.limiter.enter() or await self.limiter.turn()
        self.reading += 1
        try:
            await (self.clock.sleep(self.seconds) if self.clock else asyncio.sleep(0))
            self.asked += 1
            self.at_once.append(self.reading)
            if refused := self.refuses(self.asked):
                self.limiter.refused(ticket)
            else:
                self.limiter.passed(ticket)
        except asyncio.CancelledError:
            self.limiter.left(ticket)
            raise
        finally:
            self.reading -= 1
        return not refused


class Book:
    """Ranges put down for good, as the tracking DB keeps them."""

    def __init__(self, *ranges: IdRange) -> None:
        self.ranges = {each.number: each for each in ranges or [IdRange(number=1)]}
        self.done: set[int] = set()
        self.error: Exception | None = None

    async def cut(self, kept: IdRange, others: Sequence[IdRange]) -> list[IdRange]:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        first = max(self.ranges) + 1
        given = [replace(each, number=number) for number, each in enumerate(others, start=first)]
        self.ranges[kept.number] = replace(self.ranges[kept.number], until=kept.until)
        self.ranges.update((each.number, each) for each in given)
        return given

    def take(self, page: Page) -> None:
        """A page is recorded."""
        if page.ends:
            self.done.add(page.range)
        else:
            self.ranges[page.range] = replace(self.ranges[page.range], after=page.last_id)

    def left(self) -> list[IdRange]:
        """What another process would find: no hints, only bounds."""
        return [replace(each, last=None) for number, each in self.ranges.items() if number not in self.done]


def parallel(org: Org, book: Book, *, expected: int | None = None, **more: Any) -> ParallelPages:
    return ParallelPages(
        org,
        Scope(),
        book.left(),
        cut=lambda scope, parts: ranges(org, scope, parts),
        on_cut=book.cut,
        clock=more.pop("clock", None) or org.clock or ManualClock(),
        expected=expected,
        smallest_part=20,
        **more,
    )


async def read(org: Org, book: Book, **more: Any) -> list[str]:
    """All Ids, with the clock running."""
    found: list[str] = []
    async with asyncio.timeout(20), (org.clock or ManualClock()).running(), parallel(org, book, **more) as pages:
        async for page in pages:
            found += [record.id for record in page.records]
            book.take(page)
    return found


async def no_pagers_left() -> bool:
    await asyncio.sleep(0)
    return not [task for task in asyncio.all_tasks() if task.get_name().startswith("pager")]


@given(
    numbers=some.sets(some.integers(1, 62**4), max_size=300),
    page_size=some.integers(1, 40),
    order=some.sampled_from([str, str.swapcase, lambda text: (text.lower(), text)]),
    changes=some.lists(some.tuples(some.integers(1, 30), some.integers(1, 62**4), some.booleans()), max_size=20),
    seconds=some.sampled_from([0.0, 0.4]),
)
@settings(max_examples=120, deadline=None)
async def test_every_record_comes_exactly_once_while_others_appear_and_vanish(
    numbers: set[int], page_size: int, order: Any, changes: list[tuple[int, int, bool]], seconds: float
) -> None:
    org = Org([row(n) for n in numbers], page_size=page_size, order=order, seconds=seconds, clock=ManualClock())
    changed: set[str] = set()

    def change(served: int) -> None:
        for at, number, appears in changes:
            if at == served:
                changed.add(row_id(number))
                if appears:
                    org.live[row_id(number)] = row(number)
                else:
                    org.live.pop(row_id(number), None)

    org.before_page = change
    book = Book()
    found = await read(org, book, expected=len(numbers))
    stable = {row_id(n) for n in numbers} - changed
    assert len(found) == len(set(found))
    assert stable <= set(found) <= stable | changed
    assert book.done == set(book.ranges)


@given(
    numbers=some.sets(some.integers(1, 62**3), min_size=1, max_size=400),
    kills=some.lists(some.tuples(some.integers(0, 25), some.randoms()), min_size=1, max_size=4),
)
@settings(max_examples=80, deadline=None)
async def test_a_scan_killed_between_any_two_checkpoints_loses_nothing(
    numbers: set[int], kills: list[tuple[int, Any]]
) -> None:
    """Of the pages taken before a kill, each range has only some first ones recorded: the others must come again."""
    org = Org([row(n) for n in numbers], page_size=9, seconds=0.3, clock=ManualClock())
    book, recorded = Book(), set[str]()

    def record(pages: list[Page]) -> None:
        for page in pages:
            book.take(page)
            recorded.update(each.id for each in page.records)

    for count, chance in kills:
        taken: dict[int, list[Page]] = {}
        async with asyncio.timeout(20), org.clock.running(), parallel(org, book, expected=len(numbers)) as pages:
            async for page in pages:
                taken.setdefault(page.range, []).append(page)
                count -= 1
                if count < 0:
                    break
        for chain in taken.values():
            record(chain[: chance.randint(0, len(chain))])
    found = await read(org, book)
    assert recorded | set(found) == set(org.live)
    assert len(found) == len(set(found))
    assert not recorded & set(found)


async def test_a_slow_org_is_read_by_eight_and_a_fast_one_by_two() -> None:
    many = [row(n) for n in range(8000)]
    took: dict[float, tuple[int, float]] = {}
    for seconds in (0.002, 0.8):
        clock = ManualClock()
        org = Org(many, page_size=100, seconds=seconds, clock=clock)
        begun = clock.monotonic()
        assert len(await read(org, Book(), expected=len(many))) == len(many)
        took[seconds] = max(org.at_once), clock.monotonic() - begun
    assert took[0.002][0] == 2
    assert took[0.8][0] == MOST_PAGERS
    assert took[0.8][1] < 80 * 0.8 / 6


async def test_idle_pagers_relieve_the_one_that_has_most_left() -> None:
    """Nearly all records lie in one block: ranges of the same width are far from the same size."""
    many = [row(n) for n in range(6000)] + [row(62**5 + 10**6 * n) for n in range(40)]
    clock = ManualClock()
    org = Org(many, page_size=20, seconds=0.8, clock=clock)
    begun = clock.monotonic()
    assert len(await read(org, Book(), expected=len(many))) == len(many)
    assert clock.monotonic() - begun < 303 * 0.8 / 5


async def test_parting_costs_few_calls() -> None:
    many = [row(n) for n in range(6000)]
    org = Org(many, page_size=20, seconds=0.8, clock=ManualClock())
    book = Book()
    await read(org, book, expected=len(many))
    assert org.calls <= 300 + 4 * len(book.ranges) + 3 * MOST_PAGERS + 2 * len(book.ranges)
    assert len(book.ranges) <= 40


async def test_a_small_scan_is_not_parted() -> None:
    org = Org([row(n) for n in range(39)], page_size=10, seconds=0.8, clock=ManualClock())
    book = Book()
    assert len(await read(org, book, expected=39)) == 39
    assert (len(book.ranges), org.calls) == (1, 5)


async def test_nothing_left_is_the_end() -> None:
    book = Book()
    book.done.add(1)
    assert await read(Org([row(1)]), book) == []


async def test_an_org_that_is_too_busy_is_asked_by_few_at_a_time_and_by_all_again_after_a_calm_while() -> None:
    org = Org([row(n) for n in range(12_000)], page_size=20, seconds=0.8, clock=ManualClock())
    org.refuses = lambda asked: 100 <= asked < 200
    assert len(await read(org, Book(), expected=12_000)) == 12_000

    assert max(org.at_once[50:100]) == MOST_PAGERS
    assert max(org.at_once[180:200]) <= 2
    assert max(org.at_once[-100:]) == MOST_PAGERS


async def test_pages_wait_only_two_deep_and_one_with_each_pager() -> None:
    org = Org([row(n) for n in range(4000)], page_size=20, seconds=0.8, clock=ManualClock())
    taken = 0
    async with asyncio.timeout(20), org.clock.running(), parallel(org, Book(), expected=4000) as pages:
        async for page in pages:
            taken += bool(page.records)
            await asyncio.sleep(0)
            assert org.served - taken <= 2 + MOST_PAGERS


async def test_an_error_of_one_pager_ends_all_and_comes_through_as_it_is() -> None:
    org = Org([row(n) for n in range(4000)], page_size=20, seconds=0.8, clock=ManualClock())

    def fail(served: int) -> None:
        if served == 40:
            raise Paused("the budget is spent")

    org.before_page = fail
    with pytest.raises(Paused, match="budget"):
        await read(org, Book(), expected=4000)
    assert await no_pagers_left()


async def test_a_part_that_cannot_be_put_down_stops_the_scan() -> None:
    org = Org([row(n) for n in range(4000)], page_size=20, seconds=0.8, clock=ManualClock())
    book = Book()
    book.error = Fatal("disk full")
    with pytest.raises(Fatal, match="disk full"):
        await read(org, book, expected=4000)
    assert await no_pagers_left()


@pytest.mark.parametrize("pages", [0, 1, 7, 60])
async def test_leaving_early_ends_every_pager(pages: int) -> None:
    org = Org([row(n) for n in range(4000)], page_size=20, seconds=0.8, clock=ManualClock())
    async with asyncio.timeout(20), org.clock.running(), parallel(org, Book(), expected=4000) as scan:
        for _ in range(pages):
            await anext(scan)
    assert await no_pagers_left()
    assert org.reading == 0


async def test_a_cancelled_reader_leaves_no_pager_behind() -> None:
    org = Org([row(n) for n in range(4000)], page_size=20, seconds=0.8, clock=ManualClock())
    deep = asyncio.Event()
    org.before_page = lambda served: deep.set() if served == 30 else None
    reader = asyncio.create_task(read(org, Book(), expected=4000))
    await deep.wait()
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await no_pagers_left()

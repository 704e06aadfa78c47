"""Ranges: every record in exactly one of them, in whatever order the server keeps, at three calls a part."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from engine.model.id_space import id_at, position
from engine.model.ids import to18
from engine.model.record import IdRange, Record, Scope
from engine.rehearsal.salesforce import Server
from engine.salesforce.ranges import CALLS_A_PART, ranges
from tests.support.fakes.pages import FakePages
from tests.support.org import OBJECT, QuickClock, asked, connected, load

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

Order = Callable[[str], Any]
#: Collations that a server might have; the last is none that anybody would guess.
ORDERS: dict[str, Order] = {
    "bytes": str,
    "lower case first": str.swapcase,
    "case-insensitive first": lambda row: (row.lower(), row.swapcase()),
    "backwards": lambda row: row[::-1],
}

tails = some.text(DIGITS, min_size=3, max_size=3)
clusters = some.builds(
    lambda pod, start, size, step: [start + pod * 62**9 + step * n for n in range(size)],
    some.sampled_from([position(f"000{pod}000000000") - 0 for pod in ("5e0", "1x0", "zK9", "0B1")]).map(
        lambda value: value // 62**9
    ),
    some.integers(0, 62**9 // 2),
    some.integers(1, 60),
    some.integers(1, 62**4),
)
spaces = some.lists(clusters, min_size=1, max_size=4).map(lambda found: sorted({n for each in found for n in each}))


def ids_of(numbers: list[int]) -> list[str]:
    base = position("a0X" + "0" * 12)
    return [id_at(base + number) for number in numbers]


def fake(ids: list[str], order: Order) -> FakePages:
    return FakePages(
        [Record(row, "n", "u", "a", "b", "2026-01-01T00:00:00.000Z") for row in ids], page_size=7, order=order
    )


async def read(pages: Any, found: list[IdRange]) -> list[list[str]]:
    """The Ids in each of the ranges."""
    scopes = [Scope(after_id=each.after, until_id=each.until) for each in found]
    return [[record.id async for page in pages.pages(scope) for record in page.records] for scope in scopes]


def test_an_id_and_its_number_are_two_forms_of_the_same() -> None:
    for row in ("a0X5e0000000001EAA", to18("zzzzzzzzzzzzzzz"), to18("000000000000000")):
        assert id_at(position(row)) == row
    assert id_at(-1) == to18("0" * 15)
    assert id_at(62**15) == to18("z" * 15)


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@given(numbers=spaces, parts=some.integers(1, 9), gone=some.integers(0, 30), fresh=some.lists(tails, max_size=20))
@settings(max_examples=60, deadline=None)
def test_every_record_is_in_exactly_one_range_even_after_the_object_has_changed(
    order: Order, numbers: list[int], parts: int, gone: int, fresh: list[str]
) -> None:
    """Boundaries may be deleted, and records appear before, between and behind all ranges."""
    ids = ids_of(numbers)
    pages = fake(ids, order)
    found = asyncio.run(ranges(pages, Scope(), parts))
    assert pages.calls <= CALLS_A_PART * parts
    assert len(found) <= parts
    assert (found[0].after, found[-1].until) == (None, None)
    assert all(one.until == other.after in pages.live for one, other in itertools.pairwise(found))

    for row in [each.until for each in found if each.until][: gone // 4] + ids[:gone]:
        pages.live.pop(row, None)
    for tail in fresh:
        row = to18(f"a0X{tail}{tail}{tail}{tail}")
        pages.live[row] = Record(row, "n", "u", "a", "b", "m")
    read_ids = [row for part in asyncio.run(read(pages, found)) for row in part]
    assert read_ids == sorted(pages.live, key=order)


@given(numbers=spaces, parts=some.integers(2, 8))
@settings(max_examples=60, deadline=None)
def test_no_range_is_empty_when_it_is_made(numbers: list[int], parts: int) -> None:
    pages = fake(ids_of(numbers), str)
    found = asyncio.run(ranges(pages, Scope(), parts))
    assert all(asyncio.run(read(pages, found)))


@pytest.mark.parametrize("parts", [2, 4, 8])
async def test_evenly_spread_ids_fall_into_as_many_even_ranges_as_asked_for(parts: int) -> None:
    pages = fake(ids_of([1000 + 3 * n for n in range(800)]), str)
    sizes = [len(part) for part in await read(pages, await ranges(pages, Scope(), parts))]
    assert len(sizes) == parts
    assert max(sizes) < 1.2 * min(sizes)


async def test_clusters_far_apart_are_parted_within_and_the_space_between_is_skipped() -> None:
    """Two instances of 400 records, and a straggler a world away."""
    pods = [position(f"000{pod}000000000") for pod in ("5e0", "zK9")]
    numbers = [pod + n for pod in pods for n in range(400)] + [position("000zzz000000000")]
    pages = fake(ids_of(numbers), str)
    sizes = [len(part) for part in await read(pages, await ranges(pages, Scope(), 4))]
    assert len(sizes) == 4
    assert max(sizes) <= 202


async def test_the_rest_of_a_range_is_parted_within_its_bounds() -> None:
    ids = ids_of(list(range(100)))
    pages = fake(ids, str)
    found = await ranges(pages, Scope(after_id=ids[19], until_id=ids[59]), 4)
    assert (found[0].after, found[-1].until) == (ids[19], ids[59])
    assert [row for part in await read(pages, found) for row in part] == ids[20:60]


@pytest.mark.parametrize("count", [0, 1])
async def test_nothing_to_part_makes_one_range(count: int) -> None:
    pages = fake(ids_of(list(range(count))), str)
    assert [(each.after, each.until) for each in await ranges(pages, Scope(), 5)] == [(None, None)]


async def test_an_error_of_one_call_comes_through_as_it_is(org: Server, clock: QuickClock) -> None:
    load(org, 50)
    async with connected(org, clock, where="Name LIKE") as salesforce:
        with pytest.raises(Exception, match="MALFORMED_QUERY"):
            await salesforce.ranges(Scope(), 3)


async def test_a_real_conversation_parts_several_instances_and_misses_nothing(org: Server, clock: QuickClock) -> None:
    """Over the wire, with records inserted and deleted while the ranges are read."""
    made = [id_at(position(f"a0X{pod}{'0' * 9}") + 7 * n) for pod in ("5e0", "3k0", "Zz9") for n in range(1, 700)]
    org.world.load(OBJECT, [{"Id": row, "Name": "n", "Document__c": "https://files.test/x"} for row in made])
    account = org.world.load("Account", [{"Name": "Acme"}])[0]
    async with connected(org, clock, where="Name = 'n'") as salesforce:
        await salesforce.organization()
        before = asked(org, "query")
        found = await salesforce.ranges(Scope(), 6)
        assert asked(org, "query") - before <= CALLS_A_PART * 6
        assert len(found) == 6
        boundaries = [each.until for each in found if each.until]
        org.world.set_deleted([*boundaries[:2], *made[5:9]], deleted=True)
        late = to18("a0X0B0000000001")
        org.world.load(OBJECT, [{"Id": late, "Name": "n", "Account__c": account}])
        got = [row for part in await read(salesforce.pages, found) for row in part]
        assert sorted(got) == sorted({*made, late} - {*boundaries[:2], *made[5:9]})
        assert await salesforce.pages.count(Scope(), found) == len(got)
        assert await salesforce.pages.count(Scope(), found[1:3]) == sum(
            [await salesforce.pages.count(Scope(after_id=each.after, until_id=each.until)) for each in found[1:3]]
        )


async def test_a_range_that_ends_with_a_record_needs_no_further_call(org: Server, clock: QuickClock) -> None:
    ids = load(org, 30)
    async with connected(org, clock) as salesforce:
        await salesforce.organization()
        before = asked(org, "query")
        got = await read(salesforce.pages, [IdRange(ids[3], ids[12])])
        assert got == [ids[4:13]]
        assert asked(org, "query") - before == 1

"""A bucket's route: settled by the first file that is read, never by a denial, and looked at again where it fails."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from engine.model.errors import Refused, Transient
from engine.model.facts import Method
from engine.model.failures import FailureClass
from engine.model.location import Location
from engine.pipeline.routes import SAMPLES, Route, Routes, either_reading
from tests.support.fakes.stores import FakeSource
from tests.support.pipeline import location

COPY, STREAM, HTTP = Method.SERVER_COPY, Method.STREAM, Method.HTTP


class Bucket:
    """A bucket of which ``may`` says, by key, which ways may read a file."""

    def __init__(self, **may: set[Method]) -> None:
        self.may = may
        self.probes: list[list[str]] = []
        self.told: list[tuple[Method, bool]] = []
        self.routes = Routes(self.probe, lambda _bucket, route: self.told.append((route.method, route.settled)))

    async def probe(self, _bucket: str, samples: Sequence[Location]) -> Route:
        self.probes.append([each.key for each in samples])
        for method in (COPY, STREAM):
            if any(method in self.may[each.key] for each in samples):
                return Route(method, FakeSource(), "a sample was read")
        return Route(HTTP, FakeSource(), "no sample was read", settled=False)

    async def learn(self, *keys: str) -> None:
        await self.routes.learn(location(key) for key in keys)

    async def read(self, key: str, **of_the_link: bool) -> Method:
        """By which way the file was read at last; Refused where it was denied."""
        at = replace(location(key), **of_the_link)

        async def ask(route: Route, _at: Location) -> Method:
            if route.method not in self.may[key]:
                raise Refused(FailureClass.SOURCE_DENIED, f"denied by {route.method}")
            return route.method

        return await self.routes.by(at, ask)


async def test_denials_settle_nothing_and_the_first_file_that_is_read_does() -> None:
    bucket = Bucket(missing=set(), gone=set(), there={STREAM}, more={STREAM})
    await bucket.learn("missing", "gone")
    for key in ("missing", "gone"):
        with pytest.raises(Refused):
            await bucket.read(key)
    assert await bucket.read("there") is STREAM
    asked = len(bucket.probes)
    assert await bucket.read("more") is STREAM
    await bucket.learn("missing")
    assert len(bucket.probes) == asked
    assert bucket.told == [(HTTP, False), (STREAM, True)]


async def test_a_page_is_sampled_all_over() -> None:
    bucket = Bucket(**{f"k{n}": {STREAM} if n > 40 else set() for n in range(100)})
    await bucket.learn(*bucket.may)
    (samples,) = bucket.probes
    assert (len(samples) <= SAMPLES, samples[0]) == (True, "k0")
    assert bucket.routes.of(location("k0")).method is STREAM


async def test_the_next_page_looks_again_while_nothing_is_settled() -> None:
    bucket = Bucket(missing=set(), there={COPY})
    await bucket.learn("missing")
    await bucket.learn("there")
    assert bucket.routes.of(location("there")).settled


async def test_a_file_that_the_route_denies_goes_by_another_and_decides_about_no_other() -> None:
    bucket = Bucket(usual={COPY}, odd={STREAM}, next={COPY}, locked=set())
    await bucket.learn("usual")
    assert await bucket.read("odd") is STREAM
    assert await bucket.read("usual") is COPY
    with pytest.raises(Refused, match="server_copy"):
        await bucket.read("locked")
    await bucket.learn("next")
    assert bucket.routes.of(location("next")).method is COPY


async def test_a_route_that_fails_for_good_is_replaced_at_the_next_page() -> None:
    bucket = Bucket(first={COPY}, later={STREAM}, last={STREAM})
    await bucket.learn("first")
    await bucket.read("later")
    await bucket.learn("last")
    assert bucket.routes.of(location("last")).method is STREAM
    assert bucket.told == [(COPY, True), (STREAM, True)]


async def test_a_settled_route_is_not_lost_to_a_page_of_denials() -> None:
    bucket = Bucket(first={COPY}, missing=set())
    await bucket.learn("first")
    with pytest.raises(Refused):
        await bucket.read("missing")
    await bucket.learn("missing")
    assert bucket.routes.of(location("first")).method is COPY


async def test_plain_http_is_settled_by_a_file_that_came_that_way_and_not_by_a_presigned_one() -> None:
    bucket = Bucket(public={HTTP}, secret={HTTP})
    await bucket.learn("public")
    await bucket.read("secret", presigned=True)
    assert not bucket.routes.of(location("public")).settled
    await bucket.read("public")
    assert bucket.routes.of(location("public")).settled


async def test_other_failures_are_no_reason_to_look_again() -> None:
    bucket = Bucket(first={COPY})
    await bucket.learn("first")

    async def ask(_route: Route, _at: Location) -> None:
        raise Transient(FailureClass.NETWORK, "cut")

    with pytest.raises(Transient):
        await bucket.routes.by(location("first"), ask)
    assert len(bucket.probes) == 1


@pytest.mark.parametrize("failure", [FailureClass.SOURCE_MISSING, FailureClass.SOURCE_DENIED])
async def test_a_plus_may_stand_for_a_space_also_where_nobody_is_told_what_is_missing(failure: FailureClass) -> None:
    plus = replace(location("a+b"), url=f"{location('').origin}/a+b")

    async def ask(at: Location) -> str:
        if "+" in at.key:
            raise Refused(failure, "not there")
        return at.key

    assert await either_reading(plus, ask) == "a b"

    async def never(_at: Location) -> str:
        raise Refused(failure, "not there")

    with pytest.raises(Refused, match="not there"):
        await either_reading(plus, never)

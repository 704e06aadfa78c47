"""The short way of a copy brings a proved copy, and whatever else comes of it ends as the usual way would."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.errors import Transient
from engine.model.facts import Method, Proof
from engine.model.failures import FailureClass
from engine.model.outcome import Status
from tests.support.fakes.stores import FakeObject
from tests.support.pipeline import World, known, pinned, plan


@pytest.fixture
def world() -> World:
    world = World(Method.SERVER_COPY, fast_path=True)
    world.fill(1)
    return world


async def test_a_listed_source_goes_the_short_way_with_one_request(world: World) -> None:
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.method, outcome.proof) == (Status.BACKED_UP, Method.SERVER_COPY, Proof.ETAG)
    assert (outcome.attempts, outcome.key, outcome.size) == (1, "up/1.pdf", 18)
    assert world.fast_path.took == ["up/1.pdf"]
    assert dict(world.source.calls) == {("copy", "src/1.pdf"): 1}


async def test_its_outcome_is_that_of_the_usual_way(world: World) -> None:
    usual = World(Method.SERVER_COPY)
    usual.fill(1)

    assert await world.run(pinned(world)) == await usual.run(pinned(usual))


async def test_what_no_listing_told_of_goes_the_usual_way(world: World) -> None:
    [outcome] = await world.run(plan(1))

    assert outcome.status is Status.BACKED_UP
    assert world.fast_path.took == []


async def test_a_record_that_has_a_row_goes_the_usual_way(world: World) -> None:
    [first] = await world.run(pinned(world))
    world.next_run()
    world.source.objects["src/1.pdf"] = FakeObject(b"second")
    [second] = await world.run(replace(pinned(world), known=known(first)))

    assert world.fast_path.took == ["up/1.pdf"]
    assert second.key == f"up/1~{second.source_etag[:8]}.pdf"


async def test_a_duplicate_is_copied_within_the_bucket(world: World) -> None:
    outcomes = await world.run(pinned(world), replace(pinned(world), record=plan(2).record, key="up/2.pdf"))

    assert [each.method for each in outcomes] == [Method.SERVER_COPY, Method.DUPLICATE]
    assert world.fast_path.took == ["up/1.pdf"]


async def test_a_lost_answer_is_found_under_the_key(world: World) -> None:
    world.destination.lost.add("up/1.pdf")
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.method, outcome.proof) == (Status.BACKED_UP, Method.ADOPTED, Proof.ETAG)
    assert world.destination.writes["up/1.pdf"] == 1


async def test_what_fails_on_the_short_way_is_tried_on_the_usual_one(world: World) -> None:
    world.destination.faults.order("put", "up/1.pdf", Transient(FailureClass.NETWORK, "reset"))
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.attempts) == (Status.BACKED_UP, 1)
    assert world.source.calls["copy", "src/1.pdf"] == 2


async def test_what_fails_on_both_is_tried_again_and_told(world: World) -> None:
    lost = [Transient(FailureClass.NETWORK, "reset") for _ in range(9)]
    world.destination.faults.order("put", "up/1.pdf", *lost)
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.failure, outcome.attempts) == (Status.FAILED, FailureClass.NETWORK, 5)


async def test_other_content_under_the_key_stays_as_it_is(world: World) -> None:
    world.destination.objects["up/1.pdf"] = FakeObject(b"somebody else's")
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.failure) == (Status.FAILED, FailureClass.KEY_CONFLICT)
    assert world.destination.objects["up/1.pdf"].body == b"somebody else's"


async def test_a_source_that_changed_since_is_copied_as_it_is_now(world: World) -> None:
    stale = pinned(world)
    world.source.objects["src/1.pdf"] = FakeObject(b"new content")
    [outcome] = await world.run(stale)

    assert (outcome.status, outcome.key) == (Status.BACKED_UP, "up/1.pdf")
    assert world.destination.objects["up/1.pdf"].body == b"new content"


async def test_a_copy_that_is_wrong_is_written_anew(world: World) -> None:
    world.destination.corrupt.add("up/1.pdf")
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.proof) == (Status.BACKED_UP, Proof.ETAG)
    assert world.destination.objects["up/1.pdf"].body == world.source.objects["src/1.pdf"].body
    assert world.destination.writes["up/1.pdf"] == 2


async def test_a_copy_that_its_etag_does_not_tie_to_the_source_is_proved_in_another_way(world: World) -> None:
    world.source.objects["src/1.pdf"] = FakeObject(b"body", kms=True)
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.proof) == (Status.BACKED_UP, Proof.SIZE)
    assert world.source.calls["head", "src/1.pdf"] == 1


@pytest.fixture
def streams() -> World:
    world = World(Method.STREAM, fast_path=True)
    world.fill(1)
    return world


async def test_a_listed_source_is_streamed_the_short_way_and_comes_to_the_same(streams: World) -> None:
    usual = World(Method.STREAM)
    usual.fill(1)
    [outcome] = await streams.run(pinned(streams))

    assert streams.short_stream.took == ["up/1.pdf"]
    assert (outcome.status, outcome.method, outcome.proof) == (Status.BACKED_UP, Method.STREAM, Proof.ETAG)
    assert [outcome] == await usual.run(pinned(usual))
    assert streams.source.calls["get", "src/1.pdf"] == 1


async def test_a_stream_that_is_wrong_is_written_anew(streams: World) -> None:
    streams.destination.corrupt.add("up/1.pdf")
    [outcome] = await streams.run(pinned(streams))

    assert (outcome.status, outcome.proof) == (Status.BACKED_UP, Proof.ETAG)
    assert streams.destination.objects["up/1.pdf"].body == streams.source.objects["src/1.pdf"].body
    assert streams.destination.writes["up/1.pdf"] == 2


async def test_a_stream_whose_key_is_taken_or_whose_source_changed_ends_as_by_the_usual_way(streams: World) -> None:
    stale = pinned(streams)
    streams.source.objects["src/1.pdf"] = FakeObject(b"new content")
    streams.fill(2)
    streams.destination.objects["up/2.pdf"] = FakeObject(b"somebody else's")
    changed, taken = await streams.run(stale, pinned(streams, 2))

    assert (changed.status, changed.key) == (Status.BACKED_UP, "up/1.pdf")
    assert streams.destination.objects["up/1.pdf"].body == b"new content"
    assert (taken.status, taken.failure) == (Status.FAILED, FailureClass.KEY_CONFLICT)
    assert streams.destination.objects["up/2.pdf"].body == b"somebody else's"


async def test_what_nobody_listed_is_streamed_the_usual_way(streams: World) -> None:
    [outcome] = await streams.run(plan(1))

    assert outcome.status is Status.BACKED_UP
    assert streams.short_stream.took == []


async def test_a_file_that_a_lost_worker_may_have_copied_is_not_read_again(streams: World) -> None:
    streams.destination.objects["up/1.pdf"] = FakeObject(streams.source.objects["src/1.pdf"].body)
    [outcome] = await streams.run(replace(pinned(streams), repeated=True))

    assert (outcome.status, outcome.method) == (Status.BACKED_UP, Method.ADOPTED)
    assert streams.source.calls["get", "src/1.pdf"] == 0
    assert streams.short_stream.took == []

"""Plans whose source is known from a listing: one request a file, and no wrong verdict for what a listing hides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.facts import Method, Proof, listed_facts
from engine.model.failures import FailureClass
from engine.model.outcome import Outcome, Status
from engine.model.plan import Plan
from engine.pipeline.planning import Filters, Planner
from tests.support.fakes.stores import FakeObject
from tests.support.pipeline import WHEN, World, known, listed, pinned, plan
from tests.support.planning import COPIED, NO_COPY, PLANNER, RECORD, RULES, TARGET

METHODS = [Method.STREAM, Method.SERVER_COPY]


async def test_a_pinned_copy_takes_one_request() -> None:
    world = World(Method.SERVER_COPY)
    world.fill(1)
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.proof, outcome.size) == (Status.BACKED_UP, Proof.ETAG, 18)
    assert dict(world.source.calls) == {("copy", "src/1.pdf"): 1}


@pytest.mark.parametrize("method", METHODS)
async def test_a_source_that_changed_since_it_was_listed_is_copied_as_it_is_now(method: Method) -> None:
    world = World(method)
    world.fill(1)
    stale = pinned(world)
    world.source.objects["src/1.pdf"] = FakeObject(b"new content")
    [outcome] = await world.run(stale)

    assert (outcome.status, outcome.attempts, outcome.key) == (Status.BACKED_UP, 1, "up/1.pdf")
    assert outcome.source_etag == world.source.objects["src/1.pdf"].facts.etag
    assert world.destination.objects["up/1.pdf"].body == b"new content"
    assert world.tally.retries == 0


async def test_the_key_of_changed_content_is_named_after_what_it_holds_not_after_the_listing() -> None:
    world = World(Method.SERVER_COPY)
    world.fill(1)
    [first] = await world.run(plan(1))
    world.next_run()
    world.source.objects["src/1.pdf"] = FakeObject(b"second")
    stale = replace(plan(1, known=known(first)), pinned=listed(world.source.objects["src/1.pdf"]))
    world.source.objects["src/1.pdf"] = FakeObject(b"third")
    [outcome] = await world.run(stale)

    assert outcome.key == f"up/1~{world.source.objects['src/1.pdf'].facts.etag[:8]}.pdf"


@pytest.mark.parametrize("method", METHODS)
async def test_a_source_that_vanished_since_it_was_listed_is_missing(method: Method) -> None:
    world = World(method)
    world.fill(1)
    gone = pinned(world)
    world.source.objects.clear()
    [outcome] = await world.run(gone)

    assert (outcome.status, outcome.failure) == (Status.FAILED, FailureClass.SOURCE_MISSING)


async def test_an_encrypted_source_is_looked_at_before_a_copy_is_called_wrong() -> None:
    world = World(Method.SERVER_COPY)
    world.source.objects["src/1.pdf"] = FakeObject(b"body", kms=True)
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.proof, outcome.attempts) == (Status.BACKED_UP, Proof.SIZE, 1)
    assert world.destination.writes["up/1.pdf"] == 1
    assert world.source.calls["head", "src/1.pdf"] == 1


async def test_a_copy_that_is_wrong_is_replaced_though_its_source_was_only_listed() -> None:
    world = World(Method.SERVER_COPY)
    world.fill(1)
    world.destination.corrupt.add("up/1.pdf")
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.proof, outcome.attempts) == (Status.BACKED_UP, Proof.ETAG, 2)
    assert world.destination.objects["up/1.pdf"].body == world.source.objects["src/1.pdf"].body


async def test_a_source_of_several_parts_is_asked_for_its_checksums() -> None:
    world = World(Method.SERVER_COPY)
    world.source.objects["src/1.pdf"] = FakeObject(b"body", etag="ab" * 16 + "-2")
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.proof) == (Status.BACKED_UP, Proof.SIZE)
    assert dict(world.source.calls) == {("copy", "src/1.pdf"): 1, ("head", "src/1.pdf"): 1}


async def test_an_equal_object_under_the_key_is_adopted_on_the_listings_word() -> None:
    world = World(Method.SERVER_COPY)
    world.fill(1)
    world.destination.objects["up/1.pdf"] = FakeObject(world.source.objects["src/1.pdf"].body)
    [outcome] = await world.run(pinned(world))

    assert (outcome.method, outcome.proof) == (Method.ADOPTED, Proof.ETAG)
    assert world.source.calls["head", "src/1.pdf"] == 0


async def test_an_equal_object_is_adopted_though_the_listing_makes_it_look_different() -> None:
    world = World(Method.SERVER_COPY)
    world.source.objects["src/1.pdf"] = FakeObject(b"body", kms=True)
    world.destination.objects["up/1.pdf"] = FakeObject(b"body")
    [outcome] = await world.run(pinned(world))

    assert (outcome.method, outcome.key) == (Method.ADOPTED, "up/1.pdf")
    assert world.destination.writes["up/1.pdf"] == 0


@pytest.mark.parametrize("method", METHODS)
async def test_other_content_under_the_key_stays_a_conflict(method: Method) -> None:
    world = World(method)
    world.fill(1)
    world.destination.objects["up/1.pdf"] = FakeObject(b"somebody else's")
    [outcome] = await world.run(pinned(world))

    assert (outcome.status, outcome.failure) == (Status.FAILED, FailureClass.KEY_CONFLICT)
    assert world.destination.objects["up/1.pdf"].body == b"somebody else's"


def planned(planner: Planner = PLANNER, url: str = RECORD.url) -> Plan:
    decision = planner.plan(replace(RECORD, url=url), None, 7)
    assert isinstance(decision, Plan)
    return decision


def test_a_plan_is_pinned_to_what_the_listing_says() -> None:
    facts = listed_facts(5, "e" * 32, "STANDARD", WHEN)

    assert PLANNER.pin(planned(), facts) == replace(planned(), pinned=facts)


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
def test_an_archived_source_is_left_to_head(storage_class: str) -> None:
    assert PLANNER.pin(planned(), listed_facts(5, "e" * 32, storage_class, WHEN)) == planned()


def test_a_certain_version_is_left_to_head() -> None:
    versioned = planned(url=RECORD.url + "?versionId=v1")

    assert PLANNER.pin(versioned, listed_facts(5, "e" * 32, "STANDARD", WHEN)) == versioned


def test_what_is_listed_as_too_large_is_skipped_without_a_request() -> None:
    planner = Planner(RULES, TARGET, Filters(max_bytes=4))
    outcome = planner.pin(planned(planner), listed_facts(5, "e" * 32, "STANDARD", WHEN))

    assert isinstance(outcome, Outcome)
    assert (outcome.status, outcome.failure, outcome.page) == (Status.SKIPPED, FailureClass.TOO_LARGE, 7)


def test_a_copy_whose_source_is_listed_with_another_etag_is_planned_anew() -> None:
    assert PLANNER.plan(RECORD, COPIED._replace(listed_etag=COPIED.source_etag), 0) is None
    assert isinstance(PLANNER.plan(RECORD, COPIED._replace(listed_etag="f" * 32), 0), Plan)
    assert PLANNER.plan(RECORD, COPIED._replace(listed_etag="f" * 32, source_etag=""), 0) is None
    assert NO_COPY.listed_etag == ""

"""One plan, one outcome: every way a copy can go."""

from __future__ import annotations

import asyncio
import zlib
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from engine.model.errors import Blocked, Transient
from engine.model.facts import Method, Proof
from engine.model.failures import FailureClass
from engine.model.outcome import Looked, Outcome, Status
from engine.model.plan import Look
from engine.pipeline.duplicates import duplicate_of
from tests.support.fakes.stores import FakeObject
from tests.support.pipeline import World, known, location, plan, planner, record

METHODS = [Method.STREAM, Method.SERVER_COPY]


def network() -> Transient:
    return Transient(FailureClass.NETWORK, "connection reset")


@pytest.mark.parametrize("method", METHODS)
async def test_a_plan_becomes_a_proved_copy(method: Method) -> None:
    world = World(method)
    world.fill(1)
    [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.proof, outcome.method) == (Status.BACKED_UP, Proof.ETAG, method)
    assert world.destination.objects["up/1.pdf"].body == world.source.objects["src/1.pdf"].body


@pytest.mark.parametrize("method", METHODS)
async def test_a_missing_source_is_refused_once_and_not_retried(method: Method) -> None:
    world = World(method)
    [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.failure, outcome.attempts) == (Status.FAILED, FailureClass.SOURCE_MISSING, 1)


async def test_transient_failures_are_retried_and_each_try_is_recorded() -> None:
    world = World()
    world.fill(1)
    world.source.faults.order("get", "src/1.pdf", network(), network())
    [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.attempts) == (Status.BACKED_UP, 3)
    assert [a.number for a in world.recorder._batch.attempts] == [1, 2]


async def test_retry_after_wins_over_the_curve() -> None:
    world = World()
    world.fill(1)
    world.source.faults.order("get", "src/1.pdf", Transient(FailureClass.THROTTLED, "slow", retry_after_s=77.0))
    await world.run(plan(1))

    assert 77.0 in world.clock.slept


async def test_attempts_are_bounded_and_the_last_class_is_kept() -> None:
    world = World(max_attempts=3)
    world.fill(1)
    world.source.faults.order("get", "src/1.pdf", *[network() for _ in range(9)])
    [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.failure, outcome.attempts) == (Status.FAILED, FailureClass.NETWORK, 3)


@pytest.mark.parametrize("method", METHODS)
async def test_a_write_whose_answer_was_lost_is_adopted_not_repeated(method: Method) -> None:
    world = World(method)
    world.fill(1)
    world.destination.lost.add("up/1.pdf")
    [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.method, outcome.proof) == (Status.BACKED_UP, Method.ADOPTED, Proof.ETAG)
    assert world.destination.writes["up/1.pdf"] == 1


@pytest.mark.parametrize("method", METHODS)
async def test_foreign_content_under_the_key_is_left_alone(method: Method) -> None:
    world = World(method)
    world.fill(1)
    world.destination.objects["up/1.pdf"] = FakeObject(b"somebody else's")
    [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.failure) == (Status.FAILED, FailureClass.KEY_CONFLICT)
    assert world.destination.objects["up/1.pdf"].body == b"somebody else's"


@pytest.mark.parametrize("method", METHODS)
async def test_changed_content_gets_a_new_key_and_the_old_object_stays(method: Method) -> None:
    world = World(method)
    world.fill(1)
    [first] = await world.run(plan(1))
    old = world.destination.objects["up/1.pdf"].body
    world.source.objects["src/1.pdf"] = FakeObject(b"new content")
    world.next_run()
    [second] = await world.run(plan(1, known=known(first)))

    assert second.status is Status.BACKED_UP
    assert second.key == f"up/1~{world.source.objects['src/1.pdf'].facts.etag[:8]}.pdf"
    assert second.url == f"https://ours/{second.key}"
    assert world.destination.objects["up/1.pdf"].body == old
    assert world.destination.objects[second.key].body == b"new content"


@pytest.mark.parametrize("method", METHODS)
async def test_a_link_of_ours_whose_copy_is_lost_is_not_called_backed_up_by_a_copy_elsewhere(method: Method) -> None:
    world = World(method)
    world.fill(1)
    [first] = await world.run(plan(1))
    row = known(first)._replace(status=Status.SWITCHED)
    del world.destination.objects["up/1.pdf"]
    world.source.objects["src/1.pdf"] = FakeObject(b"new content")
    world.next_run()
    switched = replace(plan(1, known=row), record=replace(first.record, url=first.url))
    [second] = await world.run(switched)

    assert (second.status, second.failure) == (Status.FAILED, FailureClass.SOURCE_CHANGED)
    assert "a verification says" in second.message
    assert not world.destination.objects


async def test_a_lost_db_adopts_the_changed_copy_too() -> None:
    world = World()
    world.fill(1)
    [first] = await world.run(plan(1))
    world.source.objects["src/1.pdf"] = FakeObject(b"new content")
    world.next_run()
    [second] = await world.run(plan(1, known=known(first)))
    world.next_run()
    [again] = await world.run(plan(1))

    assert (again.method, again.key) == (Method.ADOPTED, second.key)


@pytest.mark.parametrize("method", METHODS)
async def test_a_corrupt_write_is_found_and_replaced(method: Method) -> None:
    world = World(method)
    world.fill(1)
    world.destination.corrupt.add("up/1.pdf")
    [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.attempts) == (Status.BACKED_UP, 2)
    assert world.destination.objects["up/1.pdf"].body == world.source.objects["src/1.pdf"].body


async def test_a_corrupt_write_of_an_earlier_run_is_replaced() -> None:
    world = World(max_attempts=1)
    world.fill(1)
    world.destination.corrupt.add("up/1.pdf")
    [failed] = await world.run(plan(1))
    [outcome] = await world.run(plan(1, known=known(failed)))

    assert failed.failure is FailureClass.CHECKSUM_MISMATCH
    assert outcome.status is Status.BACKED_UP
    assert world.destination.objects["up/1.pdf"].body == world.source.objects["src/1.pdf"].body


async def test_a_corrupt_write_of_changed_content_is_replaced_by_a_later_run_too() -> None:
    world = World(max_attempts=1)
    world.fill(1)
    [first] = await world.run(plan(1))
    world.source.objects["src/1.pdf"] = FakeObject(b"new content")
    changed = f"up/1~{world.source.objects['src/1.pdf'].facts.etag[:8]}.pdf"
    world.destination.corrupt.add(changed)
    world.next_run()
    [failed] = await world.run(plan(1, known=known(first)))
    row = known(first)._replace(failed_write=known(failed).failed_write)
    world.next_run()
    [second] = await world.run(plan(1, known=row))

    assert failed.failure is FailureClass.CHECKSUM_MISMATCH
    assert (second.status, second.key) == (Status.BACKED_UP, changed)
    assert world.destination.objects[changed].body == b"new content"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("foreign", [b"foreign, the same size", b"short"])
async def test_a_duplicate_never_passes_for_what_somebody_else_put_under_its_key(
    method: Method, foreign: bytes
) -> None:
    world = World(method)
    world.source.objects["src/1.pdf"] = FakeObject(b"a body of the same siz")
    [first] = await world.run(plan(1))
    world.destination.objects["up/2.pdf"] = FakeObject(foreign, etag="cafe" * 8 + "-3")
    duplicate = duplicate_of(first)
    world.next_run()
    [second] = await world.run(plan(2, source_key="src/1.pdf", duplicate=duplicate))

    assert (second.status, second.failure) == (Status.FAILED, FailureClass.KEY_CONFLICT)
    assert world.destination.objects["up/2.pdf"].body == foreign


async def test_a_duplicate_whose_copy_lies_in_an_archive_is_copied_from_the_source() -> None:
    world = World(Method.SERVER_COPY)
    world.fill(1)
    [first] = await world.run(plan(1))
    world.destination.objects["up/1.pdf"].archived = True
    world.next_run()
    [second] = await world.run(plan(2, source_key="src/1.pdf", duplicate=duplicate_of(first)))

    assert (second.status, second.method) == (Status.BACKED_UP, Method.SERVER_COPY)


async def test_what_lies_under_a_taken_key_is_compared_without_a_second_reading_of_the_source() -> None:
    world = World()
    world.fill(1, 2)
    await world.run(plan(1))
    await world.run(plan(2))
    world.source.calls.clear()
    world.next_run()
    lost = [(await world.run(plan(number)))[0] for number in (1, 2)]  # no row knows of them

    assert [each.method for each in lost] == [Method.ADOPTED, Method.ADOPTED]
    assert world.source.calls["get", "src/1.pdf"] == 1
    assert world.source.calls["get", "src/2.pdf"] == 0  # looked at first: the one before was taken


@pytest.mark.parametrize("body", [b"the same", b"the sane"])
async def test_a_source_that_tells_no_length_is_compared_by_its_bytes(body: bytes) -> None:
    world = World()
    world.source.objects["src/1.pdf"] = FakeObject(b"the same", etag="web", sized=False)
    world.destination.objects["up/1.pdf"] = FakeObject(body)
    [outcome] = await world.run(plan(1))

    if body == b"the same":
        assert (outcome.method, outcome.proof, outcome.size) == (Method.ADOPTED, Proof.RECEIVED, 8)
    else:
        assert outcome.failure is FailureClass.KEY_CONFLICT


@pytest.mark.parametrize("method", METHODS)
async def test_an_equal_object_that_nothing_proves_is_read_and_hashed_before_it_is_adopted(method: Method) -> None:
    world = World(method)
    world.source.objects["src/1.pdf"] = FakeObject(b"big file", etag="feed-7")
    world.source.objects["src/2.pdf"] = FakeObject(b"big fire", etag="fade-7")
    world.destination.objects["up/1.pdf"] = FakeObject(b"big file", etag="cafe-3")
    world.destination.objects["up/2.pdf"] = FakeObject(b"big file", etag="cafe-3")
    same, other = await world.run(plan(1), plan(2))

    assert (same.status, same.proof, same.method) == (Status.BACKED_UP, Proof.RECEIVED, Method.ADOPTED)
    assert (other.status, other.failure) == (Status.FAILED, FailureClass.KEY_CONFLICT)


async def test_a_crc_that_the_object_under_the_key_does_not_state_decides_nothing() -> None:
    world = World()
    world.destination.sums = lambda body: (("crc64nvme", f"{zlib.crc32(body):016x}"),)
    for number, body in ((1, b"big file"), (2, b"big fire")):
        world.source.objects[f"src/{number}.pdf"] = FakeObject(body, etag=f"feed-{number}")
        world.destination.objects[f"up/{number}.pdf"] = FakeObject(b"big file", etag="cafe-3")
    same, other = await world.run(plan(1), plan(2))

    assert (same.status, same.proof, same.method) == (Status.BACKED_UP, Proof.RECEIVED, Method.ADOPTED)
    assert (other.status, other.failure) == (Status.FAILED, FailureClass.KEY_CONFLICT)


async def test_a_source_that_changes_under_the_copy_is_read_again_from_its_new_state() -> None:
    world = World(Method.SERVER_COPY)
    world.fill(1)
    world.destination.faults.order("put", "up/1.pdf", Transient(FailureClass.SOURCE_CHANGED, "it changed"))

    [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.attempts) == (Status.BACKED_UP, 2)
    assert world.source.calls["head", "src/1.pdf"] == 2


@pytest.mark.parametrize("method", METHODS)
async def test_content_may_change_again_and_again(method: Method) -> None:
    world = World(method)
    world.fill(1)
    [last] = await world.run(plan(1))
    for body in (b"second", b"third", b"fourth"):
        world.source.objects["src/1.pdf"] = FakeObject(body)
        world.next_run()
        [last] = await world.run(plan(1, known=known(last)))

    assert last.status is Status.BACKED_UP
    assert last.key == f"up/1~{world.source.objects['src/1.pdf'].facts.etag[:8]}.pdf"
    assert sorted(each.body for each in world.destination.objects.values())[1:] == [b"fourth", b"second", b"third"]


@pytest.mark.parametrize("method", METHODS)
async def test_archived_and_oversized_objects_end_with_their_class(method: Method) -> None:
    world = World(method, max_bytes=10)
    world.source.objects["src/1.pdf"] = FakeObject(b"cold", archived=True)
    world.source.objects["src/2.pdf"] = FakeObject(b"x" * 11)
    archived, large = await world.run(plan(1), plan(2))

    assert (archived.status, archived.failure) == (Status.FAILED, FailureClass.ARCHIVED)
    assert (large.status, large.failure) == (Status.SKIPPED, FailureClass.TOO_LARGE)
    assert world.destination.objects == {}


@pytest.mark.parametrize("method", METHODS)
async def test_records_that_share_a_url_read_the_source_once(method: Method) -> None:
    world = World(method)
    world.fill(1)
    outcomes = await world.run(*(plan(n, source_key="src/1.pdf") for n in range(1, 40)))

    assert all(o.status is Status.BACKED_UP for o in outcomes)
    assert len({o.key for o in outcomes}) == 39
    assert sum(n for (verb, _), n in world.source.calls.items() if verb in {"get", "copy"}) == 1
    assert {world.destination.objects[o.key].body for o in outcomes} == {world.source.objects["src/1.pdf"].body}


async def test_records_that_share_a_missing_url_ask_once_and_each_has_its_row() -> None:
    world = World()
    outcomes = await world.run(*(plan(n, source_key="src/none.pdf") for n in range(1, 6)))

    assert {o.failure for o in outcomes} == {FailureClass.SOURCE_MISSING}
    assert world.source.calls["get", "src/none.pdf"] == 1


@pytest.mark.parametrize("method", METHODS)
async def test_a_shared_source_that_fails_does_so_once_and_so_do_records_that_come_later(method: Method) -> None:
    world = World(method, max_attempts=4)
    world.fill(1)
    verb = "head" if method is Method.SERVER_COPY else "get"
    world.source.faults.order(verb, "src/1.pdf", *[network() for _ in range(99)])
    shared = [plan(n, source_key="src/1.pdf") for n in range(1, 30)]
    outcomes = [*await world.run(*shared[:20]), *await world.run(*shared[20:])]

    assert {o.failure for o in outcomes} == {FailureClass.NETWORK}
    assert [o.attempts for o in outcomes] == [4] + [0] * 28
    assert world.source.calls[verb, "src/1.pdf"] == 4
    assert f"found with record {shared[0].record.id}" in outcomes[-1].message


async def test_a_body_that_breaks_off_for_two_records_does_so_for_all() -> None:
    """After the source has told what it is, nobody knows whose fault a break is; one record alone decides nothing."""
    world = World(max_attempts=2)
    world.fill(1)
    shared = [plan(n, source_key="src/1.pdf") for n in range(1, 9)]
    for each in shared:
        world.destination.faults.order("put", each.key, *[network() for _ in range(9)])
    outcomes = await world.run(*shared)

    assert {o.failure for o in outcomes} == {FailureClass.NETWORK}
    assert sorted(o.attempts for o in outcomes) == [0] * 6 + [2, 2]


async def test_what_breaks_for_one_key_decides_nothing_about_others() -> None:
    world = World(max_attempts=2)
    world.fill(1)
    world.destination.faults.order("put", "up/1.pdf", *[network() for _ in range(9)])
    first, *others = await world.run(*(plan(n, source_key="src/1.pdf") for n in range(1, 6)))

    assert first.failure is FailureClass.NETWORK
    assert {o.status for o in others} == {Status.BACKED_UP}


async def test_a_shared_source_is_looked_at_once() -> None:
    world = World(max_attempts=3)
    world.fill(1, 2)
    first, second = await world.run(plan(1), plan(2))
    world.source.faults.order("head", "src/2.pdf", *[network() for _ in range(99)])
    world.next_run()
    ours = [replace(look(1, first), record=record(n)) for n in range(10, 15)]
    silent = [replace(look(2, second), record=record(n)) for n in range(20, 25)]
    outcomes = await world.run(*ours, *silent)

    assert [o.unseen for o in outcomes] == [""] * 5 + ["network"] * 5
    assert (world.source.calls["head", "src/1.pdf"], world.source.calls["head", "src/2.pdf"]) == (1, 3)


async def test_when_the_first_reader_fails_for_its_own_reasons_the_next_one_reads() -> None:
    world = World(max_attempts=1)
    world.fill(1)
    world.destination.objects["up/1.pdf"] = FakeObject(b"foreign")
    first, second = await world.run(plan(1), plan(2, source_key="src/1.pdf"))

    assert first.failure is FailureClass.KEY_CONFLICT
    assert second.status is Status.BACKED_UP


async def test_cancelling_a_waiting_duplicate_leaves_its_leader_alone() -> None:
    world = World()
    world.fill(1)
    world.source.barrier = asyncio.Event()
    plans = [plan(1), plan(2, source_key="src/1.pdf")]
    await world.routes.learn(p.source for p in plans)
    leader, follower = (asyncio.create_task(world.transfer.run(p)) for p in plans)
    for _ in range(10):
        await asyncio.sleep(0)
    follower.cancel()
    await asyncio.sleep(0)
    world.source.barrier.set()
    outcome = await asyncio.wait_for(leader, 1)

    assert outcome.status is Status.BACKED_UP
    assert follower.cancelled()


async def test_a_fatal_error_passes_through() -> None:
    world = World()
    world.fill(1)
    world.destination.faults.order("put", "up/1.pdf", Blocked("the bucket is gone"))

    with pytest.raises(Blocked, match="bucket is gone"):
        await world.run(plan(1))


async def test_a_bug_on_one_record_becomes_internal_and_is_reported() -> None:
    world = World()
    world.fill(1)
    world.source.faults.order("get", "src/1.pdf", KeyError("oops"))  # type: ignore[arg-type]
    with capture_logs() as log:
        [outcome] = await world.run(plan(1))

    assert (outcome.status, outcome.failure) == (Status.FAILED, FailureClass.INTERNAL)
    assert "KeyError" in log[0]["trace"]


async def test_a_changed_link_that_no_longer_fits_the_field_is_refused() -> None:
    world = World()
    world.fill(1)
    [first] = await world.run(plan(1))
    world.source.objects["src/1.pdf"] = FakeObject(b"new content")
    world.next_run(planner(url_length=len("https://ours/up/1.pdf")))
    [second] = await world.run(plan(1, known=known(first)))

    assert (second.status, second.failure) == (Status.FAILED, FailureClass.URL_TOO_LONG)


def look(number: int, outcome: Outcome) -> Look:
    here = location(f"src/{number}.pdf")
    seen = replace(record(number), url=f"https://vendor.s3.us-west-2.amazonaws.com/{here.key}")
    row = known(replace(outcome, record=seen))._replace(size=outcome.size, copied_at="2026-01-10T00:00:00.000Z")
    return Look(seen, here, plan(number).source_id, row, page=3)


@pytest.mark.parametrize("method", METHODS)
async def test_a_look_costs_one_request_and_copies_what_was_replaced(method: Method) -> None:
    world = World(method)
    world.fill(1, 2)
    first, second = await world.run(plan(1), plan(2))
    world.source.objects["src/2.pdf"] = FakeObject(b"replaced")
    world.source.calls.clear()
    world.next_run()
    same, changed = await world.run(look(1, first), look(2, second))

    assert same == Looked(look(1, first).record, page=3)
    assert isinstance(changed, Outcome)
    assert (changed.status, changed.source_etag) == (Status.BACKED_UP, world.source.objects["src/2.pdf"].facts.etag)
    assert world.destination.objects[changed.key].body == b"replaced"
    assert {key: n for key, n in world.source.calls.items() if key[1] == "src/1.pdf"} == {("head", "src/1.pdf"): 1}


async def test_a_look_that_sees_nothing_says_why_and_leaves_the_copy_alone() -> None:
    world = World(max_attempts=3)
    world.fill(1, 2)
    first, second = await world.run(plan(1), plan(2))
    world.source.faults.order("head", "src/1.pdf", *[network() for _ in range(9)])
    del world.source.objects["src/2.pdf"]
    world.next_run()
    silent, missing = await world.run(look(1, first), look(2, second))

    assert isinstance(silent, Looked)
    assert isinstance(missing, Looked)
    assert (silent.unseen, silent.news, missing.unseen) == ("network", True, "source_missing")
    assert world.tally.retries == 2


async def test_another_etag_of_another_web_server_is_no_second_copy() -> None:
    """Servers behind one name may each have an ETag of their own for the same file."""
    world = World()
    world.source.objects["web"] = FakeObject(b"the same", etag="one")
    here = replace(location("web"), bucket="")
    web = replace(plan(1), source=here)
    [first] = await world.run(web)
    assert isinstance(first, Outcome)
    world.source.objects["web"] = FakeObject(b"the same", etag="two")
    world.next_run()
    row = known(first)._replace(size=first.size)
    [again] = await world.run(replace(web, known=row, pinned=world.source.objects["web"].facts))

    assert isinstance(again, Outcome)
    assert (again.status, again.key, again.source_etag) == (Status.BACKED_UP, first.key, "two")
    assert len(world.destination.objects) == 1

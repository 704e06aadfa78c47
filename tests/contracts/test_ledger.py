"""What every Ledger does: the one in memory that other tests lean on, and the tracking DB."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.facts import Method, Proof
from engine.model.failures import FailureClass
from engine.model.outcome import Attempt, Batch, Looked, Outcome, Status, Touch
from engine.model.record import Record
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from tests.support.fakes.clock import ManualClock
from tests.support.fakes.ledger import MemoryLedger
from tests.support.outcomes import a_record, copied, failed, record_id

AnyLedger = Ledger | MemoryLedger


@pytest.fixture(params=["memory", "database"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AnyLedger]:
    """Each implementation in turn, empty."""
    if request.param == "memory":
        yield MemoryLedger(run_id=1)
        return
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        real = Ledger(db)
        await real.begin_run("backup", {})
        yield real


async def all_pending(ledger: AnyLedger, *failures: str) -> list[Record]:
    return [record async for chunk in ledger.pending(failures) for record in chunk]


async def test_a_written_copy_is_known_with_all_that_planning_needs(ledger: AnyLedger) -> None:
    await ledger.write(Batch([copied(1)]))

    found = (await ledger.known([record_id(1), record_id(2)])) or {}

    assert set(found) == {record_id(1)}
    known = found[record_id(1)]
    assert (known.row, known.status, known.failure) == (1, Status.BACKED_UP, "")
    assert known.url == "https://vendor.example/docs/1.pdf"
    assert (known.our_url, known.our_key) == ("https://ours.example/uploads/1.pdf", "uploads/1.pdf")
    assert (known.source_etag, known.destination_etag, known.proof) == ("s1", "d1", "checksum")
    assert (known.account_id, known.name, known.attempts, known.run) == ("001000000000000001", "Doc 1", 1, 1)


async def test_nothing_is_known_of_nobody(ledger: AnyLedger) -> None:
    assert await ledger.known([]) == {}
    assert await ledger.duplicates([]) == {}
    assert await all_pending(ledger, "network") == []


async def test_rows_are_numbered_densely_even_when_they_are_written_again(ledger: AnyLedger) -> None:
    for _ in range(3):
        await ledger.write(Batch([copied(n) for n in range(1, 6)]))
    await ledger.write(Batch([copied(9)]))

    known = await ledger.known([record_id(9)])

    assert (known[record_id(9)].row, await ledger.max_row()) == (6, 6)


async def test_a_failure_after_a_copy_keeps_the_copy_known(ledger: AnyLedger) -> None:
    await ledger.write(Batch([copied(1)]))
    moved = a_record(1, url="https://vendor.example/docs/new.pdf")
    await ledger.write(Batch([failed(1, FailureClass.SOURCE_MISSING, record=moved)]))

    known = (await ledger.known([record_id(1)]))[record_id(1)]

    assert (known.status, known.failure) == (Status.FAILED, "source_missing")
    assert known.url == "https://vendor.example/docs/new.pdf"
    assert (known.our_key, known.proof, known.source_etag) == ("uploads/1.pdf", "checksum", "s1")


async def test_key_and_url_of_a_failed_record_are_not_recorded_without_proof(ledger: AnyLedger) -> None:
    await ledger.write(Batch([failed(1, key="uploads/1.pdf", url="https://ours.example/uploads/1.pdf")]))

    known = (await ledger.known([record_id(1)]))[record_id(1)]

    assert (known.our_key, known.our_url, known.proof) == ("", "", "")


async def test_the_last_outcome_of_a_record_wins_inside_one_batch(ledger: AnyLedger) -> None:
    await ledger.write(Batch([failed(1), copied(1), failed(2), copied(2), failed(2)]))

    known = await ledger.known([record_id(1), record_id(2)])

    assert [known[record_id(n)].status for n in (1, 2)] == [Status.BACKED_UP, Status.FAILED]


async def test_a_touch_refreshes_the_salesforce_columns_and_nothing_else(ledger: AnyLedger) -> None:
    await ledger.write(Batch([copied(1)]))
    before = (await ledger.known([record_id(1)]))[record_id(1)]
    renamed = a_record(1, name="New", account_name="Other", modified="2027-01-01T00:00:00.000Z", url="https://x/")
    await ledger.write(Batch(touches=[Touch(renamed), Touch(a_record(99))]))

    after = (await ledger.known([record_id(1), record_id(99)]))[record_id(1)]

    assert (after.name, after.account_name, after.modified) == ("New", "Other", "2027-01-01T00:00:00.000Z")
    assert (after.url, after.status, after.our_key) == (before.url, before.status, before.our_key)
    assert await ledger.max_row() == 1


async def test_an_original_url_outlives_scans_while_the_link_is_switched(ledger: AnyLedger) -> None:
    await ledger.write(Batch([copied(1)]))
    await ledger.write(Batch([copied(1, status=Status.SWITCHED)]))
    ours = a_record(1, url="https://ours.example/uploads/1.pdf", name="Renamed")
    for outcome in (
        failed(1, record=ours),
        Outcome(ours, Status.SKIPPED, FailureClass.ALREADY_OURS),
        copied(1, record=ours, key="uploads/other.pdf"),
    ):
        await ledger.write(Batch([outcome]))

        known = (await ledger.known([record_id(1)]))[record_id(1)]
        assert (known.status, known.failure) == (Status.SWITCHED, "")
        assert (known.url, known.our_key) == ("https://vendor.example/docs/1.pdf", "uploads/1.pdf")
    assert known.name == "Renamed"


async def test_an_edit_by_somebody_else_ends_a_switch(ledger: AnyLedger) -> None:
    await ledger.write(Batch([copied(1)]))
    await ledger.write(Batch([copied(1, status=Status.SWITCHED)]))
    edited = a_record(1, url="https://vendor.example/docs/edited.pdf")
    await ledger.write(Batch([Outcome(edited, Status.PENDING, FailureClass.DRIFTED)]))

    known = (await ledger.known([record_id(1)]))[record_id(1)]

    assert (known.status, known.failure, known.url) == (Status.PENDING, "drifted", edited.url)


async def test_tries_add_up_over_outcomes_and_attempts(ledger: AnyLedger) -> None:
    def attempt(number: int) -> Attempt:
        return Attempt(record_id(1), FailureClass.THROTTLED, "slow down", "https://v/", number, "2026-11-22T10:00:00Z")

    await ledger.write(Batch([failed(1, attempts=2)]))
    await ledger.write(Batch(attempts=[attempt(1), attempt(2)]))
    assert (await ledger.known([record_id(1)]))[record_id(1)].attempts == 4
    await ledger.write(Batch([copied(1, attempts=3)]))

    assert (await ledger.known([record_id(1)]))[record_id(1)].attempts == 5


async def test_pending_gives_back_what_is_worth_another_try_and_only_that(ledger: AnyLedger) -> None:
    drifted = Outcome(a_record(3), Status.PENDING, FailureClass.DRIFTED)
    asked = a_record(2, extra=(("Identifier__c", "x-1"),))
    await ledger.write(
        Batch([copied(1), failed(2, record=asked), drifted, failed(4, FailureClass.SOURCE_MISSING), copied(5)])
    )

    assert await all_pending(ledger, "network", "throttled") == [a_record(3), asked]
    assert [r.id for r in await all_pending(ledger)] == [record_id(3)]


async def test_what_was_tried_longest_ago_is_tried_first(tmp_path: Path) -> None:
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        await ledger.write(Batch([failed(n) for n in range(1, 6)]))
        await ledger.begin_run("backup", {})
        await ledger.write(Batch([failed(1), failed(2)], touches=[Touch(a_record(3))]))

        assert [r.id for r in await all_pending(ledger, "network")] == [record_id(n) for n in (3, 4, 5, 1, 2)]


async def test_a_row_says_what_its_copy_was_made_from(ledger: AnyLedger) -> None:
    asked = a_record(2, extra=(("Identifier__c", "x-1"),))
    await ledger.write(Batch([copied(1, source_id=7), copied(2, record=asked, source_id=8, method=Method.DUPLICATE)]))

    rows = await ledger.known([record_id(1), record_id(2)])

    told = [(row.source_id, row.duplicate, row.extra) for row in rows.values()]
    assert told == [(7, False, ""), (8, True, '{"Identifier__c": "x-1"}')]


async def test_pending_comes_in_chunks_of_at_most_two_thousand(ledger: AnyLedger) -> None:
    await ledger.write(Batch([failed(n) for n in range(1, 4502)]))

    sizes = [len(chunk) async for chunk in ledger.pending(["network"])]

    assert sizes == [2000, 2000, 501]


async def test_the_best_proved_duplicate_of_a_source_is_found(ledger: AnyLedger) -> None:
    await ledger.write(
        Batch(
            [
                copied(1, source_id=7, proof=Proof.SIZE),
                copied(2, source_id=7, proof=Proof.CHECKSUM),
                copied(3, source_id=7, proof=Proof.ETAG),
                failed(4, source_id=8),
                copied(5, source_id=2**63 - 1),
                copied(6, source_id=0),
            ]
        )
    )

    duplicates = await ledger.duplicates([7, 8, 2**63 - 1, 7, 0])

    assert {source: duplicate.record_id for source, duplicate in duplicates.items()} == {
        7: record_id(2),
        2**63 - 1: record_id(5),
    }
    assert (duplicates[7].key, duplicates[7].size, duplicates[7].proof) == ("uploads/2.pdf", 102, Proof.CHECKSUM)


async def test_a_record_that_is_gone_keeps_its_copy_and_is_counted_once(ledger: AnyLedger) -> None:
    await ledger.write(Batch([copied(1), copied(2)]))

    assert await ledger.mark_gone([record_id(1), record_id(1), record_id(77)]) == 1
    assert await ledger.mark_gone([record_id(1)]) == 0
    known = (await ledger.known([record_id(1)]))[record_id(1)]
    assert (known.status, known.failure, known.our_key) == (Status.GONE, "deleted", "uploads/1.pdf")


async def test_rows_that_a_scan_has_not_seen_are_found_by_their_bit(ledger: AnyLedger) -> None:
    await ledger.write(Batch([copied(n) for n in range(1, 25)]))
    await ledger.mark_gone([record_id(5)])
    seen = bytearray(2)
    for row in (1, 2, 3, 8, 15):
        seen[row >> 3] |= 1 << (row & 7)

    absent = [row async for chunk in ledger.rows_not_in(seen, 20) for row, _ in chunk]

    assert absent == [row for row in range(1, 21) if row not in (1, 2, 3, 5, 8, 15)]


async def test_a_look_without_news_changes_nothing_and_one_that_saw_nothing_is_remembered(ledger: AnyLedger) -> None:
    await ledger.write(Batch([copied(1)]))
    before = (await ledger.known([record_id(1)]))[record_id(1)]
    await ledger.write(Batch(looks=[Looked(a_record(1, name="ignored"))]))
    assert (await ledger.known([record_id(1)]))[record_id(1)] == before

    await ledger.write(Batch(looks=[Looked(a_record(1), "source_denied", "no", news=True)]))
    assert (await ledger.known([record_id(1)]))[record_id(1)] == before._replace(unseen="source_denied")

    await ledger.write(Batch(looks=[Looked(a_record(1), news=True)]))
    assert (await ledger.known([record_id(1)]))[record_id(1)] == before
    await ledger.write(Batch(looks=[Looked(a_record(1), "source_denied", "no", news=True)]))
    await ledger.write(Batch([copied(1)]))
    assert not (await ledger.known([record_id(1)]))[record_id(1)].unseen


NUMBERS = st.integers(1, 6)
OUTCOMES = st.one_of(
    NUMBERS.map(copied),
    st.builds(
        lambda n: copied(n, proof=Proof.SIZE, key=f"uploads/{n}~2.pdf", url=f"https://ours.example/{n}~2"), NUMBERS
    ),
    st.builds(lambda n: copied(n, status=Status.SWITCHED), NUMBERS),
    st.builds(lambda n: copied(n, status=Status.ROLLED_BACK), NUMBERS),
    st.builds(failed, NUMBERS, st.sampled_from(list(FailureClass))),
    st.builds(lambda n: failed(n, record=a_record(n, url=f"https://ours.example/uploads/{n}.pdf")), NUMBERS),
    st.builds(lambda n: Outcome(a_record(n), Status.SKIPPED, FailureClass.TYPE_FILTERED), NUMBERS),
    st.builds(lambda n: Outcome(a_record(n, url="https://edited/"), Status.PENDING, FailureClass.DRIFTED), NUMBERS),
)
STEPS = st.lists(
    st.one_of(
        st.lists(OUTCOMES, max_size=5).map(lambda outcomes: Batch(outcomes)),
        NUMBERS.map(lambda n: Batch(touches=[Touch(a_record(n, name="Touched"))])),
        st.builds(
            lambda n, unseen: Batch(looks=[Looked(a_record(n, name="Looked"), unseen, news=True)]),
            NUMBERS,
            st.sampled_from(["", "network"]),
        ),
        NUMBERS.map(record_id),
    ),
    max_size=8,
)


@given(STEPS)
@settings(max_examples=40, deadline=None)
def test_the_one_in_memory_and_the_database_never_disagree(steps: list[Batch | str]) -> None:
    ids = [record_id(n) for n in range(1, 7)]

    async def play() -> None:
        memory = MemoryLedger(run_id=1)
        with tempfile.TemporaryDirectory() as folder:
            async with open_database(Path(folder) / "t.db", ManualClock()) as db:
                real = Ledger(db)
                await real.begin_run("backup", {})
                for step in steps:
                    if isinstance(step, str):
                        assert await real.mark_gone([step]) == await memory.mark_gone([step])
                    else:
                        await real.write(step)
                        await memory.write(step)
                    assert await real.known(ids) == await memory.known(ids)
                assert await all_pending(real, "network") == await all_pending(memory, "network")
                wanted = [1000 + n for n in range(1, 7)]
                assert await real.duplicates(wanted) == await memory.duplicates(wanted)

    asyncio.run(play())

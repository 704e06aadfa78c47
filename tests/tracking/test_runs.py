"""Runs and scans: what is counted, what resumes, and where the next incremental run starts."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.model.failures import FailureClass
from engine.model.outcome import Batch, Checkpoint, Outcome, Status, Touch
from engine.model.record import IdRange
from engine.tracking.db import schema
from engine.tracking.db.database import Database, open_database
from engine.tracking.ledger import Ledger
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import a_record, copied, failed, record_id


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def db(tmp_path: Path, clock: ManualClock) -> AsyncIterator[Database]:
    async with open_database(tmp_path / "t.db", clock) as database:
        yield database


async def run_row(db: Database, run_id: int, *columns: str) -> tuple[Any, ...]:
    return (await db.fetch(f"SELECT {', '.join(columns)} FROM migration_runs WHERE id = ?", (run_id,)))[0]


async def test_a_run_counts_what_became_of_every_record(db: Database) -> None:
    ledger = Ledger(db)
    run = await ledger.begin_run("backup", {"migration": {"batch_size": 5}}, version="0.1.0")
    await ledger.write(
        Batch(
            [
                copied(1, is_new=True, read_bytes=40),
                copied(2),
                failed(3, is_new=True, read_bytes=2),
                Outcome(a_record(4), Status.SKIPPED, FailureClass.NO_URL, is_new=True),
                Outcome(a_record(5), Status.PENDING, FailureClass.INTERRUPTED),
            ],
            touches=[Touch(a_record(1))],
            unchanged=10,
        )
    )
    await ledger.end_run(run, "completed_with_failures", "1 record failed")

    assert await run_row(
        db, run, "total_files_processed", "successful_files", "failed_files", "new_files", "updated_files",
        "skipped_files", "bytes_copied", "bytes_read",
    ) == (16, 2, 1, 1, 1, 12, 203, 42)  # fmt: skip
    assert await run_row(db, run, "status", "error_message", "config_snapshot", "version") == (
        "completed_with_failures",
        "1 record failed",
        '{"migration": {"batch_size": 5}}',
        "0.1.0",
    )


async def test_times_of_a_run_come_from_the_clock(db: Database, clock: ManualClock) -> None:
    ledger = Ledger(db)
    run = await ledger.begin_run("backup", {})
    clock.advance(61.5)
    await ledger.end_run(run, "completed")

    assert await run_row(db, run, "start_time", "end_time") == ("2026-11-22T10:00:00.000Z", "2026-11-22T10:01:01.500Z")


async def test_only_runs_left_running_become_crashed(db: Database, clock: ManualClock) -> None:
    ledger = Ledger(db)
    ended = await ledger.begin_run("backup", {})
    await ledger.end_run(ended, "stopped", "SIGTERM")
    dead = await ledger.begin_run("backup", {})
    clock.advance(5)
    await ledger.write(Batch([copied(1)]))
    clock.advance(3600)
    alive = await ledger.begin_run("incremental", {})

    assert await run_row(db, ended, "status", "error_message") == ("stopped", "SIGTERM")
    assert await run_row(db, dead, "status", "end_time") == ("crashed", "2026-11-22T10:00:05.000Z")
    assert await run_row(db, alive, "status", "end_time") == ("running", None)


async def test_a_checkpoint_moves_with_its_batch_and_is_where_the_scan_resumes(db: Database) -> None:
    first = Ledger(db)
    await first.begin_run("backup", {})
    scan = await first.begin_scan("full", "all", restricted=False, watermark="2026-11-22T09:00:00.000Z")
    await first.write(Batch([copied(1)], checkpoints=[Checkpoint(record_id(1), 1)]))
    await first.write(Batch([copied(2)]))
    second = Ledger(db)
    run = await second.begin_run("backup", {})
    left = await second.unfinished_full_scan("all")
    assert left is not None
    assert (left.id, left.last_id, left.watermark) == (scan, record_id(1), "2026-11-22T09:00:00.000Z")
    second.resume_scan(left)
    await second.write(Batch([copied(3)], checkpoints=[Checkpoint(record_id(3), 1, ends=True)]))
    await second.complete_scan()

    done = await second.last_completed_scan("all")
    assert done is not None
    assert (done.id, done.state, done.ended_at) == (scan, "completed", db.now())
    assert await second.unfinished_full_scan("all") is None
    assert run != done.run_id


async def test_a_full_scan_begins_as_one_range_and_is_resumed_from_all_that_it_was_parted_into(db: Database) -> None:
    ledger = Ledger(db)
    await ledger.begin_run("backup", {})
    scan = await ledger.begin_scan("full", "all", restricted=False, watermark="w")
    assert await ledger.unread_ranges(scan) == [IdRange(number=1)]
    given = await ledger.part_range(IdRange(None, "d", 1), [IdRange("d", "m", last="m"), IdRange("m", None)])
    assert given == [IdRange("d", "m", 2, last="m"), IdRange("m", None, 3)]
    assert await ledger.part_range(IdRange("d", "g", 2), [IdRange("g", "m")]) == [IdRange("g", "m", 4)]
    reached = [Checkpoint("b", 1), Checkpoint("g", 2, ends=True), Checkpoint("p", 3)]
    await ledger.write(Batch([copied(1)], checkpoints=reached))

    left = await Ledger(db).unread_ranges(scan)
    assert left == [IdRange("b", "d", 1), IdRange("p", None, 3), IdRange("g", "m", 4)]


async def test_a_range_that_held_nothing_is_through_all_the_same(db: Database) -> None:
    ledger = Ledger(db)
    await ledger.begin_run("backup", {})
    scan = await ledger.begin_scan("full", "all", restricted=False, watermark="w")
    await ledger.write(Batch(checkpoints=[Checkpoint("", 1, ends=True)]))

    assert await ledger.unread_ranges(scan) == []


async def test_ranges_of_scans_that_ended_are_forgotten(db: Database) -> None:
    ledger = Ledger(db)
    await ledger.begin_run("backup", {})
    first = await ledger.begin_scan("full", "all", restricted=False, watermark="w")
    second = await ledger.begin_scan("full", "all", restricted=False, watermark="w")
    assert await ledger.unread_ranges(first) == []
    assert await ledger.unread_ranges(second) != []
    await ledger.complete_scan()

    assert await db.fetch("SELECT * FROM scan_ranges") == []


async def test_late_checkpoints_of_one_scan_do_not_reach_into_the_next(db: Database) -> None:
    ledger = Ledger(db)
    await ledger.begin_run("backup", {})
    await ledger.begin_scan("full", "all", restricted=False, watermark="w")
    await ledger.complete_scan()
    await ledger.write(Batch([copied(1)], checkpoints=[Checkpoint("z", 1)]))
    await ledger.begin_scan("incremental", "all", restricted=False, watermark="w")
    await ledger.write(Batch([copied(2)], checkpoints=[Checkpoint("z", 1)]))

    assert await db.fetch("SELECT last_id FROM scans") == [("",), ("",)]


async def test_a_scan_left_by_an_engine_without_ranges_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "old.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as old:
        schema.migrate(old, schema.STEPS[:2])
        old.execute("INSERT INTO migration_runs (id, run_type, start_time, status) VALUES (1, 'b', 't', 'running')")
        old.execute(
            "INSERT INTO scans (run_id, kind, scope_hash, restricted, state, watermark, last_id, started_at)"
            " VALUES (1, 'full', 'all', 0, 'running', 'w', 'k', 't')"
        )
    async with open_database(path, ManualClock()) as database:
        ledger = Ledger(database)
        left = await ledger.unfinished_full_scan("all")
        assert left is not None
        assert left.last_id == "k"
        assert await ledger.unread_ranges(left.id) == [IdRange("k", None, 1)]


async def test_a_batch_that_fails_does_not_move_the_checkpoint(db: Database) -> None:
    ledger = Ledger(db)
    await ledger.begin_run("backup", {})
    await ledger.begin_scan("full", "all", restricted=False, watermark="w")
    await ledger.write(Batch([copied(1)], checkpoints=[Checkpoint("one", 1)]))
    with pytest.raises(Exception, match="broke a rule"):
        await ledger.write(Batch([copied(2, key="")], checkpoints=[Checkpoint("two", 1)]))

    left = await ledger.unfinished_full_scan("all")
    assert left is not None
    assert left.last_id == "one"


async def test_a_restricted_scan_never_moves_the_watermark(db: Database) -> None:
    ledger = Ledger(db)
    await ledger.begin_run("backup", {})
    for kind, restricted, mark in (("full", False, "w1"), ("incremental", False, "w2"), ("full", True, "w3")):
        await ledger.begin_scan(kind, "all", restricted=restricted, watermark=mark)  # type: ignore[arg-type]
        await ledger.complete_scan()

    last = await ledger.last_completed_scan("all")
    assert last is not None
    assert (last.watermark, last.kind, last.restricted) == ("w2", "incremental", False)
    assert await ledger.last_completed_scan("another scope") is None


async def test_a_new_full_scan_abandons_the_unfinished_one_of_its_scope_only(db: Database) -> None:
    ledger = Ledger(db)
    await ledger.begin_run("backup", {})
    await ledger.begin_scan("full", "a", restricted=False, watermark="w")
    other = await ledger.begin_scan("full", "b", restricted=False, watermark="w")
    newer = await ledger.begin_scan("full", "a", restricted=False, watermark="w")

    found = [await ledger.unfinished_full_scan(scope) for scope in ("a", "b")]
    assert [scan.id for scan in found if scan] == [newer, other]
    await ledger.complete_scan()
    assert await ledger.unfinished_full_scan("a") is None


async def test_a_name_that_is_no_unicode_is_stored_with_a_question_mark_and_counted_once(db: Database) -> None:
    ledger = Ledger(db)
    run = await ledger.begin_run("backup", {})
    await ledger.write(Batch([copied(1), failed(2, record=a_record(2, name="half \ud83d pair")), copied(3)]))

    assert (await ledger.known([record_id(2)]))[record_id(2)].name == "half ? pair"
    assert await run_row(db, run, "total_files_processed", "failed_files") == (3, 1)


@pytest.mark.parametrize(
    "name", ["a\x00b", "'; DROP TABLE file_migrations; --", "😀" * 300, "\u202egpj.exe", '"\\\n\t']
)
async def test_names_of_every_shape_come_back_as_they_were(db: Database, name: str) -> None:
    ledger = Ledger(db)
    record = a_record(1, name=name, account_name=name, url=f"https://vendor.example/{name}", extra=(("F__c", name),))
    await ledger.write(Batch([failed(1, record=record, message=name)]))

    known = (await ledger.known([record_id(1)]))[record_id(1)]
    assert (known.name, known.url) == (record.name, record.url)
    assert [r async for chunk in ledger.pending(["network"]) for r in chunk] == [record]

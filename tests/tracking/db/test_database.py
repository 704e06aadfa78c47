"""Opening, writing, closing: what holds when files are wrong, tasks are cancelled and disks fill up."""

# ruff: noqa: ASYNC240 - files are the subject here

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.model.errors import Blocked, Fatal
from engine.tracking.db import schema
from engine.tracking.db.database import Database, open_database
from tests.support.fakes.clock import ManualClock


def put(value: str, limiter: threading.Event | None = None) -> Callable[[sqlite3.Connection], None]:
    """A write of two rows in two statements; between them it waits for the limiter."""

    def work(db: sqlite3.Connection) -> None:
        db.execute(f"INSERT INTO migration_runs (run_type, start_time, status) VALUES ('{value}', 'a', 'running')")
        if limiter is not None:
            limiter.wait(10)
        db.execute(f"INSERT INTO migration_runs (run_type, start_time, status) VALUES ('{value}', 'b', 'running')")

    return work


async def values(db: Database) -> list[str]:
    return [row[0] for row in await db.fetch("SELECT run_type FROM migration_runs ORDER BY id")]


def stored(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return [row[0] for row in db.execute("SELECT run_type FROM migration_runs ORDER BY id")]


def threads() -> int:
    """Threads alive, after those that are just ending have ended."""
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join(1)
    return threading.active_count()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "t.db"


async def test_it_is_durable_private_and_ours(path: Path) -> None:
    async with open_database(path, ManualClock()) as db:
        pragmas = await db.write(
            lambda c: [
                c.execute(f"PRAGMA {p}").fetchone()[0]
                for p in ("journal_mode", "synchronous", "foreign_keys", "application_id", "user_version")
            ]
        )
        modes = {stat.S_IMODE(Path(f"{path}{suffix}").stat().st_mode) for suffix in ("", "-wal", "-shm")}

    assert pragmas == ["wal", 2, 1, schema.APPLICATION_ID, schema.VERSION]
    assert modes == {0o600}


async def test_a_readable_file_of_ours_becomes_private_again(path: Path) -> None:
    async with open_database(path, ManualClock()):
        pass
    path.chmod(0o644)
    async with open_database(path, ManualClock()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_what_was_written_is_read_at_once_and_after_reopening(path: Path) -> None:
    async with open_database(path, ManualClock()) as db:
        await db.write(put("one"))
        assert await values(db) == ["one", "one"]
    async with open_database(path, ManualClock()) as db:
        assert await values(db) == ["one", "one"]


async def test_after_closing_the_wal_is_folded_in_and_no_thread_is_left(path: Path) -> None:
    before = threads()
    async with open_database(path, ManualClock()) as db:
        await db.write(put("one"))

    assert threads() == before
    assert [file.name for file in path.parent.iterdir()] == ["t.db"]


async def test_an_error_inside_a_write_takes_all_of_it_back_and_the_next_one_works(path: Path) -> None:
    def half(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO migration_runs (run_type, start_time, status) VALUES ('half', 'a', 'running')")
        raise LookupError("midway")

    async with open_database(path, ManualClock()) as db:
        with pytest.raises(LookupError, match="midway"):
            await db.write(half)
        await db.write(put("whole"))
        assert await values(db) == ["whole", "whole"]


async def test_a_row_that_breaks_a_rule_stops_the_run_with_a_plain_message(path: Path) -> None:
    async with open_database(path, ManualClock()) as db:
        with pytest.raises(Fatal, match="broke a rule") as caught:
            await db.write(lambda c: c.execute("INSERT INTO counters VALUES ('x', '', '', -1, 0)"))
        assert caught.value.exit_code == 1


async def test_cancelling_the_caller_midway_neither_loses_nor_splits_the_write(path: Path) -> None:
    limiter = threading.Event()
    async with open_database(path, ManualClock()) as db:
        writing = asyncio.create_task(db.write(put("cancelled", limiter)))
        waiting = asyncio.create_task(db.write(put("queued")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        writing.cancel()
        waiting.cancel()
        await asyncio.wait([writing, waiting])
        limiter.set()
        await db.write(put("next"))

        assert writing.cancelled()
        assert await values(db) == ["cancelled", "cancelled", "queued", "queued", "next", "next"]


async def test_closing_drains_what_was_handed_over_even_when_closing_is_cancelled(path: Path) -> None:
    limiter = threading.Event()

    async def run() -> None:
        async with open_database(path, ManualClock()) as db:
            for number in range(5):
                background.append(asyncio.create_task(db.write(put(str(number), limiter))))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            handed_over.set()

    background: list[asyncio.Task[None]] = []
    handed_over = asyncio.Event()
    task = asyncio.create_task(run())
    await handed_over.wait()
    for _ in range(200):
        await asyncio.sleep(0.001)
        task.cancel()
    limiter.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait(background)

    assert stored(path) == [str(n) for n in range(5) for _ in range(2)]


async def test_no_more_than_sixteen_writes_are_in_hand(path: Path) -> None:
    limiter = threading.Event()
    async with open_database(path, ManualClock()) as db:
        tasks = [asyncio.create_task(db.write(put(str(n), limiter))) for n in range(40)]
        for _ in range(5):
            await asyncio.sleep(0)
        in_hand = db._writer._tx.qsize()
        limiter.set()
        await asyncio.gather(*tasks)
        assert len(await values(db)) == 80

    assert in_hand <= 16


async def test_bound_values_never_reach_the_log(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with open_database(path, ManualClock()) as db:
        await db.fetch("SELECT ?", ("X-Amz-Signature=canary",))

    assert "canary" not in caplog.text


# files that are not what they should be


def make(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["CREATE TABLE songs (x)"], "another program"),
        (["PRAGMA application_id = 77"], "another program"),
        (["PRAGMA user_version = 3"], "another program"),
        (["CREATE TABLE file_migrations (x)"], "original scripts"),
        ([f"PRAGMA application_id = {schema.APPLICATION_ID}", "PRAGMA user_version = 99"], "newer engine"),
    ],
)
async def test_foreign_and_newer_databases_are_refused_untouched(
    path: Path, statements: list[str], message: str
) -> None:
    make(path, *statements)
    path.chmod(0o640)
    before = path.read_bytes()

    with pytest.raises(Blocked, match=message) as caught:
        async with open_database(path, ManualClock()):
            pass

    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert (path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) == (before, 0o640)


async def test_a_file_that_is_no_database_is_refused_untouched(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 not a database at all" * 200)
    before = path.read_bytes()

    with pytest.raises(Blocked, match="not a SQLite database"):
        async with open_database(path, ManualClock()):
            pass
    assert path.read_bytes() == before


async def test_a_damaged_file_is_refused_with_the_way_out(path: Path) -> None:
    async with open_database(path, ManualClock()) as db:
        for number in range(60):
            await db.write(put(str(number) * 50))
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = os.urandom(64)
    path.write_bytes(content)

    with pytest.raises(Blocked, match="damaged") as caught:
        async with open_database(path, ManualClock()):
            pass
    assert "snapshot" in caught.value.hint


async def test_an_empty_file_of_ours_is_a_new_database(path: Path) -> None:
    path.touch(mode=0o600)
    async with open_database(path, ManualClock()) as db:
        assert await values(db) == []


async def test_a_failed_opening_leaves_no_thread(path: Path) -> None:
    make(path, "CREATE TABLE songs (x)")
    before = threads()
    for _ in range(3):
        with pytest.raises(Blocked):
            async with open_database(path, ManualClock()):
                pass

    assert threads() == before


async def test_a_file_locked_by_another_program_is_named_as_such(path: Path) -> None:
    async with open_database(path, ManualClock()) as db:
        await db.write(lambda c: c.execute("PRAGMA busy_timeout = 20").fetchall())
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(Fatal, match="another process keeps it locked"):
                await db.write(put("x"))
            other.execute("ROLLBACK")
        await db.write(put("y"))
        assert await values(db) == ["y", "y"]


async def test_after_an_i_o_error_nothing_more_is_written(path: Path) -> None:
    def broken(db: sqlite3.Connection) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
        raise error

    async with open_database(path, ManualClock()) as db:
        await db.write(put("before"))
        for work in (broken, put("after"), put("after")):
            with pytest.raises(Fatal, match="I/O error"):
                await db.write(work)
        assert await values(db) == ["before", "before"]

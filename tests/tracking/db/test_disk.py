"""Full and read-only disks: what was committed stays, the message says what to do, and it heals."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from engine.model.errors import Blocked, Fatal
from engine.model.outcome import Batch
from engine.tracking.db.database import Database, open_database
from engine.tracking.db.lock import RunLock
from engine.tracking.ledger import Ledger
from engine.tracking.read.report import open_report
from tests.support.disks import may_mount, remount, small_disk
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import copied

MOUNTS = may_mount()

LIMITED = """
import asyncio, resource, signal, sys
from pathlib import Path
from engine.model.errors import Fatal
from engine.model.outcome import Batch
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import copied

async def main():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    async with open_database(Path(sys.argv[1]), ManualClock()) as db:
        ledger = Ledger(db)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))
        for n in range(0, 100_000, 100):
            await ledger.write(Batch([copied(i) for i in range(n, n + 100)]))
            print(n + 100, flush=True)

try:
    asyncio.run(main())
except Fatal as error:
    print(error, "|", error.hint, file=sys.stderr)
    sys.exit(error.exit_code)
"""


async def fill(db: Database, limit: int = 100_000) -> tuple[int, Fatal]:
    """Write batches until it fails: rows acknowledged, and the error."""
    ledger = Ledger(db)
    for start in range(0, limit, 100):
        try:
            await ledger.write(Batch([copied(n) for n in range(start, start + 100)]))
        except Fatal as error:
            return start, error
    raise AssertionError("the disk never filled up")


async def check(db: Database, rows: int) -> None:
    assert await db.fetch("PRAGMA quick_check") == [("ok",)]
    assert await db.fetch("SELECT count(*) FROM file_migrations") == [(rows,)]
    assert await db.fetch("SELECT coalesce(sum(files), 0) FROM counters") == [(rows,)]


async def test_a_full_database_refuses_the_batch_keeps_the_rest_and_heals(tmp_path: Path) -> None:
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        await db.write(lambda c: c.execute("PRAGMA max_page_count = 200").fetchall())
        rows, error = await fill(db)
        assert "disk is full" in str(error)
        assert "space" in error.hint
        assert error.exit_code == 1
        await check(db, rows)
        await db.write(lambda c: c.execute("PRAGMA max_page_count = 100000").fetchall())
        await Ledger(db).write(Batch([copied(999_999)]))
        await check(db, rows + 1)


def test_a_file_size_limit_ends_the_process_with_all_acknowledged_rows_stored(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    child = subprocess.run(
        [sys.executable, "-c", LIMITED, str(path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert child.returncode == 1, child.stderr
    assert "tracking database" in child.stderr
    assert "start again" in child.stderr
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM file_migrations").fetchone() == (int(child.stdout.split()[-1]),)


if MOUNTS:

    async def test_a_full_disk_stops_the_run_and_a_bigger_one_goes_on() -> None:
        with small_disk(3) as folder:
            async with open_database(folder / "t.db", ManualClock()) as db:
                rows, error = await fill(db)
                assert rows > 0
                assert "disk is full" in str(error)
            remount(folder, "size=30m")
            async with open_database(folder / "t.db", ManualClock()) as db:
                await check(db, rows)
                await Ledger(db).write(Batch([copied(999_999)]))
                await check(db, rows + 1)

    async def test_a_disk_that_is_full_from_the_start_blocks_with_a_hint() -> None:
        with small_disk(1) as folder:
            (folder / "ballast").write_bytes(b"x" * ((1 << 20) - 4096))
            with pytest.raises(Blocked) as caught:
                async with open_database(folder / "t.db", ManualClock()):
                    pass
            assert caught.value.exit_code == 4
            assert "full" in str(caught.value)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Nobody may write to the folder: by mode, or for root by mount."""
    if MOUNTS:
        remount(folder, "ro")
    else:
        folder.chmod(0o500)
    try:
        yield
    finally:
        if MOUNTS:
            remount(folder, "rw")
        else:
            folder.chmod(0o700)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A folder that ``read_only`` can close."""
    if MOUNTS:
        with small_disk(20) as folder:
            yield folder
    else:
        yield tmp_path


async def test_a_read_only_directory_blocks_opening_locking_and_reading_with_a_hint(disk: Path) -> None:
    path = disk / "t.db"
    async with open_database(path, ManualClock()) as db:
        await Ledger(db).write(Batch([copied(1)]))
    with read_only(disk):
        with pytest.raises(Blocked) as opening:
            async with open_database(path, ManualClock()):
                pass
        with pytest.raises(Blocked) as creating:
            async with open_database(disk / "new.db", ManualClock()):
                pass
        with pytest.raises(Blocked) as locking, RunLock(disk / "other.db", ManualClock()):
            pass
        with pytest.raises(Blocked) as reading, open_report(path):
            pass

    for caught in (opening, creating, locking, reading):
        assert caught.value.exit_code == 4
        assert "tracking.database" in caught.value.hint

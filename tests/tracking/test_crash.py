"""Real processes that die: by kill -9 while writing, and by an exception nobody caught."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.read.report import open_report
from tests.support.fakes.clock import ManualClock
from tests.support.killed_writer import PRELUDE, WRITER, consistent

RAISING = (
    PRELUDE
    + """
async def main():
    async with open_database(Path(sys.argv[1]), ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.write(Batch([copied(1)]))
        waiting = asyncio.create_task(ledger.write(Batch([copied(2)])))
        await asyncio.sleep(0)
        {how}
asyncio.run(main())
"""
)

FORGETFUL = (
    PRELUDE
    + """
async def main():
    opened = open_database(Path(sys.argv[1]), ManualClock())
    db = await opened.__aenter__()
    await Ledger(db).write(Batch([copied(1)]))
    return opened
kept = asyncio.run(main())
"""
)


def test_kill_minus_nine_in_mid_write_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    chance = random.Random(11)
    for life in range(6):
        child = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(life)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(chance.random() * 0.3)
        os.kill(child.pid, signal.SIGKILL)
        acknowledged = int(child.communicate()[0].split()[-1])

        with open_report(path) as report:
            files = report.files()
        assert files["tracked"] == sum(files[s] for s in files if s not in ("tracked", "bytes"))
        with closing(sqlite3.connect(path)) as db:
            checkpoint, new = (
                int(db.execute("SELECT max(last_id) FROM scans").fetchone()[0]),
                {row[0] for row in db.execute("SELECT doclist_entry_id FROM file_migrations WHERE id > 0")},
            )
        assert checkpoint in (acknowledged, acknowledged + 1)
        assert {f"a0B{100_000 + step:015d}" for step in range(1, checkpoint + 1)} <= new
        assert f"a0B{100_000 + checkpoint + 1:015d}" not in new
        assert consistent(path) == files["tracked"]


async def test_a_dead_run_is_marked_crashed_by_the_next(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    child = subprocess.Popen(  # noqa: ASYNC220 - the child is the subject
        [sys.executable, "-c", WRITER, str(path), "1"], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    child.stdout.readline()
    child.kill()
    child.communicate()

    async with open_database(path, ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        left = await ledger.unfinished_full_scan("all")
    with open_report(path) as report:
        new, old = report.runs()

    assert (old["status"], new["status"]) == ("crashed", "running")
    assert old["end_time"] == old["last_update"]
    assert old["error_message"]
    assert old["total_files_processed"] > 0
    assert left is not None
    assert int(left.last_id) >= 1


@pytest.mark.parametrize("how", ["raise LookupError('boom')", "sys.exit(7)", "raise KeyboardInterrupt", "1 / 0"])
def test_a_process_with_an_exception_in_flight_exits_and_keeps_what_was_handed_over(tmp_path: Path, how: str) -> None:
    path = tmp_path / "t.db"
    child = subprocess.run(
        [sys.executable, "-c", RAISING.replace("{how}", how), str(path)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert child.returncode != 0
    assert "Event loop is closed" not in child.stderr
    assert consistent(path) == 2


def test_a_process_that_forgot_to_close_exits_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    subprocess.run([sys.executable, "-c", FORGETFUL, str(path)], capture_output=True, timeout=30, check=True)

    assert consistent(path) == 1

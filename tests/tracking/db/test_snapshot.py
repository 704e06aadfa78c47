"""Copies of the tracking DB, taken while a run writes."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from engine.model.errors import Blocked
from engine.tracking.db.database import open_database
from engine.tracking.db.snapshot import snapshot
from tests.support.fakes.clock import ManualClock
from tests.support.killed_writer import WRITER, consistent


def test_a_snapshot_taken_during_a_run_is_whole_private_and_one_file(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    child = subprocess.Popen([sys.executable, "-c", WRITER, str(path), "3"], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        sizes = []
        for number in range(5):
            seen = int(child.stdout.readline())
            target = tmp_path / f"copy{number}.db"
            sizes.append(snapshot(path, target))
            with closing(sqlite3.connect(target)) as db:
                assert int(db.execute("SELECT max(last_id) FROM scans").fetchone()[0]) >= seen
            assert consistent(target) > 0
            assert stat.S_IMODE(target.stat().st_mode) == 0o600
        assert child.poll() is None
    finally:
        child.kill()
        child.communicate()

    assert min(sizes) > 0
    assert sorted(f.name for f in tmp_path.iterdir() if f.name.startswith("copy")) == [f"copy{n}.db" for n in range(5)]


async def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    async with open_database(tmp_path / "t.db", ManualClock()):
        pass
    target = tmp_path / "copy.db"
    target.write_text("precious")

    with pytest.raises(Blocked, match="never overwrites"):
        snapshot(tmp_path / "t.db", target)
    assert target.read_text() == "precious"
    assert not (tmp_path / "copy.db.partial").exists()


def test_a_foreign_or_missing_database_is_not_copied(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "songs.db")) as db:
        db.execute("CREATE TABLE songs (x)")
    for source in ("songs.db", "missing.db"):
        with pytest.raises(Blocked):
            snapshot(tmp_path / source, tmp_path / "copy.db")

    assert [f.name for f in tmp_path.iterdir()] == ["songs.db"]


def test_a_target_in_no_directory_is_refused_with_its_name(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "t.db")) as db:
        db.execute("PRAGMA user_version = 0")
    with pytest.raises(Blocked, match="nowhere"):
        snapshot(tmp_path / "t.db", tmp_path / "nowhere" / "copy.db")

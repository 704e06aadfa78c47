"""What the tracking DB's file may be like: foreign, newer, damaged, out of reach, out of space, in use."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import resource
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commands import BACKUP, refused
from tests.support.corner import Corner, ended, until
from tests.support.disks import may_mount, remount, small_disk

OTHER_ORG = "00D000000000001AAA"


def of_the_scripts(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE file_migrations (id INTEGER PRIMARY KEY, doclist_entry_id TEXT)")


def of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE songs (id INTEGER PRIMARY KEY, title TEXT)")


def newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA application_id = 0x656E6731")
        db.execute("PRAGMA user_version = 999")


def garbage(path: Path) -> None:
    path.write_bytes(b"this is no database at all" * 200)


def a_directory(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (of_the_scripts, ("original scripts", "stays as it is", "set tracking.database")),
        (of_another_program, ("another program", "set tracking.database")),
        (newer, ("newer engine", "schema 999", "upgrade")),
        (garbage, ("not a SQLite database", "tracking.database")),
        (a_directory, ("not a regular file", "tracking.database")),
    ],
)
@pytest.mark.parametrize("words", [BACKUP, ("status",)])
def test_a_file_that_is_not_ours_is_refused_and_left_as_it_is(
    corner: Corner, make: Callable[[Path], None], told: tuple[str, ...], words: tuple[str, ...]
) -> None:
    make(corner.database)
    before = corner.database.read_bytes() if corner.database.is_file() else b""
    said = corner.engine(*words)
    refused(said, 4, *told)
    assert ("engine import-legacy FILE" in said.err) is (make is of_the_scripts)
    assert before == (corner.database.read_bytes() if corner.database.is_file() else b"")


def test_a_damaged_db_is_refused_with_the_way_to_restore_it(corner: Corner) -> None:
    corner.files(30)
    assert corner.engine(*BACKUP).code == 0
    data = bytearray(corner.database.read_bytes())
    data[4096 * 2 : 4096 * 4] = b"\xa5" * 8192
    corner.database.write_bytes(data)
    refused(corner.engine(*BACKUP), 4, "damaged", "snapshot", "full backup")
    assert corner.database.read_bytes() == data


def test_a_db_that_was_made_read_only_is_refused_and_stays_so(corner: Corner) -> None:
    corner.files(3)
    assert corner.engine(*BACKUP).code == 0
    corner.database.chmod(0o400)
    before = corner.database.read_bytes()
    refused(corner.engine(*BACKUP), 4, "read-only", f"chmod u+w {corner.database}")
    assert corner.engine("status").code == 0  # SQLite leaves read-only companions behind
    said = corner.engine(*BACKUP)
    assert said.code == 4
    assert corner.database.read_bytes() == before
    assert corner.database.stat().st_mode & 0o777 == 0o400

    for name in said.err.partition("chmod u+w ")[2].split():
        Path(name).chmod(0o600)
    assert corner.engine(*BACKUP).code == 0


@pytest.mark.parametrize("words", [BACKUP, ("status",), ("db", "snapshot", "copy.db")])
def test_a_path_below_a_file_is_refused(corner: Corner, words: tuple[str, ...]) -> None:
    (corner.directory / "file").write_text("")
    said = corner.engine(*words, ENGINE_TRACKING__DATABASE=str(corner.directory / "file" / "tracking.db"))
    refused(said, 4, "tracking.database")


@pytest.mark.parametrize("words", [("status",), ("status", "--json"), ("db", "snapshot", "copy.db")])
def test_looking_at_a_db_that_is_not_there_says_how_to_get_one(corner: Corner, words: tuple[str, ...]) -> None:
    said = corner.engine(*words)
    assert said.code == 4
    assert "run a backup first" in said.err
    assert not corner.database.exists()


def test_a_db_of_another_org_is_refused(corner: Corner) -> None:
    corner.files(1)
    assert corner.engine(*BACKUP).code == 0
    with closing(sqlite3.connect(corner.database)) as db:
        db.execute("UPDATE migration_runs SET config_snapshot = json_set(config_snapshot, '$.org_id', ?)", (OTHER_ORG,))
        db.commit()
    refused(corner.engine(*BACKUP), 4, OTHER_ORG, "00D5e00000SimOrEAJ")


# in use


def test_a_second_run_leaves_with_11_within_two_seconds_having_changed_nothing(corner: Corner) -> None:
    corner.files(3)
    assert corner.engine(*BACKUP).code == 0
    holder = {"pid": os.getpid(), "host": "here", "started": "now", "command": "engine run backup --full"}
    with Path(f"{corner.database}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(json.dumps(holder))
        lock.flush()
        before = digest(corner)
        said = corner.process(*BACKUP)
        assert digest(corner) == before
    refused(said, 11, "another run holds the lock", "engine run backup --full", str(os.getpid()))
    assert said.cpu < 2.0
    assert corner.engine(*BACKUP).code == 0


def digest(corner: Corner) -> dict[str, str]:
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in corner.directory.rglob("*")
        if path.is_file() and path.suffix != ".lock"
    }


# out of space


def slow(corner: Corner) -> None:
    """Copies take a while, so that something can happen to them."""
    corner.misbehave(kind="delay", method="PUT", seconds=0.15)
    corner.env["ENGINE_MIGRATION__CONCURRENCY"] = "4"


def test_a_write_that_fails_half_way_ends_with_1_and_a_resume_brings_the_rest(corner: Corner) -> None:
    ids = corner.files(80)
    slow(corner)
    run = corner.start(*BACKUP)
    until(lambda: corner.recorded() > 5, "the first outcomes are recorded")
    resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
    said = ended(run)
    assert said.code == 1, said.everything
    assert "tracking database" in said.err
    assert f"safe in {corner.database}" in said.err
    assert "engine run backup --incremental" in said.err
    assert "Traceback" not in said.err
    heals(corner, ids, "--incremental")


def heals(corner: Corner, ids: list[str], way: str) -> None:
    """What was recorded stays, and the next run brings the rest, copying nothing twice."""
    recorded = corner.recorded()
    assert 0 < recorded < len(ids)
    assert corner.status()["files"]["tracked"] == recorded
    corner.misbehave()
    assert corner.engine("run", "backup", way, "--no-progress").code == 0
    assert {row["status"] for row in corner.rows().values()} == {"backed_up"}
    assert set(corner.rows()) == set(ids)
    assert len(corner.held()) == len(ids)


if may_mount():

    def test_a_disk_that_fills_up_ends_with_1_and_loses_nothing(corner: Corner) -> None:
        ids = corner.files(80)
        slow(corner)
        with small_disk(4) as disk:
            corner.move(disk)
            run = corner.start(*BACKUP)
            until(lambda: corner.recorded() > 5, "the first outcomes are recorded")
            fill(disk)
            said = ended(run)
            assert said.code == 1, said.everything
            assert "the disk is full" in said.err
            assert "free some space" in said.err
            assert "engine run backup --incremental" in said.err
            assert "Traceback" not in said.err
            (disk / "ballast").unlink()
            heals(corner, ids, "--full")

    def test_a_disk_that_is_full_before_the_start_is_refused(corner: Corner) -> None:
        corner.files(1)
        with small_disk(1) as disk:
            corner.move(disk)
            fill(disk)
            refused(corner.engine(*BACKUP), 4, "full")
            assert corner.held() == {}

    def test_a_read_only_disk_is_refused(corner: Corner) -> None:
        corner.files(1)
        with small_disk(4) as disk:
            corner.move(disk)
            assert corner.engine(*BACKUP).code == 0
            remount(disk, "ro")
            refused(corner.engine(*BACKUP), 4, "tracking.database")
            corner.env["ENGINE_TRACKING__DATABASE"] = str(disk / "new.db")
            refused(corner.engine(*BACKUP), 4, "tracking.database")

    def test_a_full_disk_under_the_logs_does_not_stop_a_run(corner: Corner) -> None:
        corner.files(20)
        with small_disk(1) as disk:
            fill(disk)
            corner.env["ENGINE_LOGGING__DIRECTORY"] = str(disk / "logs")
            said = corner.process(*BACKUP)
            assert said.code == 0, said.everything
            assert said.err.count("cannot log to") == 1
            assert len(corner.held()) == 20


def fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        for piece in (65536, 4096, 512, 1):
            try:
                while True:
                    ballast.write(b"x" * piece)
            except OSError:
                continue


def test_the_db_and_its_lock_are_private(corner: Corner) -> None:
    corner.files(1)
    old = os.umask(0o000)
    try:
        assert corner.engine(*BACKUP).code == 0
    finally:
        os.umask(old)
    modes = {path.name: path.stat().st_mode & 0o777 for path in corner.directory.glob("tracking.db*")}
    assert set(modes.values()) == {0o600}, modes
    assert {path.stat().st_mode & 0o777 for path in corner.logs.glob("*")} == {0o600}

"""One run at a time (I10)."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.model.errors import Blocked, Locked
from engine.tracking.db.lock import RunLock
from tests.support.fakes.clock import ManualClock

HOLDER = """
import sys, time
from pathlib import Path
from engine.tracking.db.lock import RunLock
from tests.support.fakes.clock import ManualClock
with RunLock(Path(sys.argv[1]), ManualClock(), command="engine run backup"):
    print("held", flush=True)
    time.sleep(60)
"""


def hold(path: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def end(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()


def test_a_second_process_is_told_who_holds_the_lock_within_two_seconds(tmp_path: Path) -> None:
    holder = hold(tmp_path / "t.db")
    try:
        start = time.monotonic()
        with pytest.raises(Locked) as caught, RunLock(tmp_path / "t.db", ManualClock()):
            pass
        assert time.monotonic() - start < 2
    finally:
        end(holder)

    assert caught.value.exit_code == 11
    assert f"engine run backup (process {holder.pid} on " in str(caught.value)
    assert "since 2026-11-22T10:00:00.000Z" in str(caught.value)


def other_name(path: Path, victim: Path) -> None:
    os.link(victim, path)


def pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("put", [other_name, pipe])
def test_what_lies_there_and_is_no_lock_of_ours_is_refused_and_not_emptied(
    tmp_path: Path, put: Callable[[Path, Path], None]
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    put(tmp_path / "t.db.lock", victim)
    with pytest.raises(Blocked, match="no lock file of ours"), RunLock(tmp_path / "t.db", ManualClock()):
        pass
    assert victim.read_text() == "precious"


def test_it_frees_itself_when_its_holder_is_killed(tmp_path: Path) -> None:
    holder = hold(tmp_path / "t.db")
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()

    with RunLock(tmp_path / "t.db", ManualClock()) as lock:
        assert str(os.getpid()) in lock.path.read_text()


def test_it_can_be_taken_again_after_it_was_given_back(tmp_path: Path) -> None:
    for _ in range(3):
        with RunLock(tmp_path / "t.db", ManualClock()) as lock:
            assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    assert lock.path.read_bytes() == b""


def test_one_process_cannot_hold_it_twice(tmp_path: Path) -> None:
    with (
        RunLock(tmp_path / "t.db", ManualClock()),
        pytest.raises(Locked),
        RunLock(tmp_path / "t.db", ManualClock()),
    ):
        pass


def test_a_holder_that_has_not_signed_yet_is_still_a_holder(tmp_path: Path) -> None:
    with RunLock(tmp_path / "t.db", ManualClock()) as lock:
        lock.path.write_bytes(b"")
        with pytest.raises(Locked, match="just starting"), RunLock(tmp_path / "t.db", ManualClock()):
            pass


def test_a_symbolic_link_in_place_of_the_lock_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "t.db.lock").symlink_to(tmp_path / "victim")

    with pytest.raises(Blocked), RunLock(tmp_path / "t.db", ManualClock()):
        pass
    assert (tmp_path / "victim").read_text() == "precious"


def test_no_handle_is_left_open_whether_it_was_taken_or_not(tmp_path: Path) -> None:
    before = len(list(Path("/dev/fd").iterdir()))
    with RunLock(tmp_path / "t.db", ManualClock()):
        for _ in range(5):
            with pytest.raises(Locked), RunLock(tmp_path / "t.db", ManualClock()):
                pass

    assert len(list(Path("/dev/fd").iterdir())) == before

"""A file that a person names is replaced as a whole; what is no plain file stays what it is."""

from __future__ import annotations

import asyncio
import io
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from rich.console import Console

from engine.model.errors import Blocked, Fatal
from engine.runs.analyze.files import write_text
from engine.runs.rehearsal.init import write_settings
from engine.runs.shared.exports import replacing
from engine.runs.shared.profile import profiling
from engine.runs.status.document import export
from engine.runs.status.status import StatusOptions, show_status
from engine.runs.verify.report import Lines, Symbol
from engine.settings import Settings
from engine.tracking.db.database import open_database
from engine.tracking.read.report import open_report
from tests.support.fakes.clock import ManualClock


def exported(path: Path) -> None:
    async def made(database: Path) -> None:
        async with open_database(database, ManualClock()):
            pass

    with TemporaryDirectory() as room:
        asyncio.run(made(Path(room) / "t.db"))
        with open_report(Path(room) / "t.db") as report:
            export(report, path, ("checksum",))


def forced(path: Path) -> None:
    write_settings(path, force=True)


def analysed(path: Path) -> None:
    write_text(path, "some text\n")


@pytest.fixture(params=[exported, analysed, forced])
def put(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """Each command that replaces a file: ``status --export``, ``analyze --export`` and ``--archived``, ``init``."""
    chosen: Callable[[Path], None] = request.param
    return chosen


def test_a_plain_file_is_replaced_by_a_private_one(tmp_path: Path, put: Callable[[Path], None]) -> None:
    path = tmp_path / ("a" * 255)
    path.write_text("old")
    path.chmod(0o644)
    before = path.stat().st_ino
    put(path)
    assert path.stat().st_ino != before
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() not in {"", "old"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("dangling", [True, False])
def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path, put: Callable[[Path], None], dangling: bool) -> None:
    away = tmp_path / "away"
    away.mkdir()
    target, path = away / "target", tmp_path / "link"
    path.symlink_to(target)
    if not dangling:
        target.write_text("old")
    put(path)
    assert path.readlink() == target
    assert target.read_text() not in {"", "old"}
    assert list(away.iterdir()) == [target]


def test_a_pipe_stays_and_is_told_everything(tmp_path: Path, put: Callable[[Path], None]) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        put(path)
        assert os.read(reader, 1 << 20)
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.lstat().st_mode)


def test_what_cannot_be_written_to_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        with pytest.raises(Blocked, match="socket cannot be written"):
            analysed(path)
    with pytest.raises(Blocked, match="cannot be written"):
        analysed(tmp_path)
    assert stat.S_ISSOCK(path.lstat().st_mode)


def reported(path: Path) -> None:
    with Lines(path) as lines:
        lines.add(Symbol.DIFFER, "a0X", "key", "why")


def profiled(path: Path) -> None:
    with profiling(path):
        pass


def listed(path: Path) -> None:
    with TemporaryDirectory() as room:
        settings = Settings.model_validate(
            {"destination": {"bucket": "ours"}, "tracking": {"database": f"{room}/t.db"}}
        )

        async def made() -> None:
            async with open_database(settings.tracking.database, ManualClock()):
                pass

        asyncio.run(made())
        show_status(settings, StatusOptions(not_ready=path), Console(file=io.StringIO()))


@pytest.fixture(params=[reported, profiled, listed])
def begun(request: pytest.FixtureRequest) -> Callable[[Path], None]:
    """What is written while work goes on: ``verify --report``, ``--profile``, ``status --not-ready``."""
    chosen: Callable[[Path], None] = request.param
    return chosen


def test_what_others_hold_under_a_name_is_replaced_and_not_written_to(
    tmp_path: Path, begun: Callable[[Path], None]
) -> None:
    path, other = tmp_path / "out.txt", tmp_path / "other"
    other.write_text("precious")
    other.chmod(0o666)
    os.link(other, path)
    with other.open() as held:
        begun(path)
        assert held.read() == other.read_text() == "precious"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() not in {"", "precious"}
    assert sorted(tmp_path.iterdir()) == [other, path]


def test_a_new_one_is_private_whatever_the_umask(tmp_path: Path, begun: Callable[[Path], None]) -> None:
    before = os.umask(0)
    try:
        begun(tmp_path / "out.txt")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out.txt").stat().st_mode) == 0o600


@pytest.mark.parametrize("dangling", [True, False])
def test_a_link_is_not_followed(tmp_path: Path, begun: Callable[[Path], None], dangling: bool) -> None:
    path, target = tmp_path / "out.txt", tmp_path / "target"
    path.symlink_to(target)
    if not dangling:
        target.write_text("precious")
    with pytest.raises(Fatal, match="symbolic link"):
        begun(path)
    assert path.readlink() == target
    assert (target.read_text() == "precious") if not dangling else not target.exists()


def test_a_pipe_is_told_what_is_written_along_the_way(tmp_path: Path, begun: Callable[[Path], None]) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        begun(path)
        assert os.read(reader, 1 << 20)
    finally:
        os.close(reader)
    assert stat.S_ISFIFO(path.lstat().st_mode)


def test_a_write_that_fails_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "there"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), replacing(path) as file:  # noqa: PT012 - the block is what fails
        file.write("half")
        raise OSError("disk full")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]

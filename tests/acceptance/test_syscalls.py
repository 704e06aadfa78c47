"""The real command at the edge of its disk: signals at its writes, a full disk, two processes at once.

All writes and fsyncs: ``python -m tests.acceptance.syscalls``.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from engine.rehearsal.stage import stage
from tests.acceptance.switch_ordeal import PLAIN
from tests.acceptance.syscalls import SETTINGS, SWITCH, UNDO, Injected, why_not
from tests.support.acceptance import engine
from tests.support.disks import may_mount, small_disk

WHY_NOT = why_not()
MOUNTS = may_mount()


@pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "-")
@pytest.mark.timeout(300)
async def test_a_signal_at_a_write_or_an_fsync_leaves_no_link_without_a_way_back(tmp_path: Path) -> None:
    async with stage(tmp_path / "stage", 40, 5, overrides=SETTINGS, cast=PLAIN) as place:
        play = Injected(place)
        await play.begin()
        for calls, name, number in [
            ("pwrite64", "SIGKILL", 40),
            ("fsync,fdatasync", "SIGKILL", 6),
            ("pwrite64", "SIGTERM", 30),
        ]:
            assert await play.one(calls, name, number), (calls, name, number)
        assert play.result.problems == []


@pytest.mark.skipif(not MOUNTS, reason="mounting a tmpfs is not allowed here")
@pytest.mark.timeout(300)
async def test_a_disk_that_fills_up_stops_the_switch_and_the_way_back_is_whole(tmp_path: Path) -> None:
    with small_disk(6) as folder:
        settings = SETTINGS | {"tracking": {"database": str(folder / "t.db")}}
        async with stage(tmp_path / "stage", 200, 5, overrides=settings, cast=PLAIN) as place:
            play = Injected(place)
            play.database = folder / "t.db"
            await play.begin()
            ballast = folder / "ballast"
            for left in (4_000, 40_000, 120_000):
                _fill(ballast, left)
                code = await (await engine(place, *SWITCH)).wait()
                assert code in {1, 4}, (left, code)
                ballast.unlink()  # SQLite needs some room even to be read
                await play.check_journal()
                await play.must(*UNDO, codes={0, 3, 4})
                assert await play.links() == play.before
            assert play.result.problems == []


def _fill(ballast: Path, left: int) -> None:
    """All but so many bytes."""
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            file.truncate(max(0, ballast.stat().st_size - left))


@pytest.mark.timeout(300)
async def test_of_two_switches_at_once_one_works_and_the_other_does_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path / "stage", 40, 5, overrides=SETTINGS, cast=PLAIN) as place:
        play = Injected(place)
        await play.begin()
        both = [await engine(place, *SWITCH) for _ in range(2)]
        codes = sorted(await asyncio.gather(*(process.wait() for process in both)))
        assert codes[1] == 11, codes
        assert codes[0] in {0, 3}, codes
        await play.check_journal()
        await play.must(*UNDO, codes={0, 3})
        assert await play.links() == play.before
        assert play.result.problems == []

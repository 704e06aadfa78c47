"""``engine demo``: a whole migration with the real command against local stand-ins, in under two minutes.

At the end an independent check compares bucket, DB and links with what the generator expected; the exit code is 0 only
if everything is as expected.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from engine.model.command import quoted
from engine.model.errors import Usage
from engine.runs.rehearsal.links import Links
from engine.runs.rehearsal.play import Part, Play
from engine.runs.rehearsal.rehearse import need_rehearsal

if TYPE_CHECKING:
    from rich.console import Console

    from engine.rehearsal.stage import Stage

LATE = 60
"""Records that arrive during the demo."""
DELETED = 3
"""Records that users delete."""


def demo(records: int, directory: Path, seed: int, console: Console) -> int:
    """Play it. Returns the exit code."""
    need_rehearsal()
    if directory.exists() and any(directory.iterdir()) and not (directory / "expected.ndjson").exists():
        raise Usage(f"{directory} holds something else", hint="Choose another --directory.")
    shutil.rmtree(directory, ignore_errors=True)
    return asyncio.run(_demo(records, directory, seed, console))


async def _demo(records: int, directory: Path, seed: int, console: Console) -> int:
    from engine.rehearsal.stage import stage

    async with stage(directory, records, seed, overrides={"migration": {"concurrency": 32}}) as place:
        play = Play(place, console)
        play.section("The stage: a Salesforce org and an S3 service, both local stand-ins")
        play.line(f"{records:,} records, {len(place.world.objects):,} files; settings in {place.settings_file}")
        for part in (*_Files(play, records).parts, *Links(play, _copied(place)).parts):
            await part()
        play.section("The end")
        for problem in play.problems:
            play.line(f"NOT AS EXPECTED: {problem}")
        if play.problems:
            return 1
        play.line(f"Everything as expected. The tracking DB, logs and settings are in {directory}/")
        there = quoted(directory)
        play.line(f"Look at them: sqlite3 {there}/migration_tracking.db, or less {there}/logs/*")
        return 0


def _copied(place: Stage) -> list[str]:
    """Records whose files are copied and which nobody deletes."""
    return [each.id for each in place.world.expected if each.status == "backed_up"][DELETED:]


class _Files:
    """The first half: files are copied."""

    def __init__(self, play: Play, records: int) -> None:
        self._play = play
        self._place = play.place
        self._records = records

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.backup_and_kill, self.resume, self.changes, self.status, self.compare)

    async def backup_and_kill(self) -> None:
        self._play.section("A full backup, killed (SIGKILL) half-way")
        process = await self._play.start("run", "backup", "--full", "--no-progress")
        target = self._records // 2
        watching = asyncio.ensure_future(process.wait())
        while process.returncode is None and self._recorded() < target:
            await asyncio.wait([watching], timeout=0.05)
        if process.returncode is not None:
            self._play.problems.append("the backup ended before it could be killed")
            return
        process.send_signal(signal.SIGKILL)
        await process.wait()
        self._play.line(f"killed with {self._recorded():,} of {self._records:,} records recorded")

    async def resume(self) -> None:
        self._play.section("The resume: the rest, and nothing twice")
        await self._play.engine("run", "backup", "--incremental", "--no-progress", codes={3})

    async def changes(self) -> None:
        from engine.rehearsal.check import expect_gone
        from engine.rehearsal.generator import generate

        self._play.section("Users go on working; an incremental run follows")
        late = generate(LATE, seed=2, first=self._records + 1)
        await self._place.add(late)
        deleted = [each.id for each in self._place.world.expected if each.status == "backed_up"][:DELETED]
        await self._place.org("delete", {"ids": deleted})
        expect_gone(self._place.directory, set(deleted))
        self._play.line(f"{LATE} records arrived, {len(deleted)} were deleted")
        await self._play.engine("run", "backup", "--incremental", "--no-progress", codes={0, 3})

    async def status(self) -> None:
        self._play.section("The status")
        await self._play.engine("status", "--overview", "--runs", "--errors", codes={0})

    async def compare(self) -> None:
        from engine.rehearsal.check import check

        self._play.section("An independent comparison: bucket, DB and expectation, object by object")
        found = await asyncio.to_thread(check, self._place.directory, self._place.store.url)
        self._play.line(f"{found.records:,} records, {found.objects:,} copies compared byte for byte (SHA-256)")
        self._play.line(f"{len(found.problems)} differences")
        self._play.problems += found.problems[:10]

    def _recorded(self) -> int:
        from engine.rehearsal.check import recorded

        return recorded(self._place.directory / "migration_tracking.db")

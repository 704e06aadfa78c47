"""``engine demo``: a whole story with the real command against local stand-ins, in under two minutes.

Each act runs ``engine`` as a person would. The end of the story is told by an independent comparison of bucket, DB
and what the generator expected; the exit code is 0 only if everything went as told.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.model.command import quoted
from engine.model.errors import Usage
from engine.rehearsal import children
from engine.runs.rehearsal.links import Links
from engine.runs.rehearsal.rehearse import need_rehearsal

if TYPE_CHECKING:
    from rich.console import Console

    from engine.rehearsal.stage import Stage

LATE = 60
"""Records that arrive while the story goes on."""
DELETED = 3
"""Records that users delete."""


def demo(records: int, directory: Path, seed: int, console: Console) -> int:
    """Tell the story. Returns the exit code."""
    need_rehearsal()
    if directory.exists() and any(directory.iterdir()) and not (directory / "expected.ndjson").exists():
        raise Usage(f"{directory} holds something else", hint="Choose another --directory.")
    shutil.rmtree(directory, ignore_errors=True)
    return asyncio.run(_tell(records, directory, seed, console))


async def _tell(records: int, directory: Path, seed: int, console: Console) -> int:
    from engine.rehearsal.stage import stage

    say = _Teller(console)
    say.act("The stage: a Salesforce org and an S3 service, both local stand-ins")
    async with stage(directory, records, seed, overrides={"migration": {"concurrency": 32}}) as place:
        say.line(f"{records:,} records, {len(place.world.objects):,} files; settings in {place.settings_file}")
        story = _Story(place, say, records)
        links = Links(place, say, story.engine, story.copied, story.wrong)
        files = (story.backup_and_kill, story.resume, story.life_goes_on, story.status, story.compare)
        for act in (*files, *links.acts):
            await act()
        say.act("The end")
        if story.wrong:
            for wrong in story.wrong:
                say.line(f"NOT AS TOLD: {wrong}")
            return 1
        say.line(f"Everything as told. The tracking DB, logs and settings are in {directory}/")
        there = quoted(directory)
        say.line(f"Look again with: sqlite3 {there}/migration_tracking.db, or less {there}/logs/*")
        return 0


@dataclass(slots=True)
class _Teller:
    console: Console
    number: int = 0

    def act(self, title: str) -> None:
        self.number += 1
        self.console.print(f"\n[bold]{self.number}. {title}[/bold]")

    def line(self, text: str) -> None:
        self.console.print(f"   {text}", markup=False, soft_wrap=True)


class _Story:
    def __init__(self, place: Stage, say: _Teller, records: int) -> None:
        self._place = place
        self._say = say
        self._records = records
        self.copied = [each.id for each in place.world.expected if each.status == "backed_up"][DELETED:]
        """Records whose files are copied and which nobody deletes."""
        self.wrong: list[str] = []

    async def backup_and_kill(self) -> None:
        self._say.act("A full backup, killed (SIGKILL) half-way")
        process = await self._start("run", "backup", "--full", "--no-progress")
        target = self._records // 2
        watching = asyncio.ensure_future(process.wait())
        while process.returncode is None and self._recorded() < target:
            await asyncio.wait([watching], timeout=0.05)
        if process.returncode is not None:
            self.wrong.append("the backup ended before it could be killed")
            return
        process.send_signal(signal.SIGKILL)
        await process.wait()
        self._say.line(f"killed with {self._recorded():,} of {self._records:,} records recorded")

    async def resume(self) -> None:
        self._say.act("The resume: the rest, and nothing twice")
        await self.engine("run", "backup", "--incremental", "--no-progress", codes={3})

    async def life_goes_on(self) -> None:
        from engine.rehearsal.generator import generate

        self._say.act("Users go on working; an incremental run follows")
        late = generate(LATE, seed=2, first=self._records + 1)
        await self._place.add(late)
        vanishing = [e for e in self._place.world.expected if e.status == "backed_up"][:DELETED]
        await self._place.org("delete", {"ids": [e.id for e in vanishing]})
        self._forget({e.id for e in vanishing})
        self._say.line(f"{LATE} records arrived, {len(vanishing)} were deleted")
        await self.engine("run", "backup", "--incremental", "--no-progress", codes={0, 3})

    async def status(self) -> None:
        self._say.act("The status")
        await self.engine("status", "--overview", "--runs", "--errors", codes={0})

    async def compare(self) -> None:
        from engine.rehearsal.check import check

        self._say.act("An independent comparison: bucket, DB and expectation, object by object")
        found = await asyncio.to_thread(check, self._place.directory, self._place.store.url)
        self._say.line(f"{found.records:,} records, {found.objects:,} copies compared byte for byte (SHA-256)")
        self._say.line(f"{len(found.problems)} differences")
        self.wrong += found.problems[:10]

    def _forget(self, ids: set[str]) -> None:
        """What was deleted in Salesforce is expected to be gone; its copy stays."""
        from engine.rehearsal.check import expect_gone

        expect_gone(self._place.directory, ids)

    async def engine(self, *words: str, codes: set[int]) -> None:
        process = await self._start(*words)
        code = await process.wait()
        if code not in codes:
            self.wrong.append(f"engine {' '.join(words)} ended with exit code {code}")

    async def _start(self, *words: str) -> asyncio.subprocess.Process:
        self._say.line(f"$ engine {' '.join(words)}")
        self._say.console.file.flush()
        return await asyncio.create_subprocess_exec(
            *children.command("cli", "--config", str(self._place.settings_file), *words), env=children.environment()
        )

    def _recorded(self) -> int:
        from engine.rehearsal.check import recorded

        return recorded(self._place.directory / "migration_tracking.db")

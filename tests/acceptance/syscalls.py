"""The real command killed, or told to end, at every write and every fsync, one after the other.

    python -m tests.acceptance.syscalls                 # every one of a switch of 200 records; it takes hours
    python -m tests.acceptance.syscalls --every 25

Each time a switch meets the signal, and a rollback follows. No link was written before the journal announced it, and
afterwards every link is the original one. It needs strace, and the right to trace.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

from engine.rehearsal import children
from engine.rehearsal.stage import Stage, stage
from tests.acceptance.switch_ordeal import PLAIN, Play

CALLS = ("pwrite64", "fsync,fdatasync")
SIGNALS = ("SIGKILL", "SIGTERM")
SWITCH = ("run", "switch", "--execute", "--yes")
UNDO = ("run", "rollback", "--from-database", "--execute", "--yes")
SETTINGS = {"switch": {"settle_after": "1s", "waves": [1, 50, "100%"]}, "migration": {"concurrency": 16}}


def why_not() -> str:
    """Why nothing can be injected here; empty: it can."""
    if (strace := shutil.which("strace")) is None:
        return "there is no strace (apt install strace)"
    tried = subprocess.run([strace, "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return f"strace may not trace here: {tried.stderr.strip()}" if tried.returncode else ""


class Injected(Play):
    """One stage, and one signal after the other."""

    def __init__(self, place: Stage) -> None:
        super().__init__(place, 1, [], 0.0)
        self.before: dict[str, str] = {}

    async def begin(self) -> None:
        await self.must("run", "backup", "--full", codes={0, 3})
        self.before = await self.links()

    async def all_of(self, calls: str, name: str, every: int) -> int:
        """At the first of these calls, and at every so many after it, until a run has no more of them. Returns how
        often the signal fell."""
        at = fallen = 0
        while await self.one(calls, name, 1 + at):
            fallen, at = fallen + 1, at + every
        return fallen

    async def one(self, calls: str, name: str, number: int) -> bool:
        """A switch that gets the signal at that call, and its rollback. Returns whether it got it."""
        strace = ["strace", "-f", "-o", "/dev/null", "-e", f"trace={calls}"]
        injected = f"inject={calls}:signal={name}:when={number}"
        process = await asyncio.create_subprocess_exec(
            *[*strace, "-e", injected, *children.command("cli", "--config", str(self.place.settings_file), *SWITCH)],
            env=children.environment(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        code = await process.wait()
        if code not in {0, 3, 5, 143, -9, 137, -15}:
            self.say(f"{name} at {calls} {number}: the switch ended with {code}")
        await self.check_journal()
        await self.must(*UNDO, codes={0, 3, 4})  # 4: there is nothing to undo
        now = await self.links()
        for record, link in self.before.items():
            if now[record] != link:
                self.say(f"{name} at {calls} {number}: {record} holds {now[record]!r} after the rollback")
        return code not in {0, 3}


async def every_call(directory: Path, records: int, every: int) -> tuple[dict[str, int], list[str]]:
    """How often each signal fell, and what was wrong afterwards."""
    fallen: dict[str, int] = {}
    async with stage(directory, records, 5, overrides=SETTINGS, cast=PLAIN) as place:
        await place.org("settings", {"daily_max": 10_000_000})
        play = Injected(place)
        await play.begin()
        for calls in CALLS:
            for name in SIGNALS:
                fallen[f"{name} at {calls}"] = await play.all_of(calls, name, every)
        return fallen, play.result.problems


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=200)
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=Path("rehearsal/syscalls"))
    chosen = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    shutil.rmtree(chosen.directory, ignore_errors=True)
    fallen, problems = asyncio.run(every_call(chosen.directory, chosen.records, chosen.every))
    print(f"{fallen}; {len(problems)} problems")
    for problem in problems[:20]:
        print("  ", problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()

"""Every crash point of a story of 24 records, each once; then pairs: a kill, and another one during the recovery.

Where a kill leaves the very world that an earlier one has left (nothing was written, sent or stored in between), it is
known how it goes on: only the time of day is another.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import random
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.simulation import disk
from tests.simulation.player import play
from tests.simulation.story import Act, Item, Story
from tests.simulation.world import Hostile, SimWorld

CALM = Hostile()
SEED = "kill"
"""One and the same story, killed at each step."""
STRICT = "run switch --execute --strict"
BACKUP, SWITCH, UNDO = "run backup --full", "run switch --execute", "run rollback --from-database --execute"
LINES: tuple[tuple[str, ...], ...] = ((BACKUP,), (SWITCH,), (SWITCH, UNDO), (STRICT,))
"""Of each, the last command is killed."""
AGAIN = {BACKUP: "run backup --incremental", SWITCH: UNDO, UNDO: UNDO, STRICT: UNDO}
"""What comes next, and is killed too, in pairs."""


@dataclass(frozen=True, slots=True)
class Case:
    """``kills``: the step of the last command, and of the one after it."""

    lines: tuple[str, ...]
    kills: tuple[int, ...]

    @property
    def story(self) -> Story:
        acts = [Act(100 * n, line, (), "line", 1.0) for n, line in enumerate(self.lines, start=1)]
        acts[-1] = self._killed(acts[-1], self.kills[0])
        if len(self.kills) > 1:
            acts.append(self._killed(Act(900, AGAIN[self.lines[-1]], (), "line", 1.0), self.kills[1]))
        end = "switch" if sum(self.kills) % 2 else "rollback"
        seed = f"kill {self.kills}" if len(self.kills) > 1 else SEED
        return Story(seed, tuple(acts), fresh=self.lines == LINES[0], end=end)

    @staticmethod
    def _killed(act: Act, at: int) -> Act:
        return Act(act.number, act.line, (Item(act.number + 1, "kill", at),), act.manner, act.wait_s)


@dataclass(slots=True)
class Steps:
    """Those of a command that nobody kills. ``worlds``: which step was the first to find a world as a kill would leave
    it; ``after``: how many steps the next command takes."""

    count: int = 0
    worlds: dict[str, int] = field(default_factory=dict)
    after: int = 0


def steps_of(root: Path, lines: tuple[str, ...]) -> Steps:
    """Of the last of the commands."""
    found, last = Steps(), len(lines)
    acts = tuple(Act(100 * n, line, (), "line", 1.0) for n, line in enumerate((*lines, AGAIN[lines[-1]]), start=1))

    def look(world: SimWorld, life: int, step: int) -> None:
        if life == last:
            found.worlds.setdefault(world.left, step)

    played = play(Story(SEED, acts, fresh=lines == LINES[0]), root, CALM, on_step=look)
    assert not played.world.violations, played.world.violations
    found.count, found.after = (ended.steps for _, ended in played.lives[last - 1 : last + 1])
    return found


def run_case(case: Case) -> tuple[Case, list[str], str]:
    root = disk.memory_folder() / f"engine-simulation-{os.getpid()}"
    world = play(case.story, root, CALM).world
    return case, [str(each) for each in world.violations], world.digest


def _cleared(cases: list[Case]) -> list[tuple[Case, list[str], str]]:
    try:
        return [run_case(case) for case in cases]
    finally:
        shutil.rmtree(disk.memory_folder() / f"engine-simulation-{os.getpid()}", ignore_errors=True)


def cases(root: Path, pairs: int) -> tuple[list[Case], int]:
    """What is to be played, and for how many crash points it stands."""
    found, twice, points = [], [], 0
    chance = random.Random("pairs")
    for lines in LINES:
        steps = steps_of(root, lines)
        points += steps.count
        found += [Case(lines, (at,)) for at in steps.worlds.values()]
        twice += [(lines, steps.count, steps.after)] * (pairs // len(LINES))
    found += [Case(lines, (chance.randint(1, steps), chance.randint(1, more))) for lines, steps, more in twice]
    return found, points


def run_exhaustive(root: Path, pairs: int, jobs: int) -> int:
    begun, bad = time.monotonic(), 0
    todo, points = cases(root, pairs)
    digest = hashlib.blake2b(digest_size=8)
    chunks = [todo[at : at + 20] for at in range(0, len(todo), 20)]
    with multiprocessing.Pool(jobs) as pool:
        for chunk in pool.imap(_cleared, chunks):
            for case, violations, trace in chunk:
                digest.update(trace.encode())
                if violations:
                    bad += 1
                    print(f"{' ; '.join(case.lines)}, killed at {case.kills}: {violations[0]}")
    seconds, doubles = time.monotonic() - begun, sum(len(case.kills) > 1 for case in todo)
    print(
        f"{points:,} crash points, which leave {len(todo) - doubles:,} different worlds, and {doubles:,} pairs: "
        f"{bad:,} violations, trace {digest.hexdigest()}, {seconds:.1f} s"
    )
    return 1 if bad else 0

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
from dataclasses import dataclass
from pathlib import Path

from tests.simulation import disk
from tests.simulation.player import play
from tests.simulation.story import Act, Item, Story
from tests.simulation.world import Hostile

CALM = Hostile()
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
        seed = f"kill {self.kills}" if len(self.kills) > 1 else "kill"  # one and the same story, killed at each step
        return Story(seed, tuple(acts), fresh=self.lines == LINES[0], end=end)

    @staticmethod
    def _killed(act: Act, at: int) -> Act:
        return Act(act.number, act.line, (Item(act.number + 1, "kill", at),), act.manner, act.wait_s)


def steps_of(root: Path, lines: tuple[str, ...]) -> list[int]:
    """How many steps each of the commands takes, and the next one."""
    lines = (*lines, AGAIN[lines[-1]])
    acts = tuple(Act(100 * n, line, (), "line", 1.0) for n, line in enumerate(lines, start=1))
    played = play(Story("calm", acts, fresh=lines[0] == BACKUP), root, CALM)
    assert not played.world.violations, played.world.violations
    return [ended.steps for _, ended in played.lives[: len(lines)]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """``left``: the world that the kills left; ``new``: it was seen for the first time, and so played to the end."""

    case: Case
    violations: list[str]
    digest: str
    new: bool


def run_case(case: Case, seen: set[str]) -> Outcome:
    root = disk.shelf() / f"engine-simulation-{os.getpid()}"
    new = True

    def known(left: str) -> bool:
        nonlocal new
        new = left not in seen
        seen.add(left)
        return not new

    world = play(case.story, root, CALM, known=known).world
    return Outcome(case, [str(each) for each in world.violations], world.digest, new)


def _cleared(cases: list[Case]) -> list[Outcome]:
    seen = set[str]()
    try:
        return [run_case(case, seen) for case in cases]
    finally:
        shutil.rmtree(disk.shelf() / f"engine-simulation-{os.getpid()}", ignore_errors=True)


def cases(root: Path, pairs: int) -> list[Case]:
    found, twice = [], []
    chance = random.Random("pairs")
    for lines in LINES:
        *_, steps, more = steps_of(root, lines)
        found += [Case(lines, (at,)) for at in range(1, steps + 1)]
        twice += [(lines, steps, more)] * (pairs // len(LINES))
    found += [Case(lines, (chance.randint(1, steps), chance.randint(1, more))) for lines, steps, more in twice]
    return found


def run_exhaustive(root: Path, pairs: int, jobs: int) -> int:
    begun, bad, worlds = time.monotonic(), 0, 0
    todo = cases(root, pairs)
    digest = hashlib.blake2b(digest_size=8)
    chunks = [todo[at : at + 20] for at in range(0, len(todo), 20)]
    with multiprocessing.Pool(jobs) as pool:
        for chunk in pool.imap(_cleared, chunks):
            for outcome in chunk:
                digest.update(outcome.digest.encode())
                worlds += outcome.new
                if outcome.violations:
                    bad += 1
                    case = outcome.case
                    print(f"{' ; '.join(case.lines)}, killed at {case.kills}: {outcome.violations[0]}")
    seconds = time.monotonic() - begun
    print(
        f"{len(todo):,} crash points, which leave {worlds:,} different worlds, {bad:,} violations, "
        f"trace {digest.hexdigest()}, {seconds:.1f} s"
    )
    return 1 if bad else 0

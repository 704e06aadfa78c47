"""A few seeds of the simulator, and that it can be trusted: it replays, and it finds what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from tests.simulation import disk
from tests.simulation.drawing import draw
from tests.simulation.exhaustive import Case, steps_of
from tests.simulation.planted import bugs, search
from tests.simulation.player import play
from tests.simulation.shrink import shrunk
from tests.simulation.story import Act, Item, Story
from tests.simulation.world import Hostile, SimWorld

CALM = Hostile()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """In memory where there is such a place; the path is part of no trace."""
    place = disk.memory_folder() / f"engine-simulation-{os.getpid()}"
    return place if place.parent != Path("/tmp") else tmp_path


@pytest.mark.parametrize("first", range(0, 30, 10))
def test_seeds_break_no_promise(root: Path, first: int) -> None:
    for seed in range(first, first + 10):
        assert play(draw(seed, CALM), root, CALM).world.violations == [], seed


def test_a_seed_replays_exactly_whatever_the_hash_seed() -> None:
    def digests(hash_seed: str) -> str:
        line = [sys.executable, "-m", "tests.simulation", "--seeds", "8", "--jobs", "1"]
        done = subprocess.run(line, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.partition("trace ")[2].partition(",")[0]

    assert digests("1") == digests("2") != ""


def test_of_kills_that_leave_the_same_world_one_is_played(root: Path) -> None:
    """Between many steps of a switch nothing is written, sent or stored."""
    lines = ("run switch --execute",)
    steps = steps_of(root, lines)
    assert steps.count / 4 < len(steps.worlds) < steps.count * 3 / 4
    firsts = sorted((step, left) for left, step in steps.worlds.items())
    found = ((first, after - 1, left) for (first, left), (after, _) in pairwise(firsts) if after - first > 1)
    first, last, left = next(found)
    for at in (first, last):
        case = Case(lines, (at,))
        worlds: list[str] = []

        def look(world: SimWorld, life: int, step: int, seen: list[str] = worlds) -> None:
            if life == len(seen) + 2 and step == 1:
                seen.append(world.left)

        assert play(case.story, root, CALM, on_step=look).world.violations == []
        assert worlds[0] == left


def test_every_planted_bug_knows_where_it_grows() -> None:
    for bug in bugs():
        bug.place()


@pytest.mark.parametrize("name", ["an edited link is written over", "one account in two lanes"])
def test_planted_bugs_are_found(name: str, root: Path) -> None:
    """All of them: ``python -m tests.simulation --planted``."""
    found = search([bug.name for bug in bugs()].index(name), 60)
    assert found.seed >= 0, name


def test_what_breaks_shrinks_to_what_broke_it(root: Path) -> None:
    bug = next(bug for bug in bugs() if bug.name == "a lost answer counts as refused")
    noise = (Item(3, "edit", 30, "new", pick=3), Item(4, "store", 9, "slow", 1.0))
    acts = Act(1, "run switch --execute", (*noise, Item(2, "org", 2, "cut")), "line"), Act(5, "run backup --full")
    shorter, found = shrunk(Story("lost", acts), root, CALM, bug.planted)
    assert found[0].oracle == "I3-settled"
    assert shorter.numbers == [1, 2]

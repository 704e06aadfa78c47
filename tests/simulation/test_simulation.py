"""A few seeds of the simulator, and that it can be trusted: it replays, and it finds what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import disk
from tests.simulation.drawing import draw
from tests.simulation.exhaustive import Case, run_case
from tests.simulation.planted import bugs, search
from tests.simulation.player import play
from tests.simulation.shrink import shrunk
from tests.simulation.story import Act, Item, Story
from tests.simulation.world import Hostile

CALM = Hostile()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """In memory where there is such a place; the path is part of no trace."""
    place = disk.shelf() / f"engine-simulation-{os.getpid()}"
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


def test_a_kill_that_leaves_a_known_world_is_not_played_on() -> None:
    """Every step of a switch is a crash point; between many of them nothing is written, sent or stored."""
    seen = set[str]()
    outcomes = [run_case(Case(("run switch --execute",), (at,)), seen) for at in range(60, 72)]
    assert [each.violations for each in outcomes] == [[]] * len(outcomes)
    assert 1 < sum(each.new for each in outcomes) < len(outcomes)


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

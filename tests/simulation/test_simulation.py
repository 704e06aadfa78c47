"""A few seeds of the simulator, and that it can be trusted: it replays, and it finds what is wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation import disk
from tests.simulation.shrink import shrunk
from tests.simulation.story import draw, play
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


def test_what_breaks_shrinks_to_what_broke_it(root: Path) -> None:
    """Until the engine stands late commits: a write that outlives its connection."""
    hostile = Hostile(late_commits=True)
    story, found = shrunk(draw(15, hostile), root, hostile)
    assert found[0].oracle == "I3-settled"
    assert [item.what for act in story.acts for item in act.items] == ["cut"]

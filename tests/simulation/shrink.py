"""A failing story, made as short as it goes: whatever can be left out while the same promise is still broken."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from tests.simulation.player import play
from tests.simulation.story import Story
from tests.simulation.world import Hostile, Violation


def shrunk(
    story: Story,
    root: Path,
    hostile: Hostile,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[Story, list[Violation]]:
    """The shortest that was found, and what it breaks."""
    found = play(story, root, hostile, around=around).world.violations
    assert found, f"seed {story.seed} breaks nothing"
    oracle = found[0].oracle
    again = True
    while again:
        again = False
        for number in reversed(story.numbers):
            shorter = story.without({number})
            broken = play(shorter, root, hostile, around=around).world.violations
            if broken and broken[0].oracle == oracle:
                story, found, again = shorter, broken, True
    return story, found

"""A failing story, made as short as it goes: whatever can be left out while the same promise is still broken."""

from __future__ import annotations

from pathlib import Path

from tests.simulation.story import Story, play
from tests.simulation.world import Hostile, Violation


def shrunk(story: Story, root: Path, hostile: Hostile) -> tuple[Story, list[Violation]]:
    """The shortest that was found, and what it breaks."""
    found = play(story, root, hostile).world.violations
    assert found, f"seed {story.seed} breaks nothing"
    oracle = found[0].oracle
    again = True
    while again:
        again = False
        for number in reversed(story.numbers):
            shorter = story.without({number})
            broken = play(shorter, root, hostile).world.violations
            if broken and broken[0].oracle == oracle:
                story, found, again = shorter, broken, True
    return story, found

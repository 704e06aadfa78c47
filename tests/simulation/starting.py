"""The world that a story begins with."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from tests.simulation import disk
from tests.simulation.commands import command
from tests.simulation.incidents import Incidents
from tests.simulation.story import Story
from tests.simulation.world import Hostile, SimWorld, Start, blank, in_parts


def furnish(world: SimWorld, story: Story) -> None:
    """Store and settings as the story says."""
    store = world.store
    store.conditional, store.sums, store.copies = story.conditional, story.sums, story.copies
    if story.parts:
        world.settings = in_parts(world.settings)


@lru_cache(maxsize=32)
def _made(root: Path, story: Story) -> Start:
    """A world in which a backup has copied everything. ``story``: without its acts."""
    begin = blank(parts=story.parts)
    world = begin.world(root, Hostile())
    furnish(world, story)
    line = "run backup --full"
    ended = world.live(random.Random("begin"), Incidents(), lambda life: command(world.settings, line, life.clock))
    assert ended.code == 0, ended.words
    return Start(disk.image(world.box), world.org.entries, world.org.accounts, world.store.objects, world.timeline.now)


def start_of(story: Story, root: Path) -> Start:
    return blank(parts=story.parts) if story.fresh else _made(root, replace(story, seed="", acts=(), end=""))

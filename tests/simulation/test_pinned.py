"""Stories that broke a promise once."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from tests.simulation import disk
from tests.simulation.player import play
from tests.simulation.story import Act, Item, Story
from tests.simulation.world import Hostile

SWITCH, UNDO = "run switch --execute", "run rollback --from-database --execute"
SCAN = "run backup --incremental"


def story(*acts: Act, end: str = "rollback") -> Story:
    numbered = tuple(replace(act, number=1000 * place) for place, act in enumerate(acts, start=1))
    return Story("pinned", numbered, end=end)


def act(line: str, *items: Item, wait_s: float = 1.0) -> Act:
    return Act(0, line, items, "line", wait_s)


def slow(first: int, last: int, seconds: float) -> list[Item]:
    """These calls to the org take so much longer."""
    return [Item(10 + call, "org", call, "slow", seconds) for call in range(first, last + 1)]


def clock(seconds: float) -> Item:
    """The box is so far ahead."""
    return Item(2, "clock", 0, seconds=seconds)


LATE = "an org that is still writing is read too early, and called settled"
FLOW = "automation changes what was written, and the run ends with 0"
BOX = "without the box, or with one from the middle of a run, nobody knows the way back"
ROWS = "a record that holds our proved link again is not switched"
HISTORY = "a link of ours from an earlier switch, put back by a user, is not undone"
ARCHIVE = "a link is moved to an object in an archive class"
PROXY = "a proxy's page after the deed counts as certainly not done"
PINNED = "the settings lead where the tracking DB does not belong"
SESSIONS = "a session that ends twice within one round trip ends the run, and the login is blamed"
CONDEMNED = "a rollback takes a condemned copy for a good one"
ARCHIVED_DUPLICATE = "a copy in an archive class is taken for a good one where another record has the same file"
REBUILT = "what a scan found is forgotten where older steps come back from the bucket"
APART = "a copy of one record in an archive class fails another record that has the same file"

STORIES = [
    pytest.param(
        Hostile(),
        story(act(SWITCH, Item(1, "org", 2, "cut", 590.0), Item(2, "clock", 60, seconds=3600.0, pick=60))),
        id=f"{LATE}: the clock of the box jumps meanwhile",
    ),
    pytest.param(
        Hostile(),
        story(act(SWITCH, Item(1, "lock", 0, seconds=400.0, pick=3), Item(2, "archive", 0, pick=4))),
        id=APART,
    ),
    pytest.param(
        Hostile(),
        story(
            act(SWITCH, Item(1, "edit", 0, "new", pick=20), Item(2, "snapshot", 190)),
            act("restore switch", wait_s=900.0),
            end="switch",
        ),
        id=REBUILT,
    ),
    pytest.param(
        Hostile(),
        story(act(SWITCH, Item(1, "org", 2, "cut", 27.0))),
        id=f"{LATE}: the connection broke",
    ),
    pytest.param(
        Hostile(),
        story(act(SWITCH, *slow(6, 12, 27.0), Item(1, "kill", 9, "call")), act(UNDO, wait_s=0.0)),
        id=f"{LATE}: killed, and a rollback at once",
    ),
    *(
        pytest.param(
            Hostile(),
            story(
                act(SWITCH, clock(before), *slow(6, 12, 27.0), Item(1, "kill", 9, "call")),
                act(UNDO, clock(after), wait_s=0.0),
            ),
            id=f"{LATE}: the clock of the box is off by {before:.0f} s, and then by {after:.0f} s",
        )
        for before, after in ((0.0, 3_600.0), (-3_600.0, 0.0), (3_600.0, 0.0), (-3_600.0, 3_600.0))
    ),
    *(
        pytest.param(Hostile(), story(act(SCAN, Item(1, "flow", 0, what)), act(SWITCH)), id=f"{FLOW}: {what}")
        for what in ("append", "lower", "trim", "revert")
    ),
    pytest.param(Hostile(), story(act(SWITCH, Item(1, "kill", 20, "call")), act("lose switch")), id=f"{BOX}: lost"),
    pytest.param(
        Hostile(),
        story(act(SWITCH, Item(1, "snapshot", 150), Item(2, "kill", 20, "call")), act("restore switch")),
        id=f"{BOX}: restored",
    ),
    pytest.param(
        Hostile(),
        story(act(SWITCH), act("lose run rollback --from-bucket --execute")),
        id="records whose accounts nobody knows are written as if no two were of one",
    ),
    pytest.param(
        Hostile(),
        story(
            act(SWITCH),
            act(SCAN, Item(1, "edit", 0, "new", pick=3)),
            act(SCAN, Item(2, "edit", 0, "ours", pick=3)),
            end="switch",
        ),
        id=ROWS,
    ),
    pytest.param(
        Hostile(),
        story(
            act(SWITCH),
            act(SCAN, Item(1, "edit", 0, "file", pick=4)),
            act(SWITCH),
            act(SWITCH, Item(2, "edit", 0, "ours", pick=28)),
        ),
        id=HISTORY,
    ),
    pytest.param(Hostile(), story(act(SWITCH, Item(1, "archive", 0, pick=3))), id=ARCHIVE),
    pytest.param(Hostile(), story(act(SWITCH, Item(1, "org", 2, "html"))), id=PROXY),
    pytest.param(
        Hostile(),
        story(act(SWITCH, Item(1, "org", 7, "logged_out"), Item(2, "org", 10, "logged_out"))),
        id=SESSIONS,
    ),
    pytest.param(Hostile(), story(act(SWITCH), act(f"field {UNDO}")), id=f"{PINNED}: field"),
    pytest.param(Hostile(), story(act(SWITCH), act(f"bucket {SWITCH}")), id=f"{PINNED}: bucket"),
    pytest.param(Hostile(), story(act(SWITCH), act(SCAN, Item(1, "vanish", 0, "other", pick=4))), id=CONDEMNED),
    pytest.param(
        Hostile(),
        story(
            act(SCAN, Item(1, "edit", 0, "swap", pick=6010), Item(2, "edit", 1, "file", pick=9089)),
            act(SCAN, Item(3, "archive", 0, pick=28)),
            end="switch",
        ),
        id=ARCHIVED_DUPLICATE,
    ),
]


@pytest.mark.parametrize(("hostile", "told"), STORIES)
def test_it_does_not_break_again(hostile: Hostile, told: Story) -> None:
    root = disk.memory_folder() / f"engine-simulation-{os.getpid()}"
    violations = play(told, root, hostile).world.violations
    assert [str(each) for each in violations] == []

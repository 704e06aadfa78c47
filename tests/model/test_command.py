"""Advice as steps for a script: the commands in it, and what is said of each."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.model.command import Advice, Command, Step, steps_in

BACKUP, AUDIT = Command("run backup --full"), Command("audit")


@pytest.mark.parametrize(
    ("advice", "steps"),
    [
        ("", []),
        ("look at it", [Step(None, "look at it")]),
        (BACKUP, [Step(BACKUP, "")]),
        ((BACKUP, "   copies it"), [Step(BACKUP, "copies it")]),
        ((AUDIT, "   says why; then: ", BACKUP), [Step(AUDIT, "says why; then: engine run backup --full")]),
        (("mend it, then: ", BACKUP), [Step(BACKUP, "mend it")]),
        (
            ("", "\n  ", ("safe is ", AUDIT, "."), "\n  ", (BACKUP, "   goes on")),
            [Step(AUDIT, "safe is engine audit."), Step(BACKUP, "goes on")],
        ),
        (("nothing was lost.\n  ", BACKUP), [Step(None, "nothing was lost."), Step(BACKUP, "")]),
    ],
)
def test_each_command_is_a_step_with_what_is_said_of_it(advice: Advice, steps: list[Step]) -> None:
    assert steps_in(advice) == steps


def test_commands_within_a_reason_name_the_settings_file() -> None:
    assert steps_in((AUDIT, "   then ", BACKUP), Path("a b.yaml")) == [
        Step(AUDIT, "then engine --config 'a b.yaml' run backup --full")
    ]

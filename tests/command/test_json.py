"""Every command that takes ``--json`` answers with one document of one form, whatever happens."""

from __future__ import annotations

import json

from tests.support.answers import Story
from tests.support.commands import BACKUP, backed_up
from tests.support.corner import Corner
from tests.support.documents import COMMANDS


def test_every_document_has_its_version_its_exit_code_and_what_to_type_next(story: Story) -> None:
    for heard in story.heard:
        document = heard.document
        assert document["schema"] == 1, heard.words
        assert document["exit_code"] == heard.said.code, heard.words
        for step in document["next"]:
            assert set(step) == {"command", "why"}, heard.words
            assert step["command"] is None or step["command"].startswith("engine "), heard.words
            assert step["why"] or step["command"], heard.words
    assert len(story.files) == 2
    for _, file in story.files:
        assert json.loads(file.read_text())["schema"] == 1


def test_a_refusal_says_what_to_type_in_both_forms(corner: Corner) -> None:
    said = corner.engine("status", "--json")
    commands = [step["command"] for step in said.json["next"]]
    assert commands == ["engine run backup --full", "engine db rebuild --from-bucket"]
    assert [each for each in commands if each not in said.err] == []


def test_people_and_scripts_are_told_the_same_next_steps(corner: Corner) -> None:
    backed_up(corner, 2)
    for words in (("run", "switch"), BACKUP, ("verify",), ("sweep", "--object", "Account"), ("doctor",)):
        told = [line.strip() for line in corner.engine(*words).out.splitlines() if line.strip().startswith("next: ")]
        document = corner.engine(*words, "--json").json
        shown = [f"next: {line}" for line in document["next_lines"]]
        assert [line.partition(".plan-")[0] for line in told] == [line.partition(".plan-")[0] for line in shown]
        assert len(document["next"]) == len(told)


def test_every_command_that_takes_json_has_answered(story: Story) -> None:
    taking = {name for name, each in COMMANDS.items() if any(p.name == "as_json" for p in each.params)}
    assert taking <= {heard.command for heard in story.heard}

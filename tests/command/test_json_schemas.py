"""The JSON Schemas and docs/json.md are what the code says, and real answers are as they say."""

from __future__ import annotations

import json
import runpy
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from engine.model.answers import ANSWERS
from tests.support.answers import Story
from tests.support.documents import COMMANDS, ROOT

SCRIPT = runpy.run_path(str(ROOT / "docs/json_answers.py"))


def schema(command: str) -> dict[str, Any]:
    return dict(json.loads((ROOT / "docs/schemas" / SCRIPT["file_name"](command)).read_text()))


def test_the_page_and_the_schemas_are_what_the_code_says() -> None:
    wanted = SCRIPT["written"]()
    stale = [str(path) for path, text in wanted.items() if not path.exists() or path.read_text() != text]

    assert stale == [], "python docs/json_answers.py"
    assert set((ROOT / "docs/schemas").iterdir()) == {path for path in wanted if path.parent.name == "schemas"}


@pytest.mark.parametrize("command", ANSWERS)
def test_each_schema_is_a_schema(command: str) -> None:
    Draft202012Validator.check_schema(schema(command))


def test_every_command_that_takes_json_has_a_schema() -> None:
    assert ANSWERS.keys() == {name for name, each in COMMANDS.items() if any(p.name == "as_json" for p in each.params)}


def test_every_answer_is_as_its_schema_says(story: Story) -> None:
    answers = [(heard.command, " ".join(heard.words), heard.document) for heard in story.heard]
    answers += [(name, str(file), json.loads(file.read_text())) for name, file in story.files]
    wrong = [
        f"{words}: {each.json_path}: {each.message[:300]}"
        for command, words, document in answers
        for each in faults(command, document)
    ]

    assert wrong == []


def faults(command: str, document: dict[str, Any]) -> list[Any]:
    """What is wrong with the answer, held against the form that it claims to have."""
    form = schema(command)
    kinds = ["Failure"] if "error" in document else [kind.__name__ for kind in ANSWERS[command]]
    found = [
        list(Draft202012Validator(form | {"anyOf": [{"$ref": f"#/$defs/{kind}"}]}).iter_errors(document))
        for kind in kinds
    ]
    best = min(found, key=len)
    return [inner for each in best for inner in (each.context or [each])]


def test_an_unknown_or_missing_key_is_seen(story: Story) -> None:
    [status, *_] = [heard.document for heard in story.heard if heard.command == "status" and heard.said.code == 0]

    assert faults("status", status) == []
    assert faults("status", status | {"another": 1})
    assert faults("status", {key: value for key, value in status.items() if key != "files"})
    assert faults("status", status | {"files": status["files"] | {"another": 1}})


# the names


def keys() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The class, the name and the schema of every key that is no old name."""
    for command in ANSWERS:
        for kind, part in schema(command)["$defs"].items():
            yield from ((kind, name, each) for name, each in part["properties"].items() if not each.get("deprecated"))


def types(each: dict[str, Any]) -> set[str]:
    found = {kind for inner in each.get("anyOf", []) for kind in types(inner)} | {each.get("type", "")}
    return {"number" if kind == "integer" else kind for kind in found}


def test_no_key_is_a_number_in_one_answer_and_a_list_in_another() -> None:
    found: dict[str, set[str]] = defaultdict(set)
    for kind, name, each in keys():
        if kind != "BreakdownRows":
            found[name] |= types(each)

    assert len(found) > 200
    assert [name for name, kinds in found.items() if {"number", "array"} <= kinds] == []


def test_ids_have_one_name() -> None:
    other = {"id", "run", "record", "account", "org", "doclist_entry_id", "example_record", "longest_record"}
    found = {(kind, name) for kind, name, each in keys() if name in other and types(each) & {"string", "number"}}

    assert found == {("JournalStep", "id"), ("BreakdownRows", "account"), ("Rates", "run")}, (
        "none of these is such an Id"
    )


def test_what_would_be_done_is_told_by_dry_runs_alone(story: Story) -> None:
    for heard in story.heard:
        if "dry_run" in heard.document:
            assert ('"would_' in heard.said.out) == heard.document["dry_run"], heard.words


def test_the_page_says_what_every_key_means() -> None:
    rows = [line for line in (ROOT / "docs/json.md").read_text().splitlines() if line.startswith("| `")]

    assert len(rows) > 350
    assert [row for row in rows if len(row.split("|")[3].strip()) < 4] == []


def test_the_settings_of_runs_are_there_on_request(story: Story) -> None:
    for heard in story.heard:
        if heard.command == "status" and heard.said.code == 0:
            given = {"config_snapshot" in run for run in heard.document["runs"]}
            assert given == {"--run-settings" in heard.words}, heard.words

"""What switches and rollbacks say is true, and can be typed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.support.commands import BACKUP, ROLLBACK, SWITCH, backed_up, links, ours, said_so
from tests.support.corner import Corner
from tests.support.terminal import ORG, at_a_terminal

WAYS_BACK = ("way back", "an undo would do", "is in the journal", "rollback file")


# after a no


def test_after_a_no_nothing_claims_a_way_back(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    said = at_a_terminal(corner, "run", "switch", "--execute", typed=[("to go on; anything else", "no")])
    said_so(said, 5, "not confirmed", "nothing was written to Salesforce", "engine run switch --execute   goes on")
    for claim in WAYS_BACK:
        assert claim not in said.everything
    assert links(corner, ids) == before


def test_after_a_no_to_a_rollback_nothing_is_said_of_records_left_alone(corner: Corner) -> None:
    ids = backed_up(corner)
    assert corner.engine(*SWITCH).code == 0
    words = ("run", "rollback", "--from-database", "--execute")
    said = said_so(at_a_terminal(corner, *words, typed=[("to go on; anything else", "")]), 5, "not confirmed")
    said_so(said, 5, "nothing was written to Salesforce")
    assert "was left alone" not in said.out
    assert "could not be put into the bucket" not in said.out, "the journal's tip is there already"
    assert links(corner, ids) == ours(corner)


def test_after_a_no_between_waves_the_way_back_is_that_of_what_was_moved(corner: Corner) -> None:
    backed_up(corner, 12)
    typed = [(f"Type {ORG} to go on", ORG), ("Go on? [yes/no]", "no")]
    said = at_a_terminal(corner, "run", "switch", "--execute", typed=typed)
    said_so(said, 5, "1 switched", "holds the old link of each", "an undo would do", "goes on")


# the way back after several switches


def test_after_two_switches_the_hint_undoes_both(corner: Corner) -> None:
    ids = backed_up(corner, 12)
    before = links(corner, ids)
    first = said_so(corner.engine(*SWITCH, "--limit", "5"), 0, "5 switched")
    run = corner.runs()[-1]["id"]
    assert f"run rollback --from-database --run {run}   shows" in first.out
    said = said_so(corner.engine(*SWITCH), 0, "7 switched", "of this switch and of the earlier ones")
    assert f"--run {run + 1}" not in said.out
    [hint] = re.findall(r"next: engine (run rollback .*?)   shows", said.out)
    assert corner.engine(*hint.split(), "--execute", "--yes").code == 0
    assert links(corner, ids) == before
    said = said_so(corner.engine(*SWITCH), 0, "12 switched")
    assert f"--run {corner.runs()[-1]['id']}   shows" in said.out, "the earlier ones are undone"


def test_a_switch_that_breaks_off_after_another_one_hints_at_both_too(corner: Corner) -> None:
    backed_up(corner, 12)
    assert corner.engine(*SWITCH, "--limit", "5").code == 0
    corner.org("faults", rules=[{"kind": "daily_limit", "endpoint": "collections_update", "after": 1}])
    env = {"ENGINE_SWITCH__WAVES": '[6, 8, "100%"]'}
    said = said_so(corner.engine(*SWITCH, **env), 5, "goes on", "of this switch and of the earlier ones")
    assert "rollback --from-database --run" not in said.everything


# since when


@pytest.mark.parametrize(
    ("since", "understood"),
    [
        ("2026-11-22T10:00:00+02:00", "at 2026-11-22T08:00:00Z (UTC) or later"),
        ("2026-11-22T10:00:00Z", "at 2026-11-22T10:00:00Z (UTC) or later"),
        ("2026-11-22", "at 2026-11-22T00:00:00Z (UTC) or later; a time without a zone is UTC"),
        ("2026-11-22 10:00", "at 2026-11-22T10:00:00Z (UTC) or later; a time without a zone is UTC"),
    ],
)
def test_since_says_which_instant_was_understood(corner: Corner, since: str, understood: str) -> None:
    backed_up(corner, 2)
    assert corner.engine(*SWITCH).code == 0
    told = f"--since {since}: links that were moved {understood}"
    said_so(corner.engine("run", "rollback", "--from-database", "--since", since), 0, told)
    assert told in corner.engine(*ROLLBACK, "--since", since, "--json").json["notes"]


def test_the_question_of_a_rollback_says_since_when(corner: Corner) -> None:
    backed_up(corner, 2)
    assert corner.engine(*SWITCH).code == 0
    words = ("run", "rollback", "--from-database", "--execute", "--since", "2020-01-01")
    said = at_a_terminal(corner, *words, typed=[(f"Type {ORG} to go on", ORG)])
    said_so(said, 0, "2 links of Rehearsal Org that were moved at 2020-01-01T00:00:00Z (UTC) or later")


# plans of elsewhere


def planned(corner: Corner) -> Path:
    plan = corner.directory / "plan.ndjson"
    assert corner.engine("run", "switch", "--dry-run", "--plan", str(plan)).code == 0
    return plan


def test_a_plan_of_another_tracking_db_is_named_as_such(corner: Corner) -> None:
    backed_up(corner)
    plan, first = planned(corner), corner.database
    moved = corner.directory / "moved.db"
    assert corner.engine("db", "snapshot", str(moved)).code == 0
    other = {"ENGINE_TRACKING__DATABASE": str(corner.directory / "other.db")}
    assert corner.engine(*BACKUP, **other).code == 0
    said = corner.engine(*SWITCH, "--plan", str(plan), **other)
    said_so(
        said, 6, f"it was made from another tracking DB, {first}, and this one is {other['ENGINE_TRACKING__DATABASE']}"
    )
    shutil.copy(f"{first}.journal-key", f"{moved}.journal-key") if Path(f"{first}.journal-key").exists() else None
    said_so(corner.engine(*SWITCH, "--plan", str(plan), ENGINE_TRACKING__DATABASE=str(moved)), 0, "5 switched")


def test_a_plan_of_another_org_is_named_as_such(corner: Corner) -> None:
    backed_up(corner)
    plan = planned(corner)
    lines = plan.read_text().splitlines(keepends=True)
    header = json.loads(lines[0])
    header |= {"org": "00D000000000001EAA", "org_name": "Acme"}
    other = corner.directory / "other.ndjson"
    other.write_text(json.dumps(header) + "\n" + "".join(lines[1:]))
    said = said_so(corner.engine(*SWITCH, "--plan", str(other)), 6, "it was made for Acme (00D000000000001EAA)")
    assert "this login leads to Rehearsal Org" in said.everything


def test_a_plan_with_another_template_or_field_says_which(corner: Corner) -> None:
    backed_up(corner)
    plan = planned(corner)
    template = "https://cdn.test/{key}"
    said = corner.engine(*SWITCH, "--plan", str(plan), ENGINE_DESTINATION__URL_TEMPLATE=template)
    said_so(said, 6, "destination.url_template was https://", f"and is {template}")


# what to type


@pytest.mark.parametrize(
    "name",
    ["Acme", 'The "Best" Org', "O'Brien  & Söhne", "Acme\u202egro", "Acme\tInc\x1b[31m", " ", "--yes"],
)
def test_whatever_the_orgs_name_is_what_to_type_can_be_typed(corner: Corner, name: str) -> None:
    ids = backed_up(corner, 1)
    org = json.loads(corner.runs()[-1]["config_snapshot"])["org_id"]
    corner.edit([org], Name=name)
    try:
        said = at_a_terminal(corner, "run", "switch", "--execute", typed=[("anything else stops here:", "no")])
        [word] = re.findall(r"Type (.*) to go on; anything else", said.everything)
        assert re.fullmatch(r"[A-Za-z0-9 ._-]+", word), word
        typed = [("anything else stops here:", word)]
        said_so(at_a_terminal(corner, "run", "switch", "--execute", typed=typed), 0, "1 switched")
        if name.strip() and "\x1b" not in name and "\t" not in name:
            words = ("run", "rollback", "--from-database", "--execute")
            said_so(at_a_terminal(corner, *words, typed=[("anything else stops here:", name)]), 0, "1 put back")
    finally:
        corner.edit([org], Name=ORG)
    assert ids

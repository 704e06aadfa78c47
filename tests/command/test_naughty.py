"""Strings that break programs, as link, name and account name of records: each record ends in a named class."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import typer

from engine.commands.frame import guarded
from engine.model.errors import Blocked
from engine.model.failures import FailureClass
from tests.support.commands import BACKUP
from tests.support.corner import Corner, Said

STRINGS: list[str] = [
    text for text in json.loads((Path(__file__).parents[1] / "data" / "blns.json").read_text()) if text
]
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


@pytest.fixture(scope="module")
def naughty(the_stage, tmp_path_factory) -> tuple[Corner, Said, list[str]]:  # type: ignore[no-untyped-def]
    """Three records a string: it is the link; a part of a link; the name of the record and of its account."""
    corner = Corner(the_stage, tmp_path_factory.mktemp("naughty"))
    rows = []
    for number, text in enumerate(STRINGS):
        key = f"{corner.tag}/{number}/{text}"
        rows.append(corner.row(url=text, name=f"link {number}"))
        rows.append(corner.row(url=corner.url(key), name=f"part {number}"))
        name = f"{corner.tag}/plain-{number}.pdf"
        if number % 8 == 0:
            corner.put(name)
            account = corner.account(text)
        rows.append(corner.row(url=corner.url(name), name=text, account=account))
    ids = corner.records(rows)
    return corner, corner.engine(*BACKUP), ids


def test_every_record_ends_in_a_named_class_or_is_copied(naughty: tuple[Corner, Said, list[str]]) -> None:
    corner, said, ids = naughty
    assert said.code == 3, said.everything
    rows = corner.rows()
    assert set(rows) == set(ids)
    classes = {row["failure_class"] for row in rows.values()}
    assert "internal" not in classes
    assert classes <= {None, *(each.value for each in FailureClass)}
    for row in rows.values():
        assert (row["status"] == "backed_up") == (row["failure_class"] is None)
    copied = [row for row in rows.values() if row["status"] == "backed_up"]
    assert len(copied) == len(corner.held()) >= len(STRINGS) // 8
    assert "internal_error" not in corner.logged()


def test_nothing_that_is_printed_obeys_a_naughty_string(naughty: tuple[Corner, Said, list[str]]) -> None:
    corner, said, ids = naughty
    assert "Traceback" not in said.everything
    for words in (
        ("status", "--all"),
        ("status", "--recent-errors", "2000"),
        ("status", "--json", "--all"),
        ("accounts",),
        ("accounts", "--json"),
    ):
        shown = corner.engine(*words)
        assert shown.code == 0
        assert not CONTROLS.search(shown.everything), words
    assert not CONTROLS.search(said.everything)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", corner.logged())
    assert corner.status()["files"]["tracked"] == len(ids)
    assert corner.engine("accounts", "--json").json["total_files"] == len(ids)


def test_an_error_tells_what_a_server_said_and_no_terminal_obeys_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), guarded(typer.Context(typer.main.TyperCommand("any"))):
        raise Blocked("refused:\n  come\u202eback \x9b31mlater", hint="ask\x1b]0;title\x07 \u202ethem")
    assert capsys.readouterr().err == "engine: refused:\n  comeback later\n  ask them\n"


def test_a_second_look_changes_nothing(naughty: tuple[Corner, Said, list[str]]) -> None:
    corner, _, _ = naughty
    before = {name: (row["status"], row["failure_class"], row["your_s3_key"]) for name, row in corner.rows().items()}
    held = corner.held()
    again = corner.engine(*BACKUP, "--json")
    assert again.json["records"]["backed_up"] == 0
    assert before == {n: (r["status"], r["failure_class"], r["your_s3_key"]) for n, r in corner.rows().items()}
    assert corner.held() == held


def test_links_to_versions_that_cannot_be_do_not_keep_the_others_from_their_way(corner: Corner) -> None:
    account = corner.account("Odd")
    key = f"{corner.tag}/there.pdf"
    corner.put(key)
    odd = corner.records(
        [corner.row(url=corner.url(key) + "?versionId=bogus", account=account) for _ in range(6)],
    )
    good = corner.files(5, account=account)
    said = corner.engine("run", "backup", "--full", "--account", account)
    assert said.code == 3, said.everything
    rows = corner.rows()
    assert {rows[each]["status"] for each in good} == {"backed_up"}
    assert {rows[each]["method"] for each in good} == {"server_copy"}
    # a HEAD says no more than 400; the GET that asks again is told that there is no such version
    assert {rows[each]["failure_class"] for each in odd} == {"source_missing"}

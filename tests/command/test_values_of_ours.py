"""Rows follow what the org holds, and every link of ours can go back, however old it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import ROLLBACK, SWITCH, backed_up, incremental, links, ours, said_so
from tests.support.corner import Corner

ELSEWHERE = "https://users.test/mine.pdf"


def row(corner: Corner, record: str) -> tuple[str, str | None, str]:
    found = corner.rows()[record]
    return found["status"], found["failure_class"], found["original_url"]


def from_file(file: Path) -> tuple[str, ...]:
    return ("run", "rollback", "--rollback-file", str(file), "--execute", "--yes", "--no-progress")


@pytest.mark.parametrize(
    ("edited", "status"), [(ELSEWHERE, "failed"), ("", "skipped"), (None, "rolled_back")], ids=lambda each: str(each)
)
@pytest.mark.parametrize("kind", ["--full", "--incremental"])
def test_a_record_that_holds_our_link_again_is_switched_again_with_its_original(
    corner: Corner, kind: str, edited: str | None, status: str
) -> None:
    ids = backed_up(corner)
    before, mine = links(corner, ids), ids[1]
    assert corner.engine(*SWITCH).code == 0
    if edited is None:
        assert corner.engine(*ROLLBACK).code == 0
    else:
        corner.edit([mine], Document__c=edited)
        corner.engine("run", "backup", kind, "--no-progress")
    assert row(corner, mine)[0] == status
    link = ours(corner)[mine]
    corner.edit([mine], Document__c=link)
    assert corner.engine("run", "backup", kind, "--no-progress").code == 0
    assert row(corner, mine) == ("switched", None, before[mine])
    assert corner.rows()[mine]["salesforce_updated"] == 1
    corner.status()
    said_so(corner.engine("audit"), 0, "The journal is whole")
    said_so(corner.engine(*ROLLBACK), 0, "put back")
    assert links(corner, [mine]) == {mine: before[mine]}
    assert row(corner, mine)[0] == "rolled_back"


def test_a_drifted_row_follows_too(corner: Corner) -> None:
    ids = backed_up(corner)
    before, mine = links(corner, ids), ids[1]
    assert corner.engine(*SWITCH).code == 0
    link = ours(corner)[mine]
    corner.edit([mine], Document__c=ELSEWHERE)
    assert corner.engine(*ROLLBACK).code == 0
    assert row(corner, mine) == ("pending", "drifted", ELSEWHERE)
    corner.edit([mine], Document__c=link)
    assert incremental(corner).json["records"]["failed"] == 0
    assert row(corner, mine) == ("switched", None, before[mine])


def test_a_switch_that_finds_our_link_there_knows_what_it_has_replaced(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    assert corner.engine(*ROLLBACK).code == 0
    corner.edit([ids[0]], Document__c=ours(corner)[ids[0]])
    said_so(corner.engine(*SWITCH), 0, "4 switched, 1 already so")
    assert row(corner, ids[0]) == ("switched", None, before[ids[0]])


def moved_twice(corner: Corner) -> tuple[str, list[str], list[Path]]:
    """A record with its values A, B, C, D: we made B of A and D of C; and the two rollback files."""
    [mine, *_] = ids = backed_up(corner)
    a = links(corner, ids)[mine]
    assert corner.engine(*SWITCH).code == 0
    b = links(corner, ids)[mine]
    [other] = corner.files(1)
    c = links(corner, [other])[other]
    corner.edit([mine], Document__c=c)
    incremental(corner)
    assert corner.engine(*SWITCH).code == 0
    d = links(corner, ids)[mine]
    assert len({a, b, c, d}) == 4
    files = sorted(corner.directory.glob("*.rollback-*.ndjson"), key=lambda path: path.stat().st_mtime_ns)
    return mine, [a, b, c, d], files


@pytest.mark.parametrize("way", ["database", "run", "file"])
def test_an_older_link_of_ours_that_is_back_gets_what_it_has_replaced(corner: Corner, way: str) -> None:
    mine, (a, b, _, _), files = moved_twice(corner)
    corner.edit([mine], Document__c=b)
    first = next(each["id"] for each in corner.runs() if each["run_type"] == "switch")
    words = {"database": ROLLBACK, "run": (*ROLLBACK, "--run", str(first)), "file": from_file(files[0])}[way]
    said_so(corner.engine(*words), 0, "put back")
    assert links(corner, [mine]) == {mine: a}
    assert row(corner, mine)[2] == a
    incremental(corner)
    assert row(corner, mine)[0] in {"backed_up", "rolled_back"}
    said_so(corner.engine(*ROLLBACK), 0, "already so")


def test_an_older_link_of_ours_never_becomes_an_original(corner: Corner) -> None:
    mine, (a, b, _, _), _ = moved_twice(corner)
    corner.edit([mine], Document__c=b)
    for kind in ("--incremental", "--full", "--incremental"):
        assert corner.engine("run", "backup", kind, "--no-progress").code == 0
        assert row(corner, mine)[2] == a
    assert row(corner, mine) == ("switched", None, a)
    assert corner.rows()[mine]["your_s3_url"] == b
    said_so(corner.engine("audit"), 0, "The journal is whole")
    assert corner.engine(*ROLLBACK).code == 0
    assert links(corner, [mine]) == {mine: a}


def test_a_rollback_from_an_older_file_leaves_what_a_later_switch_has_moved(corner: Corner) -> None:
    mine, (_, _, c, d), files = moved_twice(corner)
    said_so(corner.engine(*from_file(files[0])), 0, "4 put back", "1 moved again by another switch")
    assert links(corner, [mine]) == {mine: d}
    assert row(corner, mine) == ("switched", None, c)
    said_so(corner.engine(*from_file(files[1])), 0, "put back")
    assert links(corner, [mine]) == {mine: c}

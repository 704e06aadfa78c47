"""What an incremental run finds: new, changed, deleted, undeleted; and what it never forgets."""

from __future__ import annotations

import pytest

from tests.support.commands import BACKUP, hours_later, incremental, remove
from tests.support.corner import Corner


def test_an_incremental_run_on_an_empty_db_looks_at_everything_and_says_so(corner: Corner) -> None:
    ids = corner.files(4)
    said = incremental(corner, 0, "--new-database")
    assert set(corner.rows()) == set(ids)
    assert "no completed scan yet" in " ".join(said.json["notes"])


def test_an_incremental_run_takes_what_is_new_and_asks_for_nothing_else(corner: Corner) -> None:
    corner.files(6)
    hours_later(corner)
    assert corner.engine(*BACKUP).code == 0
    hours_later(corner)
    late = corner.files(2)
    said = incremental(corner)
    assert said.json["records"]["processed"] == 2
    assert set(late) < set(corner.rows())
    assert corner.writes() == 8
    assert incremental(corner).json["records"]["new"] == 0
    assert corner.writes() == 8


def test_an_edited_link_gets_a_new_honest_row_and_the_old_copy_stays(corner: Corner) -> None:
    (record,) = corner.files(1)
    assert corner.engine(*BACKUP).code == 0
    before = corner.rows()[record]
    hours_later(corner)
    new = corner.url(f"{corner.tag}/other.pdf")
    corner.put(f"{corner.tag}/other.pdf", size=555)
    corner.edit([record], Document__c=new)
    incremental(corner)
    after = corner.rows()[record]
    assert (after["status"], after["original_url"], after["file_size_bytes"]) == ("backed_up", new, 555)
    assert after["your_s3_key"] != before["your_s3_key"]
    assert corner.held()[after["your_s3_key"]].size == 555
    assert before["your_s3_key"] in corner.held()


def test_a_link_edited_to_something_that_cannot_be_copied_is_no_longer_called_backed_up(corner: Corner) -> None:
    (record,) = corner.files(1)
    assert corner.engine(*BACKUP).code == 0
    hours_later(corner)
    corner.edit([record], Document__c=corner.url(f"{corner.tag}/absent.pdf"))
    incremental(corner, 3)
    row = corner.rows()[record]
    assert (row["status"], row["failure_class"]) == ("failed", "source_missing")
    assert corner.status()["errors"][0]["failure_class"] == "source_missing"


def test_deleted_records_are_gone_and_undeleted_ones_are_back(corner: Corner) -> None:
    ids = corner.files(3)
    assert corner.engine(*BACKUP).code == 0
    hours_later(corner)
    corner.org("delete", ids=ids[:1])
    assert incremental(corner).json["records"]["gone"] == 1
    assert corner.rows()[ids[0]]["status"] == "gone"
    assert corner.status()["files"]["gone"] == 1
    assert len(corner.held()) == 3, "the copy of a deleted record stays"
    hours_later(corner)
    corner.org("undelete", ids=ids[:1])
    incremental(corner)
    assert corner.rows()[ids[0]]["status"] == "backed_up"
    assert corner.status()["files"] == corner.status()["files"] | {"gone": 0, "backed_up": 3, "tracked": 3}
    assert corner.writes() == 3


def test_a_full_run_finds_what_has_vanished_without_a_trace(corner: Corner) -> None:
    ids = corner.files(3)
    assert corner.engine(*BACKUP).code == 0
    corner.edit(ids[:1], Type_Current__c="out of scope")
    said = corner.engine(*BACKUP, "--json")
    assert said.json["records"]["gone"] == 0, "a living record out of scope is not gone"
    corner.org("delete", ids=ids[1:2])
    assert corner.engine(*BACKUP, "--json").json["records"]["gone"] == 1
    assert corner.rows()[ids[1]]["status"] == "gone"


def test_a_duplicate_added_weeks_later_is_copied_from_its_duplicate(corner: Corner) -> None:
    (first,) = corner.files(1)
    assert corner.engine(*BACKUP).code == 0
    hours_later(corner, 24 * 21)
    corner.forget_requests()
    (duplicate,) = corner.records([corner.row(url=corner.rows()[first]["original_url"])])
    incremental(corner)
    rows = corner.rows()
    assert rows[duplicate]["method"] == "twin"
    assert rows[duplicate]["your_s3_key"] != rows[first]["your_s3_key"]
    assert rows[duplicate]["file_hash"] == rows[first]["file_hash"]
    held = corner.held()
    assert held[rows[duplicate]["your_s3_key"]].sha256 == held[rows[first]["your_s3_key"]].sha256
    assert corner.source_methods() <= {"HEAD"}, "the source's bytes were read again"


def test_failures_of_the_environment_are_tried_again_by_themselves(corner: Corner) -> None:
    ids = corner.files(3)
    corner.misbehave(kind="access_denied", method="PUT")
    assert corner.engine(*BACKUP).code == 3
    assert {row["failure_class"] for row in corner.rows().values()} == {"destination_denied"}
    corner.misbehave()
    hours_later(corner)
    incremental(corner)
    assert {corner.rows()[each]["status"] for each in ids} == {"backed_up"}


def test_known_failures_neither_stop_a_run_nor_keep_it_from_what_waits(corner: Corner) -> None:
    """Many more of them than the error budget allows, and all of them before the records that are pending."""
    corner.files(10)
    denied = corner.records([corner.row(url=corner.url(f"{corner.tag}/denied-{n}.pdf")) for n in range(1_050)])
    waiting = corner.files(10)
    corner.misbehave(kind="access_denied", path="denied-")
    hours_later(corner)
    assert corner.engine(*BACKUP, ENGINE_MIGRATION__ERROR_BUDGET="1").code == 3
    for name in waiting:
        remove(corner, corner.bucket, corner.rows()[name]["your_s3_key"])
    assert corner.engine("verify", "--json").code == 6
    assert corner.status()["files"]["pending"] == 10
    hours_later(corner)
    [late] = corner.files(1)
    corner.forget_requests()
    said = incremental(corner, 3)

    assert (said.json["records"]["backed_up"], said.json["failures"]) == (11, {"source_denied": len(denied)})
    assert {corner.rows()[name]["status"] for name in [*waiting, late]} == {"backed_up"}
    assert {corner.rows()[name]["attempts"] for name in denied} == {2}, "each once a run"


def test_a_dry_run_promises_no_copies_of_what_is_known_to_be_missing_and_says_what_it_did_not_look_at(
    corner: Corner,
) -> None:
    corner.files(3)
    corner.records([corner.row(url=corner.url(f"{corner.tag}/absent-{n}.pdf")) for n in range(2)])
    assert corner.engine(*BACKUP).code == 3
    corner.files(1)
    corner.forget_requests()
    said = corner.engine(*BACKUP, "--dry-run", "--json")

    records = said.json["records"]
    assert said.code == 0
    assert (records["backed_up"], records["not_looked_at"], records["unchanged"], records["pending"]) == (1, 3, 0, 2)
    assert records["processed"] == records["in_scope"] == 6
    assert (said.json["failures"], said.json["not_looked_at"]) == ({"source_missing": 2}, {"dry_run": 3})
    assert corner.source_methods() <= {"HEAD", "GET"}
    told = corner.engine(*BACKUP, "--dry-run").out
    assert "1 would be copied (1 new), 3 not looked at, 2 would be tried again, 0 skipped, 0 failed" in told
    assert "no file was looked at" in told


def test_a_lost_db_is_no_disaster(corner: Corner) -> None:
    ids = corner.files(5)
    assert corner.engine(*BACKUP).code == 0
    corner.database.unlink()
    corner.forget_requests()
    said = corner.engine(*BACKUP, "--json")
    assert said.code == 0
    assert set(corner.rows()) == set(ids)
    assert corner.writes() == 0
    assert len(corner.held()) == 5


@pytest.mark.parametrize("mode", ["--full", "--incremental"])
def test_a_dry_run_makes_no_tracking_db_and_writes_to_none(corner: Corner, mode: str) -> None:
    corner.files(3)
    said = corner.engine("run", "backup", "--full", "--dry-run")
    assert said.code == 0, said.everything
    assert "3" in said.out
    assert not list(corner.directory.glob("tracking.db*"))

    assert corner.engine(*BACKUP).code == 0
    before = corner.rows(), corner.runs()
    corner.files(2)
    said = corner.engine("run", "backup", mode, "--dry-run", "--json")
    assert (said.code, said.json["records"]["would_back_up"]) == (0, 2), said.everything
    assert (corner.rows(), corner.runs()) == before

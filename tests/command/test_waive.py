"""Waivers: records leave the readiness sum, on record, and come back."""

from __future__ import annotations

import csv
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.salesforce.world import make_id
from tests.support.corner import Corner

NOBODY = make_id("a0X", 4_999_999)


@pytest.fixture
def mixed(corner: Corner) -> Corner:
    """Six records that can be switched and two whose file is missing."""
    corner.files(6)
    corner.records([corner.row(url=corner.url(f"{corner.tag}/nowhere-{n}.pdf")) for n in range(2)])
    assert corner.engine("run", "backup", "--full").code == 3
    return corner


def missing(corner: Corner) -> list[str]:
    return [name for name, row in corner.rows().items() if row["status"] == "failed"]


def test_a_waived_record_leaves_the_sum_and_stays_on_record(mixed: Corner) -> None:
    before = mixed.status()["readiness"]
    assert (before["in_scope"], before["ready"], before["percent_ready"]) == (8, 6, 75.0)
    one, other = missing(mixed)
    said = mixed.engine("waive", one, "--reason", "lost at the vendor", "--json")
    assert said.code == 0
    assert said.json["readiness"]["percent_ready"] == pytest.approx(85.71)
    after = mixed.status()["readiness"]
    assert (after["waived"], after["in_scope"], after["not_ready"], after["reasons"]) == (
        1,
        7,
        1,
        {"source_missing": 1},
    )
    assert mixed.engine("waive", other, "--reason", "the same").code == 0
    assert mixed.status()["readiness"]["percent_ready"] == 100.0
    [first, second] = mixed.query("SELECT * FROM waivers ORDER BY id")
    assert (first["doclist_entry_id"], first["reason"], second["reason"]) == (one, "lost at the vendor", "the same")
    assert first["who"]
    assert first["at"].endswith("Z")


def test_an_undo_puts_it_back_and_keeps_the_history(mixed: Corner) -> None:
    one = missing(mixed)[0]
    assert mixed.engine("waive", one, "--reason", "lost").code == 0
    assert mixed.engine("waive", one, "--reason", "again").out.count("were waived already") == 1
    assert mixed.engine("waive", one, "--undo", "--reason", "found").code == 0
    assert mixed.status()["readiness"]["waived"] == 0
    assert [row["event"] for row in mixed.query("SELECT event FROM waivers ORDER BY id")] == ["waived", "undone"]


def test_the_history_of_waivers_cannot_be_rewritten(mixed: Corner) -> None:
    assert mixed.engine("waive", missing(mixed)[0], "--reason", "lost").code == 0
    with closing(sqlite3.connect(mixed.database)) as db:
        for statement in (
            "UPDATE waivers SET reason = 'x'",
            "DELETE FROM waivers",
            "REPLACE INTO waivers SELECT * FROM waivers",
        ):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)


def test_ids_come_from_a_file_and_unknown_ones_are_told(mixed: Corner, tmp_path: Path) -> None:
    file = tmp_path / "ids.csv"
    file.write_text("record_id,why\n" + "".join(f"{each[:15]},lost\n" for each in missing(mixed)) + f"{NOBODY}\n")
    said = mixed.engine("waive", "--file", str(file), "--reason", "lost")
    assert said.code == 3
    assert "2 records waived" in said.out
    assert f"1 are not in the tracking DB: {NOBODY}" in said.out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--reason", "x"], "no record Id"),
        ([NOBODY], "--reason is empty"),
        (["nonsense", "--reason", "x"], "not a Salesforce id"),
        (["--file", "/nowhere/ids", "--reason", "x"], "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused(mixed: Corner, words: list[str], told: str) -> None:
    said = mixed.engine("waive", *words)
    assert said.code == 2
    assert told in said.err
    assert mixed.query("SELECT * FROM waivers") == []


def test_under_dry_run_nothing_is_noted(mixed: Corner) -> None:
    said = mixed.engine("waive", missing(mixed)[0], "--reason", "lost", ENGINE_MIGRATION__DRY_RUN="true")
    assert said.code == 2
    assert mixed.query("SELECT * FROM waivers") == []


def test_readiness_says_who_can_who_cannot_and_why(mixed: Corner, tmp_path: Path) -> None:
    one, other = missing(mixed)
    mixed.engine("waive", one, "--reason", "=lost")
    file = tmp_path / "not-ready.csv"
    said = mixed.engine("status", "--readiness", "--not-ready", str(file))
    assert said.code == 0
    assert other in said.out
    assert "waived" in said.out
    assert "1 in part" in said.out
    with file.open(newline="") as text:
        rows = {row["record_id"]: row for row in csv.DictReader(text)}
    assert set(rows) == {one, other}
    assert (rows[one]["reason"], rows[one]["said"]) == ("waived", "'=lost")
    assert rows[other]["reason"] == "source_missing"
    assert file.stat().st_mode & 0o077 == 0


def test_archived_records_are_read_again_once_restored(corner: Corner) -> None:
    """A retry asks for the state of the restore; what an earlier look said does not count."""
    from engine.rehearsal.side_door import Seeded
    from tests.support.corner import wait

    key = f"{corner.tag}/frozen.pdf"
    [record] = corner.records([corner.row(url=corner.url(key))])
    wait(corner.stage.objects.load(VENDOR_BUCKET, [Seeded(key, 300, storage_class="GLACIER")]))
    assert corner.engine("run", "backup", "--full").code == 3
    assert corner.rows()[record]["failure_class"] == "archived"
    assert corner.engine("run", "backup", "--incremental", "--retry-class", "archived").code == 3
    assert corner.rows()[record]["failure_class"] == "archived"

    wait(corner.stage.objects.load(VENDOR_BUCKET, [Seeded(key, 300)]))
    assert corner.engine("run", "backup", "--incremental", "--retry-class", "archived").code == 0
    assert corner.rows()[record]["status"] == "backed_up"


# what waivers do not hide, and what they excuse


def test_a_switched_record_is_not_waived(mixed: Corner) -> None:
    assert mixed.engine("run", "switch", "--execute", "--yes", "--no-progress").code == 0
    switched = next(name for name, row in mixed.rows().items() if row["status"] == "switched")
    lost = missing(mixed)[0]
    said = mixed.engine("waive", switched, lost, "--reason", "lost at the vendor", "--json")
    assert said.code == 3
    assert (said.json["noted"], said.json["switched"], said.json["readiness"]["waived"]) == ([lost], [switched], 1)
    said = mixed.engine("waive", switched, "--reason", "x")
    assert said.code == 3
    assert f"1 are switched and were not waived: {switched}" in said.out
    assert "engine run rollback --from-database --ids FILE" in said.out


def test_a_waiver_of_a_record_that_was_switched_since_can_be_taken_back(mixed: Corner) -> None:
    ready = next(name for name, row in mixed.rows().items() if row["status"] == "backed_up")
    assert mixed.engine("waive", ready, "--reason", "x").code == 0
    assert mixed.engine("run", "switch", "--execute", "--yes", "--no-progress").code == 0
    assert mixed.engine("waive", ready, "--undo", "--reason", "y").code == 0


@pytest.mark.parametrize("words", [("--full",), ("--incremental", "--retry-class", "source_missing")])
def test_a_backup_in_which_only_waived_records_fail_ends_with_0(mixed: Corner, words: tuple[str, ...]) -> None:
    one, other = missing(mixed)
    assert mixed.engine("waive", one, "--reason", "lost").code == 0
    said = mixed.engine("run", "backup", *words, "--no-progress")
    assert said.code == 3, "the other one counts"
    assert "1 of the failures are of waived records" in said.out
    assert mixed.engine("waive", other, "--reason", "lost").code == 0
    said = mixed.engine("run", "backup", *words, "--no-progress")
    assert said.code == 0, said.everything
    assert "2 failed" in said.out
    assert "2 of the failures are of waived records" in said.out
    assert mixed.runs()[-1]["status"] == "completed"


def test_a_switch_in_which_only_waived_records_fail_ends_with_0(corner: Corner) -> None:
    ids = corner.files(30)
    assert corner.engine("run", "backup", "--full").code == 0
    assert corner.engine("waive", ids[7], "--reason", "a rule of the org keeps it").code == 0
    corner.org("access", read_only=[ids[7]])
    try:
        said = corner.engine("run", "switch", "--execute", "--yes", "--no-progress")
    finally:
        corner.org("access", read_only=[])
    assert said.code == 0, said.everything
    assert "29 switched, 1 failed" in said.out
    assert "1 of the failures are of waived records" in said.out


def test_a_verification_that_cannot_look_at_waived_copies_alone_ends_with_0(corner: Corner) -> None:
    ids = corner.files(3)
    assert corner.engine("run", "backup", "--full").code == 0
    corner.misbehave(path=corner.rows()[ids[1]]["your_s3_key"], kind="access_denied")
    assert corner.engine("verify", "--level", "head").code == 3
    assert corner.engine("waive", ids[1], "--reason", "denied").code == 0
    said = corner.engine("verify", "--level", "head")
    assert said.code == 0, said.everything
    assert "1 could not be checked" in said.out

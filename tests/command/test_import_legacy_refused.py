"""``engine import-legacy``: files, orgs and buckets that do not fit, and an import that is killed or stopped."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from engine.rehearsal.old_scripts import OldScripts
from engine.rehearsal.stage import OUR_BUCKET
from tests.support.commands import BACKUP, ROLLBACK, links, refused, said_so
from tests.support.corner import Corner, ended, until
from tests.support.legacy import PROVED, Expected, Migrated, adopt, became, look, with_every_defect


def test_a_killed_import_goes_on_and_ends_as_if_it_had_never_been_killed(old: Migrated) -> None:
    """The kill comes between the rows and the journal, which waits for the bucket."""
    with_every_defect(old)
    old.corner.misbehave(kind="delay", seconds=30, method="PUT", path=f"{old.corner.bucket}/.engine/journal/.*ndjson")
    run = old.corner.start("import-legacy", str(old.file), "--execute", "--no-progress")
    until(old.corner.recorded, "rows are there")
    run.kill()
    ended(run)
    old.corner.misbehave()
    adopt(old, code=3)
    assert became(old) == old.expected
    said_so(old.corner.engine("audit"), 0)
    assert [run["status"] for run in old.corner.runs()] == ["crashed", "completed_with_failures"]


def test_a_stopped_import_ends_cleanly_and_says_what_goes_on(old: Migrated) -> None:
    with_every_defect(old)
    old.corner.misbehave(kind="delay", seconds=3, method="HEAD", path=f"{old.corner.bucket}/uploads/")
    run = old.corner.start("import-legacy", str(old.file), "--execute", "--no-progress")
    until(old.corner.put_requests, "copies are looked at")
    run.terminate()
    said_so(ended(run), 143, "--execute   goes on")
    old.corner.misbehave()
    adopt(old, code=3)
    assert became(old) == old.expected


# files that are none


def plain(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def of(path: Path, *statements: str) -> Path:
    with sqlite3.connect(path) as db:
        for statement in statements:
            db.execute(statement)
    db.close()
    return path


BAD: dict[str, tuple[Any, int, tuple[str, ...]]] = {
    "missing": (lambda path: path, 2, ("does not exist",)),
    "a folder": (lambda path: path.mkdir() or path, 2, ("is no file",)),
    "empty": (lambda path: plain(path, b""), 4, ("is empty",)),
    "text": (lambda path: plain(path, b"id,url\n"), 4, ("is not a SQLite database",)),
    "cut short": (lambda path: plain(path, b"SQLite format 3\0" + b"\xff" * 90), 4, ("stays as it is",)),
    "other tables": (lambda path: of(path, "CREATE TABLE files (x)"), 4, ("no table file_migrations", "files")),
    "a view": (
        lambda path: of(path, "CREATE VIEW file_migrations AS SELECT 1 AS x"),
        4,
        ("its tables: none; its views: file_migrations",),
    ),
    "other columns": (
        lambda path: of(path, "CREATE TABLE file_migrations (doclist_entry_id, original_url, s3_key)"),
        4,
        ("your_s3_key", "s3_key"),
    ),
}


@pytest.mark.parametrize("way", ["its path", "another name", "a hard link", "what lies beside it"])
def test_the_report_never_takes_the_place_of_the_file_that_is_read(old: Migrated, way: str) -> None:
    old.copy()
    report = old.file
    if way == "another name":
        report = old.file.parent / "." / "x" / ".." / old.file.name
        (old.file.parent / "x").mkdir()
    elif way == "a hard link":
        report = old.file.parent / "same.csv"
        report.hardlink_to(old.file)
    elif way == "what lies beside it":
        report = old.file.parent / f"{old.file.name}-wal"
    content = old.file.read_bytes()
    refused(look(old, "--report", str(report)), 2, "--report", str(report))
    assert old.file.read_bytes() == content
    assert report.exists() is (way != "what lies beside it")


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_is_none_of_theirs_is_refused_with_the_next_step(corner: Corner, tmp_path: Path, kind: str) -> None:
    make, code, words = BAD[kind]
    file = make(tmp_path / "bad.db")
    refused(corner.engine("import-legacy", str(file), "--execute", "--no-progress"), code, str(file), *words)
    assert corner.recorded() == 0


def test_a_tracking_db_of_our_own_is_nothing_to_import(old: Migrated) -> None:
    old.corner.files(1)
    old.corner.engine(*BACKUP)
    refused(old.corner.engine("import-legacy", str(old.corner.database)), 4, "is a tracking DB of engine")


def test_columns_may_be_spelt_otherwise_and_unneeded_ones_be_missing(old: Migrated) -> None:
    old.copy()
    db = old.scripts.db
    db.execute("CREATE TABLE kept AS SELECT * FROM file_migrations")
    db.execute("DROP TABLE file_migrations")
    db.execute(
        "CREATE TABLE File_Migrations AS SELECT doclist_entry_id AS DocList_Entry_Id, original_url, your_s3_key,"
        " your_s3_url FROM kept"
    )
    db.execute("DROP TABLE migration_runs")
    db.execute("DROP TABLE migration_errors")
    db.commit()
    adopt(old)
    assert became(old) == old.expected


def test_a_file_that_is_locked_is_refused(old: Migrated) -> None:
    old.copy()
    old.scripts.db.execute("BEGIN EXCLUSIVE")
    refused(look(old), 4, "is locked by another program", "original scripts")


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_half_written_file_is_read_from_a_copy_and_stays_half_written(old: Migrated, mode: str) -> None:
    """What a killed script leaves: a journal, or a WAL, that the next opener would fold into the file."""
    old.copy()
    db = old.scripts.db
    db.execute(f"PRAGMA journal_mode = {mode}")
    db.execute("PRAGMA cache_size = 1")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    keep = old.copy() if mode == "WAL" else ""
    db.execute("BEGIN")
    db.execute("UPDATE file_migrations SET your_s3_key = 'half-written' || hex(zeroblob(20000))")
    left = old.corner.directory / "left"
    left.mkdir()
    for path in old.corner.directory.glob("old.db*"):
        if not path.name.endswith("-shm"):
            (left / path.name).write_bytes(path.read_bytes())
    db.execute("ROLLBACK")
    old.scripts.path = left / "old.db"
    before = {path.name: path.read_bytes() for path in left.iterdir()}
    assert len(before) == 2
    adopt(old)
    assert became(old) == old.expected
    assert keep == "" or keep in old.corner.rows()
    assert {path.name: path.read_bytes() for path in left.iterdir()} == before


def test_copies_of_another_bucket_are_refused(old: Migrated) -> None:
    old.copy()
    refused(look(old, ENGINE_DESTINATION__BUCKET=OUR_BUCKET), 4, "none of the 1 copies", "destination.bucket")


def test_records_that_the_org_does_not_know_are_those_of_another_org(old: Migrated) -> None:
    for _ in range(20):
        old.copy(noted=1, holds="deleted")
    refused(look(old, "--execute"), 4, "this org knows none of the first 20 records", "salesforce.login_url")
    assert old.corner.recorded() == 0


def test_an_incremental_backup_takes_up_what_is_pending(old: Migrated) -> None:
    good, lost = old.copy(), old.copy(Expected("pending", "copy_missing"), ours=None)
    adopt(old)
    said_so(old.corner.engine("run", "backup", "--incremental", "--no-progress"), 0)
    assert became(old) == {good: PROVED, lost: PROVED}
    rows = old.corner.rows()
    assert (rows[good]["method"], rows[lost]["method"]) == ("adopted", "server_copy")
    assert lost in rows[lost]["your_s3_key"]


def test_the_old_file_in_the_place_of_the_tracking_db_is_told_how_to_go_on(old: Migrated) -> None:
    said = look(old, "--execute", ENGINE_TRACKING__DATABASE=str(old.file))
    refused(said, 4, "original scripts", "engine import-legacy FILE")


def test_the_test_settings_bind_it_too(old: Migrated) -> None:
    old.copy()
    record = old.copy(account="Other GmbH")
    account = old.accounts["Other GmbH"]
    found = adopt(old, ENGINE_MIGRATION__TEST_SINGLE_ACCOUNT="true", ENGINE_MIGRATION__TEST_ACCOUNT_ID=account)
    assert (list(old.corner.rows()), found["rows"]["left_out"]) == ([record], 1)
    refused(look(old, "--execute", ENGINE_MIGRATION__DRY_RUN="true"), 2, "migration.dry_run")


def test_a_link_to_another_bucket_is_put_back_and_leads_to_no_copy_of_ours(old: Migrated) -> None:
    old.copy()
    elsewhere = "https://other.s3.us-east-1.amazonaws.com/uploads/a"
    moved = old.copy(Expected("pending", "copy_missing"), noted=1, holds=elsewhere, row={"link": elsewhere})
    assert adopt(old)["links"]["dead_link"] == 0
    assert became(old) == old.expected
    said_so(old.corner.engine(*ROLLBACK), 0, "1 put back")
    assert links(old.corner, [moved])[moved] == old.originals[moved]
    said_so(old.corner.engine(*BACKUP), 0)
    assert became(old)[moved] == PROVED


def test_stores_that_do_not_answer_leave_copies_that_the_next_import_looks_at_again(old: Migrated) -> None:
    old.copy()
    old.corner.misbehave(kind="internal_error", method="HEAD", path=f"{old.corner.bucket}/uploads/")
    said = adopt(old, ENGINE_MIGRATION__MAX_ATTEMPTS="1")
    assert said["failures"] == {"network": 1}
    assert "import-legacy" in said["next"][0]["command"]
    old.corner.misbehave()
    adopt(old)
    assert became(old) == old.expected


@pytest.mark.parametrize("key", ["uploads//a/../b.pdf", "uploads/a\nb.pdf", "uploads/" + "x" * 1100, "/\U0001f600?#%"])
def test_no_key_is_too_odd_to_be_looked_at(old: Migrated, key: str) -> None:
    old.copy()
    odd = old.copy(Expected("pending"), ours=None, row={"key": key})
    adopt(old)
    assert became(old)[odd].status == "pending"


def test_a_db_without_a_row_is_imported_at_once(corner: Corner) -> None:
    scripts = OldScripts(corner.directory / "old.db")
    scripts.close()
    said_so(corner.engine("import-legacy", str(scripts.path), "--execute", "--no-progress"), 0, "0 rows of 0 records")

"""``engine import-legacy``: a DB of the original scripts with every known defect, by the command, on both stand-ins."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.rehearsal.content import content_of
from engine.rehearsal.old_scripts import TOKEN, OldScripts
from engine.rehearsal.stage import OUR_BUCKET
from tests.support.commands import BACKUP, ROLLBACK, links, refused, said_so
from tests.support.corner import Corner, Said, ended, until
from tests.support.legacy import PROVED, Expected, Migrated

LISTED = {"ENGINE_SOURCE__INVENTORY": "always"}
IMPORT = ("import-legacy", "--execute", "--json", "--no-progress")
GOOD = {"backed_up", "switched"}
SWITCHED = Expected("switched")
LATER = "2025-08-15T10:20:30.123456"


@pytest.fixture
def old(corner: Corner) -> Iterator[Migrated]:
    migrated = Migrated(corner)
    yield migrated
    migrated.scripts.close()


def adopt(old: Migrated, *words: str, code: int = 0, **env: str) -> Any:
    said = old.corner.engine(*IMPORT, str(old.file), "--timezone", "Europe/Berlin", *words, **env)
    assert said.code == code, said.everything
    return said.json


def look(old: Migrated, *words: str, **env: str) -> Said:
    return old.corner.engine("import-legacy", str(old.file), "--no-progress", *words, **env)


def became(old: Migrated) -> dict[str, Expected]:
    return {name: Expected(row["status"], row["failure_class"]) for name, row in old.corner.rows().items()}


def with_every_defect(old: Migrated) -> None:
    """One record, or more, of each kind."""
    corner, bytes_of_others = old.corner, b"another file altogether"
    for _ in range(3):
        old.copy()
    old.copy(size=0)
    old.copy(account="Acme #5 & Co", name="a%20b.pdf")
    old.copy(account="Café+Söhne", name="x+y.docx_10")
    old.copy(name="scan.27%20(non-resident)")
    old.copy(short_id=True)
    old.copy(row={"size": None, "at": "yesterday", "sha256": None})
    # one key for two records: the last writer wins
    first = old.copy(Expected("pending", "key_conflict"), account="Twins Inc", name="same.pdf", ours=None)
    old.copy(account="Twins Inc", name="same.pdf")
    old.scripts.db.execute("UPDATE file_migrations SET file_size_bytes = 399 WHERE doclist_entry_id = ?", (first,))
    # the copy is not there, cut short, outdated, of a file that is gone, frozen, elsewhere
    old.copy(Expected("pending", "copy_missing"), ours=None)
    old.copy(Expected("pending", "source_changed"), ours=b"half")
    old.copy(Expected("pending", "source_changed"), source=b"x" * 400)
    old.copy(Expected("pending", "source_missing"), source=None)
    old.copy(Expected("pending", "archived"), storage_class="GLACIER")
    old.copy(Expected("pending", "copy_missing"), row={"link": "https://other.s3.us-east-1.amazonaws.com/uploads/a"})
    old.copy(Expected("pending", "unproved"), etag="0123456789abcdef0123456789abcdef-3")
    # links that were moved
    old.copy(SWITCHED, noted=1, holds="link")
    old.copy(SWITCHED, noted=1, holds="link", account="Acme #5 & Co")
    old.copy(SWITCHED, noted=1, holds="link", ours=bytes_of_others)
    old.copy(SWITCHED, noted=1, holds="link", ours=None)
    old.copy(SWITCHED, noted=0, holds="link")
    old.copy(PROVED, noted=1)
    old.copy(Expected("pending", "drifted"), noted=1, holds="https://elsewhere.example/edited.pdf")
    old.copy(Expected("gone", "deleted"), noted=1, holds="deleted")
    # originals that are no way back
    ours = f"https://{corner.bucket}.s3.us-east-1.amazonaws.com/uploads/x"
    old.copy(Expected("skipped", "already_ours"), noted=1, row={"url": ours})
    old.copy(Expected("skipped", "no_url"), row={"url": ""})
    old.copy(Expected("failed", "bad_url"), row={"url": "https:///no-host.pdf"})
    old.copy(Expected("failed", "host_not_allowed"), noted=1, row={"url": "https://evil.example/a.pdf"})
    scripts = old.scripts
    scripts.run("backup")
    scripts.run("full_migration", "failed", dry_run=False)
    scripts.failed("a0X000000000000AAA")
    again = old.copy()
    scripts.db.execute("UPDATE file_migrations SET original_url = 'x' WHERE doclist_entry_id = ?", (again,))
    scripts.db.execute(
        "INSERT INTO file_migrations SELECT NULL, substr(doclist_entry_id, 1, 15), account_id, account_name, ?,"
        " your_s3_key, your_s3_url, file_name, file_size_bytes, file_hash, backup_timestamp, last_modified_sf,"
        " migration_phase, salesforce_updated, created_date, ? FROM file_migrations WHERE doclist_entry_id = ?",
        (old.originals[again], LATER, again),
    )
    for bad in ("not-an-id", "a0X5g00000abcdeEAF"):
        scripts.db.execute(
            "INSERT INTO file_migrations (doclist_entry_id, account_id, account_name, original_url, your_s3_key,"
            " your_s3_url, file_name, backup_timestamp, created_date, updated_date) VALUES (?, '', '', 'u', 'k', 'l',"
            " 'n', '', '', '')",
            (bad,),
        )
    broken = old.copy()
    del old.expected[broken]
    scripts.db.execute(
        "UPDATE file_migrations SET original_url = CAST(x'68e9' AS TEXT) WHERE doclist_entry_id = ?", (broken,)
    )
    scripts.db.commit()


@pytest.mark.parametrize("env", [{}, LISTED], ids=["by HEAD", "listed"])
def test_every_defect_is_known_counted_and_queued_with_its_class(old: Migrated, env: dict[str, str]) -> None:
    with_every_defect(old)
    found = adopt(old, "--report", str(old.corner.directory / "doubts.csv"), code=3, **env)
    assert became(old) == old.expected
    rows = found["rows"]
    assert rows == {
        "read": len(old.expected) + 4,
        "records": len(old.expected),
        "duplicates": 1,
        "left_out": 0,
        "unfit": {"bad_id": 2, "bad_text": 1},
        "known_already": 0,
    }
    states = {status: count for status, count in found["records"].items() if count}
    assert sum(states.values()) == len(old.expected)
    assert {name: count for name, count in old.corner.status()["files"].items() if name in states} == states
    links_found = found["links"]
    assert links_found["noted_as_moved"] == 9
    assert (links_found["ours"], links_found["original"], links_found["edited"], links_found["gone"]) == (5, 1, 1, 1)
    assert (links_found["dead_link"], links_found["broken_link"]) == (1, 2)
    assert found["scripts"]["runs_never_closed"] == 1
    assert found["scripts"]["failed_records"] == {"backup_error": 1}
    with (old.corner.directory / "doubts.csv").open() as file:
        doubts = [line["class"] for line in csv.DictReader(file)]
    assert {name: doubts.count(name) for name in found["failures"]} == found["failures"]
    assert doubts.count("bad_id") == 2
    said_so(old.corner.engine("audit"), 0)


def test_what_is_proved_is_not_copied_again_and_keeps_its_key(old: Migrated) -> None:
    with_every_defect(old)
    adopt(old, code=3, **LISTED)
    before = old.corner.rows()
    good = {name: row for name, row in before.items() if row["status"] in GOOD and row["verified_at"]}
    held = old.corner.held()
    old.corner.forget_requests()
    old.corner.engine(*BACKUP)
    after, now = old.corner.rows(), old.corner.held()
    assert len(good) > 12
    for name, row in good.items():
        assert (after[name]["status"], after[name]["your_s3_key"]) == (row["status"], row["your_s3_key"])
        assert now[row["your_s3_key"]] == held[row["your_s3_key"]], "not written again"
    copied = {name for name, row in after.items() if row["your_s3_key"] != before.get(name, row)["your_s3_key"]}
    assert not copied & set(good)
    written = set(now) - set(held)
    assert len([key for key in written if not key.startswith(".engine/")]) <= len(after) - len(good)


def test_a_rollback_puts_back_what_the_scripts_moved_and_a_switch_then_encodes(old: Migrated) -> None:
    good = old.copy(SWITCHED, noted=1, holds="link")
    dead = old.copy(SWITCHED, noted=1, holds="link", account="Acme #5 & Co")
    unmarked = old.copy(SWITCHED, holds="link")
    edited = old.copy(Expected("pending", "drifted"), noted=1, holds="https://elsewhere.example/edited.pdf")
    old.scripts.run("full_migration", "failed")
    adopt(old, code=3)
    ids = [good, dead, unmarked, edited]
    said_so(old.corner.engine("verify"), 0)
    said_so(old.corner.engine(*ROLLBACK), 0, "3 put back")
    assert links(old.corner, ids) == old.originals | {edited: "https://elsewhere.example/edited.pdf"}
    assert {became(old)[each].status for each in (good, dead, unmarked)} == {"rolled_back"}
    assert "other hands" not in said_so(old.corner.engine("verify"), 0).everything
    old.corner.engine(*BACKUP)
    said_so(old.corner.engine("run", "switch", "--execute", "--yes", "--no-progress"), 0, "3 switched")
    assert "%235" in links(old.corner, [dead])[dead]
    said_so(old.corner.engine("audit"), 0)


def test_one_run_of_it_can_be_rolled_back_by_its_number(old: Migrated) -> None:
    moved = old.copy(SWITCHED, noted=1, holds="link")
    run = adopt(old)["run_id"]
    said_so(old.corner.engine(*ROLLBACK, "--run", str(run)), 0, "1 put back")
    assert links(old.corner, [moved]) == old.originals


def test_a_dry_run_is_the_default_tells_the_same_and_writes_nothing(old: Migrated) -> None:
    with_every_defect(old)
    content = old.file.read_bytes()
    said = said_so(look(old), 0, "import-legacy (dry run)", "nothing was written", "--execute")
    dry = look(old, "--json").json
    assert old.corner.recorded() == 0
    assert old.corner.query("SELECT * FROM url_changes") == old.corner.query("SELECT * FROM migration_runs") == []
    assert not [key for key in old.corner.held() if key.startswith(".engine/")]
    done = adopt(old, code=3)
    assert {name: dry[name] for name in ("rows", "records", "becomes", "failures", "proofs", "links")} == {
        name: done[name] for name in ("rows", "records", "becomes", "failures", "proofs", "links")
    }
    assert old.file.read_bytes() == content
    assert sorted(path.name for path in old.corner.directory.glob("old.db*")) == ["old.db"]
    assert TOKEN not in said.everything + old.corner.logged() + json.dumps(old.corner.runs())


def test_a_second_import_changes_nothing_and_reads_nothing_again(old: Migrated) -> None:
    with_every_defect(old)
    adopt(old, code=3)
    rows, journal = became(old), old.corner.query("SELECT * FROM url_changes")
    again = adopt(old, code=3)
    assert became(old) == rows == old.expected
    assert old.corner.query("SELECT * FROM url_changes") == journal
    assert again["links"]["journalled"] == 0


def test_what_this_database_knows_better_stays(old: Migrated) -> None:
    record = old.copy()
    other = old.copy(SWITCHED, noted=1, holds="link")
    old.corner.engine(*BACKUP)
    assert became(old) == {record: PROVED, other: Expected("skipped", "already_ours")}
    key = old.corner.rows()[record]["your_s3_key"]
    found = adopt(old)
    assert found["rows"]["known_already"] == 1
    assert became(old) == {record: PROVED, other: SWITCHED}
    assert old.corner.rows()[record]["your_s3_key"] == key
    assert key != f"uploads/{old.accounts['Acme Ltd']}"


def test_a_key_with_equal_bytes_goes_to_one_record_and_to_those_whose_links_lead_there(old: Migrated) -> None:
    same = content_of("same", 300)
    kinds = [("original", Expected("pending", "key_conflict")), ("link", SWITCHED), ("link", SWITCHED)]
    for holds, expect in kinds:
        old.copy(
            expect, account="Twins Inc", name="same.pdf", source=same, ours=same, holds=holds, noted=holds == "link"
        )
    assert adopt(old)["links"]["broken_link"] == 0
    assert became(old) == old.expected
    adopt(old)
    assert became(old) == old.expected, "a key that has its record is given to no other one later"


def test_bytes_are_read_where_nothing_else_proves_a_copy(old: Migrated) -> None:
    record = old.copy(PROVED, etag="0123456789abcdef0123456789abcdef-3")
    assert adopt(old)["failures"] == {"unproved": 1}
    found = adopt(old, "--read-bytes")
    assert became(old) == old.expected
    row = old.corner.rows()[record]
    assert row["proof"] in found["proofs"]
    assert len(row["file_hash"]) == 64


def test_times_are_those_of_the_zone_and_none_is_made_up(old: Migrated) -> None:
    summer, winter = old.copy(), old.copy(row={"at": "2025-01-14T10:20:30"})
    never = old.copy(row={"at": "yesterday"})
    found = adopt(old)
    assert found["timezone"] == "Europe/Berlin"
    at = {name: row["backup_timestamp"] for name, row in old.corner.rows().items()}
    assert (at[summer], at[winter]) == ("2025-08-14T08:20:30.123Z", "2025-01-14T09:20:30.000Z")
    assert at[never] == old.corner.rows()[never]["verified_at"]
    assert old.corner.rows()[summer]["last_modified_sf"] == "2025-08-01T08:00:00.000Z"
    refused(look(old, "--timezone", "Mars/Olympus"), 2, "Mars/Olympus", "Europe/Berlin")


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
    "other columns": (
        lambda path: of(path, "CREATE TABLE file_migrations (doclist_entry_id, original_url, s3_key)"),
        4,
        ("your_s3_key", "s3_key"),
    ),
}


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

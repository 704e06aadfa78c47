"""``engine import-legacy``: a DB of the original scripts with every known defect, by the command, on both stand-ins."""

from __future__ import annotations

import csv
import json

import pytest

from engine.rehearsal.content import content_of
from engine.rehearsal.old_scripts import TOKEN, old_link
from engine.tracking.db.chain import tip_path
from tests.support.commands import BACKUP, ROLLBACK, links, lose_the_database, refused, said_so
from tests.support.legacy import PROVED, SWITCHED, Expected, Migrated, adopt, became, look, with_every_defect

LISTED = {"ENGINE_SOURCE__INVENTORY": "always"}
GOOD = {"backed_up", "switched"}


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
    [run] = old.corner.runs()
    counted = {name: run[f"{name}_files"] for name in ("total", "successful", "failed") if f"{name}_files" in run}
    assert run["total_files_processed"] == len(old.expected), "no record counts twice"
    assert counted == {"successful": states["backed_up"] - 1, "failed": states["failed"]}, "one was put back"


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


@pytest.mark.parametrize("rebuilt", [True, False])
def test_the_way_back_survives_the_loss_of_the_tracking_db(old: Migrated, rebuilt: bool) -> None:
    ids = [old.copy(SWITCHED, noted=1, holds="link", account=name) for name in ("Acme Ltd", "Acme #5 & Co")]
    adopt(old, code=3)
    lose_the_database(old.corner)
    tip_path(old.corner.database).unlink()
    undo = ROLLBACK
    if rebuilt:
        said_so(old.corner.engine("db", "rebuild", "--from-bucket"), 0)
    else:
        undo = ("run", "rollback", "--from-bucket", *ROLLBACK[3:])
    said_so(old.corner.engine(*undo), 0, "2 put back")
    assert links(old.corner, ids) == old.originals


def test_one_run_of_it_can_be_rolled_back_by_its_number(old: Migrated) -> None:
    moved = old.copy(SWITCHED, noted=1, holds="link")
    run = adopt(old)["run_id"]
    said_so(old.corner.engine(*ROLLBACK, "--run", str(run)), 0, "1 put back")
    assert links(old.corner, [moved]) == old.originals


def test_a_dry_run_is_the_default_tells_the_same_and_writes_nothing(old: Migrated) -> None:
    with_every_defect(old)
    content = old.file.read_bytes()
    there = sorted(old.corner.directory.rglob("*"))
    said = said_so(look(old), 0, "import-legacy (dry run)", "nothing was written", "--execute")
    dry = look(old, "--json").json
    assert sorted(old.corner.directory.rglob("*")) == there, "no tracking DB, no lock, no log"
    assert dry["database"] == str(old.corner.database)
    refused(old.corner.engine("run", "backup", "--incremental", "--no-progress"), 4, "--new-database")
    assert not [key for key in old.corner.held() if key.startswith(".engine/")]
    done = adopt(old, code=3)
    assert {name: dry[name] for name in ("rows", "records", "becomes", "failures", "proofs", "links")} == {
        name: done[name] for name in ("rows", "records", "becomes", "failures", "proofs", "links")
    }
    assert old.file.read_bytes() == content
    assert sorted(path.name for path in old.corner.directory.glob("old.db*")) == ["old.db"]
    assert TOKEN not in said.everything + old.corner.logged() + json.dumps(old.corner.runs())


def test_a_dry_run_leaves_a_tracking_db_that_is_there_as_it_is(old: Migrated) -> None:
    record = old.copy()
    adopt(old)
    old.copy()
    content = old.corner.database.read_bytes()
    old.corner.database.chmod(0o400)
    dry = said_so(look(old, "--json"), 0).json
    assert (dry["rows"]["known_already"], dry["would_import"]) == (1, 1)
    assert old.corner.database.read_bytes() == content
    assert list(old.corner.rows()) == [record]
    assert len(old.corner.runs()) == 1


def test_a_dry_run_without_a_tracking_db_tells_of_the_journal_of_a_lost_one(old: Migrated) -> None:
    old.copy(SWITCHED, noted=1, holds="link")
    adopt(old)
    lose_the_database(old.corner)
    there = {path: path.read_bytes() for path in old.corner.directory.iterdir() if path.is_file()}
    said_so(look(old), 0, "--execute would be refused", "db rebuild --from-bucket", str(tip_path(old.corner.database)))
    assert {path: path.read_bytes() for path in old.corner.directory.iterdir() if path.is_file()} == there


def test_only_links_that_were_seen_to_be_moved_have_no_way_back(old: Migrated) -> None:
    """A run of phase 2 ended early: its rows do not tell what it has moved."""
    old.copy()
    no_url, elsewhere = {"url": ""}, {"url": "https://evil.example/x"}
    old.copy(Expected("skipped", "no_url"), row=no_url)
    old.copy(Expected("failed", "host_not_allowed"), row=elsewhere)
    old.copy(Expected("gone", "deleted"), row=elsewhere, holds="deleted", noted=1)
    old.scripts.run("full_migration")
    counts = look(old, "--json").json["links"]
    assert (counts["read"], counts["no_way_back"]) == (4, 0)
    old.copy(Expected("skipped", "no_url"), row=no_url, holds="link")
    ours = old_link(old.corner.bucket, "uploads/x")
    old.copy(Expected("skipped", "already_ours"), row={"url": ours}, holds=ours)
    counts = adopt(old, code=3)["links"]
    assert (counts["read"], counts["no_way_back"], counts["journalled"]) == (6, 2, 0)
    assert became(old) == old.expected


def test_a_dry_run_says_how_an_import_would_end(old: Migrated) -> None:
    old.copy()
    dry = said_so(look(old, "--json"), 0).json
    assert (dry["status"], dry["notes"]) == ("planned", [])
    old.copy(Expected("skipped", "no_url"), row={"url": ""})
    said_so(look(old), 0, "import-legacy (dry run): planned", "--execute would end with exit code 3: 1 doubt")
    adopt(old, code=3)


def test_what_failed_in_the_scripts_is_told_in_words(old: Migrated) -> None:
    record = old.copy()
    add = "INSERT INTO migration_errors (run_id, doclist_entry_id, error_type, error_message, timestamp)"
    kinds = [(None, "''"), (record, "'known'"), *((f"X{n}", kind) for n, kind in enumerate(("x'ff61'", "''", "'odd'")))]
    for name, kind in kinds:
        old.scripts.db.execute(f"{add} VALUES (1, ?, {kind}, '', '')", (name,))
    old.scripts.db.commit()
    assert look(old, "--json").json["scripts"]["failed_records"] == {"\ufffda": 1, "unknown": 1, "odd": 1}


@pytest.mark.parametrize("writes", [True, False])
def test_an_import_into_an_empty_db_asks_the_bucket_for_its_journal(old: Migrated, writes: bool) -> None:
    old.copy()
    old.copy(SWITCHED, noted=1, holds="link")
    adopt(old)
    lose_the_database(old.corner)
    tip_path(old.corner.database).unlink()
    if writes:
        refused(look(old, "--execute"), 6, "holds rows of a journal with this key", "db rebuild --from-bucket")
        assert old.corner.recorded() == 0
        return
    old.scripts.db.execute("DELETE FROM file_migrations WHERE salesforce_updated = 1")
    old.scripts.db.commit()
    for flags in ([], ["--execute"]):
        said_so(look(old, *flags), 0, "know of earlier switches, this tracking DB does not", "db rebuild --from-bucket")


def test_an_import_tells_of_a_journal_that_another_tracking_db_keeps_in_the_bucket(old: Migrated) -> None:
    old.copy(SWITCHED, noted=1, holds="link")
    assert adopt(old)["notes"] == []
    assert adopt(old)["notes"] == []
    other = {"ENGINE_TRACKING__DATABASE": str(old.corner.directory / "other.db")}
    for flags in ([], ["--execute"]):
        said_so(look(old, *flags, **other), 0, "of another tracking DB", "db rebuild --from-bucket")
    assert adopt(old, **other)["notes"] == []


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

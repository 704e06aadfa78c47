"""``run switch``, ``run rollback`` and ``audit`` as an operator meets them: what is written, and what is refused."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.model.change import Event, LinkState, Step
from engine.rehearsal.generator import VENDOR_BUCKET
from engine.tracking.db import chain
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.write.journal import Journal
from tests.support.commands import (
    BACKUP,
    ROLLBACK,
    SWITCH,
    backed_up,
    kill_within_a_switch,
    links,
    lose_the_database,
    ours,
    said_so,
)
from tests.support.corner import Corner, ended, org_log, until, wait
from tests.support.terminal import ORG, at_a_terminal

WRITES = {"collections_update", "composite", "record_update"}


def writes(corner: Corner, ids: list[str]) -> int:
    """Writes of these records that the org has seen."""
    mine = set(ids)
    return sum(bool(mine & set(entry["ids_written"])) for entry in org_log(corner.stage) if entry["name"] in WRITES)


def test_a_dry_run_makes_a_plan_and_writes_nothing_else(corner: Corner) -> None:
    ids = backed_up(corner)
    before, runs = links(corner, ids), len(corner.runs())
    said = said_so(corner.engine("run", "switch"), 0, "5 would be switched", "nothing was written", "--execute --plan")
    [plan] = corner.directory.glob("*.plan-*.ndjson")
    assert plan.stat().st_mode & 0o777 == 0o400
    lines = [json.loads(line) for line in plan.read_text().splitlines()]
    assert [line["id"] for line in lines[1:-1]] == sorted(ids)
    assert (lines[0]["count"], lines[-1]["count"]) == (5, 5)
    assert links(corner, ids) == before
    assert len(corner.runs()) == runs
    assert writes(corner, ids) == 0
    assert "API calls" in said.out


def test_there_and_back_and_there_again(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    said_so(corner.engine(*SWITCH), 0, "5 switched", "rollback --from-database --run")
    assert links(corner, ids) == ours(corner)
    assert corner.status()["files"]["switched"] == 5
    assert corner.status()["readiness"]["switched"] == 5
    sent = writes(corner, ids)
    said_so(corner.engine(*SWITCH), 0, "0 links")
    assert writes(corner, ids) == sent, "a no-op was written"
    said_so(corner.engine(*ROLLBACK), 0, "5 put back")
    assert links(corner, ids) == before
    assert corner.status()["files"]["rolled_back"] == 5
    sent, steps = writes(corner, ids), len(corner.query("SELECT id FROM url_changes"))
    said_so(corner.engine(*ROLLBACK), 0, "5 already so")
    assert (writes(corner, ids), len(corner.query("SELECT id FROM url_changes"))) == (sent, steps)
    said_so(corner.engine(*SWITCH), 0, "5 switched")
    assert links(corner, ids) == ours(corner)
    said_so(corner.engine("audit"), 0, "The journal is whole: 30 rows")


def test_a_scan_between_switch_and_rollback_forgets_nothing(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    for words in (("--incremental",), ("--full",)):
        assert corner.engine("run", "backup", *words, "--no-progress").code == 0
        rows = corner.rows().values()
        assert {row["status"] for row in rows} == {"switched"}
        assert {row["original_url"] for row in rows} == set(before.values())
    said_so(corner.engine(*ROLLBACK), 0, "5 put back")
    assert links(corner, ids) == before


def test_an_edit_since_the_backup_stays_and_is_copied_next(corner: Corner) -> None:
    ids = backed_up(corner)
    theirs = corner.url(f"{corner.tag}/theirs.pdf")
    [other] = corner.files(1)
    theirs = links(corner, [other])[other]
    corner.edit([ids[1]], Document__c=theirs)
    wait(corner.stage.org("delete", {"ids": [ids[2]]}))
    said_so(corner.engine(*SWITCH), 0, "3 switched", "1 edited by others and left alone", "1 deleted", "backup")
    now = links(corner, [ids[0], ids[1]])
    assert now[ids[1]] == theirs
    assert now[ids[0]] == ours(corner)[ids[0]]
    row = corner.rows()[ids[1]]
    assert (row["status"], row["failure_class"], row["original_url"]) == ("pending", "drifted", theirs)
    assert corner.rows()[ids[2]]["status"] == "gone"
    assert corner.engine("run", "backup", "--incremental", "--no-progress").code == 0
    assert corner.rows()[ids[1]]["status"] == "backed_up"
    assert corner.engine(*SWITCH).code == 0
    assert links(corner, [ids[1]])[ids[1]] == ours(corner)[ids[1]]
    assert corner.engine(*ROLLBACK).code == 0
    assert links(corner, [ids[1]])[ids[1]] == theirs


def test_an_edit_after_the_switch_survives_the_rollback(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    corner.edit([ids[3]], Document__c="https://users.test/mine.pdf")
    said_so(corner.engine("run", "rollback", "--from-database"), 0, "4 would be put back", "1 edited by others")
    said_so(corner.engine(*ROLLBACK), 0, "4 put back", "1 edited by others and left alone")
    assert links(corner, ids) == {**before, ids[3]: "https://users.test/mine.pdf"}
    steps = corner.engine("audit", "--record", ids[3], "--json").json["history"]
    assert [step["event"] for step in steps] == ["intended", "applied", "kept"]
    assert steps[-1]["detail"].startswith("edited")


@pytest.mark.parametrize("kind", ["--full", "--incremental"])
def test_an_original_link_that_somebody_put_back_is_no_longer_called_switched(corner: Corner, kind: str) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    corner.edit([ids[1]], Document__c=before[ids[1]])
    assert corner.engine("run", "backup", kind, "--no-progress").code == 0
    row = corner.rows()[ids[1]]
    assert (row["status"], row["salesforce_updated"], row["original_url"]) == ("backed_up", 0, before[ids[1]])
    assert corner.status()["files"]["switched"] == 4
    assert len([key for key in corner.held() if key.startswith("uploads/")]) == 5, "its copy was there already"
    said_so(corner.engine(*SWITCH), 0, "1 switched")
    assert links(corner, ids) == ours(corner)
    said_so(corner.engine(*ROLLBACK), 0, "5 put back")
    assert links(corner, ids) == before


def test_an_object_that_is_gone_keeps_its_record_from_being_switched(corner: Corner) -> None:
    ids = backed_up(corner, 30)
    with closing(sqlite3.connect(corner.database)) as db:
        db.execute(
            "UPDATE file_migrations SET your_s3_key = your_s3_key || '.absent', your_s3_url = your_s3_url || '.absent'"
            " WHERE doclist_entry_id = ?",
            (ids[4],),
        )
        db.commit()
    said_so(corner.engine(*SWITCH), 3, "29 switched", "1 without their copy")
    assert links(corner, [ids[4]])[ids[4]] != ours(corner)[ids[4]]
    row = corner.rows()[ids[4]]
    assert (row["status"], row["failure_class"]) == ("pending", "copy_missing")
    assert corner.engine("run", "backup", "--incremental", "--no-progress").code == 0
    said_so(corner.engine(*SWITCH), 0, "1 switched")


def test_rows_that_a_rule_refuses_fail_by_name_and_are_tried_again_on_demand(corner: Corner) -> None:
    ids = backed_up(corner, 30)
    corner.org("access", read_only=[ids[7]])
    try:
        said_so(corner.engine(*SWITCH), 3, "29 switched", "1 failed", "engine status --errors")
        row = corner.rows()[ids[7]]
        assert (row["status"], row["failure_class"]) == ("failed", "rejected")
        assert "INSUFFICIENT_ACCESS_OR_READONLY" in row["error_message"]
        said_so(corner.engine(*SWITCH), 0, "0 links")
    finally:
        corner.org("access", read_only=[])
    said_so(corner.engine(*SWITCH, "--retry-class", "rejected"), 0, "1 switched")
    assert links(corner, ids) == ours(corner)


def test_a_failed_row_whose_link_has_changed_since_is_not_switched_on_demand(corner: Corner) -> None:
    """Its copy is of the link it had: tying the two together would break I5."""
    ids = backed_up(corner, 30)
    corner.org("access", read_only=[ids[7]])
    try:
        assert corner.engine(*SWITCH).code == 3
    finally:
        corner.org("access", read_only=[])
    with closing(sqlite3.connect(corner.database)) as db:
        db.execute("UPDATE file_migrations SET original_url = 'https://x.test/2' WHERE doclist_entry_id = ?", (ids[7],))
        db.commit()
    said_so(corner.engine(*SWITCH, "--retry-class", "rejected"), 0, "0 links")


def test_the_canary_stops_the_switch(corner: Corner) -> None:
    ids = backed_up(corner, 10)
    corner.org("access", read_only=ids)
    try:
        said_so(corner.engine(*SWITCH), 5, "1 of 1 records of this wave failed", "error_budget")
    finally:
        corner.org("access", read_only=[])
    assert sum(row["status"] == "failed" for row in corner.rows().values()) == 1
    assert corner.runs()[-1]["status"] == "stopped"


def test_drift_beyond_the_limit_stops_with_6(corner: Corner) -> None:
    ids = backed_up(corner, 120)
    corner.edit(ids[:60], Document__c="https://users.test/moved.pdf")
    said = said_so(corner.engine(*SWITCH), 6, "were edited or deleted since their backup", "backup --incremental")
    assert "max_drift" in said.out
    now = links(corner, ids)
    assert {now[record] for record in ids[:60]} == {"https://users.test/moved.pdf"}
    assert corner.runs()[-1]["status"] == "stopped"
    assert not corner.query(
        "SELECT 1 FROM url_changes c WHERE event = 'intended' AND NOT EXISTS (SELECT 1 FROM url_changes d"
        " WHERE d.doclist_entry_id = c.doclist_entry_id AND d.id > c.id)"
    ), "something is half-known"


# plans


def planned(corner: Corner, file: Path) -> Path:
    assert corner.engine("run", "switch", "--dry-run", "--plan", str(file)).code == 0
    return file


@pytest.mark.parametrize("words", [BACKUP, SWITCH, ROLLBACK])
def test_each_run_can_be_profiled(corner: Corner, words: tuple[str, ...]) -> None:
    backed_up(corner)
    where = corner.directory / "where.txt"
    assert corner.engine(*words, "--profile", str(where)).code == 0
    assert "Samples" in where.read_text(encoding="utf-8")


def test_a_plan_is_applied_exactly(corner: Corner) -> None:
    ids = backed_up(corner, 5)
    plan = planned(corner, corner.directory / "plan.ndjson")
    more = corner.files(2)
    assert corner.engine("run", "backup", "--incremental", "--no-progress").code == 0
    said_so(corner.engine(*SWITCH, "--plan", str(plan)), 0, "5 links: 5 switched")
    assert set(links(corner, more).values()).isdisjoint(ours(corner).values())
    said_so(corner.engine(*SWITCH, "--plan", str(plan)), 0, "5 already so")
    assert links(corner, ids) == {record: ours(corner)[record] for record in ids}
    said_so(corner.engine("run", "switch", "--plan", str(plan)), 4, "a plan is never overwritten")


def flip(text: bytes) -> bytes:
    return text.replace(b".pdf", b".pdg", 1)


def drop(text: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    return b"".join(lines[:2] + lines[3:])


def double(text: bytes) -> bytes:
    lines = text.splitlines(keepends=True)
    return b"".join([*lines[:2], lines[1], *lines[2:]])


def cut(text: bytes) -> bytes:
    return b"".join(text.splitlines(keepends=True)[:-1])


def more_behind(text: bytes) -> bytes:
    return text + b"{}\n"


def no_plan(_text: bytes) -> bytes:
    return b"hello\n"


@pytest.mark.parametrize("change", [flip, drop, double, cut, more_behind, no_plan])
def test_a_changed_plan_is_refused_with_6(corner: Corner, change: Callable[[bytes], bytes]) -> None:
    ids = backed_up(corner)
    plan = planned(corner, corner.directory / "plan.ndjson")
    changed = corner.directory / "changed.ndjson"
    changed.write_bytes(change(plan.read_bytes()))
    said_so(corner.engine(*SWITCH, "--plan", str(changed)), 6, "is refused", "nothing was written to Salesforce")
    assert writes(corner, ids) == 0


def test_a_plan_for_another_destination_is_refused(corner: Corner) -> None:
    ids = backed_up(corner)
    plan = planned(corner, corner.directory / "plan.ndjson")
    template = "https://cdn.test/{key}"
    said = corner.engine(*SWITCH, "--plan", str(plan), ENGINE_DESTINATION__URL_TEMPLATE=template)
    said_so(said, 6, "made for another org, field or destination")
    assert writes(corner, ids) == 0


def test_waves_one_by_one(corner: Corner) -> None:
    ids = backed_up(corner, 12)
    plan = planned(corner, corner.directory / "plan.ndjson")
    env = {"ENGINE_SWITCH__WAVES": '[1, 5, "100%"]'}
    for wave, done in ((1, 1), (2, 4), (3, 7)):
        said_so(corner.engine(*SWITCH, "--plan", str(plan), "--wave", str(wave), **env), 0, f"{done} switched")
    assert links(corner, ids) == ours(corner)
    said_so(corner.engine(*ROLLBACK, "--wave", "2"), 0, "4 put back")
    assert corner.status()["files"]["rolled_back"] == 4
    said_so(corner.engine(*SWITCH, "--wave", "9", **env), 2, "switch.waves has 3 waves")


# refusals


def test_without_a_terminal_it_takes_yes(corner: Corner) -> None:
    ids = backed_up(corner)
    said_so(corner.engine("run", "switch", "--execute"), 2, "--yes")
    said_so(corner.engine("run", "rollback", "--from-database", "--execute"), 2, "--yes")
    assert writes(corner, ids) == 0


@pytest.mark.parametrize("words", [SWITCH, ROLLBACK])
def test_the_dry_run_setting_binds(corner: Corner, words: tuple[str, ...]) -> None:
    backed_up(corner)
    said_so(corner.engine(*words, ENGINE_MIGRATION__DRY_RUN="true"), 2, "migration.dry_run")


def test_the_test_account_binds(corner: Corner) -> None:
    one, other = corner.account("One"), corner.account("Other")
    mine, theirs = corner.files(2, account=one), corner.files(2, account=other)
    assert corner.engine(*BACKUP).code == 0
    env = {"ENGINE_MIGRATION__TEST_SINGLE_ACCOUNT": "true", "ENGINE_MIGRATION__TEST_ACCOUNT_ID": one}
    said_so(corner.engine(*SWITCH, "--account", other, **env), 2, "test_account_id")
    assert corner.engine("run", "switch", "--plan", str(corner.directory / "all.ndjson")).code == 0
    plan = str(corner.directory / "all.ndjson")
    said_so(corner.engine(*SWITCH, "--plan", plan, **env), 0, "2 switched", "outside --account")
    assert links(corner, mine) == {record: ours(corner)[record] for record in mine}
    assert all(VENDOR_BUCKET in link for link in links(corner, theirs).values())


def test_a_user_who_may_not_edit_the_field_is_refused_with_4(corner: Corner) -> None:
    ids = backed_up(corner)
    field = {"object": "DocListEntry__c", "field": "Document__c"}
    corner.org("field", **field, updateable=False)
    try:
        said_so(corner.engine(*SWITCH), 4, "may not edit", "field-level security")
    finally:
        corner.org("field", **field, updateable=True)
    assert writes(corner, ids) == 0
    assert corner.runs()[-1]["run_type"] == "backup"


def test_the_quota_stops_with_5_and_the_same_command_goes_on(corner: Corner) -> None:
    ids = backed_up(corner, 10)
    corner.org("faults", rules=[{"kind": "daily_limit", "endpoint": "collections_update", "after": 1}])
    said_so(corner.engine(*SWITCH), 5, "daily API calls", "engine run switch --execute   goes on", "an undo would do")
    corner.org("faults", rules=[])
    assert corner.runs()[-1]["status"] == "stopped"
    assert {row["status"] for row in corner.rows().values()} == {"switched", "backed_up"}
    said_so(corner.engine(*SWITCH), 0)
    assert links(corner, ids) == ours(corner)


def test_a_kill_leaves_doubt_and_the_next_start_settles_it_first(corner: Corner) -> None:
    ids = backed_up(corner, 30)
    kill_within_a_switch(corner, ids)
    assert corner.query("SELECT event FROM url_changes ORDER BY id DESC LIMIT 1") == [{"event": "intended"}]
    said_so(
        corner.engine("run", "backup", "--incremental", "--no-progress"),
        0,
        "1 links that an earlier",
        "were read: 1 ours",
    )
    assert corner.query("SELECT event FROM url_changes ORDER BY id DESC LIMIT 1") == [{"event": "settled"}]
    assert sum(row["status"] == "switched" for row in corner.rows().values()) == 1
    said_so(corner.engine(*SWITCH), 0, "29 switched")


@pytest.mark.parametrize(
    "words",
    [SWITCH, ("run", "rollback", "--from-database", "--execute", "--yes"), ("run", "backup", "--incremental")],
    ids=lambda words: words[1],
)
def test_a_signal_while_doubt_is_settled_ends_the_run_and_the_doubt_stays(
    corner: Corner, words: tuple[str, ...]
) -> None:
    ids = backed_up(corner, 3)
    kill_within_a_switch(corner, ids)
    before = links(corner, ids)
    corner.org("faults", rules=[{"kind": "slow", "endpoint": "collections_retrieve", "params": {"seconds": 30}}])
    count = len(corner.runs())
    run = corner.start(*words)
    until(lambda: len(corner.runs()) > count, "the run has begun")
    run.terminate()
    begun = time.monotonic()
    said = ended(run)
    assert (said.code, corner.runs()[-1]["status"]) == (143, "stopped"), said.everything
    assert time.monotonic() - begun < 5
    assert "Traceback" not in said.everything
    assert links(corner, ids) == before
    assert corner.query("SELECT event FROM url_changes ORDER BY id DESC LIMIT 1") == [{"event": "intended"}]
    corner.calm()
    said_so(corner.engine(*SWITCH), 0)
    assert links(corner, ids) == ours(corner)


def test_a_killed_switch_is_told_by_the_status_with_its_flags(corner: Corner) -> None:
    account = corner.account("One")
    ids = backed_up(corner, 3, account=account)
    kill_within_a_switch(corner, ids, "--account", account)
    assert f"next        engine run switch --execute --account {account}   goes on" in corner.engine("status").out


# the way back


def test_a_rollback_from_the_file_needs_no_database(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    [file] = corner.directory.glob("*.rollback-*.ndjson")
    lose_the_database(corner)
    said_so(corner.engine(*ROLLBACK), 6, "is of row 10", "rollback file")
    words = ("run", "rollback", "--rollback-file", str(file), "--execute", "--yes", "--no-progress")
    said_so(corner.engine(*words), 0, "5 put back")
    assert links(corner, ids) == before
    sent = writes(corner, ids)
    said_so(corner.engine(*words), 0, "5 already so")
    assert writes(corner, ids) == sent


@pytest.mark.parametrize("change", [flip, drop, double, more_behind, no_plan])
def test_a_changed_rollback_file_is_refused_with_6(corner: Corner, change: Callable[[bytes], bytes]) -> None:
    ids = backed_up(corner)
    assert corner.engine(*SWITCH).code == 0
    [file] = corner.directory.glob("*.rollback-*.ndjson")
    file.write_bytes(change(file.read_bytes()))
    sent = writes(corner, ids)
    words = ("run", "rollback", "--rollback-file", str(file), "--execute", "--yes")
    said_so(corner.engine(*words), 6, "is refused", "nothing was written to Salesforce")
    assert writes(corner, ids) == sent


def cut_within(text: bytes) -> bytes:
    return b"".join(text.splitlines(keepends=True)[:-2])


def test_a_rollback_file_that_was_cut_takes_force(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    [file] = corner.directory.glob("*.rollback-*.ndjson")
    file.write_bytes(cut_within(file.read_bytes()))
    words = ("run", "rollback", "--rollback-file", str(file), "--execute", "--yes")
    said_so(corner.engine(*words), 4, "lines were cut off", "--force")
    said_so(corner.engine(*words, "--force"), 0, "4 put back")
    assert sum(links(corner, ids)[record] == before[record] for record in ids) == 4


def test_a_rollback_file_whose_first_line_is_torn_says_what_is_lost_and_takes_force(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    [file] = corner.directory.glob("*.rollback-*.ndjson")
    text = file.read_bytes()
    file.write_bytes(bytes(500) + text[500:])
    lose_the_database(corner)
    corner.edit([ids[2]], Document__c="https://users.test/mine.pdf")
    words = ("run", "rollback", "--rollback-file", str(file), "--execute", "--yes")
    said_so(
        corner.engine(*words), 4, "first line is torn", "which run, org, object and field", "--force", "exactly our"
    )
    said_so(corner.engine(*words, "--force", "--run", "2"), 2, "does not say of which run")
    said_so(corner.engine(*words, "--force"), 0, "4 put back", "1 edited by others", "first line is torn")
    assert links(corner, ids) == {**before, ids[2]: "https://users.test/mine.pdf"}


def test_the_rollback_file_of_a_killed_switch_needs_neither_the_db_nor_force(corner: Corner) -> None:
    ids = backed_up(corner, 30)
    before = links(corner, ids)
    kill_within_a_switch(corner, ids)
    moved = sum(link != before[record] for record, link in links(corner, ids).items())
    assert moved
    lose_the_database(corner)
    [file] = corner.directory.glob("*.rollback-*.ndjson")
    words = ("run", "rollback", "--rollback-file", str(file), "--execute", "--yes", "--no-progress")
    said_so(corner.engine(*words), 0, f"{moved} put back")
    assert links(corner, ids) == before


def tampered_row(corner: Corner) -> None:
    with closing(sqlite3.connect(corner.database)) as db:
        db.execute("DROP TRIGGER url_changes_no_update")
        db.execute("UPDATE url_changes SET old_url = 'https://evil.test/' WHERE id = 2")
        db.commit()


def cut_tail(corner: Corner) -> None:
    with closing(sqlite3.connect(corner.database)) as db:
        db.execute("DROP TRIGGER url_changes_no_delete")
        db.execute("DELETE FROM url_changes WHERE id > 7")
        db.commit()


def lost_key(corner: Corner) -> None:
    Path(f"{corner.database}.journal-key").unlink()


def other_key(corner: Corner) -> None:
    Path(f"{corner.database}.journal-key").write_text("ab" * 32)


def lost_tip(corner: Corner) -> None:
    """Here and in the bucket, so that nothing vouches for the end of the journal."""
    Path(f"{corner.database}.journal-head.json").unlink()
    corner.misbehave(kind="access_denied", method="GET", path="engine")


def cut_tail_and_tip(corner: Corner) -> None:
    """Whoever also forges the tip beside the DB still has the bucket against them."""
    cut_tail(corner)
    Path(f"{corner.database}.journal-head.json").unlink()


@pytest.mark.parametrize(
    ("tamper", "code"),
    [(tampered_row, 6), (cut_tail, 6), (lost_key, 4), (other_key, 6), (lost_tip, 6), (cut_tail_and_tip, 6)],
)
def test_a_journal_that_was_tampered_with_is_refused_before_the_first_write(
    corner: Corner, tamper: Callable[[Corner], None], code: int
) -> None:
    ids = backed_up(corner)
    assert corner.engine(*SWITCH).code == 0
    tamper(corner)
    sent, runs = writes(corner, ids), len(corner.runs())
    for words in (ROLLBACK, SWITCH):
        said_so(corner.engine(*words), code, "journal")
    assert writes(corner, ids) == sent
    assert len(corner.runs()) == runs
    assert corner.engine("audit").code == 6


def test_an_older_copy_of_the_db_is_refused(corner: Corner) -> None:
    ids = backed_up(corner, 12)
    assert corner.engine(*SWITCH, "--limit", "3").code == 0
    copy = corner.directory / "older.db"
    assert corner.engine("db", "snapshot", str(copy)).code == 0
    assert corner.engine(*SWITCH).code == 0
    for name in ("", "-wal", "-shm"):
        Path(f"{corner.database}{name}").unlink(missing_ok=True)
    shutil.copy(copy, corner.database)
    sent = writes(corner, ids)
    said_so(corner.engine(*ROLLBACK), 6, "this DB is an older copy", "--rollback-file")
    assert writes(corner, ids) == sent


def test_dead_old_links_stop_a_rollback_unless_forced(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    corner.misbehave(kind="access_denied", method="HEAD|GET", path=VENDOR_BUCKET)
    sent = writes(corner, ids)
    said_so(corner.engine(*ROLLBACK), 4, "old links that were tried are dead", "--force")
    assert writes(corner, ids) == sent
    said_so(corner.engine(*ROLLBACK, "--force"), 0, "5 put back")
    assert links(corner, ids) == before


def test_a_rollback_by_account_run_list_and_time(corner: Corner) -> None:
    one = corner.account("One")
    mine, others = corner.files(2, account=one), corner.files(3)
    assert corner.engine(*BACKUP).code == 0
    assert corner.engine(*SWITCH).code == 0
    run = corner.runs()[-1]["id"]
    listed = corner.directory / "ids.csv"
    listed.write_text(f"Id,Name\n{others[0]},x\n")
    said_so(corner.engine(*ROLLBACK, "--since", "2099-01-01"), 0, "0 links")
    said_so(corner.engine(*ROLLBACK, "--account", one), 0, "2 put back")
    said_so(corner.engine(*ROLLBACK, "--ids", str(listed)), 0, "1 put back")
    said_so(
        corner.engine(*ROLLBACK, "--run", str(run), "--since", "2020-01-01T00:00:00Z"), 0, "2 put back", "3 already"
    )
    assert corner.status()["files"]["rolled_back"] == 5
    assert mine


def test_a_run_or_wave_that_never_switched_is_refused_with_those_that_did(corner: Corner) -> None:
    backed_up(corner, 12)
    said_so(corner.engine(*ROLLBACK, "--run", "1"), 2, "is a backup", "none yet")
    assert corner.engine(*SWITCH, "--wave", "1").code == 0
    assert corner.engine(*SWITCH).code == 0
    said_so(corner.engine(*ROLLBACK, "--run", "99"), 2, "no such run", "latest first: 3, 2", "Nothing was written")
    said_so(corner.engine(*ROLLBACK, "--wave", "77"), 2, "--wave 77", "waves: 1, 2")
    said_so(corner.engine("run", "rollback", "--from-database", "--run", "2", "--wave", "2"), 2, "waves: 1")
    [file] = corner.directory.glob("*.rollback-2.ndjson")
    from_file = ("run", "rollback", "--rollback-file", str(file))
    said_so(corner.engine(*from_file, "--wave", "2"), 2, "waves: 1")
    said_so(corner.engine(*from_file, "--wave", "1"), 0, "1 would be put back")
    assert len(corner.runs()) == 3, "a refusal is no run"
    for _ in range(2):
        said_so(corner.engine(*ROLLBACK, "--run", "2", "--wave", "1"), 0, "1 links")


def test_a_rollback_is_undone_by_a_new_switch_and_says_so(corner: Corner) -> None:
    account = corner.account("One")
    ids = backed_up(corner, 2, account=account)
    assert corner.engine(*SWITCH).code == 0
    assert corner.engine(*ROLLBACK).code == 0
    run = str(corner.runs()[-1]["id"])
    told = f"engine run switch --dry-run --account {account}   plans it"
    said_so(corner.engine(*ROLLBACK, "--run", run, "--account", account), 2, "is a rollback", told)
    assert corner.engine(*SWITCH, "--account", account).code == 0
    assert links(corner, ids) == ours(corner)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "rollback"), "--from-database, --rollback-file and --from-bucket"),
        (("run", "rollback", "--from-database", "--since", "soon"), "is not a time"),
        (("run", "rollback", "--from-database", "--ids", "/nowhere"), "cannot be read"),
        (("run", "rollback", "--from-database", "--execute", "--dry-run"), "both were given"),
        (("run", "rollback", "--rollback-file", "/nowhere"), "cannot be read"),
        (("run", "switch", "--execute", "--yes", "--plan", "/nowhere"), "engine run switch --dry-run   makes one"),
        (("audit", "--record", "x"), "is not a Salesforce Id"),
    ],
)
def test_misuse_is_told_with_2(corner: Corner, words: tuple[str, ...], told: str) -> None:
    backed_up(corner, 1)
    said_so(corner.engine(*words), 2, told)


def test_the_rollback_file_goes_to_the_bucket_when_asked(corner: Corner) -> None:
    backed_up(corner)
    said_so(corner.engine(*SWITCH, "--upload-rollback-file"), 0, "is also at s3://")
    kept = [key for key in corner.held() if key.startswith(".engine/")]
    assert sum("/rollback/" in f"/{key}" for key in kept) == 1
    assert any(key.startswith(".engine/journal/") for key in kept)


def test_json_tells_it_all(corner: Corner) -> None:
    backed_up(corner)
    planned_ = corner.engine("run", "switch", "--json").json
    assert planned_["records"]["planned"] == 5
    assert planned_["dry_run"] is True
    done = corner.engine(*SWITCH, "--json").json
    assert done["records"]["switched"] == 5
    assert done["waves"][0]["done"] == 1
    assert 0 < done["unseen_ms"] < 60_000
    back = corner.engine(*ROLLBACK, "--json").json
    assert back["records"]["restored"] == 5
    found = corner.engine("audit", "--json").json
    assert (found["whole"], found["rows"]) == (True, 20)


# at a terminal


def test_a_person_confirms_by_typing_the_org_and_goes_on_wave_by_wave(corner: Corner) -> None:
    ids = backed_up(corner, 12)
    typed = [(f"Type {ORG} to go on", ORG), ("Go on? [yes/no]", "yes")]
    said_so(at_a_terminal(corner, "run", "switch", "--execute", typed=typed), 0, "12 switched")
    assert links(corner, ids) == ours(corner)
    said = at_a_terminal(corner, "run", "rollback", "--from-database", "--execute", typed=typed[:1])
    said_so(said, 0, "12 put back")


@pytest.mark.parametrize("answer", ["yes", "rehearsal org", ""])
def test_anything_else_than_the_orgs_name_stops(corner: Corner, answer: str) -> None:
    ids = backed_up(corner)
    said = at_a_terminal(corner, "run", "switch", "--execute", typed=[("to go on; anything else stops", answer)])
    said_so(said, 5, "not confirmed")
    assert writes(corner, ids) == 0


def test_a_no_between_waves_stops_there(corner: Corner) -> None:
    ids = backed_up(corner, 12)
    typed = [(f"Type {ORG} to go on", ORG), ("Go on? [yes/no]", "no")]
    said_so(at_a_terminal(corner, "run", "switch", "--execute", typed=typed), 5, "1 switched", "goes on")
    assert sum(VENDOR_BUCKET not in link for link in links(corner, ids).values()) == 1


# the audit, and what the bucket says


def test_the_audit_compares_with_the_bucket_and_says_so(corner: Corner) -> None:
    backed_up(corner)
    said_so(corner.engine("audit"), 0, "No link was ever changed")
    assert corner.engine(*SWITCH).code == 0
    said_so(
        corner.engine("audit"),
        0,
        "The journal is whole: 10 rows",
        "compared with the bucket, which knows it up to row 10",
    )
    assert corner.engine("audit", "--json").json["bucket"] == {
        "compared": True, "rows": 10, "why": "", "passed_over": 0, "examples": []
    }  # fmt: skip
    said = said_so(corner.engine("audit", "--no-bucket"), 0, "Not compared with the bucket", "--no-bucket")
    assert "It was also compared" not in said.out


def test_the_audit_of_an_empty_journal_says_that_there_is_no_chain_tip_yet(corner: Corner) -> None:
    backed_up(corner, 1)
    said = said_so(corner.engine("audit", "--no-bucket"), 0, "The journal is empty", "no chain tip yet")
    assert "; tip " not in said.out


def test_the_audit_sees_by_the_bucket_alone_that_rows_were_cut_off(corner: Corner) -> None:
    """Whoever can cut the DB can also bring back the tip that lay beside it then."""
    backed_up(corner, 12)
    assert corner.engine(*SWITCH, "--limit", "3").code == 0
    copy, head = corner.directory / "older.db", Path(f"{corner.database}.journal-head.json")
    assert corner.engine("db", "snapshot", str(copy)).code == 0
    older = head.read_bytes()
    assert corner.engine(*SWITCH).code == 0
    lose_the_database(corner)
    shutil.copy(copy, corner.database)
    head.write_bytes(older)
    said_so(corner.engine("audit"), 6, "NOT WHOLE", "this DB is an older copy")
    said_so(corner.engine("audit", "--no-bucket"), 0, "The journal is whole")


def test_an_audit_without_the_network_says_what_it_did_not_compare(corner: Corner) -> None:
    backed_up(corner)
    assert corner.engine(*SWITCH).code == 0
    nowhere = {"ENGINE_DESTINATION__ENDPOINT_URL": "http://127.0.0.1:9"}
    said = said_so(corner.engine("audit", **nowhere), 0, "The journal is whole", "Not compared with the bucket")
    assert said.seconds < 20
    found = corner.engine("audit", "--json", **nowhere).json
    assert (found["whole"], found["bucket"]["compared"], found["bucket"]["rows"]) == (True, False, None)
    assert found["bucket"]["why"]
    said_so(corner.engine("audit", "--bucket", **nowhere), 4, "The journal is whole", "Not compared")
    corner.misbehave(kind="access_denied", method="GET", path="engine")
    said_so(corner.engine("audit"), 0, "Not compared with the bucket")


def test_tips_that_were_taken_out_of_the_bucket_are_missed(corner: Corner) -> None:
    backed_up(corner)
    assert corner.engine(*SWITCH).code == 0
    other = f"{corner.bucket}-other"
    wait(corner.stage.objects.create_buckets(other))
    env = {"ENGINE_DESTINATION__BUCKET": other}
    said_so(corner.engine("audit", **env), 0, "holds nothing of it")
    said_so(corner.engine("audit", "--bucket", **env), 4, "holds nothing of it")


# what sharing hides


def test_what_sharing_hides_is_not_switched_and_is_when_it_shows_again(corner: Corner) -> None:
    ids = backed_up(corner, 12)
    before = links(corner, ids)
    corner.org("access", hidden=[ids[3]])
    said_so(corner.engine(*SWITCH), 0, "11 switched", "1 deleted, or hidden from this login")
    assert links(corner, [ids[3]]) == {ids[3]: before[ids[3]]}
    row = corner.rows()[ids[3]]
    assert (row["status"], row["failure_class"]) == ("gone", "deleted")
    assert "hidden from this user" in row["error_message"]
    corner.org("access")
    assert corner.engine("run", "backup", "--full", "--no-progress").code == 0
    assert corner.rows()[ids[3]]["status"] == "backed_up"
    said_so(corner.engine(*SWITCH), 0, "1 switched")
    assert links(corner, ids) == ours(corner)


def test_a_rollback_leaves_what_sharing_hides_and_puts_it_back_once_it_shows(corner: Corner) -> None:
    ids = backed_up(corner, 6)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    corner.org("access", hidden=[ids[1]])
    said_so(corner.engine("run", "rollback", "--from-database"), 0, "5 would be put back", "1 deleted, or hidden")
    said_so(corner.engine(*ROLLBACK), 0, "5 put back", "1 deleted, or hidden from this login")
    assert links(corner, [ids[1]]) == {ids[1]: ours(corner)[ids[1]]}
    said_so(corner.engine(*ROLLBACK), 0, "5 already so", "1 deleted, or hidden")
    corner.org("access")
    said_so(corner.engine(*ROLLBACK), 0, "1 put back", "5 already so")
    assert links(corner, ids) == before


def test_the_report_says_how_long_an_edit_could_have_gone_unseen(corner: Corner) -> None:
    backed_up(corner, 2)
    said_so(corner.engine(*SWITCH, "--limit", "1"), 0, "1 switched", "ms lay between the read of a link and its write")
    said = said_so(corner.engine(*SWITCH, "--strict"), 0, "1 switched")
    assert "ms lay between" not in said.out


# limits, and waves that are small


def test_a_limit_ends_within_a_wave_and_the_same_plan_goes_on_behind_it(corner: Corner) -> None:
    ids = backed_up(corner, 12)
    plan = planned(corner, corner.directory / "plan.ndjson")
    env = {"ENGINE_SWITCH__WAVES": '[1, 5, "100%"]'}
    words = (*SWITCH, "--plan", str(plan), "--limit", "3")
    for moved in (3, 6, 9, 12):
        said = said_so(corner.engine(*words, **env), 0, "3 switched")
        assert sum(VENDOR_BUCKET not in link for link in links(corner, ids).values()) == moved
        assert ("lie outside --account, --limit" in said.out) is (moved < 12)
    said_so(corner.engine(*words, **env), 0, "12 already so")


def test_a_limit_counts_rows_that_come_back_from_a_lock_once(corner: Corner) -> None:
    ids = backed_up(corner, 12)
    corner.org("faults", rules=[{"kind": "lock_row", "endpoint": "collections_update"}])
    org_log(corner.stage, "clear=1")
    said_so(corner.engine(*SWITCH, "--limit", "7"), 0, "7 links: 7 switched")
    assert sum(VENDOR_BUCKET not in link for link in links(corner, ids).values()) == 7
    written = [entry["ids_written"] for entry in org_log(corner.stage) if entry["name"] in WRITES]
    assert [] in written, "none was locked"
    assert sum(len(set(each) & set(ids)) for each in written) == 7  # of this corner; the org serves others too
    assert not corner.query(
        "SELECT 1 FROM url_changes c WHERE event = 'intended' AND NOT EXISTS (SELECT 1 FROM url_changes d"
        " WHERE d.doclist_entry_id = c.doclist_entry_id AND d.id > c.id)"
    ), "a straggler is half-known"


def test_the_api_budget_does_not_stop_a_rollback(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    corner.org("settings", daily_max=10_000, daily_used=9_499)
    said = said_so(corner.engine(*ROLLBACK), 5, "a rollback stops at 95%", "calls count for 24 hours")
    assert "api_budget." not in said.everything
    corner.org("settings", daily_max=10_000, daily_used=7_500)
    assert corner.engine(*SWITCH).code == 5
    dry = corner.engine("run", "rollback", "--from-database")
    said_so(dry, 0, "5 would be put back", "salesforce.api_budget (70% of 10,000 daily calls) is used up")
    said_so(corner.engine(*ROLLBACK), 0, "5 put back", "not stop a rollback: it goes on to 95%, and 1,9")
    assert links(corner, ids) == before


def test_three_hundred_locked_links_stop_the_run_with_at_most_three_times_the_calls(corner: Corner) -> None:
    ids = backed_up(corner, 300)
    env = {"ENGINE_SWITCH__WAVES": '["100%"]'}
    corner.org("faults", rules=[{"kind": "lock_row", "endpoint": "collections_update", "params": {"tries": 99}}])
    with_locks = calls_of(corner, *SWITCH, code=5, said="stay locked", **env)
    assert not any(VENDOR_BUCKET not in link for link in links(corner, ids).values())
    corner.org("faults", rules=[])
    without = calls_of(corner, *SWITCH, code=0, said="300 switched", **env)
    assert with_locks <= 3 * without, (with_locks, without)


def calls_of(corner: Corner, *words: str, code: int, said: str, **env: str) -> int:
    """Reads and writes of links."""
    org_log(corner.stage, "clear=1")
    said_so(corner.engine(*words, **env), code, said)
    return sum(entry["name"] in {"collections_retrieve", "collections_update"} for entry in org_log(corner.stage))


@pytest.mark.parametrize(("waves", "reached"), [("[2]", 2), ("[]", 0), ('["20%", 3]', 3)])
def test_what_the_waves_do_not_reach_is_named_before_and_after(corner: Corner, waves: str, reached: int) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    rest = f"reach {reached} of the plan's 5 links: the other {5 - reached} stay as they are"
    dry = said_so(corner.engine("run", "switch", ENGINE_SWITCH__WAVES=waves), 0, rest, "up to its last wave")
    assert (f"{reached} would be switched" if reached else "nothing done") in dry.out
    said = said_so(corner.engine(*SWITCH, "--json", ENGINE_SWITCH__WAVES=waves), 0, rest)
    assert (said.json["records"]["planned"], said.json["records"]["switched"]) == (5, reached)
    assert sum(links(corner, ids)[each] != before[each] for each in ids) == reached
    assert "stay as they are" not in said_so(corner.engine(*SWITCH), 0).out


def test_a_limit_that_is_reached_asks_for_no_more_waves(corner: Corner) -> None:
    backed_up(corner, 12)
    typed = [(f"Type {ORG} to go on", ORG)]
    plan = planned(corner, corner.directory / "plan.ndjson")
    words = ("run", "switch", "--execute", "--plan", str(plan), "--limit", "1")
    said = said_so(at_a_terminal(corner, *words, typed=typed), 0, "1 switched")
    assert "Go on?" not in said.everything


def test_a_wave_of_fewer_than_fifty_is_not_judged_by_its_drift_but_the_next_one_is(corner: Corner) -> None:
    """switch.max_drift counts from 50 records on: a canary of one that was edited would be drift of 100 %."""
    ids = sorted(backed_up(corner, 100))
    theirs = "https://users.test/moved.pdf"
    corner.edit([*ids[:20], *ids[60:75]], Document__c=theirs)
    env = {"ENGINE_SWITCH__WAVES": '[1, 49, "100%"]'}
    said = corner.engine(*SWITCH, **env)
    said_so(said, 6, "15 of 51 records of this wave were edited or deleted", "switch.max_drift")
    first, second, third = said_waves(corner)
    assert (first["edited"], second["edited"]) == (1, 19)
    assert (second["done"], third["edited"]) == (29, 15)
    assert all(link == theirs for link in links(corner, ids[:20]).values())


def test_a_small_plan_that_drifted_as_a_whole_ends_well_and_says_so(corner: Corner) -> None:
    ids = backed_up(corner, 10)
    corner.edit(ids, Document__c="https://users.test/moved.pdf")
    said_so(corner.engine(*SWITCH), 0, "10 edited by others and left alone", "backup --incremental")
    assert writes(corner, ids) == 0


def said_waves(corner: Corner) -> list[dict[str, Any]]:
    """The waves of the last run, as its log has them."""
    return [line for line in map(json.loads, corner.logged().splitlines()) if line["event"] == "wave"]


# what an operator reads at three in the morning


def test_a_tampered_journal_is_undone_from_the_file_as_its_refusal_says(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    tampered_row(corner)
    [file] = corner.directory.glob("*.rollback-*.ndjson")
    words = ("run", "rollback", "--rollback-file", str(file), "--execute", "--yes", "--no-progress")
    hints = ("tracking.database set to a new file", "switch.journal_key_file to this journal's key")
    said_so(corner.engine(*ROLLBACK), 6, *hints)
    said_so(corner.engine(*words), 6, *hints)
    env = {
        "ENGINE_TRACKING__DATABASE": str(corner.directory / "new.db"),
        "ENGINE_SWITCH__JOURNAL_KEY_FILE": f"{corner.database}.journal-key",
    }
    said_so(corner.engine(*words, **env), 0, "5 put back")
    assert links(corner, ids) == before


def test_a_lost_key_promises_no_way_that_needs_it(corner: Corner) -> None:
    backed_up(corner)
    assert corner.engine(*SWITCH).code == 0
    lost_key(corner)
    said = said_so(corner.engine(*ROLLBACK), 4, "Put the key file back", "nothing was written to Salesforce")
    assert "--rollback-file FILE" not in said.everything


def test_a_refusal_before_the_start_says_that_nothing_was_written(corner: Corner) -> None:
    backed_up(corner)
    nowhere = {"ENGINE_DESTINATION__ENDPOINT_URL": "http://127.0.0.1:9", "ENGINE_MIGRATION__MAX_ATTEMPTS": "1"}
    said_so(corner.engine(*SWITCH, **nowhere), 4, "does not answer", "Nothing was written to Salesforce")
    said_so(corner.engine(*SWITCH, ENGINE_SALESFORCE__CLIENT_SECRET="wrong"), 4, "Nothing was written to Salesforce")


def test_a_stop_names_the_command_that_goes_on_with_the_same_plan(corner: Corner) -> None:
    ids = backed_up(corner, 10)
    plan = planned(corner, corner.directory / "plan.ndjson")
    corner.org("access", read_only=ids)
    again = f"engine run switch --execute --plan {plan}"
    said_so(
        corner.engine(*SWITCH, "--plan", str(plan)), 5, "engine status --errors", f"{again}   goes on", "--retry-class"
    )
    corner.org("access")
    corner.org("faults", rules=[{"kind": "daily_limit", "endpoint": "collections_update", "after": 1}])
    said_so(corner.engine(*SWITCH, "--plan", str(plan)), 5, f"{again}   goes on", "what an undo would do", "journal")
    assert writes(corner, ids)


def test_a_bucket_that_falls_silent_before_a_wave_stops_it_resumably(corner: Corner) -> None:
    """Enough copies for a listing to pay: the listing is what fails."""
    ids = backed_up(corner, 2_000, size=1)
    corner.misbehave(kind="slow_down", method="GET", path="list-type")
    said = corner.engine(*SWITCH, ENGINE_SWITCH__WAVES='["100%"]', ENGINE_MIGRATION__MAX_ATTEMPTS="1")
    said_so(said, 5, "Nothing of this wave was sent", "Start the same command again")
    assert writes(corner, ids) == 0


def test_a_link_that_an_earlier_version_left_in_a_bulk_job_is_touched_by_no_run(corner: Corner) -> None:
    ids = backed_up(corner, 2)
    assert corner.engine(*SWITCH).code == 0
    rows = corner.rows()
    closed, left = (
        Step(each, rows[each]["original_url"], rows[each]["your_s3_url"], Event.UNDO_INTENDED, message="bulk job 750X")
        for each in ids
    )

    async def earlier_version(*steps: Step) -> None:
        async with open_database(corner.database, SystemClock()) as database:
            run_id = await Ledger(database).begin_run("rollback", {})
            key = chain.load_key(chain.key_path(corner.database, None), may_create=False)
            await Journal(database, key, run_id).append(steps)

    wait(earlier_version(closed, closed._replace(event=Event.SETTLED, link_state=LinkState.OURS, message=""), left))
    held = links(corner, ids)
    for words in (ROLLBACK, SWITCH, ("run", "rollback", "--from-database")):
        said_so(
            corner.engine(*words), 4, "changes of this journal still travel in bulk job 750X", "engine version that"
        )
    said_so(corner.engine("run", "backup", "--incremental", "--no-progress"), 0, "stay so", "bulk job 750X")
    assert links(corner, ids) == held
    assert said_so(corner.engine("audit", "--json"), 0).json["in_doubt"] == 1
    wait(earlier_version(left._replace(event=Event.SETTLED, link_state=LinkState.OURS, message="")))
    said_so(corner.engine(*ROLLBACK), 0, "2 put back")
    said_so(corner.engine("audit"), 0, "The journal is whole")

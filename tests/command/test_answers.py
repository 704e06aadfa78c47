"""What the looking commands say: status, accounts, snapshots, help. They add up, and they are fit for scripts."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from engine.rehearsal.check import check
from engine.rehearsal.stage import Stage
from tests.support.commands import BACKUP
from tests.support.corner import STATES, Corner, Whole, ended, until

COMMANDS = [
    (),
    ("run",),
    ("run", "backup"),
    ("status",),
    ("accounts",),
    ("init",),
    ("db",),
    ("db", "snapshot"),
    ("rehearse",),
    ("demo",),
]
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")


# help


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_an_example(corner: Corner, words: tuple[str, ...]) -> None:
    said = corner.engine(*words, "--help")
    assert said.code == 0
    assert said.err == ""
    group = words in {(), ("run",), ("db",)}
    heading = "Commands:" if words else "Set up:"
    assert (heading if group else "engine " + " ".join(words)) in said.out
    if not group:
        assert re.search("Examples?:", said.out)


def test_the_help_lists_the_exit_codes(corner: Corner) -> None:
    text = " ".join(corner.engine("--help").out.split())
    for number in (
        "0 done",
        "1 unexpected",
        "2 usage",
        "3 finished",
        "4 refused",
        "5 stopped",
        "11 another",
        "130, 143",
    ):
        assert number in text


def test_no_command_at_all_shows_the_help_and_is_a_usage_error(corner: Corner) -> None:
    said = corner.engine()
    assert said.code == 2
    assert "Usage" in said.everything


def test_the_version_is_one_line(corner: Corner) -> None:
    assert re.fullmatch(r"engine \d+\.\d+\.\d+\n", corner.engine("--version").out)


# the whole world


def test_a_backup_of_the_whole_world_ends_as_the_generator_expects(whole: Whole, the_stage: Stage) -> None:
    said = whole.said
    assert said.code == 3, said.everything
    assert "completed with failures" in said.out
    assert "engine status --errors" in said.out
    assert "Traceback" not in said.everything
    found = check(the_stage.directory, the_stage.store.url)
    assert found.problems == []
    assert found.records == len(the_stage.world.records)


def test_the_source_is_only_read_and_salesforce_is_not_written(whole: Whole) -> None:
    assert whole.source_methods
    assert whole.source_methods <= {"GET", "HEAD"}
    assert whole.calls
    assert [call for call in whole.calls if call["ids_written"]] == []
    assert {call["method"] for call in whole.calls if not call["path"].endswith("/token")} == {"GET"}


def test_the_status_document_keeps_its_contract_and_adds_up(whole: Whole) -> None:
    corner = whole.corner
    document = corner.status()
    assert {"files", "accounts", "runs", "errors", "readiness"} <= set(document)
    assert set(document["files"]) == {"tracked", *STATES, "bytes"}
    assert sum(error["count"] for error in document["errors"]) == document["files"]["failed"]
    for error in document["errors"]:
        assert {"failure_class", "count", "latest", "example"} <= set(error)
        assert error["example"]["record_id"]
        assert error["latest"].endswith("Z")
    rows = corner.rows().values()
    assert document["files"]["bytes"] == sum(r["file_size_bytes"] for r in rows if r["status"] == "backed_up")
    assert document["accounts"] == len({row["account_id"] for row in rows if row["account_id"]})
    ready = document["readiness"]
    assert ready["ready"] + ready["switched"] + ready["not_ready"] == document["files"]["tracked"]


def test_every_view_of_the_status_prints_and_holds_no_control_characters(whole: Whole) -> None:
    corner = whole.corner
    said = corner.engine("status", "--all")
    assert said.code == 0
    for title in ("Records", "Runs", "Accounts", "Failures by class", "The last", "Readiness"):
        assert title in said.out
    assert not CONTROLS.search(said.out)
    assert "\x1b" not in said.out
    assert "no such source object" in said.out


def test_the_export_holds_everything_and_is_private(whole: Whole, tmp_path: Path) -> None:
    corner = whole.corner
    file = tmp_path / "report.json"
    said = corner.engine("status", "--all", "--export", str(file))
    assert said.code == 0
    assert str(file) in said.out
    document = json.loads(file.read_text())
    assert len(document["account_breakdown"]) >= document["accounts"]
    assert sum(account["files"] for account in document["account_breakdown"]) == document["files"]["tracked"]
    assert file.stat().st_mode & 0o777 == 0o600
    refused = corner.engine("status", "--export", str(tmp_path / "no" / "dir.json"))
    assert refused.code == 4
    assert "dir.json" in refused.err
    assert "tracking.database" not in refused.err


def test_the_status_with_json_stays_one_document_while_exporting(whole: Whole, tmp_path: Path) -> None:
    corner = whole.corner
    said = corner.engine("status", "--json", "--accounts", "--recent-errors", "3", "--export", str(tmp_path / "r.json"))
    assert said.code == 0
    assert len(said.json["recent_errors"]) == 3
    assert said.json["account_breakdown"]
    assert (tmp_path / "r.json").exists()


def test_the_accounts_add_up_to_all_records(whole: Whole, the_stage: Stage) -> None:
    corner = whole.corner
    document = corner.engine("accounts", "--json").json
    assert sum(account["files"] for account in document["accounts"]) == document["total_files"]
    assert document["total_files"] == len(the_stage.world.records)
    assert document["total_accounts"] == len([a for a in document["accounts"] if a["account_id"]])
    shown = corner.engine("accounts", "--limit", "2")
    assert shown.code == 0
    assert f"{document['total_files']} records in {document['total_accounts']} accounts" in shown.out
    assert len(re.findall(r"^ (?:001\w{15}|\(none\))", shown.out, re.MULTILINE)) == 2


def test_a_terminal_that_wants_no_colour_gets_none(whole: Whole) -> None:
    corner = whole.corner
    said = corner.engine("status", "--all", NO_COLOR="1", FORCE_COLOR="1", TERM="xterm-256color")
    assert said.code == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", said.out)


# while a run is going on


def test_looking_and_snapshots_work_while_a_run_writes(corner: Corner) -> None:
    ids = corner.files(80)
    corner.misbehave(kind="delay", method="PUT", seconds=0.15)
    run = corner.start(*BACKUP, ENGINE_MIGRATION__CONCURRENCY="4")
    until(lambda: corner.recorded() > 3, "the first outcomes are recorded")
    assert corner.status()["runs"][0]["status"] == "running"
    target = corner.directory / "copy.db"
    taken = corner.engine("db", "snapshot", str(target), "--json")
    assert taken.code == 0, taken.everything
    assert run.poll() is None, "the run was over before the snapshot"
    assert ended(run).code == 0
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert copy.execute("SELECT count(*) FROM file_migrations").fetchone()[0] == taken.json["records"]
    assert 0 < taken.json["records"] < len(ids)
    again = corner.engine("db", "snapshot", str(target))
    assert again.code == 4
    assert "never overwrites" in again.err


def test_the_answer_goes_to_stdout_and_everything_else_to_stderr(corner: Corner) -> None:
    corner.files(2)
    said = corner.process("run", "backup", "--full", "--json")
    assert said.code == 0
    assert said.json["records"]["backed_up"] == 2
    assert "server_copy" in said.err
    quiet = corner.process("run", "backup", "--full", "--json", "--no-progress")
    assert quiet.json["records"]["unchanged"] == 2


def test_a_reader_that_goes_away_is_no_crash(whole: Whole) -> None:
    corner = whole.corner
    run = corner.start("status", "--all")
    assert run.stdout is not None
    run.stdout.close()
    assert run.stderr is not None
    text = run.stderr.read()
    run.stderr.close()
    run.wait(60)
    assert "Traceback" not in text
    assert "unexpected" not in text


def test_a_crash_leaves_its_file_in_the_log_directory_of_the_settings(corner: Corner) -> None:
    corner.files(1)
    assert corner.engine(*BACKUP).code == 0
    with Path("/dev/full").open("w") as full:
        run = corner.start("status", stdout=full)
    assert run.stderr is not None
    text = run.stderr.read()
    run.stderr.close()
    assert run.wait(60) == 1
    assert f"details are in {corner.logs}/crash-" in text
    assert "Traceback" not in text
    (file,) = corner.logs.glob("crash-*.txt")
    assert "OSError" in file.read_text()
    assert list(corner.directory.rglob("crash-*.txt")) == [file]

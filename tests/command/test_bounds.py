"""Dry runs, filters and test settings: what a run must leave alone."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections import Counter

import pytest

from engine.rehearsal.salesforce.world import make_id
from tests.support.commands import BACKUP
from tests.support.corner import Corner, ended


def states(corner: Corner) -> Counter[tuple[str, str | None]]:
    return Counter((row["status"], row["failure_class"]) for row in corner.rows().values())


@pytest.mark.parametrize(
    ("words", "env"), [(("--dry-run",), {}), ((), {"ENGINE_MIGRATION__DRY_RUN": "true"}), (("-n", "--json"), {})]
)
def test_a_dry_run_writes_nothing_anywhere(corner: Corner, words: tuple[str, ...], env: dict[str, str]) -> None:
    corner.files(5)
    corner.records([corner.row(), corner.row(url="not a url")])
    corner.forget_requests()
    said = corner.engine(*BACKUP, *words, **env)
    assert said.code == 0, said.everything
    if "--json" in words:
        assert said.json["dry_run"] is True
        assert (
            said.json["records"] | {"processed": 7, "backed_up": 5, "skipped": 1, "failed": 1} == said.json["records"]
        )
    else:
        assert "5 would be copied" in said.out
        assert "nothing was copied, nothing was recorded" in said.out
    assert corner.held() == {}
    assert not list(corner.directory.glob("tracking.db*"))
    assert corner.methods() <= {"GET", "HEAD"}
    assert corner.engine(*BACKUP).code == 3
    assert len(corner.held()) == 5


def test_a_limit_takes_that_many_and_moves_no_watermark(corner: Corner) -> None:
    ids = corner.files(8)
    assert corner.engine(*BACKUP, "--limit", "3").code == 0
    assert len(corner.rows()) == len(corner.held()) == 3
    assert corner.engine("run", "backup", "--incremental", "--limit", "2", "--no-progress").code == 0
    assert len(corner.rows()) == 5
    assert corner.engine("run", "backup", "--incremental", "--no-progress").code == 0
    assert set(corner.rows()) == set(ids)


def test_one_account_leaves_the_others_alone(corner: Corner) -> None:
    mine, other = corner.account("Mine"), corner.account("Other")
    wanted = corner.files(3, account=mine)
    corner.files(2, account=other)
    assert corner.engine(*BACKUP, "--account", mine[:15]).code == 0
    assert set(corner.rows()) == set(wanted)
    assert {row["account_name"] for row in corner.rows().values()} == {"Mine"}


def test_the_test_settings_bind_a_run(corner: Corner) -> None:
    mine = corner.account("Mine")
    wanted = corner.files(4, account=mine)
    corner.files(2)
    test = {"ENGINE_MIGRATION__TEST_SINGLE_ACCOUNT": "true", "ENGINE_MIGRATION__TEST_ACCOUNT_ID": mine}
    assert corner.engine(*BACKUP, **test, ENGINE_MIGRATION__MAX_TEST_FILES="3").code == 0
    assert len(corner.rows()) == 3
    assert corner.engine(*BACKUP, "--account", mine, "--limit", "9", **test).code == 0
    assert set(corner.rows()) == set(wanted)


def test_the_test_account_binds_commands_that_are_no_runs_too(corner: Corner) -> None:
    mine = corner.account("Mine")
    inside = corner.files(3, account=mine)
    outside = [*corner.files(2, account=corner.account("Other")), *corner.files(1)]
    assert corner.engine(*BACKUP).code == 0
    test = {"ENGINE_MIGRATION__TEST_SINGLE_ACCOUNT": "true", "ENGINE_MIGRATION__TEST_ACCOUNT_ID": mine}

    listed = corner.engine("accounts", "--json", **test).json
    assert [(each["account_id"], each["files"]) for each in listed["accounts"]] == [(mine, 3)]
    assert (listed["total_accounts"], listed["total_files"]) == (1, 3)

    template = f"{corner.stage.store.url}/{{bucket}}/{{key}}"
    looked = corner.engine("doctor", "--json", **test, ENGINE_DESTINATION__URL_TEMPLATE=template)
    told = {each["check"]: each["what"] for each in looked.json["findings"]}
    assert told["records"].startswith("3 records")

    for other in outside:
        said = corner.engine("waive", inside[0], other, "--reason", "lost", **test)
        assert said.code == 2, said.everything
        assert "test_account_id" in said.err
    assert corner.query("SELECT * FROM waivers") == []
    assert corner.engine("waive", *inside, "--reason", "lost", **test).code == 0


def test_a_test_account_that_is_not_set_is_a_settings_error(corner: Corner) -> None:
    said = corner.engine(*BACKUP, ENGINE_MIGRATION__TEST_SINGLE_ACCOUNT="true")
    assert said.code == 2
    assert "test_account_id" in said.err


def test_an_account_without_records_is_told_so(corner: Corner) -> None:
    corner.files(1)
    said = corner.engine(*BACKUP, "--account", make_id("001", 1))
    assert said.code == 0
    assert "no record" in said.out
    assert "--account" in said.out


def test_extensions_and_sizes_are_filters_that_skip(corner: Corner) -> None:
    corner.files(2, suffix=".pdf")
    corner.files(2, suffix=".PDF")
    corner.files(3, suffix=".exe")
    corner.files(1, suffix=".docx", size=2_000_000)
    flags = ("--extension", ".pdf", "--extension", "docx", "--max-file-size-mb", "1.5")
    assert corner.engine(*BACKUP, *flags).code == 0
    assert states(corner) == {("backed_up", None): 4, ("skipped", "type_filtered"): 3, ("skipped", "too_large"): 1}
    assert len(corner.held()) == 4
    assert corner.engine(*BACKUP).code == 0
    assert states(corner) == {("backed_up", None): 8}


def test_a_class_is_tried_again_when_it_is_named(corner: Corner) -> None:
    (gone,) = corner.files(1)
    corner.edit([gone], Document__c=corner.url(f"{corner.tag}/later.pdf"))
    corner.org("clock", advance=3600)
    assert corner.engine(*BACKUP).code == 3
    assert states(corner) == {("failed", "source_missing"): 1}
    corner.put(f"{corner.tag}/later.pdf")
    incremental = ("run", "backup", "--incremental", "--no-progress")
    corner.org("clock", advance=3600)
    assert corner.engine(*incremental).code == 0
    assert states(corner) == {("failed", "source_missing"): 1}
    corner.engine(*incremental, "--retry-class", "source_missing,archived")
    assert states(corner) == {("backed_up", None): 1}


def test_both_transports_come_to_the_same_end(corner: Corner) -> None:
    ids = corner.files(6)
    assert corner.engine(*BACKUP, "--transport", "sdk").code == 0
    assert set(corner.rows()) == set(ids)
    assert {row["proof"] for row in corner.rows().values()} <= {"checksum", "etag"}


def test_a_flag_beats_the_environment_which_beats_the_file(corner: Corner) -> None:
    corner.files(1)
    assert corner.engine(*BACKUP, "--concurrency", "7", ENGINE_MIGRATION__CONCURRENCY="9").code == 0
    assert '"concurrency":7' in corner.runs()[-1]["config_snapshot"].replace(" ", "")


def test_a_named_settings_file_beats_the_one_of_the_environment(corner: Corner) -> None:
    corner.files(1)
    nowhere = str(corner.directory / "absent.yaml")
    file = str(corner.stage.settings_file)
    assert corner.engine("--config", file, *BACKUP, ENGINE_CONFIG=nowhere).code == 0
    assert corner.engine(*BACKUP, "--config", file, ENGINE_CONFIG=nowhere).code == 0
    assert corner.engine(*BACKUP, ENGINE_CONFIG=nowhere).code == 2


@pytest.mark.parametrize("limits", [(64, 4_096), (150, 150)])
def test_a_low_limit_of_open_files_is_raised_or_kept_to(corner: Corner, limits: tuple[int, int]) -> None:
    ids = corner.files(60)
    corner.env["ENGINE_MIGRATION__CONCURRENCY"] = "200"
    run = subprocess.Popen(
        [sys.executable, "-m", "cli", "run", "backup", "--full", "--no-progress", "--json"],
        env=corner.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, limits),
    )
    said = ended(run)
    assert said.code == 0, said.everything
    assert said.json["retries"] == 0
    assert {row["status"] for row in corner.rows().values()} == {"backed_up"}
    assert len(corner.rows()) == len(ids)
    assert ("limit of open files has no room" in said.err) is (limits == (150, 150))

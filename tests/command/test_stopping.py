"""Every way to stop early: work in hand is finished, the run row says so, the exit code fits, a resume completes."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from engine.rehearsal.generator import VENDOR_BUCKET
from tests.support.commands import BACKUP
from tests.support.corner import Corner, Said, ended, until

RESUME = ("run", "backup", "--incremental", "--no-progress")


def slow(corner: Corner, count: int, *, seconds: float = 0.15, at_once: int = 4) -> list[str]:
    """So many records whose copies take a while each."""
    ids = corner.files(count)
    corner.misbehave(kind="delay", method="PUT", seconds=seconds)
    corner.env["ENGINE_MIGRATION__CONCURRENCY"] = str(at_once)
    return ids


def begun_runs(corner: Corner) -> int:
    """Runs in the tracking DB, which may not be there yet."""
    with suppress(sqlite3.OperationalError):
        return len(corner.runs())
    return 0


def under_way(corner: Corner) -> subprocess.Popen[str]:
    run = corner.start(*BACKUP)
    until(lambda: corner.recorded() > 3, "the first outcomes are recorded")
    return run


def stopped(corner: Corner, ids: list[str], said: Said, code: int, *reason: str) -> None:
    """It says why, what is safe, what to type; nothing lies in between; a resume brings the rest."""
    assert said.code == code, said.everything
    assert "Traceback" not in said.everything
    for words in (*reason, f"recorded in {corner.database}", "engine run backup --incremental   resumes"):
        assert words in said.out, (words, said.everything)
    run = corner.runs()[-1]
    assert run["status"] == "stopped"
    assert run["error_message"]
    assert run["end_time"]
    assert corner.status()["files"]["tracked"] == corner.recorded() < len(ids)
    assert len(corner.held()) == corner.recorded(), "an object without its row"
    completes(corner, ids)


def completes(corner: Corner, ids: list[str]) -> None:
    corner.misbehave()
    corner.calm()
    assert corner.engine(*RESUME).code == 0
    assert set(corner.rows()) == set(ids)
    assert {row["status"] for row in corner.rows().values()} == {"backed_up"}
    assert len(corner.held()) == len(ids)
    assert corner.writes() == len(ids), "something was copied twice"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_drains_and_the_resume_brings_the_rest(corner: Corner, number: signal.Signals, code: int) -> None:
    ids = slow(corner, 60)
    run = under_way(corner)
    run.send_signal(number)
    said = ended(run)
    assert "no new work; finishing what is in flight" in said.err
    stopped(corner, ids, said, code, f"{number.name} received")


def test_a_second_signal_ends_at_once_and_is_safe(corner: Corner) -> None:
    ids = slow(corner, 40, seconds=3.0, at_once=8)
    run = corner.start(*BACKUP)
    until(lambda: corner.put_requests() > 0, "copies are in flight")
    run.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    begun = time.monotonic()
    run.send_signal(signal.SIGTERM)
    said = ended(run)
    assert time.monotonic() - begun < 1.5
    assert said.code == 143
    assert "quitting now" in said.err
    corner.misbehave()
    assert corner.engine(*RESUME).code == 0
    assert set(corner.rows()) == set(ids)
    assert [run["status"] for run in corner.runs()] == ["crashed", "completed"]


def test_the_drain_limit_cuts_what_does_not_end(corner: Corner) -> None:
    ids = slow(corner, 40, seconds=8.0, at_once=8)
    run = corner.start(*BACKUP, ENGINE_MIGRATION__DRAIN_SECONDS="1")
    until(lambda: corner.put_requests() > 0, "copies are in flight")
    run.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    said = ended(run)
    assert said.code == 143
    assert time.monotonic() - begun < 5
    assert corner.runs()[-1]["status"] == "stopped"
    corner.misbehave()
    assert corner.engine(*RESUME).code == 0
    assert set(corner.rows()) == set(ids)


def test_the_time_limit_stops_cleanly_with_5(corner: Corner) -> None:
    ids = slow(corner, 60)
    stopped(corner, ids, corner.engine(*BACKUP, "--max-duration", "2s"), 5, "--max-duration of 2.0s reached")


def test_the_api_budget_stops_cleanly_with_5(corner: Corner) -> None:
    ids = corner.files(30)
    corner.org("settings", daily_max=1000, daily_used=693)
    corner.org("faults", rules=[{"kind": "short_pages", "endpoint": "query", "params": {"min": 2, "max": 4}}])
    said = corner.engine(*BACKUP)
    stopped(corner, ids, said, 5, "of its 1,000 daily Salesforce API calls", "salesforce.api_budget")


def test_an_api_budget_that_is_spent_before_the_start_is_5_too_and_changes_nothing(corner: Corner) -> None:
    corner.files(3)
    corner.org("settings", daily_max=1000, daily_used=900)
    said = corner.engine(*BACKUP)
    assert said.code == 5
    assert "salesforce.api_budget" in said.err
    assert corner.held() == {}


@pytest.mark.slow
def test_the_error_budget_stops_cleanly_with_5(corner: Corner) -> None:
    ids = corner.files(1300, size=10)
    corner.misbehave(kind="access_denied", method="PUT", rate=0.8)
    corner.env |= {"ENGINE_MIGRATION__MAX_ATTEMPTS": "1", "ENGINE_MIGRATION__ERROR_BUDGET": "0.3"}
    said = corner.engine(*BACKUP)
    assert said.code == 5
    assert "error budget spent" in said.out
    assert "destination_denied" in said.out
    assert corner.runs()[-1]["status"] == "stopped"
    assert 1000 <= corner.recorded() < 1300
    completes(corner, ids)


def test_a_killed_run_shows_as_crashed_and_is_resumed(corner: Corner) -> None:
    ids = slow(corner, 60)
    run = under_way(corner)
    during = corner.status()
    assert during["runs"][0]["status"] == "running"
    assert 0 < during["files"]["tracked"] < len(ids)
    run.kill()
    ended(run)
    after = corner.status()
    assert after["runs"][0]["status"] == "crashed"
    assert "crashed" in corner.engine("status", "--runs").out
    assert "engine run backup --incremental   resumes" in corner.engine("status").out
    corner.misbehave()
    counts = corner.engine(*RESUME, "--json").json["records"]
    assert (counts["in_scope"], counts["processed"]) == (len(ids), len(ids)), "the rest of the scan, then what changed"
    assert corner.runs()[-1]["total_files_processed"] == len(ids)
    assert set(corner.rows()) == set(ids)
    assert [each["status"] for each in corner.runs()] == ["crashed", "completed"]


# what a run must live through


def test_a_session_that_is_revoked_half_way_is_renewed(corner: Corner) -> None:
    ids = slow(corner, 80, at_once=4)
    corner.org("faults", rules=[{"kind": "short_pages", "endpoint": "query", "params": {"min": 2, "max": 5}}])
    corner.env["ENGINE_MIGRATION__QUEUE_SIZE"] = "4"
    run = under_way(corner)
    corner.org("revoke")
    said = ended(run)
    assert said.code == 0, said.everything
    assert set(corner.rows()) == set(ids)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "503_html", "endpoint": "query", "nth": [3, 4]},
        {"kind": "html_200", "endpoint": "query", "nth": [3]},
        {"kind": "truncated_json", "endpoint": "query", "nth": [3]},
        {"kind": "reset", "endpoint": "query", "nth": [3]},
        {"kind": "burst_401", "endpoint": "query", "nth": [3]},
        {"kind": "concurrent_limit", "endpoint": "query", "nth": [3]},
    ],
    ids=lambda fault: fault["kind"],
)
def test_a_hiccup_of_salesforce_in_the_middle_of_a_scan_goes_unnoticed(corner: Corner, fault: dict[str, Any]) -> None:
    ids = corner.files(40)
    corner.org(
        "faults",
        rules=[fault, {"kind": "short_pages", "endpoint": "query", "params": {"min": 5, "max": 9}}],
    )
    said = corner.engine(*BACKUP)
    assert said.code == 0, said.everything
    assert set(corner.rows()) == set(ids)


def test_salesforce_in_maintenance_for_longer_stops_with_5_and_finishes_what_it_has(corner: Corner) -> None:
    ids = corner.files(40)
    corner.org(
        "faults",
        rules=[
            {"kind": "503_html", "endpoint": "query_more"},
            {"kind": "short_pages", "endpoint": "query", "params": {"min": 5, "max": 5}},
        ],
    )
    corner.env["ENGINE_MIGRATION__MAX_ATTEMPTS"] = "2"
    said = corner.engine(*BACKUP)
    assert corner.recorded() > 0
    stopped(corner, ids, said, 5, "503")


def test_throttling_and_resets_of_the_store_are_lived_through_and_counted(corner: Corner) -> None:
    ids = corner.files(30)
    corner.misbehave_all(
        {"kind": "slow_down", "rate": 0.10, "seed": 3},
        {"kind": "reset", "rate": 0.02, "seed": 4},
        {"kind": "reset", "method": "GET", "path": f"{corner.bucket}.*uploads", "times": 1},
        {"kind": "slow_down", "method": "HEAD", "path": f"{VENDOR_BUCKET}/{corner.tag}", "times": 2},
        {"kind": "internal_error", "method": "HEAD", "path": f"{VENDOR_BUCKET}($|[?])", "times": 1},
    )
    said = corner.engine(*BACKUP, "--json")
    assert said.code == 0, said.everything
    assert said.json["retries"] > 0
    assert said.json["records"]["backed_up"] == len(ids)
    attempts = corner.query("SELECT count(*) AS n FROM migration_errors")[0]["n"]
    assert attempts == said.json["retries"]
    assert set(corner.rows()) == set(ids)
    assert len(corner.held()) == len(ids)


def test_a_signal_before_the_start_ends_it_there_and_changes_nothing(corner: Corner) -> None:
    corner.files(2)
    corner.org("faults", rules=[{"kind": "slow", "endpoint": "token", "params": {"seconds": 20}}])
    run = corner.start(*BACKUP)
    until(lambda: Path(f"{corner.database}.lock").exists(), "the run has taken its lock")
    until(lambda: corner.database.exists(), "the tracking DB is open")
    time.sleep(0.3)
    run.terminate()
    begun = time.monotonic()
    said = ended(run)
    assert said.code == 143, said.everything
    assert time.monotonic() - begun < 5
    assert "Traceback" not in said.everything
    assert "nothing was changed" in said.everything
    assert corner.held() == {}
    assert corner.runs() == []


def test_a_signal_while_old_uploads_are_looked_for_ends_the_run_there(corner: Corner) -> None:
    ids = corner.files(3)
    corner.misbehave(kind="delay", path=f"{corner.bucket}/?[?].*uploads", seconds=30)
    run = corner.start(*BACKUP)
    until(lambda: begun_runs(corner), "the run has begun")
    run.terminate()
    begun = time.monotonic()
    said = ended(run)
    assert (said.code, corner.runs()[-1]["status"]) == (143, "stopped"), said.everything
    assert time.monotonic() - begun < 5
    assert "nothing was copied" in said.err
    assert "engine run backup --full" in said.err or "--incremental   resumes" in said.err
    assert corner.held() == {}
    completes(corner, ids)


def test_what_breaks_for_good_half_way_says_what_is_safe_and_how_to_resume(corner: Corner) -> None:
    ids = slow(corner, 60)
    corner.org("faults", rules=[{"kind": "short_pages", "endpoint": "query", "params": {"min": 2, "max": 5}}])
    corner.env["ENGINE_MIGRATION__QUEUE_SIZE"] = "4"
    run = under_way(corner)
    corner.org(
        "faults",
        rules=[
            {"kind": "uncurable_401", "endpoint": "query"},
            {"kind": "short_pages", "endpoint": "query", "params": {"min": 2, "max": 5}},
        ],
    )
    said = ended(run)
    assert said.code == 4, said.everything
    assert "API sessions" in said.err
    assert f"safe in {corner.database}" in said.err
    assert "engine run backup --incremental   resumes" in said.err
    assert corner.runs()[-1]["status"] == "failed"
    corner.misbehave()
    corner.calm()
    assert corner.engine(*RESUME).code == 0
    assert set(corner.rows()) == set(ids)

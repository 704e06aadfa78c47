"""Backups whose copies are made by workers: what people see of them."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from tests.support.commands import BACKUP, refused
from tests.support.corner import Corner, ended, until


def test_the_workers_of_a_run_are_seen_in_its_samples_and_by_status(corner: Corner) -> None:
    corner.files(12)
    said = corner.engine(*BACKUP, "--executor", "processes:2")
    assert said.code == 0, said.everything

    sample = corner.status()["trend"][-1]
    names = {each["name"] for each in sample["workers"]}
    assert names, "one may have done all before the other came up"
    assert names <= {"worker 1", "worker 2"}
    assert sum(each["in_hand"] for each in sample["workers"]) <= 12
    assert sample["limit"] > 0
    assert f"workers     {len(names)}, " in corner.engine("status").out
    paper = corner.directory / "paper.html"
    corner.engine("report", str(paper))
    assert "Workers of the last backup" in paper.read_text()


def test_a_local_run_has_none(corner: Corner) -> None:
    corner.files(3)
    assert corner.engine(*BACKUP).code == 0

    assert "workers" not in corner.status()["trend"][-1]
    assert "workers  " not in corner.engine("status").out


def children_of(run: subprocess.Popen[str]) -> list[int]:
    """Process ids of its workers."""
    return [int(each) for each in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]


def at_work(corner: Corner) -> None:
    """Until a copy is under way, which the store keeps waiting."""
    until(corner.put_requests, "a copy is under way")


def test_a_worker_gets_no_secret_that_opens_more_than_the_stores(corner: Corner) -> None:
    corner.files(8)
    corner.misbehave(kind="delay", method="PUT", seconds=3.0)
    run = corner.start(*BACKUP, "--executor", "processes:1", ENGINE_SALESFORCE__CLIENT_SECRET="rehearsal-secret")
    at_work(corner)
    (worker,) = children_of(run)
    around = Path(f"/proc/{worker}/environ").read_text()
    run.terminate()
    ended(run)

    assert "ENGINE_SALESFORCE__CLIENT_SECRET" not in around
    assert "ENGINE_DESTINATION__BUCKET" in around


def test_settings_that_are_edited_meanwhile_end_the_run_only_where_no_worker_can_be_replaced(corner: Corner) -> None:
    """The run goes by the settings it began with, and has begun: it is stopped, resumable, and not refused."""
    corner.files(8)
    theirs = corner.directory / "settings.yaml"
    theirs.write_text(corner.stage.settings_file.read_text())
    theirs.chmod(0o600)
    corner.misbehave(kind="delay", method="PUT", seconds=3.0)
    run = corner.start(*BACKUP, "--executor", "processes:1", ENGINE_CONFIG=str(theirs))
    at_work(corner)
    theirs.write_text(theirs.read_text() + "\nmigration:\n  part_size_mb: 8\n")
    for worker in children_of(run):
        os.kill(worker, signal.SIGKILL)
    said = ended(run)

    assert said.code == 5, said.everything
    assert "migration.part_size_mb is 8 there and 16 here" in said.everything
    corner.calm()
    assert corner.process("run", "backup", "--incremental", "--no-progress").code == 0
    assert len(corner.held()) == 8


def test_an_address_that_is_refused_is_called_by_the_flag_that_gave_it(corner: Corner) -> None:
    refused(corner.engine(*BACKUP, "--executor", "dask://10.0.0.1:8786"), 2, "--executor: executor.address is not on")

"""Backups whose copies are made by workers: what people see of them."""

from __future__ import annotations

from tests.support.commands import BACKUP
from tests.support.corner import Corner


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

"""The benchmark's one command, tiny: everything runs, and what it copies is right."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.apart import apart
from benchmarks.bench import Bench, peer
from benchmarks.measure import Run, machine, spread
from benchmarks.peers.programs import Missing, program
from benchmarks.report import Report, Row, Sample

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_quick_benchmark_runs_to_its_end(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", str(figures)]
    for case in ("start", "copies", "large", "listing"):
        command += ["--only", case]  # the others run in continuous integration: --quick alone takes a minute
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(figures.read_text(encoding="utf-8"))
    subjects = {row["subject"] for row in told["rows"] if row["samples"]}
    assert {"engine run backup --full", "bare loop", "engine.s3 inventory"} <= subjects
    assert all(goal["met"] is None for goal in told["goals"]), "a tiny run judges no timing"


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_ladder_has_a_row_for_local_and_for_each_number_of_workers(tmp_path: Path) -> None:
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "scale", "--json", str(figures)]
    command += ["--executor", "processes:N", "--ladder", "2", "--records", "20"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(figures.read_text(encoding="utf-8"))["rows"]
    assert [row["subject"] for row in rows] == ["local", "processes:2"] * 3
    assert len({row["case"] for row in rows}) == 3
    assert "× the rate of local" in rows[1]["note"]


def test_cores_are_given_back_after_the_block() -> None:
    before = os.sched_getaffinity(0)
    with apart(()) as where:
        assert where
    assert os.sched_getaffinity(0) == before


def test_a_case_that_fails_is_told_by_the_exit_code(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "start", "--room", str(tmp_path / "a file")]
    (tmp_path / "a file").write_text("in the way")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "failed: start" in done.stderr


def test_a_peer_that_is_not_installed_is_a_row_that_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    row = Row("case", "aws", 10)

    def absent() -> Sample:
        program("aws")
        raise AssertionError("aws was found on an empty PATH")

    assert peer(row, absent) is None
    assert "pipx install awscli" in row.cells()[-1]
    with pytest.raises(Missing, match="not installed"):
        program("aws")


def sample(wall_s: float, cpu_s: float) -> Sample:
    return Sample(Run(wall_s, cpu_s, 50_000_000, 0, "", 0.5), {"CopyObject": 100, "ListObjects": 1})


def test_a_row_shows_median_least_and_most() -> None:
    row = Row("case", "engine", 100, [sample(1.0, 0.5), sample(2.0, 1.0), sample(4.0, 2.0)])
    assert row.cells()[:7] == [
        "engine", "100", "2.0 (1.0–4.0) s", "50 (25–100)/s", "10,000 (5,000–20,000) µs", "50 MB", "1.010",
    ]  # fmt: skip


@pytest.mark.parametrize(("values", "most", "met"), [([4, 5, 1], False, True), ([3, 3, 9], False, False)])
def test_the_median_of_the_pairs_decides_a_goal(values: list[float], most: bool, met: bool) -> None:
    report = Report(machine(), tell=lambda _: None)
    report.ratio("wall", values, 3.5, most=most)
    assert report.goals[0].met is met
    assert "3.5 ×" in "\n".join(report.lines())


def test_a_case_takes_the_number_of_records_it_was_given() -> None:
    report = Report(machine())
    assert Bench(Path(), report, records=7).count(100) == 7
    assert Bench(Path(), report).count(100) == 100
    assert Bench(Path(), report, records=7, quick=True).count(100, tiny=3) == 3


def test_the_spread_of_one_value_is_that_value() -> None:
    assert spread([2.0]).shown() == "2.0"

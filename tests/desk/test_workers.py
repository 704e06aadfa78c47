"""The workers of the latest run, wherever figures are shown; nothing of them where there were none."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from engine.desk import metrics
from engine.desk.figures import Figures
from engine.desk.pages import page
from engine.runs.status.progress import workers_line
from engine.runs.status.tables import show_overview, show_runs
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.read.report import open_report
from tests.desk.database import EVIL
from tests.support.fakes.clock import ManualClock

WORKERS = [
    {"name": "worker 1", "files_per_s": 52.5, "in_hand": 200, "silent_s": 0.4},
    {"name": EVIL, "files_per_s": 50.0, "in_hand": 180, "silent_s": 7.0},
]
NOW = "2026-12-01T10:00:00.000Z"
SAMPLE = {
    "kind": "sample", "seconds": 10.0, "done": 1, "total": 2, "files_per_s": 102.5, "mb_per_s": 1.0, "in_flight": 3,
    "leases": 1, "unwritten": 0, "limit": 64, "rate_limit": None, "source_limit": 16, "refusals": 0, "retries": 0,
    "lag_ms": 1.0, "rss_mb": 100.0, "cpu": 0.5,
}  # fmt: skip


async def noted(path: Path, *samples: dict[str, Any]) -> Path:
    """A tracking DB with a run for each sample."""
    async with open_database(path, ManualClock()) as db:
        ledger = Ledger(db)
        for sample in samples:
            await ledger.begin_run("backup", {})
            await ledger.sample(sample)
    return path


@pytest.fixture
async def with_workers(tmp_path: Path) -> Path:
    return await noted(tmp_path / "with.db", SAMPLE, SAMPLE | {"workers": WORKERS})


@pytest.fixture
async def without(tmp_path: Path) -> Path:
    return await noted(tmp_path / "without.db", SAMPLE | {"workers": WORKERS}, SAMPLE)


def overview(database: Path) -> dict[str, Any]:
    return Figures(database, ("etag",), ManualClock()).overview()


def shown(database: Path) -> str:
    console = Console(file=StringIO(), width=200)
    with open_report(database) as report:
        show_overview(report, console)
        show_runs(report, console)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


async def test_status_shows_each_and_all_together(with_workers: Path, without: Path) -> None:
    text = shown(with_workers)

    assert "workers     2, 102 files/s, 380 in hand; longest without a sign of life: " in text
    assert "Workers of the last run, at " in text
    assert "\x1b[31m" not in text
    assert "orkers" not in shown(without)


def test_the_line_names_who_was_silent_longest() -> None:
    line = workers_line([{"at": NOW, "workers": WORKERS[:1]}])

    assert line.startswith("1, 52 files/s, 200 in hand; longest without a sign of life: worker 1, 0 s (at ")
    assert workers_line([]) == workers_line([{"workers": []}]) == workers_line([{}]) == ""


async def test_metrics_have_three_series_a_worker(with_workers: Path, without: Path) -> None:
    text = metrics.text(overview(with_workers) | {"running": True}).decode()

    assert "engine_workers 2.0" in text
    assert 'engine_worker_files_per_second{worker="worker 1"} 52.5' in text
    assert 'engine_worker_files_in_hand{worker="worker 1"} 200.0' in text
    assert 'engine_worker_silent_seconds{worker="worker 1"} 0.4' in text
    assert "engine_worker" not in metrics.text(overview(without) | {"running": True}).decode()


async def test_the_first_page_has_a_table_of_them(with_workers: Path, without: Path) -> None:
    text = page("overview", now=overview(with_workers), at=NOW)

    assert "Workers of the last backup" in text
    assert ">52.5<" in text
    assert "<script>alert" not in text
    assert "Workers of" not in page("overview", now=overview(without), at=NOW)

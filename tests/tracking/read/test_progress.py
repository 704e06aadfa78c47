"""How far a backup has come: of how many records, and how fast."""

from __future__ import annotations

from pathlib import Path

from engine.model.outcome import Batch
from engine.runs.status.progress import of_scope, run_line, scope_line
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.read.report import open_report
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import copied


async def test_a_scan_under_way_is_a_share_of_all_that_it_counted(tmp_path: Path) -> None:
    clock = ManualClock()
    async with open_database(tmp_path / "t.db", clock) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        with open_report(tmp_path / "t.db") as report:
            assert report.scope() == {
                "records": None, "known": 0, "complete": False, "scan": "none", "counted_at": None
            }  # fmt: skip
        scan = await ledger.begin_scan("full", "scope", restricted=False, watermark="2026-01-01T00:00:00.000Z")
        await ledger.sample({"kind": "scope", "scan": scan, "records": 600})
        clock.advance(10)
        await ledger.write(Batch([copied(n) for n in range(200)]))
        await ledger.sample({"kind": "sample", "seconds": 10, "files_per_s": 20.0, "mb_per_s": 1, "total": 600})
        with open_report(tmp_path / "t.db") as report:
            scope, progress, ready = report.scope(), report.progress(), report.readiness(["checksum"])
        assert (scope["records"], scope["known"], scope["complete"]) == (600, 200, False)
        assert of_scope(200, scope) == "33.3 %"
        assert "600 records" in scope_line(scope)
        assert "not complete" in scope_line(scope)
        assert progress is not None
        assert (progress["done"], progress["total"]) == (200, 600)
        assert progress["files_per_s"] == {"now": 20.0, "five_minutes": 20.0, "run": 20.0}
        assert progress["seconds_left"] == {"likely": 20, "least": 20, "most": 20}
        assert run_line({**progress, "pid": 123}) == "200 / 600, 33 %, 20/s, about 20.0s left, running as pid 123"
        assert (ready["in_scope"], ready["not_seen"], ready["scan_complete"]) == (200, 400, False)
        assert ready["percent_ready"] == 33.33
        await ledger.complete_scan()
        with open_report(tmp_path / "t.db") as report:
            scope = report.scope()
        assert (scope["records"], scope["complete"]) == (200, True)
        assert of_scope(200, scope) == "100.0 %"


async def test_without_a_count_nothing_is_a_share(tmp_path: Path) -> None:
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        scan = await ledger.begin_scan("full", "scope", restricted=False, watermark="2026-01-01T00:00:00.000Z")
        await ledger.sample({"kind": "scope", "scan": scan, "records": None})
        await ledger.write(Batch([copied(n) for n in range(20)]))
        with open_report(tmp_path / "t.db") as report:
            scope, progress = report.scope(), report.progress()
    assert of_scope(20, scope) == ""
    assert "nobody has counted" in scope_line(scope)
    assert progress is not None
    assert progress["seconds_left"] is None

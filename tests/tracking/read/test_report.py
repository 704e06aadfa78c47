"""What ``engine status`` asks, also while a run writes."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.model.errors import Blocked
from engine.model.facts import Proof
from engine.model.failures import FailureClass
from engine.model.outcome import Batch, Outcome, Status
from engine.runs.status.status import export
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.read.report import open_report
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import a_record, copied, failed, record_id


@pytest.fixture
async def path(tmp_path: Path) -> AsyncIterator[Path]:
    """A database with some of everything, whose run is still going on."""
    clock = ManualClock()
    async with open_database(tmp_path / "t.db", clock) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {"destination": {"bucket": "ours"}})
        url = "https://vendor.example/a.pdf?X-Amz-Signature=canary"
        await ledger.write(
            Batch(
                [
                    *(copied(n) for n in range(10)),
                    *(copied(n, proof=Proof.SIZE) for n in range(10, 13)),
                    copied(20, status=Status.SWITCHED),
                    copied(21, status=Status.ROLLED_BACK),
                    failed(30, FailureClass.SOURCE_MISSING, message="first"),
                    failed(31, FailureClass.SOURCE_MISSING, record=a_record(31, url=url), message="last"),
                    failed(37, FailureClass.NETWORK),
                    Outcome(a_record(40), Status.SKIPPED, FailureClass.NO_URL),
                    Outcome(a_record(41), Status.PENDING, FailureClass.DRIFTED),
                ]
            )
        )
        await ledger.mark_gone([record_id(9)])
        await ledger.sample({"rate": 12.5, "api": {"used": 900, "limit": 15000}})
        yield tmp_path / "t.db"


def test_the_counts_of_files_add_up_to_tracked(path: Path) -> None:
    with open_report(path) as report:
        files = report.files()

    assert files == {
        "tracked": 20, "pending": 1, "backed_up": 12, "failed": 3, "skipped": 1, "switched": 1, "rolled_back": 1,
        "gone": 1, "bytes": sum(100 + n for n in (*range(9), 10, 11, 12, 20, 21)),
    }  # fmt: skip
    assert sum(files[status] for status in Status) == files["tracked"]


def test_the_document_has_the_promised_keys_and_is_plain_json(path: Path) -> None:
    with open_report(path) as report:
        document = json.loads(json.dumps(report.document(("checksum",))))

    assert {"files", "accounts", "runs", "errors", "readiness"} <= set(document)
    assert document["accounts"] == 7
    assert document["runs"][0]["config_snapshot"] == {"destination": {"bucket": "ours"}}
    assert document["runs"][0]["status"] == "running"
    assert document["proofs"] == {"checksum": 11, "etag": 0, "received": 0, "size": 3}
    assert document["skipped"] == {"no_url": 1}
    assert document["api"] == {"at": "2026-11-22T10:00:00.000Z", "used": 900, "limit": 15000}


def test_errors_are_grouped_by_class_with_the_latest_example(path: Path) -> None:
    with open_report(path) as report:
        errors = report.errors()

    assert [(e["failure_class"], e["count"]) for e in errors] == [("source_missing", 2), ("network", 1)]
    assert errors[0]["latest"] == "2026-11-22T10:00:00.000Z"
    assert errors[0]["example"] == {
        "record_id": record_id(31),
        "message": "last",
        "url": "https://vendor.example/a.pdf",
    }


def test_recent_errors_come_newest_first_and_as_many_as_asked(path: Path) -> None:
    with open_report(path) as report:
        found = [error["doclist_entry_id"] for error in report.recent_errors(2)]

    assert found == [record_id(37), record_id(31)]


def test_accounts_come_with_most_failures_first_and_in_pages(path: Path) -> None:
    with open_report(path) as report:
        everything = report.accounts()
        page = report.accounts(limit=2, offset=1)

    assert everything[0]["account_id"] == "001000000000000002"
    assert (everything[0]["account_name"], everything[0]["failed"]) == ("Account 2", 2)
    assert sum(account["files"] for account in everything) == 20
    assert all(account["files"] == sum(account[s] for s in Status) for account in everything)
    assert page == everything[1:3]


@pytest.mark.parametrize(
    ("accept", "ready", "reasons"),
    [
        (("checksum", "etag"), 10, {"proof_size": 3, "source_missing": 2}),
        (("checksum", "etag", "size"), 13, {"source_missing": 2, "network": 1}),
    ],
)
def test_readiness_says_who_can_be_switched_and_why_not_the_rest(
    path: Path, accept: tuple[str, ...], ready: int, reasons: dict[str, int]
) -> None:
    with open_report(path) as report:
        readiness = report.readiness(accept)

    assert (readiness["ready"], readiness["switched"], readiness["not_ready"]) == (ready, 1, 19 - ready)
    assert reasons.items() <= readiness["reasons"].items()
    assert sum(readiness["reasons"].values()) == readiness["not_ready"]
    assert readiness["percent_ready"] == 100 * ready / 20


def test_an_export_holds_everything_is_private_and_replaces_the_last(path: Path) -> None:
    target = path.parent / "export.json"
    target.write_text("old")
    with open_report(path) as report:
        export(report, target, ("checksum",))
    everything = json.loads(target.read_text())

    assert len(everything["account_breakdown"]) == 7
    assert len(everything["recent_errors"]) == 3
    assert "canary" not in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert not (path.parent / "export.json.partial").exists()


def test_an_export_that_cannot_be_written_says_where(path: Path) -> None:
    with open_report(path) as report, pytest.raises(Blocked, match="nowhere"):
        export(report, path.parent / "nowhere" / "export.json", ("checksum",))


def test_all_answers_of_one_report_are_of_one_moment(path: Path) -> None:
    with open_report(path) as report:
        before = report.files()
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("UPDATE counters SET files = files + 5 WHERE status = 'failed'")
        assert report.files() == before
    with open_report(path) as report:
        assert report.files() != before


async def test_a_finished_database_is_read_without_leaving_a_trace(tmp_path: Path) -> None:
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        await Ledger(db).write(Batch([copied(1)]))
    before = (tmp_path / "t.db").read_bytes()
    with open_report(tmp_path / "t.db") as report:
        assert report.files()["backed_up"] == 1

    assert (tmp_path / "t.db").read_bytes() == before


def test_looking_at_an_empty_or_missing_file_says_that_nothing_has_run(tmp_path: Path) -> None:
    with pytest.raises(Blocked, match="no tracking database"), open_report(tmp_path / "t.db"):
        pass
    (tmp_path / "t.db").touch()
    with pytest.raises(Blocked, match="no run has used it"), open_report(tmp_path / "t.db"):
        pass


def test_looking_needs_neither_an_event_loop_nor_a_network_library() -> None:
    heavy = "{'asyncio', 'aiosqlite', 'aiohttp'} & set(sys.modules)"
    script = f"import sys, engine.tracking.read.report; print(sorted({heavy}))"
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert child.stdout.strip() == "[]"


def test_keys_are_those_of_the_account_that_is_asked_for(path: Path) -> None:
    with open_report(path) as report:
        assert len(report.keys(5)) == 4
        assert report.keys(5, a_record(6).account_id) == [f"uploads/{n}.pdf" for n in (6, 20)]

"""Tables of the tracking DB as files: exact, free of formulas, and without what must not leave."""

from __future__ import annotations

import csv
import io
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.desk.exporting import Export, export
from engine.model.errors import Blocked, Usage
from engine.model.failures import FailureClass
from engine.model.outcome import Batch
from engine.settings import Settings
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.read.exports import TABLES
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import a_record, copied, failed

Write = Callable[..., tuple[dict[str, Any], Path]]
FORMULA = '=HYPERLINK("https://evil.example")'


@pytest.fixture
async def write(tmp_path: Path) -> Write:
    """Exports a small DB; gives what was said, and the file."""
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        signed = a_record(30, url="https://vendor.example/a.pdf?X-Amz-Signature=canary")
        outcomes = [*(copied(n) for n in range(10)), failed(30, FailureClass.NETWORK, record=signed, message=FORMULA)]
        await ledger.write(Batch(outcomes))
    tree = {
        "salesforce": {"login_url": "https://a.my.salesforce.com", "auth": "sf_cli", "target_org": "a"},
        "source": {"buckets": ["vendor-docs"]},
        "destination": {"bucket": "our-docs", "region": "us-east-1"},
        "tracking": {"database": tmp_path / "t.db"},
    }
    of_this_db = Settings.model_validate(tree)

    def made(what: str, name: str, **more: Any) -> tuple[dict[str, Any], Path]:
        file = tmp_path / name
        return export(of_this_db, Export(what, file, **more)), file

    return made


@pytest.mark.parametrize("what", TABLES)
def test_every_table_has_a_row_of_heads_and_its_rows(write: Write, what: str) -> None:
    said, file = write(what, "out.csv")
    rows = list(csv.reader(io.StringIO(file.read_text(), newline="")))
    assert tuple(rows[0]) == tuple(TABLES[what].columns)
    assert len(rows) - 1 == said["rows"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_csv_holds_no_formula(write: Write) -> None:
    _, file = write("failures", "out.csv")
    [row] = csv.DictReader(io.StringIO(file.read_text(), newline=""))
    assert row["error_message"] == f"'{FORMULA}"


def test_ndjson_is_exact_but_for_signatures(write: Write) -> None:
    _, file = write("failures", "out.ndjson")
    [row] = map(json.loads, file.read_text().splitlines())
    assert row["error_message"] == FORMULA
    assert row["attempts"] == 1
    assert row["original_url"] == "https://vendor.example/a.pdf?…"


def test_redacted_it_names_nobody_and_no_path(write: Write) -> None:
    _, file = write("inventory", "out.ndjson", redact=True)
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    text = file.read_text()
    for word in ("vendor.example", "uploads/", ".pdf", "Account"):
        assert word not in text
    assert len({row["account_name"] for row in rows}) <= len({row["account_id"] for row in rows})


def test_rclone_gets_links_with_their_queries(write: Write) -> None:
    said, file = write("plan", "out.csv", form="rclone-urls")
    lines = list(csv.reader(io.StringIO(file.read_text(), newline="")))
    assert len(lines) == said["rows"] == 10
    assert all(url.startswith("https://") and not key.startswith("http") for url, key in lines)


def test_a_plan_comes_with_links_to_open(write: Write) -> None:
    said, _ = write("plan", "out.csv")
    assert 0 < len(said["sample_links"]) <= 20
    assert write("plan", "hidden.csv", redact=True)[0]["sample_links"] == []


def test_parquet_has_types_and_all_rows(write: Write) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="engine[parquet] is not installed")
    said, file = write("inventory", "out.parquet")
    table = parquet.read_table(file)
    assert table.num_rows == said["rows"] == 11
    assert str(table.schema.field("file_size_bytes").type) == "int64"


@pytest.mark.parametrize(
    ("what", "name", "more"),
    [
        ("nothing", "out.csv", {}),
        ("plan", "out.txt", {}),
        ("accounts", "out.csv", {"form": "rclone-urls"}),
        ("journal", "out.csv", {"form": "rclone-urls"}),
        ("plan", "out.csv", {"form": "rclone-urls", "redact": True}),
    ],
)
def test_what_makes_no_sense_is_refused(write: Write, what: str, name: str, more: dict[str, Any]) -> None:
    with pytest.raises(Usage):
        write(what, name, **more)


def test_parquet_goes_where_other_files_go(write: Write, tmp_path: Path) -> None:
    """A link stays, its target is replaced; a folder that is not there gets a message."""
    pytest.importorskip("pyarrow", reason="engine[parquet] is not installed")
    (tmp_path / "elsewhere.parquet").write_bytes(b"old")
    (tmp_path / "out.parquet").symlink_to(tmp_path / "elsewhere.parquet")
    _, file = write("accounts", "out.parquet")
    assert file.is_symlink()
    assert (tmp_path / "elsewhere.parquet").read_bytes()[:4] == b"PAR1"
    with pytest.raises(Blocked):
        write("accounts", "none/out.parquet")

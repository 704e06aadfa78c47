"""``engine db snapshot``: a consistent copy of the tracking DB, also while a run writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.runs.shared.tables import line
from engine.settings import Settings
from engine.tracking.db.snapshot import snapshot
from engine.tracking.read.report import open_report

if TYPE_CHECKING:
    from rich.console import Console


def take_snapshot(settings: Settings, target: Path) -> dict[str, Any]:
    """Write the snapshot and say what is in it. Raises Blocked, Fatal."""
    written = snapshot(settings.tracking.database, target)
    with open_report(target) as report:
        count = report.files()["tracked"]
    return {"file": str(target), "bytes": written, "record_count": count, "records": count}


def show_snapshot(taken: dict[str, Any], console: Console) -> None:
    """The same for a person."""
    line(console, f"Wrote {taken['file']}: {taken['records']:,} records, {taken['bytes']:,} bytes, checked.")

"""What the tracking DB knows, as one JSON document, and as files that a person names."""

from __future__ import annotations

import csv
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.model.command import Advice
from engine.model.errors import Usage
from engine.model.text import csv_safe
from engine.runs.shared.answer import Found, answered, document_text
from engine.runs.shared.exports import fresh, saving
from engine.tracking.read.report import Report


def document_of(
    report: Report, proofs: Sequence[str], *, accounts: bool, recent_errors: int, run_settings: bool
) -> dict[str, Any]:
    """What ``--json`` prints. ``run_settings``: with the settings that each run had."""
    document = report.document(proofs)
    document["runs"] = [honest(run) for run in document["runs"]]
    if not run_settings:
        for run in document["runs"]:
            del run["config_snapshot"]
    if accounts:
        document["account_breakdown"] = report.accounts()
    if recent_errors:
        document["recent_errors"] = report.recent_errors(recent_errors)
    return document


def export(report: Report, path: Path, proofs: Sequence[str], next_steps: Sequence[Advice] = ()) -> None:
    """Write everything, all accounts and runs included, as one JSON file of mode 0600. Raises Blocked."""
    everything = {
        **report.document(proofs, runs=-1),
        "account_breakdown": report.accounts(),
        "recent_errors": report.recent_errors(1000),
        "waivers": report.waivers(),
    }
    with saving(path) as file:
        file.write(document_text(answered(Found(everything, next_steps))))


def honest(run: dict[str, Any]) -> dict[str, Any]:
    """A run that is ``running`` in the DB although its process is dead has crashed. The next start records that."""
    if run["status"] == "running" and run["host"] == platform.node() and not _alive(run["pid"]):
        return {**run, "status": "crashed"}
    return run


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write_unready(report: Report, proofs: Sequence[str], path: Path) -> int:
    """Every record that cannot be switched, as CSV for a spreadsheet; mode 0600. Returns how many."""
    count = 0
    try:
        with fresh(path) as file:
            out = csv.writer(file)
            out.writerow(("record_id", "account_id", "status", "reason", "said"))
            for row in report.unready(proofs):
                out.writerow([csv_safe(cell) for cell in row])
                count += 1
    except OSError as error:
        raise Usage(f"{path} cannot be written: {error.strerror}") from error
    return count

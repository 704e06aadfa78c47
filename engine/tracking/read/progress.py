"""How far the backup has come, of how much, and how fast: from what runs have noted. Read-only, and cheap."""

from __future__ import annotations

import json
import sqlite3
from datetime import datetime
from typing import Any

from engine.tracking.db.connect import by_name

_FULL_SCAN = """
SELECT id, state, started_at, ended_at FROM scans WHERE kind = 'full' AND restricted = 0 ORDER BY id DESC LIMIT 1
"""
_COUNTED = """
SELECT at, json_extract(json, '$.records') FROM samples
WHERE json_extract(json, '$.kind') = 'scope' AND json_extract(json, '$.scan') = ? ORDER BY id DESC LIMIT 1
"""
_SAMPLES = """
SELECT at, json FROM samples WHERE run_id = ? AND json_extract(json, '$.kind') = 'sample' ORDER BY id DESC LIMIT 40
"""
_LAST_RUN = """
SELECT id, run_type, start_time, end_time, last_update, total_files_processed, status, pid, host
FROM migration_runs ORDER BY id DESC LIMIT 1
"""
FIVE_MINUTES_S = 300.0
STALE_S = 60.0
"""A sample that is older says nothing of the rate now."""


def scope(db: sqlite3.Connection, known: int) -> dict[str, Any]:
    """Records in scope as the last full scan counted them. ``known``: records here that are not gone.

    ``records`` is None where nobody could count them. Once the scan is ``complete``, every record has a row.
    """
    row = db.execute(_FULL_SCAN).fetchone()
    if row is None:
        return {"records": None, "known": known, "complete": False, "scan": "none", "counted_at": None}
    number, state, started_at, ended_at = row
    if state == "completed":
        return {"records": known, "known": known, "complete": True, "scan": state, "counted_at": ended_at}
    at, counted = db.execute(_COUNTED, (number,)).fetchone() or (started_at, None)
    records = None if counted is None else max(int(counted), known)
    return {"records": records, "known": known, "complete": False, "scan": state, "counted_at": at}


def progress(db: sqlite3.Connection) -> dict[str, Any] | None:
    """The last run: how many of how many, files per second (``now``, ``five_minutes``, ``run``), and the seconds that
    are left (``likely``, ``least``, ``most``). What nobody knows is None; None alone: there was no run."""
    rows = by_name(db.execute(_LAST_RUN))
    if not rows:
        return None
    run = rows[0]
    samples = [(datetime.fromisoformat(at), json.loads(text)) for at, text in db.execute(_SAMPLES, (run["id"],))]
    done, total = int(run["total_files_processed"]), samples[0][1].get("total") if samples else None
    rates = _rates(run, samples)
    return {
        "run_id": run["id"],
        "run": run["id"],
        "run_type": run["run_type"],
        "status": run["status"],
        "pid": run["pid"],
        "host": run["host"],
        "started": run["start_time"],
        "last_update": run["last_update"],
        "done": done,
        "total": total,
        "files_per_s": rates,
        "mb_per_s": samples[0][1].get("mb_per_s") if samples else None,
        "seconds_left": _left(None if total is None else max(0, total - done), rates),
    }


def _rates(run: dict[str, Any], samples: list[tuple[datetime, dict[str, Any]]]) -> dict[str, float | None]:
    """``samples``: latest first."""
    start, end = datetime.fromisoformat(run["start_time"]), run["end_time"] or run["last_update"]
    seconds = (datetime.fromisoformat(end) - start).total_seconds() if end else 0.0
    rates: dict[str, float | None] = {"now": None, "five_minutes": None, "run": None}
    if seconds > 0:
        rates["run"] = round(run["total_files_processed"] / seconds, 1)
    if samples and end:
        last, figures = samples[0]
        if abs((datetime.fromisoformat(end) - last).total_seconds()) < STALE_S:
            rates["now"] = figures["files_per_s"]
        recent = [each for at, each in samples if (last - at).total_seconds() < FIVE_MINUTES_S]
        span = sum(each["seconds"] for each in recent)
        if span > 0:
            rates["five_minutes"] = round(sum(each["files_per_s"] * each["seconds"] for each in recent) / span, 1)
    return rates


def _left(records: int | None, rates: dict[str, float | None]) -> dict[str, int] | None:
    """A range: as long as it takes at the fastest and at the slowest of the rates."""
    known = [rate for rate in rates.values() if rate]
    if records is None or not known:
        return None
    likely = rates["five_minutes"] or known[-1]
    return {
        "likely": round(records / likely),
        "least": round(records / max(known)),
        "most": round(records / min(known)),
    }

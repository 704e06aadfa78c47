"""Rows of ``migration_runs``. Plain functions to be run inside a transaction; they raise sqlite3.Error."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Mapping
from typing import Literal, NamedTuple

Ending = Literal["completed", "completed_with_failures", "stopped", "failed"]

_COUNT = (
    "UPDATE migration_runs SET total_files_processed = total_files_processed + ?,"
    " successful_files = successful_files + ?, failed_files = failed_files + ?, skipped_files = skipped_files + ?,"
    " new_files = new_files + ?, updated_files = updated_files + ?, bytes_copied = bytes_copied + ?,"
    " bytes_read = bytes_read + ?, last_update = ? WHERE id = ?"
)


class RunCounts(NamedTuple):
    """What a run has done since it was counted last; in the order of ``_COUNT``."""

    processed: int
    successful: int = 0
    failed: int = 0
    skipped: int = 0
    new: int = 0
    updated: int = 0
    bytes_copied: int = 0
    bytes_read: int = 0


def begin(db: sqlite3.Connection, run_type: str, config: Mapping[str, object], *, version: str, now: str) -> int:
    """Open a run and return its id.

    The caller holds the run lock, so whoever is still noted as running is dead: those rows become ``crashed``.
    """
    db.execute(
        "UPDATE migration_runs SET status = 'crashed', end_time = coalesce(last_update, start_time),"
        " error_message = 'the process was killed; committed work is kept'"
        " WHERE status = 'running'"
    )
    cursor = db.execute(
        "INSERT INTO migration_runs (run_type, start_time, last_update, status, config_snapshot, pid, host, version)"
        " VALUES (?, ?, ?, 'running', ?, ?, ?, ?)",
        (run_type, now, now, json.dumps(config, default=str), os.getpid(), platform.node(), version),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def count(db: sqlite3.Connection, run_id: int, counts: RunCounts, *, now: str) -> None:
    """Add to the counts of a run."""
    db.execute(_COUNT, (*counts, now, run_id))


def end(db: sqlite3.Connection, run_id: int, status: Ending, error_message: str | None, *, now: str) -> None:
    """Close a run."""
    db.execute(
        "UPDATE migration_runs SET status = ?, error_message = ?, end_time = ?, last_update = ? WHERE id = ?",
        (status, error_message, now, now, run_id),
    )


def sample(db: sqlite3.Connection, run_id: int, facts: Mapping[str, object], *, now: str) -> None:
    """Note figures of a running run: rates, concurrency, API calls used."""
    db.execute("INSERT INTO samples (run_id, at, json) VALUES (?, ?, ?)", (run_id, now, json.dumps(facts)))
    db.execute("UPDATE migration_runs SET last_update = ? WHERE id = ?", (now, run_id))


def note(db: sqlite3.Connection, run_id: int, facts: Mapping[str, object], *, now: str) -> None:
    """Add facts to those that a run began with."""
    db.execute(
        "UPDATE migration_runs SET config_snapshot = json_patch(config_snapshot, ?), last_update = ? WHERE id = ?",
        (json.dumps(facts, default=str), now, run_id),
    )

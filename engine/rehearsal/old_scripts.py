"""A tracking DB as the original scripts wrote it, for tests and benchmarks of its import."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

SCHEMA = """
CREATE TABLE file_migrations (
    id INTEGER PRIMARY KEY AUTOINCREMENT, doclist_entry_id TEXT NOT NULL UNIQUE, account_id TEXT NOT NULL,
    account_name TEXT NOT NULL, original_url TEXT NOT NULL, your_s3_key TEXT NOT NULL, your_s3_url TEXT NOT NULL,
    file_name TEXT NOT NULL, file_size_bytes INTEGER, file_hash TEXT, backup_timestamp TEXT NOT NULL,
    last_modified_sf TEXT, migration_phase INTEGER NOT NULL DEFAULT 1, salesforce_updated INTEGER NOT NULL DEFAULT 0,
    created_date TEXT NOT NULL, updated_date TEXT NOT NULL);
CREATE TABLE migration_runs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_type TEXT NOT NULL, start_time TEXT NOT NULL, end_time TEXT,
    total_files_processed INTEGER DEFAULT 0, successful_files INTEGER DEFAULT 0, failed_files INTEGER DEFAULT 0,
    new_files INTEGER DEFAULT 0, updated_files INTEGER DEFAULT 0, skipped_files INTEGER DEFAULT 0,
    status TEXT DEFAULT 'running', error_message TEXT, config_snapshot TEXT);
CREATE TABLE migration_errors (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run_id INTEGER, doclist_entry_id TEXT, error_type TEXT NOT NULL,
    error_message TEXT NOT NULL, original_url TEXT, timestamp TEXT NOT NULL);
"""
TOKEN = "AqZ81canary0securityToken"  # noqa: S105 - it opens nothing
"""The scripts masked the password in their snapshots, and nothing else."""
AT = "2025-08-14T10:20:30.123456"
"""Local time, as all their times."""


class OldRow(NamedTuple):
    """A row of ``file_migrations``, as far as it matters."""

    id: str
    url: str
    key: str
    link: str
    account_id: str = "0013D00000AbcDeQAF"
    account_name: str = "Acme Ltd"
    name: str = "a.pdf"
    size: object = 400
    sha256: str | None = None
    at: str = AT
    moved: int = 0
    updated: str = AT


_INSERT = """
INSERT INTO file_migrations (doclist_entry_id, original_url, your_s3_key, your_s3_url, account_id, account_name,
    file_name, file_size_bytes, file_hash, backup_timestamp, salesforce_updated, updated_date, last_modified_sf,
    migration_phase, created_date)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '2025-08-01T08:00:00.000+0000', 1 + ?11, ?10)
"""


class OldScripts:
    """Their DB, as ``migration_db.py`` made it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = sqlite3.connect(path)
        self.db.executescript(SCHEMA)

    def close(self) -> None:
        self.db.close()

    def add(self, rows: Iterable[OldRow]) -> None:
        self.db.executemany(_INSERT, rows)
        self.db.commit()

    def run(self, kind: str, status: str = "running", *, dry_run: bool | None = None) -> None:
        """By default one that was never closed."""
        snapshot: dict[str, Any] = {"salesforce": {"password": "***", "security_token": TOKEN}}
        snapshot |= {} if dry_run is None else {"dry_run": dry_run}
        values = (kind, AT, status, json.dumps(snapshot))
        self.db.execute(
            "INSERT INTO migration_runs (run_type, start_time, status, config_snapshot) VALUES (?, ?, ?, ?)", values
        )
        self.db.commit()

    def failed(self, record: str) -> None:
        self.db.execute(
            "INSERT INTO migration_errors (run_id, doclist_entry_id, error_type, error_message, timestamp)"
            " VALUES (1, ?, 'backup_error', 'Download failed', ?)",
            (record, AT),
        )
        self.db.commit()


def old_key(account_id: str, account_name: str, url: str) -> str:
    """As the scripts made it: a cleaned name, a path that is not decoded, and no record Id."""
    cleaned = re.sub(r"_+", "_", re.sub(r'[<>:"/\\|?*]', "_", account_name)).strip("_.") or "Unknown"
    return f"uploads/{account_id}/{cleaned}/{urlparse(url).path.rpartition('/')[2]}"


def old_link(bucket: str, key: str) -> str:
    """As the scripts wrote it into records: nothing is encoded."""
    return f"https://{bucket}.s3.us-east-1.amazonaws.com/{key}"

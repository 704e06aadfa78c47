"""A tracking DB as the original scripts left it, with every defect that is known of them, and the world it is about.

``OldScripts`` writes the DB alone. ``Migrated`` also lays records and objects out in a corner, and says what an import
must make of each.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlparse

from engine.rehearsal.content import content_of
from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.salesforce.world import make_id
from engine.rehearsal.side_door import Seeded
from tests.support.corner import Corner, wait

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
TOKEN = "AqZ81canary0securityToken"
"""The scripts masked the password in their snapshots, and nothing else."""
AT = "2025-08-14T10:20:30.123456"
"""Local time, as all their times."""
_ids = itertools.count(7_000_000)


class OldRow(NamedTuple):
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


class Expected(NamedTuple):
    status: str
    failure: str | None = None


PROVED = Expected("backed_up")


@dataclass(slots=True)
class Migrated:
    """A corner in which the scripts have been at work."""

    corner: Corner
    scripts: OldScripts = field(init=False)
    expected: dict[str, Expected] = field(default_factory=dict)
    originals: dict[str, str] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    """Records that hold a link of the scripts."""
    accounts: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.scripts = OldScripts(self.corner.directory / "old.db")

    @property
    def file(self) -> Path:
        return self.scripts.path

    def copy(
        self,
        expect: Expected = PROVED,
        *,
        account: str = "Acme Ltd",
        name: str = "",
        size: int = 400,
        source: bytes | None = b"",
        ours: bytes | None = b"",
        etag: str | None = None,
        storage_class: str | None = None,
        noted: int = 0,
        holds: str = "original",
        row: dict[str, Any] | None = None,
        short_id: bool = False,
    ) -> str:
        """One record with its file, its copy and its row. ``name``: as it stands in the URL. ``b""``: the bytes that
        belong there; None: no object.
        ``holds``: ``original``, ``link``, ``deleted``, or another value."""
        corner, number = self.corner, next(_ids)
        record = make_id("a0X", number)
        if account not in self.accounts:
            self.accounts[account] = corner.account(account)
        account_id = self.accounts[account]
        path = f"{corner.tag}/{number}/{name or f'{number}.pdf'}"
        url = f"https://{VENDOR_BUCKET}.s3.us-west-2.amazonaws.com/{path}"
        content = content_of(path, size)
        if source is not None:
            theirs = Seeded(unquote(path), body=source or content, etag=etag)
            wait(corner.stage.objects.load(VENDOR_BUCKET, [theirs]))
        key = old_key(account_id, account, url)
        if ours is not None:
            copy = Seeded(key, body=ours or content, storage_class=storage_class)
            wait(corner.stage.objects.load(corner.bucket, [copy]))
        link = old_link(corner.bucket, key)
        held = {"original": url, "link": link, "deleted": url}.get(holds, holds)
        corner.records([{**corner.row(number, held), "Account__c": account_id}])
        if holds == "deleted":
            wait(corner.stage.org("delete", {"ids": [record]}))
        old = OldRow(
            id=record[:15] if short_id else record,
            url=url,
            key=key,
            link=link,
            account_id=account_id,
            account_name=account,
            size=len(ours or content) if ours is not None else size,
            sha256=hashlib.sha256(content).hexdigest(),
            moved=noted,
        )._replace(**(row or {}))
        self.scripts.add([old])
        self.expected[record] = expect
        self.originals[record] = url
        if held == link:
            self.moved[record] = link
        return record

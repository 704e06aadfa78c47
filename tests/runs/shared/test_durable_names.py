"""A new name outlives a crash only once its folder is synced: every file that appears whole does that last."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from engine.limiting.private_files import write_private
from engine.runs.links.plan_file import PlanWriter
from engine.runs.links.rollback_file import RollbackFile
from engine.runs.rehearsal.init import write_settings
from engine.runs.shared.exports import replacing
from engine.tracking.db import schema
from engine.tracking.db.chain import Key
from engine.tracking.db.files import prepare
from engine.tracking.db.snapshot import snapshot


def new_file(path: Path) -> None:
    write_private(path, b"content", replace=False)


def replaced_file(path: Path) -> None:
    path.write_text("before")
    write_private(path, b"content", replace=True)


def plan(path: Path) -> None:
    PlanWriter(path, {}).finish()


def rollback_file(path: Path) -> None:
    RollbackFile(path, Key(b"a secret of some length"), {"run": 12})


def export(path: Path) -> None:
    with replacing(path) as file:
        file.write("content")


def settings(path: Path) -> None:
    write_settings(path)


def copy_of_the_database(path: Path) -> None:
    database = path.parent.parent / "t.db"
    prepare(database)
    with closing(sqlite3.connect(database, isolation_level=None)) as db:
        schema.migrate(db)
    snapshot(database, path)


@pytest.mark.parametrize("make", [new_file, replaced_file, plan, rollback_file, export, settings, copy_of_the_database])
def test_the_folder_is_synced_once_the_name_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[Path], None]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "file"
    kept: set[str] = set()
    fsync = os.fsync

    def remember(handle: int) -> None:
        fsync(handle)
        if Path(f"/proc/self/fd/{handle}").readlink() == folder:
            kept.clear()
            kept.update(each.name for each in folder.iterdir())

    monkeypatch.setattr(os, "fsync", remember)
    make(path)
    assert path.name in kept
    assert path.stat().st_size

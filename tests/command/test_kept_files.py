"""No command's output takes the place of what the engine lives on, whatever file a person names."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.corner import Corner, Whole

OUTPUTS = (
    ("export", "accounts", "{}", "--format", "csv"),
    ("export", "inventory", "{}", "--format", "parquet"),
    ("status", "--export", "{}"),
    ("status", "--not-ready", "{}"),
    ("report", "{}"),
    ("verify", "--level", "list", "--report", "{}"),
    ("analyze", "--export", "{}"),
    ("analyze", "--archived", "{}"),
)


@pytest.fixture
def copy(whole: Whole, tmp_path: Path) -> Corner:
    """A corner of its own on a copy of the tracking DB and of the settings."""
    database, settings = tmp_path / "t.db", tmp_path / "settings.yaml"
    assert whole.corner.engine("db", "snapshot", str(database)).code == 0
    shutil.copy(whole.corner.stage.settings_file, settings)
    corner = Corner(whole.corner.stage, tmp_path)
    corner.bucket, corner.database = whole.corner.bucket, database
    corner.env = {**whole.corner.env, "ENGINE_TRACKING__DATABASE": str(database), "ENGINE_CONFIG": str(settings)}
    return corner


@pytest.mark.parametrize("words", OUTPUTS, ids=" ".join)
def test_neither_the_tracking_db_nor_the_settings_are_replaced(copy: Corner, words: tuple[str, ...]) -> None:
    beside = Path(f"{copy.database}.journal-key")
    beside.write_text("key")
    for file in (copy.database, Path(copy.env["ENGINE_CONFIG"]), beside):
        inode = file.stat().st_ino

        said = copy.process(*(word.format(file) for word in words))

        assert said.code in {2, 4}, said.everything
        assert "name another file" in said.everything
        assert file.stat().st_ino == inode
    with closing(sqlite3.connect(copy.database)) as db:
        assert db.execute("SELECT count(*) FROM file_migrations").fetchone()[0] > 0


def test_another_database_stays_too(copy: Corner, tmp_path: Path) -> None:
    other = tmp_path / "old.db"
    shutil.copy(copy.database, other)
    before = other.read_bytes()

    for words in (("export", "accounts", str(other), "--format", "csv"), ("init", "--force", str(other))):
        said = copy.engine(*words)

        assert (said.code in {2, 4}, "a database lies there" in said.everything) == (True, True), said.everything
        assert other.read_bytes() == before


def test_an_earlier_export_is_replaced_as_ever(copy: Corner, tmp_path: Path) -> None:
    file = tmp_path / "accounts.csv"
    for _ in range(2):
        assert copy.engine("export", "accounts", str(file)).code == 0

"""Where the tracking DB lies does not hang on where a command is started, and none is begun by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import BACKUP, refused
from tests.support.corner import Corner

INCREMENTAL = ("run", "backup", "--incremental", "--no-progress")


@pytest.fixture
def settled(corner: Corner) -> Corner:
    """A corner whose settings name no places: its file, in a folder of its own, decides."""
    folder = corner.directory / "here"
    folder.mkdir()
    file = folder / "settings.yaml"
    file.touch(mode=0o600)
    written = corner.stage.settings_file.read_text(encoding="utf-8")
    file.write_text(written.replace("database: migration_tracking.db", "database: tracking.db"), encoding="utf-8")
    del corner.env["ENGINE_TRACKING__DATABASE"], corner.env["ENGINE_LOGGING__DIRECTORY"]
    corner.env["ENGINE_CONFIG"] = str(file)
    corner.database = folder / "tracking.db"
    return corner


def test_two_shells_with_one_settings_file_have_one_database(settled: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    settled.files(2)
    for name in ("one", "two"):
        place = settled.directory / name
        place.mkdir()
        monkeypatch.chdir(place)
        assert settled.engine(*BACKUP).code == 0
        assert list(place.iterdir()) == []
    assert len(settled.runs()) == 2
    assert list((settled.directory / "here" / "logs").glob("engine-*.log"))


def test_a_database_where_earlier_versions_looked_is_named_before_anything_is_done(
    settled: Corner, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = settled.directory / "old"
    old.mkdir()
    (old / "tracking.db").touch()
    monkeypatch.chdir(old)
    for words in (BACKUP, (*INCREMENTAL, "--new-database"), ("status",)):
        refused(settled.engine(*words), 4, str(settled.database), str(old / "tracking.db"), "move that file")
    assert not settled.database.exists()


@pytest.mark.parametrize(
    "words",
    [
        INCREMENTAL,
        (*INCREMENTAL, "--dry-run"),
        ("run", "switch", "--dry-run"),
        ("run", "rollback", "--from-database"),
        ("verify",),
        ("waive", "a0X000000000001AAA", "--reason", "x"),
        ("status",),
    ],
)
def test_what_needs_a_database_begins_none(corner: Corner, words: tuple[str, ...]) -> None:
    refused(corner.engine(*words), 4, f"no tracking database at {corner.database}", "--full", "--new-database")
    assert list(corner.directory.iterdir()) == []


def test_an_incremental_run_begins_one_where_it_is_told_to_and_only_there(corner: Corner) -> None:
    corner.files(1)
    refused(corner.engine(*BACKUP, "--new-database"), 2, "--new-database goes with --incremental")
    assert not corner.database.exists()
    assert corner.engine(*INCREMENTAL, "--new-database").code == 0
    assert len(corner.rows()) == 1
    refused(corner.engine(*INCREMENTAL, "--new-database"), 2, f"there is one: {corner.database}")


@pytest.mark.parametrize("words", [BACKUP, (*INCREMENTAL, "--new-database")])
def test_a_folder_that_does_not_exist_is_refused(corner: Corner, words: tuple[str, ...]) -> None:
    corner.move(corner.directory / "typo")
    refused(corner.engine(*words), 4, "there is no folder", "typo")
    assert list(corner.directory.iterdir()) == []
    corner.move(corner.directory)
    refused(corner.engine(*words, ENGINE_LOGGING__DIRECTORY=str(Path("/no/logs"))), 2, "logging.directory /no/logs")


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("ENGINE_SALESFORCE__URL_FIELD", "Other_Link__c", "salesforce.url_field: Document__c"),
        ("ENGINE_SALESFORCE__OBJECT", "Contact", "salesforce.object: DocListEntry__c"),
        ("ENGINE_DESTINATION__BUCKET", "another-bucket", "destination.bucket: "),
    ],
)
def test_a_database_is_of_one_object_field_and_bucket(corner: Corner, variable: str, value: str, named: str) -> None:
    """Read with another field, its rows would be taken for what that field holds: 150 links once ended as drifted."""
    corner.files(2)
    assert corner.engine(*BACKUP).code == 0
    rows = corner.rows()
    corner.forget_calls()
    for words in (BACKUP, INCREMENTAL, ("run", "switch", "--dry-run"), ("run", "rollback", "--from-database")):
        refused(corner.engine(*words, **{variable: value}), 4, named, "tracking DB of its own")
    assert corner.calls() == []
    assert corner.rows() == rows

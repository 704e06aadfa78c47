"""What a command says to type next can be typed as it is, and does no more than what was asked for."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from engine.rehearsal.generator import VENDOR_BUCKET
from tests.support.commands import BACKUP, ROLLBACK, SWITCH, backed_up, links, ours, said_so
from tests.support.corner import Corner, Said

NEVER = "--max-duration=0.001s"


def command(said: Said, what: str) -> list[str]:
    """The words behind ``engine`` of the one step that says this of itself, be it in a report or in a refusal."""
    [step] = [each for each in said.json["next"] if each["why"].startswith(what)]
    name, *words = shlex.split(step["command"])
    assert name == "engine"
    return words


def two_accounts(corner: Corner) -> tuple[str, list[str], list[str]]:
    """An account, its records, and others."""
    account = corner.account("One")
    return account, corner.files(4, account=account), corner.files(3)


def no_more_writes(corner: Corner, after: int = 0) -> None:
    corner.org("faults", rules=[{"kind": "daily_limit", "endpoint": "collections_update", "after": after}])


def test_a_switch_that_was_stopped_goes_on_within_what_was_asked(corner: Corner) -> None:
    account, mine, others = two_accounts(corner)
    assert corner.engine(*BACKUP).code == 0
    before = links(corner, others)
    no_more_writes(corner, after=1)
    said = said_so(corner.engine(*SWITCH, "--account", account, "--limit", "4", "--json"), 5)
    words = command(said, "goes on")
    assert words == ["run", "switch", "--execute", "--account", account, "--limit", "4"]
    assert command(corner.engine(*SWITCH, "--account", account, "--limit", "4", "--json"), "goes on") == words
    corner.org("faults", rules=[])
    said_so(corner.engine(*words, "--yes"), 0)
    assert links(corner, mine) == {name: link for name, link in ours(corner).items() if name in mine}
    assert links(corner, others) == before


def test_every_flag_that_restricts_or_changes_a_switch_is_repeated(corner: Corner) -> None:
    account, _, _ = two_accounts(corner)
    assert corner.engine(*BACKUP).code == 0
    plan = str(corner.directory / "der Plan.ndjson")
    flags = ["--strict", "--upload-rollback-file", "--account", account, "--retry-class", "network"]
    planned = said_so(corner.engine("run", "switch", "--json", "--plan", plan, *flags, "--batch-size", "1"), 0)
    words = command(planned, "applies exactly this plan")
    assert words == ["run", "switch", "--execute", "--plan", plan, *flags, "--batch-size", "1"]
    corner.org("faults", rules=[{"kind": "daily_limit", "endpoint": "composite", "after": 1}])
    said = said_so(corner.engine(*words, "--yes", "--json"), 5)
    assert command(said, "goes on") == words
    corner.org("faults", rules=[])
    said_so(corner.engine(*words, "--yes"), 0)
    assert corner.status()["files"]["switched"] == 4


def test_a_wave_goes_on_with_the_plan_that_it_is_a_wave_of(corner: Corner) -> None:
    backed_up(corner, 12)
    no_more_writes(corner)
    words = command(corner.engine(*SWITCH, "--wave", "2", "--json"), "goes on")
    [plan] = corner.directory.glob("*.plan-run-*.ndjson")
    assert words == ["run", "switch", "--execute", "--plan", str(plan), "--wave", "2"]


def test_a_wave_that_is_done_names_the_next_one(corner: Corner) -> None:
    backed_up(corner, 12)
    plan = str(corner.directory / "plan.ndjson")
    assert corner.engine("run", "switch", "--plan", plan).code == 0
    waves = ("--plan", plan, "--wave")
    first = said_so(corner.engine(*SWITCH, *waves, "1", "--json"), 0)
    words = command(first, "moves the next wave")
    assert words == ["run", "switch", "--execute", *waves, "2"]
    last = said_so(corner.engine(*words, "--yes", "--json"), 0)
    assert [step["why"] for step in last.json["next"] if "wave" in step["why"]] == []
    assert corner.status()["files"]["switched"] == 12


def test_what_follows_a_complete_backup_and_a_complete_switch(corner: Corner) -> None:
    account, _, _ = two_accounts(corner)

    def commands(*words: str) -> list[str]:
        said = corner.engine(*words, "--json")
        return [step["command"].removeprefix("engine ") for step in said_so(said, 0).json["next"]]

    whole = commands(*BACKUP, "--account", account)
    assert whole == [f"verify --account {account}", "report go-no-go.html", f"run switch --dry-run --account {account}"]
    assert commands(*SWITCH) == ["verify", "sweep", "report report.html", "run rollback --from-database --run 2"]
    assert commands(*ROLLBACK) == ["audit --run 3"]


def test_a_backup_that_was_stopped_resumes_within_what_was_asked(corner: Corner) -> None:
    account, mine, _ = two_accounts(corner)
    other_kind = corner.files(1, account=account, suffix=".png")
    asked = ["--account", account, "--extension", ".pdf", "--extension", ".docx"]
    corner.misbehave(kind="delay", method="PUT", seconds=0.2)
    words = command(corner.engine(*BACKUP, *asked, "--json", "--concurrency", "1", NEVER), "resumes")
    assert words == ["run", "backup", "--full", "--account", account, "--concurrency", "1", *asked[2:]]
    assert f"next        engine {shlex.join(words)}   resumes" in corner.engine("status").out
    corner.misbehave()
    assert corner.engine(*words).code == 0
    rows = corner.rows()
    assert set(rows) == {*mine, *other_kind}
    assert {name for name, row in rows.items() if row["status"] == "backed_up"} == set(mine)


def test_a_filter_alone_leaves_the_scan_one_that_can_be_taken_up(corner: Corner) -> None:
    corner.files(3)
    corner.misbehave(kind="delay", method="PUT", seconds=0.2)
    words = command(corner.engine(*BACKUP, "--max-file-size-mb", "0.5", "--json", NEVER), "resumes")
    corner.misbehave()
    assert words == ["run", "backup", "--incremental", "--max-file-size-mb", "0.5"]
    assert corner.engine(*words).code == 0
    assert len(corner.held()) == 3


def test_a_rollback_that_was_stopped_goes_on_within_what_was_asked(corner: Corner) -> None:
    account, mine, others = two_accounts(corner)
    before = links(corner, [*mine, *others])
    assert corner.engine(*BACKUP).code == 0
    assert corner.engine(*SWITCH).code == 0
    run = str(corner.runs()[-1]["id"])
    no_more_writes(corner)
    flags = ["--from-database", "--run", run, "--account", account]
    look = corner.engine("run", "rollback", *flags, "--json")
    words = command(look, "puts them back")
    assert words == ["run", "rollback", *flags, "--execute"]
    said = said_so(corner.engine(*words, "--yes", "--json"), 5)
    assert command(said, "goes on where it stopped") == words
    corner.org("faults", rules=[])
    said_so(corner.engine(*words, "--yes"), 0, "4 put back")
    assert links(corner, mine) == {name: before[name] for name in mine}
    assert not before.items() & links(corner, others).items()


def test_dead_old_links_are_told_before_and_the_refusal_says_what_to_type(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    corner.misbehave(kind="access_denied", method="HEAD|GET", path=VENDOR_BUCKET)
    found = corner.engine("run", "rollback", "--from-database", "--json")
    assert found.json["next"][0]["command"].endswith("rollback --from-database --execute --ids FILE")
    words = command(found, "puts them back")
    assert words == ["run", "rollback", "--from-database", "--execute", "--force"]
    refused = said_so(corner.engine(*ROLLBACK), 4, f"engine {shlex.join(words)}   goes on where it stopped")
    assert "same command" not in refused.everything
    said_so(corner.engine(*words, "--yes"), 0, "5 put back")
    assert links(corner, ids) == before


# the settings file


@pytest.fixture
def elsewhere(corner: Corner) -> Path:
    """Settings in a place with a space and an umlaut, which nothing but the flag names."""
    place = corner.directory / "tr äck"
    place.mkdir()
    file = place / "my settings.yaml"
    file.write_text(corner.stage.settings_file.read_text(encoding="utf-8"), encoding="utf-8")
    file.chmod(0o600)
    corner.move(place)
    del corner.env["ENGINE_CONFIG"]
    return file


@pytest.mark.parametrize("after", [False, True])
def test_what_is_to_be_typed_names_the_settings_file(corner: Corner, elsewhere: Path, after: bool) -> None:
    def engine(*words: str) -> Said:
        config = ("--config", str(elsewhere))
        return corner.engine(*words, *config) if after else corner.engine(*config, *words)

    ids = corner.files(3)
    assert engine(*BACKUP).code == 0
    look = engine("run", "switch", "--json")
    assert f"next: engine --config '{elsewhere}' run switch --execute --plan '" in engine("run", "switch").out
    words = command(look, "applies exactly this plan")
    assert words[:2] == ["--config", str(elsewhere)]
    said = said_so(corner.engine(*words, "--yes", "--json"), 0)
    assert links(corner, ids) == ours(corner)
    assert command(said, "shows what an undo would do")[:2] == ["--config", str(elsewhere)]


def test_settings_of_the_environment_are_found_without(corner: Corner) -> None:
    backed_up(corner)
    assert "next: engine run switch" in corner.engine("run", "switch").out
    config = str(corner.stage.settings_file)
    assert "next: engine run switch" in corner.engine("--config", config, "run", "switch").out


def test_a_missing_settings_file_and_init_name_it_too(corner: Corner, elsewhere: Path) -> None:
    other = elsewhere.with_name("other one.yaml")
    said_so(corner.engine("--config", str(other), "status"), 2, f"engine --config '{other}' init   writes")
    made = said_so(corner.engine("--config", str(other), "init"), 0, f"Then: engine --config '{other}' accounts")
    assert f"Wrote {other}" in made.out
    assert "salesforce:" in other.read_text(encoding="utf-8")
    again = ["--config", str(other), "init"]
    said_so(corner.engine(*again), 2, f"engine --config '{other}' init --force   replaces it")

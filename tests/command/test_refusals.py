"""Refused before starting: exit 2 for what was typed or set, exit 4 for what the world says; never a traceback."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import BACKUP, nobody, refused
from tests.support.corner import Corner


def nothing_happened(corner: Corner) -> None:
    assert corner.held() == {}
    assert not corner.database.exists() or corner.runs() == []


# what was typed


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("run", "backup"), ("exactly one of --full and --incremental", "none was given")),
        (("run", "backup", "--full", "--incremental"), ("exactly one of --full and --incremental", "both were given")),
        ((*BACKUP, "--account", "not-an-id"), ("--account", "not-an-id", "15 or 18")),
        ((*BACKUP, "--max-duration", "soon"), ("--max-duration", "soon", "90s, 30m, 6h")),
        ((*BACKUP, "--max-duration", "0s"), ("--max-duration", "no time at all")),
        ((*BACKUP, "--retry-class", "source_mising"), ("source_mising", "Did you mean source_missing?")),
        ((*BACKUP, "--limit", "0"), ("--limit",)),
        ((*BACKUP, "--concurrency", "0"), ("--concurrency", "concurrency")),
        ((*BACKUP, "--part-size-mb", "1"), ("part-size-mb",)),
        ((*BACKUP, "--max-file-size-mb", "-3"), ("max-file-size-mb",)),
        ((*BACKUP, "--transport", "carrier-pigeon"), ("--transport",)),
        ((*BACKUP, "--no-such-flag"), ("--no-such-flag",)),
        (("run", "nonsense"), ("nonsense",)),
        (("status", "--recent-errors", "0"), ("--recent-errors",)),
        (("sweep", "--once"), ("--once needs --watch",)),
        (("sweep", "--every", "1m"), ("--every needs --watch",)),
        (("sweep", "--since", "2026-11-22"), ("--since needs --watch",)),
        (("verify", "--report-all"), ("--report-all needs --report",)),
    ],
)
def test_a_wrong_flag_is_refused_with_what_to_type(
    corner: Corner, words: tuple[str, ...], told: tuple[str, ...]
) -> None:
    said = corner.engine(*words)
    assert said.code == 2, said.everything
    assert "Traceback" not in said.everything
    for word in told:
        assert word in said.err, (word, said.err)
    nothing_happened(corner)


# what was set


def settings(corner: Corner, text: str, mode: int = 0o600) -> Path:
    """The stage's settings file with more lines at its end."""
    path = corner.directory / "settings.yaml"
    path.write_text(corner.stage.settings_file.read_text(encoding="utf-8") + text, encoding="utf-8")
    path.chmod(mode)
    return path


def test_an_unknown_key_is_refused_with_its_line_and_the_nearest_known_one(corner: Corner) -> None:
    path = settings(corner, "migration:\n  concurency: 5\n")
    said = corner.engine("--config", str(path), *BACKUP)
    line = path.read_text().splitlines().index("  concurency: 5") + 1
    refused(said, 2, f"{path}:{line}", "migration.concurency", "migration.concurrency")
    nothing_happened(corner)


def test_every_wrong_value_is_named_at_once(corner: Corner) -> None:
    said = corner.engine(
        *BACKUP, ENGINE_MIGRATION__QUEUE_SIZE="many", ENGINE_SALESFORCE__API_VERSION="new", ENGINE_SOURCE__ACCESS="ftp"
    )
    refused(
        said, 2, "ENGINE_MIGRATION__QUEUE_SIZE", "migration.queue_size", "salesforce.api_version", "source.access", "s3"
    )


def test_a_missing_settings_file_names_the_command_that_writes_one(corner: Corner) -> None:
    refused(corner.engine("--config", "no/such.yaml", *BACKUP), 2, "no/such.yaml", "engine --config no/such.yaml init")


def test_a_secret_in_a_file_that_others_may_read_is_refused_without_showing_it(corner: Corner) -> None:
    path = settings(corner, "", mode=0o644)
    said = corner.engine("--config", str(path), *BACKUP)
    assert said.code == 2
    assert f"chmod 600 {path}" in said.err
    assert "ENGINE_SALESFORCE__CLIENT_SECRET" in said.err
    assert "rehearsal-secret" not in said.everything


def test_placeholders_of_a_fresh_settings_file_lead_to_what_to_fill_in(corner: Corner) -> None:
    path = corner.directory / "fresh.yaml"
    made = corner.engine("init", str(path))
    assert made.code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    said = corner.engine("--config", str(path), *BACKUP, **dict.fromkeys(corner.env, ""))
    refused(said, 2, "salesforce.client_id")


def test_init_never_replaces_a_file_unless_told_to(corner: Corner) -> None:
    path = corner.directory / "mine.yaml"
    path.write_text("mine")
    refused(corner.engine("init", str(path)), 2, "exists", "--force")
    assert path.read_text() == "mine"
    assert corner.engine("init", "--force", str(path)).code == 0
    assert "salesforce:" in path.read_text()


def test_init_writes_where_config_says(corner: Corner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(corner.directory)
    for name, env in (("flag.yaml", {}), ("env.yaml", {"ENGINE_CONFIG": "env.yaml"})):
        before = ["--config", name] if not env else []
        assert corner.engine(*before, "init", **env).code == 0
        assert "salesforce:" in Path(name).read_text(encoding="utf-8")
    assert not Path("settings.yaml").exists()
    refused(corner.engine("--config", "flag.yaml/x.yaml", "init"), 2, "cannot be written", "engine --config FILE init")


@pytest.mark.parametrize(
    ("env", "words", "told"),
    [
        (
            {"ENGINE_MIGRATION__TEST_SINGLE_ACCOUNT": "true", "ENGINE_MIGRATION__TEST_ACCOUNT_ID": "0015e00000AAAAA"},
            ("--account", "0015e00000BBBBB"),
            "test_account_id",
        ),
        ({"ENGINE_MIGRATION__MAX_TEST_FILES": "5"}, ("--limit", "6"), "max_test_files"),
        ({"ENGINE_MIGRATION__DRY_RUN": "true"}, ("--no-dry-run",), "migration.dry_run"),
    ],
)
def test_a_flag_that_would_widen_the_test_settings_is_refused(
    corner: Corner, env: dict[str, str], words: tuple[str, ...], told: str
) -> None:
    refused(corner.engine(*BACKUP, *words, **env), 2, words[0], told)
    nothing_happened(corner)


def test_a_log_directory_that_cannot_be_made_is_refused(corner: Corner) -> None:
    (corner.directory / "file").write_text("")
    said = corner.engine(*BACKUP, ENGINE_LOGGING__DIRECTORY=str(corner.directory / "file" / "logs"))
    refused(said, 2, "logging.directory")
    nothing_happened(corner)


# what the world says


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"ENGINE_SALESFORCE__CLIENT_SECRET": "not-the-secret"}, ("refused the login", "salesforce.client_id")),
        ({"ENGINE_SALESFORCE__ORG_ID": "00D5e0000099999"}, ("00D5e00000SimOrEAJ", "salesforce.org_id")),
        ({"ENGINE_SALESFORCE__OBJECT": "DocListEntri__c"}, ("DocListEntri__c", "did you mean DocListEntry__c")),
        ({"ENGINE_SALESFORCE__URL_FIELD": "Document_c"}, ("Document_c", "salesforce.url_field", "field-level")),
        ({"ENGINE_SALESFORCE__ACCOUNT_NAME_FIELD": "Acount__r.Name"}, ("Acount__r", "did you mean Account__r")),
        ({"ENGINE_SALESFORCE__WHERE": "Type_Current__c ="}, ("salesforce.where",)),
        ({"ENGINE_SALESFORCE__API_VERSION": "12.0"}, ("12.0", "salesforce.api_version")),
        ({"ENGINE_DESTINATION__BUCKET": "nobody-made-this"}, ("s3://nobody-made-this", "does not exist", "create it")),
        ({"ENGINE_SOURCE__BUCKETS": "nobody-made-this"}, ("s3://nobody-made-this", "source.buckets")),
    ],
)
def test_what_is_not_there_is_refused_before_the_start(
    corner: Corner, env: dict[str, str], told: tuple[str, ...]
) -> None:
    corner.files(2)
    refused(corner.engine(*BACKUP, **env), 4, *told)
    nothing_happened(corner)


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        (("ENGINE_SALESFORCE__LOGIN_URL",), ("127.0.0.1", "salesforce.login_url")),
        (("ENGINE_DESTINATION__ENDPOINT_URL",), ("destination", "destination.endpoint_url")),
        (("ENGINE_SOURCE__ENDPOINT_URL",), ("source", "source.endpoint_url")),
        (("ENGINE_SOURCE__ENDPOINT_URL", "ENGINE_DESTINATION__ENDPOINT_URL"), ("destination.endpoint_url",)),
    ],
)
def test_a_host_that_nobody_answers_at_is_refused_soon_and_by_name(
    corner: Corner, variables: tuple[str, ...], told: tuple[str, ...]
) -> None:
    corner.files(2)
    said = corner.engine(*BACKUP, **dict.fromkeys(variables, nobody()))
    refused(said, 4, *told)
    assert said.seconds < 20
    nothing_happened(corner)


@pytest.mark.parametrize("words", [BACKUP, ("accounts",), ("sweep",)], ids=lambda words: words[-1])
def test_a_condition_too_long_for_a_url_is_a_settings_error(corner: Corner, words: tuple[str, ...]) -> None:
    corner.env["ENGINE_SALESFORCE__WHERE"] = f"Name != '{'x' * 12_000}'"
    said = corner.engine(*words)
    assert said.code == 2, said.everything
    assert "salesforce.where" in said.err
    assert corner.held() == {}


@pytest.mark.parametrize("status", [414, 431])
def test_a_question_that_the_org_finds_too_long_is_a_settings_error(corner: Corner, status: int) -> None:
    refused = {"status": status, "code": "URI_TOO_LONG", "message": "too long"}
    corner.org("faults", rules=[{"kind": "refused", "endpoint": "FROM DocListEntry__c", "params": refused}])
    said = corner.engine(*BACKUP)
    assert said.code == 2, said.everything
    assert "salesforce.where" in said.err


def test_accounts_refuses_an_org_that_nobody_answers_for(corner: Corner) -> None:
    refused(corner.engine("accounts", ENGINE_SALESFORCE__LOGIN_URL=nobody()), 4, "salesforce.login_url")


def test_a_refusal_is_a_document_too_where_json_is_asked_for(corner: Corner) -> None:
    said = corner.engine(*BACKUP, "--json", ENGINE_DESTINATION__BUCKET="nobody-made-this")
    assert said.code == 4
    assert json.loads(said.out)["exit_code"] == 4
    assert "nobody-made-this" in json.loads(said.out)["error"]
    assert json.loads(said.out)["hint"]


def test_the_demo_never_clears_a_directory_that_holds_something_else(corner: Corner) -> None:
    (corner.directory / "precious.txt").write_text("mine")
    refused(corner.engine("demo", "--directory", str(corner.directory)), 2, "holds something else", "--directory")
    assert (corner.directory / "precious.txt").read_text() == "mine"

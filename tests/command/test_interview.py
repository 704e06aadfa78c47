"""``engine init --interactive``: every answer is tried, and no secret is written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.stage import OUR_BUCKET
from tests.support.corner import Corner, Said

NOTHING = ""


def interviewed(corner: Corner, file: Path, *answers: str) -> Said:
    store = corner.stage.store
    keys = {
        f"ENGINE_{side}__{name}": value
        for side in ("SOURCE", "DESTINATION")
        for name, value in (("ACCESS_KEY_ID", store.access_key), ("SECRET_ACCESS_KEY", store.secret_key))
    }
    unset = {name: None for name in os.environ if name.startswith(("ENGINE_", "AWS_"))}
    words = ["init", "--interactive", str(file)]
    said = CliRunner().invoke(app, words, input="".join(f"{each}\n" for each in answers), env={**unset, **keys})
    assert said.exception is None or isinstance(said.exception, SystemExit), said.exception
    return Said(said.exit_code, said.stdout, said.stderr)


def login(corner: Corner, secret: str = "rehearsal-secret") -> list[str]:
    return [corner.stage.salesforce_url, "client_credentials", "rehearsal", secret, NOTHING, NOTHING]


def buckets(corner: Corner) -> list[str]:
    url = corner.stage.store.url
    return [OUR_BUCKET, "us-east-1", url, NOTHING, VENDOR_BUCKET, "us-west-2", url, NOTHING]


def test_what_was_answered_is_tried_and_written_without_the_secret(corner: Corner, tmp_path: Path) -> None:
    corner.files(3)
    file = tmp_path / "made.yaml"

    said = interviewed(corner, file, *login(corner), "y", *buckets(corner))

    assert said.code == 0, said.everything
    for words in (
        "logged in to Rehearsal Org",
        f"{OUR_BUCKET} answers",
        "sample files were read",
        "Next: engine --config",
    ):
        assert words in said.out
    assert "set ENGINE_SALESFORCE__CLIENT_SECRET" in said.out
    assert "rehearsal-secret" not in file.read_text() + said.everything
    assert file.stat().st_mode & 0o777 == 0o600
    assert "org_id: 00D5e00000SimOrEAJ" in file.read_text()

    store = corner.stage.store
    secrets = {
        "ENGINE_SALESFORCE__CLIENT_SECRET": "rehearsal-secret",
        "ENGINE_SOURCE__ACCESS_KEY_ID": store.access_key,
        "ENGINE_SOURCE__SECRET_ACCESS_KEY": store.secret_key,
        "ENGINE_DESTINATION__ACCESS_KEY_ID": store.access_key,
        "ENGINE_DESTINATION__SECRET_ACCESS_KEY": store.secret_key,
    }
    counted = corner.process("--config", str(file), "accounts", "--json", **dict.fromkeys(corner.env, ""), **secrets)
    assert counted.code == 0, counted.everything


def test_what_fails_is_said_at_once_and_asked_again(corner: Corner, tmp_path: Path) -> None:
    file = tmp_path / "made.yaml"
    wrong_bucket = ["no-such-bucket", "us-east-1", corner.stage.store.url, NOTHING]
    again = [NOTHING] * 3 + ["rehearsal-secret", NOTHING, NOTHING]

    said = interviewed(
        corner, file, *login(corner, "wrong"), "y", *again, "n", *wrong_bucket, "y", *buckets(corner)
    )  # fmt: skip

    assert said.code == 0, said.everything
    assert said.out.count("Answer these again?") == 2
    assert "refused the login" in said.out
    assert "no-such-bucket" in said.out
    assert "no-such-bucket" not in file.read_text()
    assert "org_id: null" in file.read_text()


def test_settings_that_cannot_be_are_said_before_anything_is_asked_of_them(corner: Corner, tmp_path: Path) -> None:
    said = interviewed(corner, tmp_path / "made.yaml", "ftp://x", "by_magic", "id", "secret", NOTHING, NOTHING)

    assert "by_magic" in said.out
    assert "ftp://x" in said.out
    assert "--" not in said.out


@pytest.mark.parametrize("answers", [[], ["https://x.my.salesforce.com", "jwt"]])
def test_without_all_answers_nothing_is_written(corner: Corner, tmp_path: Path, answers: list[str]) -> None:
    said = interviewed(corner, tmp_path / "made.yaml", *answers)

    assert (said.code, "nothing was written" in said.err) == (2, True)
    assert list(tmp_path.glob("*.yaml")) == []


def test_an_existing_file_is_told_of_before_the_first_question(corner: Corner, tmp_path: Path) -> None:
    file = tmp_path / "made.yaml"
    file.write_text("salesforce: {}\n")

    said = interviewed(corner, file)

    assert (said.code, "Login URL" in said.everything) == (2, False)
    assert file.read_text() == "salesforce: {}\n"

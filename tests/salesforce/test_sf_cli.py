"""The sf command, in its three generations, played by small scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.model.errors import Blocked
from engine.salesforce.sf_cli import SfCli, first_object

ORG = "https://acme.my.salesforce.com"
TOKEN = "00Dxx0000000001!AQabc"
REDACTED = "[REDACTED] Use 'sf org auth show-access-token' to view"


def fake_sf(folder: Path, display: dict[str, Any], show: dict[str, Any], revealed: dict[str, Any] | None = None) -> str:
    """An executable that answers like `sf`, and notes its arguments in ``calls``."""
    for name, answer in (("display", display), ("show", show), ("revealed", revealed or display)):
        (folder / f"{name}.json").write_text(json.dumps(answer))
    command = folder / "sf"
    command.write_text(
        f"""#!/bin/sh
echo "$@" >> "{folder}/calls"
env > "{folder}/environment"
printf '\\033[33mWarning: {{a new version}} is available\\033[39m\\n'
case "$*" in
  "org display"*) [ "$SF_TEMP_SHOW_SECRETS" = true ] && cat "{folder}/revealed.json" || cat "{folder}/display.json" ;;
  *) cat "{folder}/show.json" ;;
esac
"""
    )
    command.chmod(0o755)
    return str(command)


def displayed(token: str) -> dict[str, Any]:
    return {"status": 0, "result": {"accessToken": token, "instanceUrl": ORG, "apiVersion": "62.0"}}


UNKNOWN: dict[str, Any] = {"status": 1, "name": "CommandNotFound", "message": "no such command"}


async def test_an_old_sf_shows_the_token_at_once(tmp_path: Path) -> None:
    command = fake_sf(tmp_path, displayed(TOKEN), UNKNOWN)
    assert await SfCli("prod", command=command).token() == (TOKEN, ORG)
    assert (tmp_path / "calls").read_text() == "org display --target-org prod --json\n"


async def test_a_new_sf_is_asked_for_the_token_by_name(tmp_path: Path) -> None:
    command = fake_sf(tmp_path, displayed(REDACTED), {"status": 0, "result": {"accessToken": TOKEN}})
    assert await SfCli(None, command=command).token() == (TOKEN, ORG)
    assert (tmp_path / "calls").read_text() == "org display --json\norg auth show-access-token --json\n"


async def test_an_sf_in_between_is_asked_to_show_secrets(tmp_path: Path) -> None:
    command = fake_sf(tmp_path, displayed(REDACTED), UNKNOWN, displayed(TOKEN))
    assert await SfCli(None, command=command).token() == (TOKEN, ORG)


async def test_sf_sees_its_own_settings_and_no_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ENGINE_SALESFORCE__CLIENT_SECRET", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "SF_LOG_LEVEL"):
        monkeypatch.setenv(name, "hunter2")
    command = fake_sf(tmp_path, displayed(TOKEN), UNKNOWN)
    await SfCli(None, command=command).token()
    seen = dict(line.partition("=")[::2] for line in (tmp_path / "environment").read_text().splitlines())
    assert {name for name, text in seen.items() if text == "hunter2"} == {"SF_LOG_LEVEL"}
    assert {"PATH", "HOME"} <= set(seen)


async def test_an_sf_that_shows_no_token_at_all_blocks(tmp_path: Path) -> None:
    command = fake_sf(tmp_path, displayed(REDACTED), UNKNOWN)
    with pytest.raises(Blocked, match="no access token"):
        await SfCli(None, command=command).token()


async def test_what_sf_complains_about_is_passed_on(tmp_path: Path) -> None:
    failure = {"status": 1, "name": "NoOrgFound", "message": "No authorization found for prod."}
    command = fake_sf(tmp_path, failure, UNKNOWN)
    with pytest.raises(Blocked, match="No authorization found for prod") as caught:
        await SfCli("prod", command=command).token()
    assert "sf org login web" in caught.value.hint


async def test_no_sf_at_all_blocks(tmp_path: Path) -> None:
    with pytest.raises(Blocked, match="cannot be started"):
        await SfCli(None, command=str(tmp_path / "absent")).token()


@pytest.mark.parametrize("output", ["", "plain words", "{broken", "[1, 2]", '{"a": 1'])
def test_output_without_json_blocks(output: str) -> None:
    with pytest.raises(Blocked, match="without JSON"):
        first_object(output)


def test_braces_in_warnings_are_stepped_over() -> None:
    assert first_object('Warning: {oops} \x1b[31m{"status": 0}\x1b[0m trailing') == {"status": 0}

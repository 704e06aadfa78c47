"""Refresh tokens that are good for one use: the newest one outlives the command, whoever comes first."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.limiting.clock import SystemClock
from engine.model.errors import Blocked
from engine.model.record import Scope
from engine.rehearsal.salesforce import SalesforceStandIn, Server, StandInSettings
from engine.runs.doctor.checks.finding import Level
from engine.runs.doctor.checks.org import refresh_token
from engine.salesforce.connection import Salesforce, open_salesforce
from engine.settings import NetworkSettings, Settings
from tests.support.org import settings_for

FIRST = StandInSettings().refresh_token


@pytest.fixture
async def org() -> AsyncIterator[Server]:
    """An org whose app rotates its tokens."""
    async with SalesforceStandIn(StandInSettings(rotate_refresh_tokens=True)).serve() as server:
        yield server


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "tracking.db"


@pytest.fixture
def kept(database: Path) -> Path:
    return Path(f"{database}.refresh_token")


def private(file: Path) -> tuple[int, str]:
    """Mode and content."""
    return stat.S_IMODE(file.stat().st_mode), file.read_text()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


async def command(org: Server, database: Path | None, *, given: str = FIRST, **changes: Any) -> Salesforce:
    """What one command does: log in and ask."""
    settings = settings_for(org, auth="refresh_token", refresh_token=given, **changes)
    async with open_salesforce(settings, NetworkSettings(), SystemClock(), database=database) as salesforce:
        await salesforce.pages.count(Scope())
    return salesforce


async def test_the_next_command_comes_with_the_newest_token(org: Server, database: Path, kept: Path) -> None:
    for _ in range(3):
        await command(org, database)
    mode, text = private(kept)
    assert mode == 0o600
    assert json.loads(text)["token"] == org.org.settings.refresh_token
    assert FIRST not in text
    assert names(database.parent) == {kept.name, f"{kept.name}.lock"}


async def test_a_session_that_ends_is_renewed_with_the_newest_token(org: Server, database: Path) -> None:
    settings = settings_for(org, auth="refresh_token", refresh_token=FIRST)
    async with open_salesforce(settings, NetworkSettings(), SystemClock(), database=database) as salesforce:
        await salesforce.pages.count(Scope())
        org.org.sessions.revoke()
        await salesforce.pages.count(Scope())
    assert len(org.org.used_refresh_tokens) == 2


async def test_a_token_file_is_written_back_through_a_link_and_keeps_its_mode(
    org: Server, database: Path, kept: Path, tmp_path: Path
) -> None:
    (tmp_path / "secrets").mkdir()
    file, link = tmp_path / "secrets" / "token", tmp_path / "token"
    file.write_text(f"{FIRST}\n")
    file.chmod(0o600)
    link.symlink_to(file)
    for _ in range(2):
        await command(org, database, given=FIRST, refresh_token_file=link)
    assert link.is_symlink()
    assert private(file) == (0o600, f"{org.org.settings.refresh_token}\n")
    assert kept.name not in names(tmp_path)


async def test_a_token_that_was_authorised_anew_beats_the_kept_one(org: Server, database: Path) -> None:
    await command(org, database)
    org.org.settings.refresh_token = "authorised-anew"
    await command(org, database, given="authorised-anew")
    await command(org, database, given="authorised-anew")
    assert FIRST in org.org.used_refresh_tokens


@pytest.fixture(params=[b"", b"{", b"[]", b'{"given": 3}', b"\xff"])
def damaged(kept: Path, request: pytest.FixtureRequest) -> None:
    kept.write_bytes(request.param)


@pytest.mark.usefixtures("damaged")
async def test_a_damaged_store_counts_as_none(org: Server, database: Path) -> None:
    await command(org, database)
    await command(org, database)


async def test_commands_at_the_same_time_take_turns(org: Server, database: Path) -> None:
    """Each with a process' own descriptor of the lock; the org is slow, so that their logins would overlap."""
    org.org.settings.latency_ms = {"token": 20.0}
    await asyncio.gather(*(command(org, database) for _ in range(4)))
    assert len(org.org.used_refresh_tokens) == 4


async def test_a_replayed_token_says_that_others_may_have_used_it(org: Server, database: Path) -> None:
    await command(org, None)
    with pytest.raises(Blocked, match="expired access/refresh token") as caught:
        await command(org, database)
    assert "no other program" in caught.value.hint


async def test_where_nothing_can_be_stored_the_command_goes_on_and_the_loss_is_told(
    org: Server, tmp_path: Path
) -> None:
    nowhere = tmp_path / "missing" / "tracking.db"
    settings = settings_for(org, auth="refresh_token", refresh_token=FIRST)
    with capture_logs() as logged:
        async with open_salesforce(settings, NetworkSettings(), SystemClock(), database=nowhere) as salesforce:
            await salesforce.pages.count(Scope())
            org.org.sessions.revoke()
            await salesforce.pages.count(Scope())
    assert [each["log_level"] for each in logged] == ["warning", "warning"]
    assert "could not be stored" in logged[0]["event"]


async def test_a_planted_lock_is_not_followed(org: Server, database: Path, kept: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("content")
    kept.with_suffix(".refresh_token.lock").symlink_to(precious)
    with pytest.raises(Blocked, match="cannot be used"):
        await command(org, database)
    assert precious.read_text() == "content"


@pytest.mark.parametrize(("folder", "level"), [(".", Level.OK), ("missing", Level.WARN)])
def test_doctor_says_whether_a_new_token_can_be_kept(folder: str, level: Level, tmp_path: Path) -> None:
    document = {
        "salesforce": {"auth": "refresh_token"},
        "destination": {"bucket": "ours"},
        "tracking": {"database": tmp_path / folder / "tracking.db"},
    }
    [found] = refresh_token(Settings.model_validate(document))
    assert found.level is level
    document["salesforce"] = {"auth": "jwt"}
    assert refresh_token(Settings.model_validate(document)) == []

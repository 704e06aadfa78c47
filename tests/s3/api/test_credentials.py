"""Credentials: found where the settings say, refreshed beside the work, and missed in plain words."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from engine.model.errors import Blocked
from engine.s3.api.credentials import FRESH_S, Keyring
from engine.s3.open import keys_in
from engine.settings import Credentials


class Hands:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.moment = 100.0

    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.moment

    async def sleep(self, seconds: float) -> None:
        self.moment += seconds

    def random(self) -> float:
        return 0.5


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An AWS configuration of our own, and no instance role to ask."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return tmp_path


def profile(home: Path, secret: str, name: str = "vendor") -> None:
    (home / "credentials").write_text(f"[{name}]\naws_access_key_id = AK\naws_secret_access_key = {secret}\n")


def rotating(home: Path, *secrets: str) -> None:
    """A profile whose keys come from a program, expire at once, and change from call to call."""
    script, count = home / "keys.sh", home / "count"
    count.write_text("0")
    cases = "\n".join(f"{number}) secret={secret};;" for number, secret in enumerate(secrets))
    script.write_text(
        f"n=$(cat {count}); echo $((n+1)) > {count}\ncase $n in\n{cases}\n*) exit 1;;\nesac\n"
        'printf \'{"Version":1,"AccessKeyId":"AK","SecretAccessKey":"%s","SessionToken":"t",'
        '"Expiration":"%s"}\' $secret $(date -u -d "+1 minute" +%Y-%m-%dT%H:%M:%SZ)\n'
    )
    (home / "config").write_text(f"[profile role]\ncredential_process = sh {script}\n")


async def test_keys_of_the_settings_come_first() -> None:
    settings = Credentials.model_validate({"access_key_id": "AK", "secret_access_key": "one", "session_token": "token"})
    keys = await Keyring(Hands(), "source", keys=keys_in(settings)).keys()
    assert (keys.access, keys.secret, keys.token) == ("AK", "one", "token")


async def test_a_profile_is_read_from_the_aws_files(home: Path) -> None:
    profile(home, "two")
    keys = await Keyring(Hands(), "source", profile="vendor").keys()
    assert (keys.access, keys.secret, keys.token) == ("AK", "two", None)


@pytest.mark.parametrize(("profile", "says"), [(None, "no AWS credentials"), ("unheard-of", "cannot be had")])
async def test_missing_credentials_block_the_run_with_a_way_out(profile: str | None, says: str) -> None:
    keyring = Keyring(Hands(), "destination", profile=profile)
    with pytest.raises(Blocked, match=says) as blocked:
        await keyring.keys()
    assert "destination" in str(blocked.value)
    assert "destination.profile" in blocked.value.hint


async def test_nothing_found_is_told_apart_from_something_broken() -> None:
    assert not await Keyring(Hands(), "source").found()


async def test_expiring_keys_are_renewed_beside_the_work(home: Path) -> None:
    rotating(home, "found", "one", "two")  # what is found expires within the minute, so that each look renews it
    clock = Hands()
    keyring = Keyring(clock, "source", profile="role")
    assert (await keyring.keys()).secret == "one"
    clock.moment += FRESH_S + 1
    assert (await keyring.keys()).secret == "one"  # served at once; the renewal runs meanwhile
    await asyncio.wait({task for task in asyncio.all_tasks() if task.get_name() == "source credentials"})
    assert (await keyring.keys()).secret == "two"
    await keyring.close()


async def test_a_renewal_that_fails_keeps_the_keys_that_are_there(home: Path) -> None:
    profile(home, "one")
    clock = Hands()
    keyring = Keyring(clock, "source", profile="vendor")
    first = await keyring.keys()
    clock.moment += FRESH_S + 1
    (home / "credentials").unlink()
    assert await keyring.keys() == first
    await keyring.close()


async def test_keys_that_the_store_calls_expired_are_looked_up_afresh(home: Path) -> None:
    profile(home, "one")
    keyring = Keyring(Hands(), "source", profile="vendor")
    assert (await keyring.keys()).secret == "one"
    profile(home, "two")
    assert (await keyring.keys()).secret == "one"
    keyring.expire()
    assert (await keyring.keys()).secret == "two"


async def test_many_callers_without_keys_ask_once(home: Path) -> None:
    rotating(home, "found", "only")
    keyring = Keyring(Hands(), "source", profile="role")
    keys = await asyncio.gather(*(keyring.keys() for _ in range(20)))
    assert {each.secret for each in keys} == {"only"}

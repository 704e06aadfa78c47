"""I14 with canaries: run into every failure with known secrets, then look for them everywhere something was written."""

from __future__ import annotations

import re
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.rehearsal.salesforce import StandInSettings
from tests.support.commands import BACKUP, nobody
from tests.support.corner import Corner, Said, ended, until

CLIENT, S3_SECRET, SIGNATURE, PASSWORD, TOKEN = (
    "canary-client-secret-6b1f",
    "canary+s3/secret=77c0",
    "canarysignature0badc0ffee0badc0ffee",
    "canary-password-41aa",
    "canary-query-token-9d2e",
)
KEY_ID = "AKIACANARYCANARYCANA"
CANARIES = (CLIENT, S3_SECRET, SIGNATURE, PASSWORD, TOKEN, KEY_ID)
SESSION = re.compile(r"00D\w{12,15}!")
"""How a Salesforce token begins."""


@pytest.fixture
def guarded(corner: Corner) -> Iterator[Corner]:
    """A corner whose every secret is a canary."""
    corner.org("settings", client_secret=CLIENT)
    corner.env |= {"ENGINE_SALESFORCE__CLIENT_SECRET": CLIENT, "ENGINE_MIGRATION__MAX_ATTEMPTS": "2"}
    for side in ("SOURCE", "DESTINATION"):
        corner.env |= {f"ENGINE_{side}__ACCESS_KEY_ID": KEY_ID, f"ENGINE_{side}__SECRET_ACCESS_KEY": S3_SECRET}
    yield corner
    corner.org("settings", client_secret="rehearsal-secret")


def presigned(url: str) -> str:
    query = f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={KEY_ID}%2F20260101&X-Amz-Signature={SIGNATURE}"
    return f"{url}?{query}&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host"


def hiding(corner: Corner) -> list[str]:
    """Records whose links hold secrets of their own, each in a way of its own, beside ordinary ones."""
    corner.put(f"{corner.tag}/signed.pdf")
    store = f"{corner.stage.store.url}/trackland-doc-storage/{corner.tag}"
    urls = [
        presigned(corner.url(f"{corner.tag}/signed.pdf")),
        presigned(f"{store}/signed.pdf"),
        presigned(f"{store}/absent.pdf"),
        f"https://user:{PASSWORD}@example.com/file.pdf",
        corner.url("a.pdf").replace("https://", f"https://user:{PASSWORD}@"),
        f"https://example.com/file.pdf?token={TOKEN}",
        corner.url(f"{corner.tag}/absent.pdf") + f"?token={TOKEN}",
        f"https://example.com:notaport/file.pdf?X-Amz-Signature={SIGNATURE}",
        f"file.pdf?X-Amz-Signature={SIGNATURE}",
        f"https://example.com/file.pdf#token={TOKEN}",
    ]
    return corner.records([corner.row(url=url) for url in urls])


def clean(text: str, what: str) -> None:
    for canary in CANARIES:
        assert canary not in text, f"{canary} in {what}: …{text[max(0, text.find(canary) - 200) :][:400]}…"
    assert not SESSION.search(text), f"a token in {what}"


def clean_corner(corner: Corner, *said: Said) -> None:
    """Nothing in what was printed, logged, recorded, exported or reported; original_url excepted: the way back."""
    for each in said:
        clean(each.everything, "what was printed")
    for file in corner.logs.glob("*"):
        clean(file.read_text(encoding="utf-8"), file.name)
    if corner.database.exists():
        target = corner.directory / "export.json"
        shown = [
            corner.engine("status", "--all", "--export", str(target)),
            corner.engine("status", "--json", "--all"),
        ]
        clean(target.read_text(), "the export")
        for each in shown:
            assert each.code == 0
            clean(each.everything, "the status")
        clean(dump(corner.database), "the tracking DB")


def dump(database: Path) -> str:
    with closing(sqlite3.connect(database)) as db:
        copy = sqlite3.connect(":memory:")
        db.backup(copy)
    with closing(copy):
        copy.execute("UPDATE file_migrations SET original_url = ''")
        return "\n".join(copy.iterdump())


def test_a_run_over_links_that_hold_secrets_tells_none(guarded: Corner) -> None:
    ids = hiding(guarded)
    guarded.files(3)
    said = guarded.engine(*BACKUP, "--json", ENGINE_LOGGING__LEVEL="debug")
    assert said.code == 3, said.everything
    rows = guarded.rows()
    assert SIGNATURE in rows[ids[0]]["original_url"], "the way back must be kept"
    assert len(rows) == 13
    assert "internal" not in {row["failure_class"] for row in rows.values()}
    clean_corner(guarded, said)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "access_denied", "method": "PUT"},
        {"kind": "access_denied", "method": "HEAD"},
        {"kind": "internal_error", "method": "PUT"},
        {"kind": "reset", "method": "PUT"},
        {"kind": "wrong_etag", "method": "PUT"},
        {"kind": "error_body", "method": "PUT"},
    ],
    ids=lambda fault: f"{fault['kind']}-{fault['method']}",
)
def test_no_failure_of_the_store_tells_a_secret(guarded: Corner, fault: dict[str, str]) -> None:
    hiding(guarded)
    guarded.files(2)
    guarded.misbehave(**fault)
    said = guarded.engine(*BACKUP)
    assert said.code in {3, 4}, said.everything
    clean_corner(guarded, said)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "uncurable_401"},
        {"kind": "refresh_fails", "endpoint": "token"},
        {"kind": "html_200", "endpoint": "query"},
        {"kind": "500_unknown", "endpoint": "query"},
        {"kind": "daily_limit", "endpoint": "query"},
        {"kind": "reset", "endpoint": "query"},
    ],
    ids=lambda fault: fault["kind"],
)
def test_no_failure_of_salesforce_tells_a_secret(guarded: Corner, fault: dict[str, str]) -> None:
    guarded.files(2)
    guarded.org("faults", rules=[fault])
    said = guarded.engine(*BACKUP)
    assert said.code in {4, 5}, said.everything
    clean_corner(guarded, said)


@pytest.mark.parametrize(
    "env",
    [
        {"ENGINE_DESTINATION__BUCKET": "nobody-made-this"},
        {"ENGINE_SALESFORCE__CLIENT_SECRET": TOKEN},
        {"ENGINE_SALESFORCE__CLIENT_SECRET": "", "ENGINE_SALESFORCE__ACCESS_TOKEN": TOKEN},
        {"ENGINE_SALESFORCE__AUTH": "access_token", "ENGINE_SALESFORCE__ACCESS_TOKEN": TOKEN},
        {"ENGINE_NETWORK__PROXY": "PROXY"},
        {"ENGINE_SOURCE__SESSION_TOKEN": TOKEN, "ENGINE_SOURCE__PROFILE": "other"},
        {"ENGINE_MIGRATION__CONCURENCY": PASSWORD},
        {"ENGINE_SALESFORCE__PASWORD": PASSWORD},
        {"ENGINE_SALESFORCE__LOGIN_URL": f"https://user:{PASSWORD}@example.com"},
    ],
    ids=lambda env: "-".join(env),
)
def test_no_refusal_tells_a_secret(guarded: Corner, env: dict[str, str]) -> None:
    proxy = nobody().replace("http://", f"http://user:{PASSWORD}@")
    said = guarded.engine(*BACKUP, **{name: proxy if value == "PROXY" else value for name, value in env.items()})
    assert said.code in {2, 4}, said.everything
    clean(said.everything, "what was printed")
    for file in guarded.logs.glob("*"):
        clean(file.read_text(encoding="utf-8"), file.name)


def test_a_running_backup_shows_no_secret_in_its_arguments_and_a_stop_none_in_its_words(guarded: Corner) -> None:
    guarded.files(60)
    guarded.misbehave(kind="delay", method="PUT", seconds=0.15)
    run = guarded.start(*BACKUP, ENGINE_MIGRATION__CONCURRENCY="4")
    until(lambda: guarded.recorded() > 3, "the first outcomes are recorded")
    clean(Path(f"/proc/{run.pid}/cmdline").read_text(), "the arguments")
    clean(Path(f"{guarded.database}.lock").read_text(), "the lock")
    run.terminate()
    said = ended(run)
    assert said.code == 143
    clean_corner(guarded, said)


def test_a_crash_file_tells_no_secret(guarded: Corner) -> None:
    guarded.files(1)
    with Path("/dev/full").open("w") as full:
        run = guarded.start(*BACKUP, "--json", stdout=full)
    assert run.stderr is not None
    text = run.stderr.read()
    run.stderr.close()
    assert run.wait(60) != 0
    clean_corner(guarded, Said(1, "", text))


def test_after_a_run_with_faults_the_source_was_only_read_and_salesforce_not_written(guarded: Corner) -> None:
    guarded.forget_requests()
    guarded.forget_calls()
    ids = guarded.files(25) + hiding(guarded)
    guarded.misbehave_all({"kind": "slow_down", "rate": 0.2}, {"kind": "truncated_body", "method": "GET", "rate": 0.2})
    said = guarded.engine(*BACKUP)
    assert said.code == 3, said.everything
    assert set(guarded.rows()) == set(ids)
    assert guarded.source_methods() == {"HEAD"} or guarded.source_methods() == {"GET", "HEAD"}
    calls = guarded.calls()
    assert calls
    assert not [call for call in calls if call["ids_written"]]
    assert {call["method"] for call in calls if not call["path"].endswith("/token")} == {"GET"}


def test_a_token_that_rotates_serves_the_next_command_and_one_beside_it(corner: Corner) -> None:
    corner.org("settings", rotate_refresh_tokens=True, refresh_token=TOKEN)
    file = corner.directory / "token"
    file.write_text(TOKEN)
    file.chmod(0o600)
    corner.env |= {"ENGINE_SALESFORCE__AUTH": "refresh_token", "ENGINE_SALESFORCE__REFRESH_TOKEN_FILE": str(file)}
    try:
        together = [corner.start("accounts") for _ in range(2)]
        for said in (*map(ended, together), corner.engine("accounts")):
            assert said.code == 0, said.everything
        assert TOKEN not in file.read_text()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    finally:
        corner.org("settings", rotate_refresh_tokens=False, refresh_token=StandInSettings().refresh_token)


@pytest.mark.parametrize(
    "words", [("analyze",), ("tune", "--real", "--requests", "22", "--concurrency", "1", "--concurrency", "2")]
)
def test_a_token_that_rotates_is_kept_by_commands_that_write_no_tracking_db(
    corner: Corner, words: tuple[str, ...]
) -> None:
    corner.files(2)
    corner.org("settings", rotate_refresh_tokens=True, refresh_token=TOKEN)
    corner.env |= {"ENGINE_SALESFORCE__AUTH": "refresh_token", "ENGINE_SALESFORCE__REFRESH_TOKEN": TOKEN}
    try:
        for said in (corner.engine(*words), corner.engine("accounts"), corner.engine(*words)):
            assert said.code == 0, said.everything
        assert not corner.database.exists()
    finally:
        corner.org("settings", rotate_refresh_tokens=False, refresh_token=StandInSettings().refresh_token)

"""Being told: a local receiver gets what a run says, signed; what does not go through changes no run."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from engine.desk.attendance import attended
from engine.desk.telling import SIGNATURE, signature
from engine.limiting.clock import SystemClock
from engine.model.errors import Paused, Usage
from engine.model.failures import FailureClass
from engine.model.outcome import Batch
from engine.reading.load import load_settings
from engine.settings import Settings
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from tests.support.commands import nobody
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import copied, failed

Got = list[tuple[dict[str, str], bytes]]


@asynccontextmanager
async def receiver(*statuses: int) -> AsyncIterator[tuple[str, Got]]:
    """Answers with these statuses, then with 200."""
    got: Got = []
    answers = list(statuses)

    async def take(request: web.Request) -> web.Response:
        got.append((dict(request.headers), await request.read()))
        return web.Response(status=answers.pop(0) if answers else 200)

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/hook?token=canary", got
    finally:
        await runner.cleanup()


def settings(tmp_path: Path, **more: Any) -> Settings:
    tree = {
        "salesforce": {"login_url": "https://a.my.salesforce.com", "auth": "sf_cli", "target_org": "a"},
        "source": {"buckets": ["vendor-docs"]},
        "destination": {"bucket": "our-docs", "region": "us-east-1"},
        "tracking": {"database": tmp_path / "t.db"},
    }
    return Settings.model_validate(tree | more)


class Report:
    exit_code = 5

    def as_json(self) -> dict[str, Any]:
        return {"run_type": "backup", "run_id": 7, "status": "stopped", "exit_code": 5, "reason": "error budget spent"}


async def work() -> Report:
    return Report()


async def test_the_end_is_told_signed_and_slack_shows_its_text(tmp_path: Path) -> None:
    async with receiver() as (url, got):
        notify = {"url": url, "secret": "s3cret"}
        await attended(settings(tmp_path, notify=notify), "run backup", work(), SystemClock(), pytest.fail)
    [(headers, body)] = got
    assert headers[SIGNATURE] == signature("s3cret", body)
    document = json.loads(body)
    assert (document["event"], document["exit_code"], document["run_id"]) == ("ended", 5, 7)
    assert "error budget spent" in document["text"]


async def test_a_run_that_cannot_go_on_is_told_and_still_raises(tmp_path: Path) -> None:
    async def halt() -> Report:
        raise Paused("the quota is used up")

    async with receiver() as (url, got):
        with pytest.raises(Paused):
            await attended(settings(tmp_path, notify={"url": url}), "run switch", halt(), SystemClock(), pytest.fail)
    [(headers, body)] = got
    assert SIGNATURE not in headers
    assert json.loads(body)["event"] == "refused"
    assert "quota" in json.loads(body)["text"]


async def test_a_new_failure_class_is_told_once(tmp_path: Path) -> None:
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        await ledger.write(Batch([copied(1), failed(2, FailureClass.NETWORK)]))
        begun = asyncio.Event()

        async def meets_more() -> Report:
            await begun.wait()
            await ledger.write(Batch([failed(3, FailureClass.ARCHIVED), failed(4, FailureClass.NETWORK)]))
            return Report()

        class Ticking(SystemClock):
            async def sleep(self, seconds: float) -> None:
                begun.set()
                await super().sleep(seconds)

        async with receiver() as (url, got):
            found = settings(tmp_path, notify={"url": url})
            await attended(found, "run backup", meets_more(), Ticking(), pytest.fail)
    events = [json.loads(body) for _, body in got]
    assert [each["event"] for each in events] == ["new_failure_class", "ended"]
    assert events[0]["failure_class"] == "archived"


async def test_a_receiver_that_is_busy_is_asked_again_and_one_that_refuses_is_said(tmp_path: Path) -> None:
    said: list[str] = []
    async with receiver(503, 503) as (url, got):
        await attended(settings(tmp_path, notify={"url": url}), "run backup", work(), SystemClock(), said.append)
    assert (len(got), said) == (3, [])
    async with receiver(404) as (url, got):
        report = await attended(
            settings(tmp_path, notify={"url": url}), "run backup", work(), SystemClock(), said.append
        )
    assert report.exit_code == 5
    assert len(got) == 1
    assert "404" in said[0]
    assert "canary" not in said[0]


async def test_nobody_there_changes_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    notify = {"url": "http://127.0.0.1:9/hook?token=canary"}
    report = await attended(settings(tmp_path, notify=notify), "run backup", work(), SystemClock(), said.append)
    assert report.exit_code == 5
    assert "nobody was told" in said[0]
    assert "canary" not in said[0]


async def test_a_program_gets_the_same_on_its_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "told.json"
    script = f"import sys, pathlib; pathlib.Path({str(file)!r}).write_text(sys.stdin.read())"
    notify = {"command": [sys.executable, "-I", "-c", script]}
    await attended(settings(tmp_path, notify=notify), "run backup", work(), SystemClock(), pytest.fail)
    assert json.loads(file.read_text())["run_id"] == 7


@pytest.mark.parametrize("command", [["/no/such/program"], [sys.executable, "-I", "-c", "raise SystemExit(9)"]])
async def test_a_program_that_fails_is_said(tmp_path: Path, command: list[str]) -> None:
    said: list[str] = []
    await attended(settings(tmp_path, notify={"command": command}), "run backup", work(), SystemClock(), said.append)
    assert "notify.command" in said[0]


async def test_metrics_are_served_and_written(tmp_path: Path) -> None:
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        await ledger.write(Batch([copied(n) for n in range(5)]))
    texts = []
    address = nobody()

    async def asks() -> Report:
        async with aiohttp.ClientSession() as http, http.get(f"{address}/metrics") as answer:
            texts.append(await answer.text())
        return Report()

    file = tmp_path / "engine.prom"
    wanted = {"listen": address.removeprefix("http://"), "textfile": str(file)}
    await attended(settings(tmp_path, metrics=wanted), "run backup", asks(), SystemClock(), pytest.fail)
    for text in (texts[0], file.read_text()):
        assert 'engine_records{state="backed_up"} 5.0' in text
    assert file.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    "notify", [{"url": "ftp://a.example/"}, {"url": "http://hooks.example/x"}, {"secret": "alone"}]
)
def test_settings_that_cannot_work_are_refused(tmp_path: Path, notify: dict[str, Any]) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text(f"destination: {{bucket: our-docs}}\nnotify: {json.dumps(notify)}\n")
    file.chmod(0o600)
    with pytest.raises(Usage, match="notify"):
        load_settings(file, environ={}, overrides={})


def test_a_rehearsal_tells_nobody_beyond_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    text = "destination: {bucket: our-docs}\nnetwork: {loopback_only: true}\nnotify: {url: 'https://hooks.example/x'}\n"
    file.write_text(text)
    file.chmod(0o600)
    with pytest.raises(Usage, match=r"notify\.url leads beyond this machine"):
        load_settings(file, environ={}, overrides={})

"""The dashboard: true numbers, nothing from elsewhere, nothing for strangers."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from engine.desk.listen import Listen
from engine.desk.server import serving
from engine.desk.token import read_token
from engine.limiting.clock import SystemClock
from engine.model.errors import Blocked, Usage
from tests.desk.database import PATHS, some_of_everything
from tests.support.outcomes import record_id

Get = Callable[..., Awaitable[tuple[int, str]]]


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    return await some_of_everything(tmp_path / "t.db")


@asynccontextmanager
async def desk(database: Path, token: str | None = None) -> AsyncIterator[tuple[Get, str]]:
    served = serving(database, ("etag",), Listen("127.0.0.1", 0, token), SystemClock())
    async with served as address, aiohttp.ClientSession() as http:

        async def get(path: str, **headers: str) -> tuple[int, str]:
            async with http.get(address.rstrip("/") + path, headers=headers, allow_redirects=False) as answer:
                policy = answer.headers["Content-Security-Policy"]
                assert "default-src 'none'" in policy
                assert "unsafe" not in policy
                return answer.status, await answer.text()

        yield get, address


async def test_every_page_is_there_and_asks_no_other_host(database: Path) -> None:
    async with desk(database) as (get, _):
        for path in PATHS:
            status, text = await get(path)
            assert status == 200, text
            assert "style=" not in text
            assert not re.findall(r"<script(?! src=\"/static/)", text)
            assert not re.findall(r"(?:src|href|action)=\"(?!/|#)", text), text


async def test_numbers_are_a_share_of_what_was_counted(database: Path) -> None:
    async with desk(database) as (get, _):
        _, text = await get("/")
    assert "600 records" in text
    assert "the full scan is not complete" in text
    assert re.search(r"data-live=\"share.backed_up\">1\.\d %<", text), text


async def test_text_from_outside_is_no_markup_and_shows_no_signature(database: Path) -> None:
    async with desk(database) as (get, _):
        for path in ("/failures", f"/record?record={record_id(30)}", f"/record?record={record_id(1)}"):
            _, text = await get(path)
            assert "<script>alert" not in text
            assert "\x1b" not in text
            assert "canary" not in text
        _, story = await get(f"/record?record={record_id(1)}")
    assert "https://ours.example/1.pdf" in story
    assert "applied" in story


async def test_an_unknown_record_and_a_wrong_id_are_answered(database: Path) -> None:
    async with desk(database) as (get, _):
        assert "knows no record" in (await get("/record?record=a0X000000000999AAA"))[1]
        status, text = await get("/record?record=%3Cscript%3E")
    assert status == 200
    assert "<script>" not in text.replace('<script src="/static/', "")


async def test_accounts_are_searched_sorted_and_paged(database: Path) -> None:
    async with desk(database) as (get, _):
        status, text = await get("/accounts?q=nobody&sort=name&page=999")
        assert status == 200
        assert "0 accounts, page 1 of 1" in text
        assert (await get("/accounts?sort=%27&page=-1&q=%25"))[0] == 200


async def test_metrics_have_few_series_and_their_units(database: Path) -> None:
    async with desk(database) as (get, _):
        status, text = await get("/metrics")
    assert status == 200
    assert 'engine_records{state="backed_up"}' in text
    assert 'engine_failed_records{failure_class="network"} 1.0' in text
    assert "engine_scope_records 600.0" in text
    assert "account" not in text
    assert len(text.splitlines()) < 120


async def test_events_tell_what_has_changed(database: Path) -> None:
    async with desk(database) as (_, address), aiohttp.ClientSession() as http, http.get(f"{address}events") as answer:
        line = await asyncio.wait_for(answer.content.readline(), 10)
    parts = json.loads(line.removeprefix(b"data: "))
    assert parts["files.failed"] == "2"


async def test_other_names_for_our_address_are_refused(database: Path) -> None:
    async with desk(database) as (get, _):
        assert (await get("/", Host="evil.example"))[0] == 403
        assert (await get("/metrics", Host="evil.example:8800"))[0] == 403
        assert (await get("/", Host="localhost:1"))[0] == 200


async def test_with_a_token_nobody_else_sees_anything(database: Path) -> None:
    async with desk(database, token="t" * 20) as (get, _):
        for path in (*PATHS, "/events", "/metrics", "/static/style.css"):
            assert (await get(path))[0] == 401
        assert (await get("/", Authorization=f"Bearer {'t' * 20}"))[0] == 200
        assert (await get(f"/?token={'t' * 20}"))[0] == 303
        assert (await get("/?token=wrong"))[0] == 401


async def test_it_only_shows(database: Path) -> None:
    async with desk(database) as (_, address), aiohttp.ClientSession() as http:
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            async with http.request(method, address) as answer:
                assert answer.status == 405


@pytest.mark.parametrize("text", ["0.0.0.0:8800", "10.1.2.3:80", "[::]:8800", "example.org:1"])
def test_elsewhere_it_wants_a_token(text: str) -> None:
    with pytest.raises(Usage, match="no token"):
        Listen.of(text, None)
    assert Listen.of(text, "t" * 16).token


@pytest.mark.parametrize("text", ["8800", "localhost", "localhost:http", "127.0.0.1:99999", ":80"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Usage, match="no address"):
        Listen.of(text, None)


def test_a_token_file_is_private_and_long_enough(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("short")
    file.chmod(0o644)
    with pytest.raises(Usage, match="others may read"):
        read_token(file)
    file.chmod(0o600)
    with pytest.raises(Usage, match="shorter"):
        read_token(file)
    file.write_text("0123456789abcdef\n")
    assert read_token(file) == "0123456789abcdef"


async def test_without_a_database_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(Blocked):
        async with desk(tmp_path / "none.db"):
            pass

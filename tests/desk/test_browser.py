"""The pages in a real browser: on a phone, in the dark, by keyboard, read aloud, without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from engine.desk.listen import Listen
from engine.desk.server import serving
from engine.limiting.clock import Clock, SystemClock
from engine.model.outcome import Batch
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from tests.desk.database import PATHS, some_of_everything
from tests.support.browser import DESKTOP, PHONE, a_page, hindrances, needs_chromium
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import copied, record_id

pytestmark = needs_chromium
EVERY = (*PATHS, f"/record?record={record_id(1)}", "/accounts?q=nobody", "/record?record=nonsense")


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    return await some_of_everything(tmp_path / "t.db")


@asynccontextmanager
async def looked_at(database: Path, clock: Clock | None = None, **context: Any) -> AsyncIterator[tuple[Page, str]]:
    served = serving(database, ("etag",), Listen("127.0.0.1", 0, None), clock or SystemClock())
    async with served as address, a_page(address, **context) as page:
        yield page, address.rstrip("/")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_nothing_hinders_a_reader(database: Path, scheme: str, size: dict[str, int]) -> None:
    async with looked_at(database, viewport=size, color_scheme=scheme) as (page, address):
        for path in EVERY:
            await page.goto(address + path)
            assert await hindrances(page) == [], path


async def test_the_content_is_reached_by_keyboard_and_the_focus_is_seen(database: Path) -> None:
    async with looked_at(database, viewport=DESKTOP) as (page, address):
        await page.goto(f"{address}/accounts")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        await page.keyboard.press("Enter")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.tagName") == "INPUT"
        assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        await page.keyboard.type("nobody")
        await page.keyboard.press("Enter")
        await page.wait_for_url("**q=nobody**")
        assert "0 accounts" in await page.inner_text("main")


async def test_without_scripts_every_page_says_the_same(database: Path) -> None:
    told = []
    for scripts in (True, False):
        async with looked_at(database, ManualClock(), viewport=DESKTOP, java_script_enabled=scripts) as (page, address):
            texts = []
            for path in EVERY:
                await page.goto(address + path)
                texts.append((await page.locator("main").inner_text()).replace(" live", " ").split())
            told.append(texts)
    assert told[0] == told[1]


async def test_numbers_move_while_the_page_is_looked_at(database: Path) -> None:
    async with looked_at(database, viewport=DESKTOP) as (page, address):
        await page.goto(address)
        tile = page.locator("[data-live='files.backed_up']")
        assert await tile.inner_text() == "10"
        async with open_database(database, ManualClock()) as db:
            ledger = Ledger(db)
            await ledger.begin_run("backup", {})
            await ledger.write(Batch([copied(n) for n in range(50, 55)]))
        await expect(tile).to_have_text("15")

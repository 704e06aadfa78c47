"""Chromium, where it is installed, and what hinders people at a page, as axe-core finds it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, async_playwright

CHROMIUM = shutil.which("chromium")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

DESKTOP, PHONE = {"width": 1280, "height": 800}, {"width": 360, "height": 740}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@asynccontextmanager
async def a_page(home: str, **context: Any) -> AsyncIterator[Page]:
    """A page of a browser with these properties. Complaints, and requests that leave ``home``, fail the test."""
    wrong: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await (await browser.new_context(**context)).new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(home) else wrong.append(asked.url))
        yield page
        await browser.close()
    assert wrong == []


async def hindrances(page: Page) -> list[tuple[str, str]]:
    """Rules that the page breaks, each with an element; and whether it is wider than its window."""
    found = await Axe().run(page, options={"runOnly": {"type": "tag", "values": RULES}})
    broken = [(each["id"], each["nodes"][0]["html"]) for each in found.response["violations"]]
    if await page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
        broken.append(("wider than the window", page.url))
    return broken

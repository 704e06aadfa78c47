"""Photographs the dashboard for ``docs/images``: ``python docs/pictures.py DATABASE``. Needs Chromium.

Made from a rehearsal: names and files in the pictures are invented.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path
from typing import Any

from playwright.async_api import async_playwright

from engine.desk.listen import Listen
from engine.desk.server import serving
from engine.limiting.clock import SystemClock

IMAGES = Path(__file__).parent / "images"
DESKTOP, PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 844}
SHOTS: dict[str, tuple[str, dict[str, Any]]] = {
    "overview": ("/", {"viewport": DESKTOP}),
    "overview-dark": ("/", {"viewport": DESKTOP, "color_scheme": "dark"}),
    "overview-phone": ("/", {"viewport": PHONE, "device_scale_factor": 2}),
    "failures": ("/failures", {"viewport": DESKTOP}),
}


async def take(database: Path) -> None:
    IMAGES.mkdir(exist_ok=True)
    served = serving(database, ("checksum", "etag", "received"), Listen("127.0.0.1", 0, None), SystemClock())
    async with served as address, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for name, (path, context) in SHOTS.items():
            page = await (await browser.new_context(**context)).new_page()
            await page.goto(address.rstrip("/") + path)
            if path == "/":
                await page.wait_for_selector("#live:text('live')")
            await page.screenshot(path=IMAGES / f"{name}.png")
        await browser.close()


if __name__ == "__main__":
    asyncio.run(take(Path(sys.argv[1])))

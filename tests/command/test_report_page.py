"""The page for a change board, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import DESKTOP, PHONE, a_page, hindrances, needs_chromium
from tests.support.corner import Whole


@needs_chromium
@pytest.mark.parametrize("flags", [[], ["--certificate"]], ids=["report", "certificate"])
async def test_nothing_hinders_its_reader_and_it_asks_nobody(whole: Whole, tmp_path: Path, flags: list[str]) -> None:
    file = tmp_path / "report.html"
    said = whole.corner.process("report", str(file), *flags)
    assert said.code == 6, said.everything

    for size in (DESKTOP, PHONE):
        async with a_page(file.as_uri(), viewport=size, java_script_enabled=True) as page:
            await page.goto(file.as_uri())
            assert await hindrances(page) == []

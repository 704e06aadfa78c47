"""The page for a change board, in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.browser import DESKTOP, PHONE, a_page, hindrances, needs_chromium
from tests.support.corner import Whole


def plan_of(whole: Whole, file: Path) -> str:
    """A plan, and its sum."""
    made = whole.corner.process("run", "switch", "--plan", str(file), "--json")
    assert made.code == 0, made.everything
    return str(made.json["plan_sha256"])


def test_what_doctor_and_a_plan_say_is_in_the_page(whole: Whole, tmp_path: Path) -> None:
    doctor, plan, page = tmp_path / "doctor.json", tmp_path / "plan.ndjson", tmp_path / "page.html"
    doctor.write_text(whole.corner.process("doctor", "--json").out)
    sha256 = plan_of(whole, plan)

    said = whole.corner.process("report", str(page), "--doctor", str(doctor), "--plan", str(plan))

    assert said.code == 6, said.everything
    assert "Doctor finds no blocker" in said.out
    text = page.read_text()
    assert sha256 in text
    assert "What doctor found" in text
    assert "Not in this paper" not in text


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"purpose": "switch"}', '{"purpose": "switch", "findings": [1]}'])
def test_what_is_no_answer_of_doctor_is_refused(whole: Whole, tmp_path: Path, text: str) -> None:
    file = tmp_path / "doctor.json"
    file.write_text(text)

    said = whole.corner.engine("report", str(tmp_path / "page.html"), "--doctor", str(file))

    assert (said.code, "doctor --for switch --json" in said.err) == (2, True), said.everything
    assert not (tmp_path / "page.html").exists()


def test_a_plan_that_was_changed_is_refused(whole: Whole, tmp_path: Path) -> None:
    plan = tmp_path / "plan.ndjson"
    plan_of(whole, plan)
    plan.chmod(0o600)
    plan.write_text(plan.read_text().replace('"size":', '"size":1', 1))

    said = whole.corner.engine("report", str(tmp_path / "page.html"), "--plan", str(plan))

    assert (said.code, "do not fit the sum" in said.err) == (6, True), said.everything


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

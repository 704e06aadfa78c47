"""A profile is written, or refused before anything begins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from engine.model.errors import Blocked
from engine.runs.shared.profile import profiling


class Profiler:
    """Shaped like pyinstrument's."""

    def __init__(self, **_options: Any) -> None:
        self.told: list[str] = []

    def start(self) -> None:
        self.told.append("start")

    def stop(self) -> None:
        self.told.append("stop")

    def output_text(self, **_options: Any) -> str:
        return f"text of {self.told}"

    def output_html(self) -> str:
        return f"<p>{self.told}</p>"


def shaped() -> Any:
    return SimpleNamespace(Profiler=Profiler)


def missing() -> Any:
    raise ImportError("no pyinstrument")


@pytest.mark.parametrize(
    ("name", "text"), [("run.txt", "text of ['start', 'stop']"), ("run.HTML", "<p>['start', 'stop']</p>")]
)
def test_the_name_decides_between_text_and_page(tmp_path: Path, name: str, text: str) -> None:
    with profiling(tmp_path / name, shaped):
        pass

    assert (tmp_path / name).read_text() == text


def test_a_failing_run_is_profiled_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), profiling(tmp_path / "run.txt", shaped):
        raise ZeroDivisionError

    assert (tmp_path / "run.txt").read_text().startswith("text of")


def test_without_the_package_it_says_what_to_install(tmp_path: Path) -> None:
    begun = False
    with pytest.raises(Blocked) as caught, profiling(tmp_path / "run.txt", missing):
        begun = True

    assert not begun
    assert "engine[profile]" in caught.value.hint


def test_a_file_that_cannot_be_written_is_refused_first(tmp_path: Path) -> None:
    begun = False
    with pytest.raises(Blocked, match="cannot be written"), profiling(tmp_path / "none" / "run.txt", shaped):
        begun = True

    assert not begun


def test_without_the_flag_nothing_is_loaded() -> None:
    with profiling(None, missing):
        pass

"""What a terminal shows while a command lives, and how it is left."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.corner import Corner, Whole

SHOW_CURSOR, MAIN_SCREEN = "\x1b[?25h", "\x1b[?1049l"
TWICE = """
import asyncio, sys
from rich.console import Console
from engine.runs.shared.signals import tidied

async def stubborn(say):
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            say("still here")

console = Console(stderr=True)
with console.status("working"):
    asyncio.run(tidied(stubborn(console.print), console.print))
"""


def on_a_terminal(words: list[str], env: Mapping[str, str], steps: list[tuple[str, int]]) -> tuple[int, str]:
    """Run it with a terminal as stdout and stderr; ``steps``: signals, each sent once a text has been shown."""
    near, far = pty.openpty()
    run = subprocess.Popen([sys.executable, *words], env=env, stdin=far, stdout=far, stderr=far)
    os.close(far)
    shown, seen = "", 0
    for text, number in steps:
        while (at := shown.find(text, seen)) < 0:
            shown += os.read(near, 65536).decode()
        seen = at + len(text)
        run.send_signal(number)
    while True:
        try:
            shown += os.read(near, 65536).decode()
        except OSError:  # how Linux says that nobody holds the other end any more
            break
    os.close(near)
    return run.wait(timeout=60), shown


def environment(corner: Corner, **more: str) -> dict[str, str]:
    return {**corner.environment(), "TERM": "xterm", "COLUMNS": "120", "LINES": "60", **more}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_watching_shows_the_overview_until_a_signal_and_leaves_the_terminal_as_it_was(
    whole: Whole, number: int
) -> None:
    words = ["-m", "cli", "status", "--watch"]
    code, shown = on_a_terminal(words, environment(whole.corner), [("Ctrl-C ends this view", number)])

    assert code == 0
    assert "backed_up" in shown
    assert shown.endswith(SHOW_CURSOR + MAIN_SCREEN)


def test_watching_on_a_terminal_that_can_do_nothing_is_a_plain_line(whole: Whole) -> None:
    words = ["-m", "cli", "status", "--watch"]
    steps = [("the full scan was complete", signal.SIGINT)]
    code, shown = on_a_terminal(words, environment(whole.corner, TERM="dumb"), steps)

    assert code == 0
    assert "\x1b" not in shown


def test_watching_goes_neither_with_json_nor_with_a_file(whole: Whole, tmp_path: Path) -> None:
    for more in (["--json"], ["--export", str(tmp_path / "x.json")], ["--not-ready", str(tmp_path / "x.csv")]):
        said = whole.corner.engine("status", "--watch", *more)

        assert (said.code, "--watch only shows" in said.everything) == (2, True)
    assert not list(tmp_path.iterdir())


def test_watching_without_a_db_says_so(corner: Corner) -> None:
    said = corner.engine("status", "--watch")

    assert (said.code, "there is no tracking database" in said.everything) == (4, True)


def test_a_second_signal_brings_the_cursor_back(whole: Whole) -> None:
    steps = [("working", signal.SIGINT), ("still here", signal.SIGINT)]
    code, shown = on_a_terminal(["-c", TWICE], environment(whole.corner), steps)

    assert code == 130
    assert shown.rindex("\x1b[?25l") < shown.rindex(SHOW_CURSOR)

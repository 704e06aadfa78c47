"""What a command does before it starts to work. How long that takes is not asserted; what it is made of is."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cli import app, db_app, run_app
from engine.commands import frame
from engine.runs.shared.tables import line
from engine.tracking.db.database import open_database
from tests.support.fakes.clock import ManualClock

ROOT = Path(__file__).parent.parent
COMMANDS = [each.callback for group in (app, run_app, db_app) for each in group.registered_commands if each.callback]
REPORTED = """
import atexit, gc, json, os, sys
import cli
def looks(): return sum(each["collections"] for each in gc.get_stats())
before = looks()
asked = ("rich", "pydantic", "asyncio", "aiohttp", "aiobotocore", "structlog", "plugin")
atexit.register(lambda: print(json.dumps({
    "loaded": [name for name in asked if name in sys.modules],
    "looks": looks() - before,
    "left": gc.get_freeze_count() > 10_000,
}), file=sys.stderr))
cli.main()
"""
"""A child that runs the command line as its script does, and tells how it went as the last line of its stderr."""


def run(*words: str, env: dict[str, str]) -> tuple[str, Any]:
    child = subprocess.run(
        [sys.executable, "-c", REPORTED, *words], capture_output=True, text=True, check=True, cwd=ROOT, env=env
    )
    return child.stdout, json.loads(child.stderr.splitlines()[-1])


@pytest.fixture
async def env(tmp_path: Path) -> dict[str, str]:
    """An environment with settings, an empty tracking DB, and a package that wants to sit in all of pydantic."""
    async with open_database(tmp_path / "tracking.db", ManualClock()):
        pass
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"destination: {{bucket: my-documents}}\ntracking: {{database: {tmp_path}/tracking.db}}\n")
    package = tmp_path / "packages" / "plugin-1.0.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
    (package / "entry_points.txt").write_text("[pydantic]\nplugin = plugin:it\n")
    (package.parent / "plugin.py").write_text("class it:\n    new_schema_validator = lambda *_: (None, None, None)\n")
    path = os.pathsep.join((str(package.parent), str(ROOT)))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ENGINE_", "PYDANTIC_"))}
    return {**inherited, "ENGINE_CONFIG": str(settings), "PYTHONPATH": path}


def test_help_needs_neither_pydantic_nor_rich(env: dict[str, str]) -> None:
    out, told = run("--help", env=env)

    assert "sweep" in out
    assert told == {"loaded": [], "looks": 0, "left": True}


def test_the_status_needs_no_loop_no_network_and_no_log(env: dict[str, str]) -> None:
    out, told = run("status", env=env)

    assert "accounts    0" in out
    assert told == {"loaded": ["rich", "pydantic"], "looks": 0, "left": True}


def test_what_somebody_wants_of_pydantic_stands(env: dict[str, str]) -> None:
    _, told = run("status", env=env | {"PYDANTIC_DISABLE_PLUGINS": "none-of-this-name"})

    assert "plugin" in told["loaded"]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_the_flags_of_a_command_need_no_evaluation(command: Callable[..., Any]) -> None:
    """``from __future__ import annotations`` there costs every command 20 ms: typer evaluates the text of each flag."""
    assert [
        name for name, parameter in inspect.signature(command).parameters.items() if type(parameter.annotation) is str
    ] == []


@pytest.mark.parametrize("console", [frame.stdout, frame.stderr])
def test_names_between_colons_stay_as_they_are(console: Callable[[], Any], capsys: pytest.CaptureFixture[str]) -> None:
    line(console(), "bucket :smile:")

    assert "bucket :smile:" in "".join(capsys.readouterr())

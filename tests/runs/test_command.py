"""Commands that are told to be typed: quoted, with the flags that were given and the settings file that was named."""

from __future__ import annotations

import io
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cli import app
from engine.runs.shared.command import COMMANDS, flags, name_in_commands, to_type
from engine.runs.shared.screen import Screen
from tests.fakes.clock import ManualClock


@pytest.fixture
def named() -> Iterator[None]:
    name_in_commands(Path("tr äck/my settings.yaml"))
    yield
    name_in_commands(None)


@pytest.mark.parametrize("live", [True, False])
def test_what_is_said_along_the_way_is_not_obeyed_and_its_lines_stay_lines(live: bool) -> None:
    out = io.StringIO()
    screen = Screen(Console(file=out, force_terminal=live, no_color=True, color_system=None), live=live)
    with screen.steps(ManualClock()) as say:
        screen.say("one \x9b31mred\u202e\ntwo [bold]x[/bold]")
        say("[red]step\x9b5m[/red]")
    told = out.getvalue()
    assert "one red\ntwo [bold]x[/bold]\n" in told
    assert not set(told) & {"\x9b", "\u202e"}
    assert ("[red]step[/red]" in told) == live


def test_flags_are_those_that_were_given_and_come_back_from_a_shell_as_they_were() -> None:
    text = flags(
        account="001", limit=None, strict=True, force=False, extension=[".pdf", ".a b"], plan=Path("an ö/p"), wave=2
    )
    words = ["--account", "001", "--strict", "--extension", ".pdf", "--extension", ".a b", "--plan", "an ö/p"]
    assert shlex.split(text) == [*words, "--wave", "2"]
    assert text.startswith(" ")
    assert flags(account=None, retry_class=[]) == ""


def test_every_command_is_known() -> None:
    named = [each.name or each.callback.__name__ for each in app.registered_commands if each.callback]
    assert sorted(COMMANDS) == sorted([*named, *(str(group.name) for group in app.registered_groups)])


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ("engine run switch --execute   goes on", "{} run switch --execute   goes on"),
        ("mend it, then: engine status; engine verify", "mend it, then: {} status; {} verify"),
        ("`engine init` writes one", "`{} init` writes one"),
        ("the engine runs in /srv/engine run by hand", "the engine runs in /srv/engine run by hand"),
        ("engine --config FILE init", "engine --config FILE init"),
    ],
)
def test_commands_name_the_settings_file(told: str, shown: str) -> None:
    assert to_type(told) == shown.replace("{}", "engine --config 'tr äck/my settings.yaml'")


def test_commands_stay_as_they_are_where_settings_are_found_without() -> None:
    assert to_type("engine status") == "engine status"

"""Commands that are told to be typed: quoted, with the flags that were given and the settings file that was named."""

from __future__ import annotations

import ast
import io
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from typer.main import get_command

from cli import app
from engine.model.command import Advice, Command, in_words
from engine.model.errors import Fatal
from engine.runs.shared.command import as_flags, name_in_commands, to_type
from engine.runs.shared.screen import Screen
from tests.support.fakes.clock import ManualClock

ENGINE = Path(__file__).parents[3] / "engine"
TREES = {path: ast.parse(path.read_text()) for path in sorted(ENGINE.rglob("*.py"))}
STATUS = Command("status")


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
    text = as_flags(
        account="001", limit=None, strict=True, force=False, extension=[".pdf", ".a b"], plan=Path("an ö/p"), wave=2
    )
    words = ["--account", "001", "--strict", "--extension", ".pdf", "--extension", ".a b", "--plan", "an ö/p"]
    assert shlex.split(text) == [*words, "--wave", "2"]
    assert text.startswith(" ")
    assert as_flags(account=None, retry_class=[]) == ""


@pytest.mark.usefixtures("named")
@pytest.mark.parametrize(
    ("advice", "shown"),
    [
        ((Command("run switch --execute"), "   goes on"), "{} run switch --execute   goes on"),
        (("mend it, then: ", STATUS, "; ", Command("verify")), "mend it, then: {} status; {} verify"),
        (("first ", (STATUS, " twice"), ", then rest"), "first {} status twice, then rest"),
        ("the engine runs in /srv/engine run by hand", "the engine runs in /srv/engine run by hand"),
        ("another run holds the lock: engine run backup", "another run holds the lock: engine run backup"),
    ],
)
def test_commands_name_the_settings_file(advice: Advice, shown: str) -> None:
    assert to_type(advice) == shown.replace("{}", "engine --config 'tr äck/my settings.yaml'")


def test_commands_stay_as_they_are_where_settings_are_found_without() -> None:
    assert to_type(STATUS) == "engine status"


@pytest.mark.usefixtures("named")
def test_a_command_that_was_noted_comes_back_and_is_noted_without_settings() -> None:
    assert str(STATUS) == "engine status"
    assert Command.noted("engine status") == STATUS


def test_what_is_added_to_a_hint_stands_on_lines_of_its_own() -> None:
    error = Fatal("no", hint="mend it")
    error.add_hint("", "nothing was written", (STATUS, "   says more"))
    bare = Fatal("no")
    bare.add_hint("nothing was written")

    assert in_words(error.hint) == "mend it\n  nothing was written\n  engine status   says more"
    assert in_words(bare.hint) == "nothing was written"


def test_every_command_to_type_exists_with_its_flags() -> None:
    written = [
        (f"{path.name}:{node.lineno}", _literal(node.args[0]))
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Command"
    ]
    wrong = [(place, words) for place, words in written if words and _unknown(words.split())]

    assert len(written) > 40
    assert wrong == []


def test_no_text_holds_a_command_that_no_settings_file_can_be_added_to() -> None:
    names = "|".join(get_command(app).commands)  # type: ignore[attr-defined]
    typed = re.compile(rf"(?<![\w./-])engine ({names})\b")
    found = [
        f"{path.relative_to(ENGINE)}:{node.lineno}"
        for path, tree in TREES.items()
        for node in _texts(tree)
        if typed.search(node.value) and not path.is_relative_to(ENGINE / "commands")
    ]
    assert [place for place in found if not place.startswith("rehearsal/")] == []


def _literal(node: ast.expr) -> str:
    """The words of a command before the first that is only known when it runs."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
        return str(node.values[0].value)
    return ""


def _unknown(words: list[str]) -> list[str]:
    command = get_command(app)
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    if hasattr(command, "commands"):
        return words  # no command of this group
    known = {flag for parameter in command.params for flag in [*parameter.opts, *parameter.secondary_opts]}
    return [word for word in words if word.startswith("--") and word not in known]


def _texts(tree: ast.Module) -> Iterator[ast.Constant]:
    """Those that are no docstrings."""
    alone = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in alone:
            yield node

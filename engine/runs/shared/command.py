"""What a person is shown, which no terminal obeys, and commands to type: quoted, and with this one's settings file."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path

from engine.model.text import printable

COMMANDS = (
    "accounts", "analyze", "audit", "db", "demo", "doctor", "init", "rehearse", "run", "status", "sweep", "tune",
    "verify", "waive",
)  # fmt: skip
_COMMAND = re.compile(rf"(?<![\w./-])engine (?=(?:{'|'.join(COMMANDS)})\b)")
_settings_file: ContextVar[Path | None] = ContextVar("settings_file", default=None)


def name_in_commands(settings_file: Path | None) -> None:
    """Whatever ``to_type`` shows from now on names this file; None: commands find their settings without."""
    _settings_file.set(settings_file)


def to_type(text: str) -> str:
    """The same text; the commands in it are right as they stand."""
    file = _settings_file.get()
    return text if file is None else _COMMAND.sub(lambda _: f"engine --config {quoted(file)} ", text)


def to_show(text: str) -> str:
    """The same lines for a terminal: what strangers wrote in them moves no cursor and turns no writing around."""
    return "\n".join(printable(line) for line in text.split("\n"))


def quoted(path: Path | str) -> str:
    """One word of a command."""
    return shlex.quote(str(path))


def flags(**given: object) -> str:
    """Those flags that were given, by their names and each with a space before it, for a command that goes on."""
    words: list[str] = []
    for name, value in given.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif isinstance(value, Iterable) and not isinstance(value, str):
            words += [word for each in value for word in (flag, str(each))]
        elif value is not None and value is not False:
            words += [flag, str(value)]
    return "".join(f" {quoted(word)}" for word in words)

"""What a person is shown: safe for a terminal, with commands that can be typed as they are."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from pathlib import Path

from engine.model.command import Advice, in_words, quoted
from engine.model.text import printable

_settings_file: ContextVar[Path | None] = ContextVar("settings_file", default=None)


def name_in_commands(settings_file: Path | None) -> None:
    """The settings file that every shown command names from now on; None: commands find their settings without."""
    _settings_file.set(settings_file)


def named_settings() -> Path | None:
    """The settings file that shown commands name; None: they need not name it."""
    return _settings_file.get()


def to_type(advice: Advice) -> str:
    """The text of it, with commands as they are to be typed."""
    return in_words(advice, _settings_file.get())


def to_show(text: str) -> str:
    """The same lines for a terminal, without control characters and marks that change the direction of writing."""
    return "\n".join(printable(line) for line in text.split("\n"))


def as_flags(**given: object) -> str:
    """The flags that were given, each with a space before it, to be put behind a command."""
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

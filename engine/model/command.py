"""Commands to type next. Errors and reports carry them as values, and whatever shows them adds the settings file.

Without that file, as in a log, a lock or the tracking DB, a command starts with ``engine`` alone.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Command:
    """``words`` follow the name of the program, quoted for a shell: ``Command("run backup --full")``."""

    words: str

    def __str__(self) -> str:
        return f"engine {self.words}"

    @classmethod
    def noted(cls, text: str) -> Command:
        """The command that was noted as this text."""
        return cls(text.removeprefix("engine "))

    def with_settings(self, file: Path | None) -> str:
        """As a person types it. None: the settings are found without being named."""
        return str(self) if file is None else f"engine --config {quoted(file)} {self.words}"


Advice = str | Command | tuple["Advice", ...]
"""What to do next: a text, a command, or both in the order in which they are read."""


def in_words(advice: Advice, settings_file: Path | None = None) -> str:
    """The text of it; every command in it names the settings file, where there is one to name."""
    if isinstance(advice, tuple):
        return "".join(in_words(part, settings_file) for part in advice)
    return advice.with_settings(settings_file) if isinstance(advice, Command) else advice


def quoted(path: Path | str) -> str:
    """One word of a command."""
    return shlex.quote(str(path))

"""Commands to type next. Errors and reports carry them as values, and whatever shows them adds the settings file.

Without that file, as in a log, a lock or the tracking DB, a command starts with ``engine`` alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile
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
"""What to do next: a text, a command, or both in the order in which they are read. A command that begins it may be
followed by three spaces and what it does."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do next. ``command``: None where no command does it."""

    command: Command | None
    why: str
    """Commands in it name the settings file."""


def steps_in(advice: Advice, settings_file: Path | None = None) -> list[Step]:
    """One step for each command in it, and one for each line without a command."""
    found: list[Step] = []
    for line in _lines(advice):
        text = in_words(tuple(line), settings_file)
        commands = [part for part in line if isinstance(part, Command)]
        if commands and line[0] is commands[0]:
            behind = in_words(tuple(line[1:]), settings_file)
            found.append(Step(commands[0], behind.strip(" ,;:")))
        elif commands:
            before = text.removesuffix(commands[-1].with_settings(settings_file)).rstrip(" ,;:(").removesuffix(", then")
            found += [Step(each, before) for each in commands]
        elif text.strip():
            found.append(Step(None, text.strip()))
    return found


def _lines(advice: Advice) -> list[list[str | Command]]:
    """The parts of each line of it, without blanks before the first; lines of blanks alone are left out."""
    lines: list[list[str | Command]] = [[]]
    for part in _parts(advice):
        if isinstance(part, Command):
            lines[-1].append(part)
            continue
        first, *others = part.split("\n")
        lines[-1].append(first)
        lines += [[other] for other in others]
    begun = (dropwhile(lambda part: isinstance(part, str) and not part.strip(), line) for line in lines)
    return [line for line in map(list, begun) if line]


def _parts(advice: Advice) -> Iterator[str | Command]:
    if isinstance(advice, tuple):
        for each in advice:
            yield from _parts(each)
    else:
        yield advice


def in_words(advice: Advice, settings_file: Path | None = None) -> str:
    """The text of it; every command in it names the settings file, where there is one to name."""
    if isinstance(advice, tuple):
        return "".join(in_words(part, settings_file) for part in advice)
    return advice.with_settings(settings_file) if isinstance(advice, Command) else advice


def quoted(path: Path | str) -> str:
    """One word of a command."""
    return shlex.quote(str(path))

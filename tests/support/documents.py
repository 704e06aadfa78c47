"""The documents as tests read them: what stands in code, in tables and in links, and the commands that there are."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any

from typer.core import TyperGroup
from typer.main import get_command

from cli import app

ROOT = Path(__file__).parents[2]
TODAY = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks/README.md", *sorted(ROOT.glob("docs/*.md"))]
ALL = [*TODAY, ROOT / "CHANGELOG.md"]
TEXTS = {str(path.relative_to(ROOT)): path.read_text() for path in ALL}
NOW = {name: TEXTS[name] for name in TEXTS if name != "CHANGELOG.md"}


def code(text: str) -> Iterator[str]:
    """What stands between backticks, and the lines of console blocks without their comments."""
    blocks = re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    for line in "".join(blocks).replace("\\\n", " ").splitlines():
        yield line.removeprefix("$ ").split("  #")[0].strip()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


def named(texts: dict[str, str], pattern: str) -> list[tuple[str, str]]:
    """(document, name) wherever code in a document is, or holds, that pattern."""
    return [
        (name, found) for name, text in texts.items() for piece in code(text) for found in re.findall(pattern, piece)
    ]


def first_cells(document: str, heading: str) -> list[str]:
    """The words between backticks, or the numbers, in the first column of the table below that heading."""
    rows = re.search(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", NOW[document], re.MULTILINE)
    assert rows is not None, f"{document} has no table headed {heading}"
    cells = [row.split("|")[1].strip() for row in rows[1].splitlines()]
    return [word.strip("` ") for cell in cells for word in cell.split(",")]


def every(group: Any, way: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """All commands by what is typed behind ``engine``."""
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from every(command, (*way, name))
        else:
            yield " ".join((*way, name)), command


GROUP: Any = get_command(app)
COMMANDS = dict(every(GROUP))
FLAGS = {
    flag
    for command in (GROUP, *COMMANDS.values())
    for parameter in command.params
    for flag in [*parameter.opts, *parameter.secondary_opts]
} | {"--help"}


def words_of(piece: str) -> list[str]:
    """What follows ``engine`` in a line, up to a pipe or the next command; nothing where the line is no command."""
    try:
        words = shlex.split(re.split(r"\s(?:\||>|>>|&&|;)\s", piece)[0], comments=True)
    except ValueError:
        return []
    while words and (words[0] == "sudo" or words[0].startswith("-") or re.match(r"[A-Z_]+=", words[0])):
        words = words[2:] if words[0] in {"-u", "-iu"} else words[1:]
    return words[1:] if words and PurePath(words[0]).name == "engine" else []


LINES = sorted(
    (name, piece)
    for name, text in NOW.items()
    for piece in set(code(text))
    if words_of(piece) and " ".join(words_of(piece)) not in COMMANDS  # the name of a command, without its flags
)
"""(document, line) of all command lines with flags or arguments."""

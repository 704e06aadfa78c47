"""``engine --man``: the manual page, made from what ``--help`` shows, so the two cannot differ."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

FILES = (
    ("./settings.yaml", "the settings, unless --config or ENGINE_CONFIG names another file"),
    ("migration_tracking.db", ("the tracking DB, where tracking.database says; its lock, journal key, plans and "
     "rollback files lie beside it")),
    ("logs/", "log and crash files, where logging.directory says"),
)  # fmt: skip
VARIABLES = (
    ("ENGINE_CONFIG", "the settings file"),
    ("ENGINE_SECTION__KEY", "a setting, such as ENGINE_SALESFORCE__CLIENT_SECRET; it beats the file"),
    ("NO_COLOR", "no colours"),
)


def manual(program: Any, version: str) -> str:
    """The page in roff, for ``man``."""
    return "\n".join(_page(program, version)) + "\n"


def _page(program: Any, version: str) -> Iterator[str]:
    yield f'.TH ENGINE 1 "" "engine {version}" "User Commands"'
    yield from (".SH NAME", rf"engine \- {_text(program.help)}")
    yield from (".SH SYNOPSIS", r".B engine", r"[\fIOPTIONS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]")
    yield ".SH OPTIONS"
    yield from _parameters(program, "engine")
    yield ".SH COMMANDS"
    yield from _commands(program, "engine")
    yield ".SH EXIT STATUS"
    for code, meaning in re.findall(r"([\d, ]+) ([^;:.]+)", program.epilog.replace("\n", " ")):
        yield from _item(code.strip(), meaning)
    for heading, entries in (("FILES", FILES), ("ENVIRONMENT", VARIABLES)):
        yield f".SH {heading}"
        for name, meaning in entries:
            yield from _item(name, meaning)


def _commands(group: Any, way: str) -> Iterator[str]:
    context = group.context_class(group, info_name=way)
    for name in group.list_commands(context):
        command, typed = group.commands[name], f"{way} {name}"
        if hasattr(command, "commands"):
            yield from _commands(command, typed)
            continue
        pieces = command.collect_usage_pieces(command.context_class(command, info_name=typed))
        yield f".SS {_text(' '.join([typed, *pieces]))}"
        yield from _paragraphs(command.help or "")
        yield from _parameters(command, typed)


def _paragraphs(help_text: str) -> Iterator[str]:
    """An example, which is indented, keeps its line."""
    for number, part in enumerate(re.split(r"\n\s*\n", help_text.strip())):
        words = _text(" ".join(part.split()))
        if part.startswith("  "):
            yield from (".RS", f".B {words}", ".RE")
        else:
            yield from [".PP"] * (number > 0)
            yield words


def _parameters(command: Any, way: str) -> Iterator[str]:
    context = command.context_class(command, info_name=way)
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and (parameter.name != "help" or " " not in way):  # --help is told once
            yield from _item(*record)


def _item(name: str, meaning: str) -> Iterator[str]:
    yield from (".TP", f".B {_text(name)}", _text(" ".join(meaning.split())))


def _text(text: str) -> str:
    """Text in which nothing is a request or an escape of roff."""
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped

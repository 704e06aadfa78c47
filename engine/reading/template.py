"""The commented ``settings.yaml``, written from the model: descriptions are its comments, so neither can go stale."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from engine.reading.keys import Key, Way, known_keys
from engine.settings import ResolverSettings, Settings

COLUMN = 42
WIDTH = 118

HEADER = """\
# Settings of engine. Every key is here with its default; where a comment says "example", put your own value.
#
# A flag beats the environment (ENGINE_MIGRATION__CONCURRENCY=50), which beats this file. A key that does not exist
# is an error that names the nearest one that does. Relative paths start at this file's folder.
#
# Secrets are better kept elsewhere: in the environment, or each in a file of its own (client_secret_file: PATH in
# place of client_secret), mode 0600. AWS keys can come from a profile or the AWS default chain. A secret written here
# is refused unless this file is mode 0600.
"""


def settings_text(answers: Mapping[Way, Any] | None = None) -> str:
    """The text of ``settings.yaml``: valid YAML that loads as it stands. ``answers`` stand in it instead of examples
    and defaults."""
    known, answers = known_keys(), answers or {}
    lines = [HEADER.rstrip()]
    for name, field in Settings.model_fields.items():
        lines.append("")
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            lines += [
                f"# {(section.__doc__ or '').splitlines()[0]}",
                f"{name}:",
                *_section(section, (name,), known, answers),
            ]
        else:
            lines += _setting(field, (name,), known, answers)
    return "\n".join(lines) + "\n"


def _section(section: type[BaseModel], way: Way, known: dict[Way, Key], answers: Mapping[Way, Any]) -> Iterator[str]:
    own = section.__annotations__  # these before the inherited ones
    for name, field in sorted(section.model_fields.items(), key=lambda item: item[0] not in own):
        here = (*way, name)
        yield from _setting(field, here, known, answers)
        if known[here].is_section:
            yield f"  # {name}:"
            yield from (f"  # {line[2:]}" for line in _section(ResolverSettings, here, known, {}))


def _setting(field: FieldInfo, way: Way, known: dict[Way, Key], answers: Mapping[Way, Any]) -> Iterator[str]:
    """One setting with its comment beside it, going on below where it is long, or above a value that is."""
    key = known[way]
    default = field.examples[0] if field.examples else field.get_default(call_default_factory=True)
    value = answers.get(way, default)
    indent = "  " * (len(way) - 1)
    start = f"{indent}{way[-1]}: {_yaml(value)}"
    above = len(start) > COLUMN - 2
    width = WIDTH - (len(indent) if above else COLUMN) - 2
    comment = textwrap.wrap("; ".join(_comments(field, key, answered=way in answers)), width)
    if above or not comment:
        yield from (f"{indent}# {line}" for line in comment)
        yield start
        return
    yield f"{start:{COLUMN}}# {comment[0]}"
    yield from (f"{'':{COLUMN}}# {line}" for line in comment[1:])


def _comments(field: FieldInfo, key: Key, *, answered: bool) -> Iterator[str]:
    if field.description:
        yield field.description
    if SecretStr in key.wants:
        yield f"secret: {key.variable}, or {key.way[-1]}_file"
    if answered:
        return
    if field.examples and field.is_required():
        yield "example; must be given"
    elif field.examples:
        yield f"example; default {_yaml(field.get_default(call_default_factory=True))}"


def _yaml(value: Any) -> str:
    """A value on one line, in quotes only where YAML would read it as something else."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    if isinstance(value, str | Path):
        text = str(value)
        try:
            plain = yaml.safe_load(f"[{text}]") == [text]
        except yaml.YAMLError:
            plain = False
        return text if plain else json.dumps(text)
    return json.dumps(value)

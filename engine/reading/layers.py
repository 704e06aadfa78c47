"""Environment and flags as given values, and how all layers are merged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.model.text import json_in
from engine.reading.findings import Findings, Given, Unusable
from engine.reading.keys import ENVIRONMENT, REMOVED, Key, Way, nearest

RESERVED = {"ENGINE_CONFIG"}
"""Variables that stand for flags of the command line, not for settings."""

ALONE: Way = ("network", "loopback_only")
"""Where this is set in the file, the environment is not read."""

_FLAGS: dict[Way, str] = {
    ("migration", "allowed_extensions"): "--extension",
    ("migration", "test_account_id"): "--account",
    ("executor", "kind"): "--executor",
    ("executor", "address"): "--executor",
    ("executor", "workers"): "--executor",
}
"""Flags whose name differs from their setting's."""


def read_environment(environ: Mapping[str, str], known: dict[Way, Key], findings: Findings) -> list[Given]:
    """The values of the ``ENGINE_…`` variables. Problems go to ``findings``; nothing is raised."""
    variables = {key.variable: key for key in known.values()}
    given: list[Given] = []
    for name in sorted(environ):
        text = environ[name].strip()
        if not name.startswith(ENVIRONMENT) or name in RESERVED or not text:
            continue
        key = variables.get(name.upper())
        way = tuple(name.removeprefix(ENVIRONMENT).lower().split("__"))
        if way in REMOVED:
            findings.add(name, f"was removed: {REMOVED[way]}; unset it")
        elif key is None:
            findings.add(name, f"not a setting; the nearest is {nearest(way, known).variable}")
        elif key.is_section and not (key.nullable and text == "null"):
            below = next(k for k in known.values() if k.way[:-1] == key.way)
            findings.add(name, f"{key.dotted} is a section; set the keys in it, such as {below.variable}", key.way)
        else:
            try:
                given.append(Given(key.way, _value(key, text), name))
            except Unusable as unusable:
                findings.add(name, f"{key.dotted} {unusable}", key.way)
    return given


def _value(key: Key, text: str) -> Any:
    if key.nullable and not key.is_secret and text == "null":
        return None
    if key.is_mapping or (key.is_list and text.startswith("[")):
        try:
            return json_in(text)
        except ValueError as error:
            raise Unusable(f"is not JSON: {error}") from error
    if key.is_list:
        items = [item.strip() for item in text.split(",")]
        return [int(item) if int in key.items and item.isdecimal() else item for item in items if item]
    return text


def read_flags(overrides: Mapping[str, Any], known: dict[Way, Key], findings: Findings) -> list[Given]:
    """The values of the flags; None is a flag that was not given. Problems go to ``findings``; nothing is raised."""
    given: list[Given] = []
    for dotted, value in overrides.items():
        way = tuple(dotted.split("."))
        flag = _FLAGS.get(way, "--" + way[-1].replace("_", "-"))
        key = known.get(way)
        if value is None:
            continue
        if key is None:
            findings.add(flag, f"{dotted} is not a setting; the nearest is {nearest(way, known).dotted}")
        elif key.is_secret:
            text = f"{dotted} is a secret, and every user sees the flags of a process; use {key.variable}"
            findings.add(flag, text, way)
        else:
            given.append(Given(way, list(value) if key.is_list and isinstance(value, tuple) else value, flag))
    return given


def merged(layers: Iterable[Iterable[Given]]) -> dict[Way, Given]:
    """One value per setting: a later layer wins. A section set to null loses the keys that earlier layers set in it."""
    result: dict[Way, Given] = {}
    for layer in layers:
        for given in layer:
            above = [given.way[:depth] for depth in range(1, len(given.way))]
            below = [way for way in result if way[: len(given.way)] == given.way]
            for way in (*above, *below):
                result.pop(way, None)
            result[given.way] = given
    return result

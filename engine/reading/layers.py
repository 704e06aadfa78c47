"""The environment and the flags as given values, and all layers laid over one another."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from engine.model.text import json_in
from engine.reading.findings import Findings, Given
from engine.reading.keys import ENVIRONMENT, REMOVED, Key, Way, nearest

RESERVED = {"ENGINE_CONFIG"}
"""Variables that are flags of the command line and no settings."""

ALONE: Way = ("network", "loopback_only")
"""A settings file with this one set speaks alone."""

_FLAGS: dict[Way, str] = {
    ("migration", "allowed_extensions"): "--extension",
    ("migration", "test_account_id"): "--account",
}
"""Flags that are not called as their setting is."""


class _Unreadable(Exception):
    """A variable whose text cannot be what its setting wants."""


def read_environment(environ: Mapping[str, str], known: dict[Way, Key], findings: Findings) -> list[Given]:
    """What the ``ENGINE_…`` variables say. Problems go to ``findings``; nothing is raised."""
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
            except _Unreadable as unreadable:
                findings.add(name, f"{key.dotted} {unreadable}", key.way)
    return given


def _value(key: Key, text: str) -> Any:
    if key.nullable and not key.is_secret and text == "null":
        return None
    if key.is_mapping or (key.is_list and text.startswith("[")):
        try:
            return json_in(text)
        except ValueError as error:
            raise _Unreadable(f"is not JSON: {error}") from error
    if key.is_list:
        items = [item.strip() for item in text.split(",")]
        return [int(item) if int in key.items and item.isdecimal() else item for item in items if item]
    return text


def read_flags(overrides: Mapping[str, Any], known: dict[Way, Key], findings: Findings) -> list[Given]:
    """What the flags say; None is a flag that was not given. Problems go to ``findings``; nothing is raised."""
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
    """One value per setting: a later layer wins. A section set to null loses what earlier layers said below it."""
    result: dict[Way, Given] = {}
    for layer in layers:
        for given in layer:
            above = [given.way[:depth] for depth in range(1, len(given.way))]
            below = [way for way in result if way[: len(given.way)] == given.way]
            for way in (*above, *below):
                result.pop(way, None)
            result[given.way] = given
    return result

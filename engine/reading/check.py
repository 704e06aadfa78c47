"""The merged values are checked by the model; pydantic's errors are translated into the words of a settings file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from engine.reading.findings import Findings, Given, is_private, shown
from engine.reading.keys import Key, Way
from engine.settings import Settings
from engine.settings.section import HOME


def checked(
    given: dict[Way, Given], known: dict[Way, Key], findings: Findings, home: Path, *, written_in: str
) -> Settings:
    """The settings. Raises Usage with every problem found before and here.

    Relative paths start at ``home``; ``written_in`` is the file where a missing setting belongs.
    """
    suspects = set(findings.blamed)
    tree = _tree(item for item in given.values() if item.way not in suspects)
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(tree, context={HOME: home})
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False)
        for error in [*errors, *_about_the_whole(tree, errors)]:
            for way, text in _faults(error, given, known, findings, suspects):
                origin = given[way].origin if way in given else written_in
                findings.add(origin, f"{known[way].dotted} {text}", way)
    findings.raise_any()
    if settings is None:  # pydantic objects, but no finding says why
        findings.add(written_in, "holds settings that do not go together")
        findings.raise_any()
    assert settings is not None
    return settings


def _tree(given: Iterator[Given]) -> dict[str, Any]:
    tree: dict[str, Any] = {"destination": {}, "tracking": {}, "logging": {}}  # default paths start at home too
    for item in given:
        section = tree
        for name in item.way[:-1]:
            section = section.setdefault(name, {})
        section[item.way[-1]] = item.value
    return tree


def _about_the_whole(tree: dict[str, Any], errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """What is wrong between sections: pydantic does not check that while a section is wrong."""
    wrong = {error["loc"][0] for error in errors if error["loc"]}
    if not wrong or wrong & {"source", "destination"}:
        return []
    try:
        Settings.model_validate({name: value for name, value in tree.items() if name not in wrong})
    except ValidationError as invalid:
        return invalid.errors(include_url=False)
    return []


def _faults(
    error: ErrorDetails, given: dict[Way, Given], known: dict[Way, Key], findings: Findings, suspects: set[Way]
) -> Iterator[tuple[Way, str]]:
    """The settings that an error of pydantic is about, and what to say about each."""
    names = tuple(str(step) for step in error["loc"])
    if error["type"] == "conflicts":
        if any(way[: len(names)] == names for way in suspects):
            return  # they may agree once the others are corrected
        for key, fault in error["ctx"]["found"]:
            yield (*names, *key.split(".")), fault
        return
    way = next(names[:depth] for depth in range(len(names), -1, -1) if names[:depth] in known)
    if error["type"] == "missing":
        if way not in findings.blamed and not findings.file_is_lost:
            yield way, f"is missing; write it there, or set {known[way].variable}"
    elif way not in findings.blamed or way not in given:
        value = given[way].value if way in given else None
        if isinstance(value, list) and len(error["loc"]) > len(way) and isinstance(error["loc"][len(way)], int):
            value = value[int(error["loc"][len(way)])]
        private = is_private(known[way], value) or known[way].is_secret
        yield way, f"{'' if private else f'is {shown(value)}; it '}{_words(error)}"


def _words(error: ErrorDetails) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "literal_error":
            return f"must be {context['expected']}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}"
        case "less_than_equal":
            return f"must be at most {context['le']}"
        case "greater_than":
            return f"must be more than {context['gt']}"
        case "int_parsing" | "int_type" | "int_from_float" | "int_parsing_size":
            return "must be a whole number"
        case "float_parsing" | "float_type" | "finite_number":
            return "must be a number"
        case "bool_parsing" | "bool_type":
            return "must be true or false"
        case "string_type" | "path_type":
            return "must be text"
        case "string_too_short":
            return "must not be empty"
        case "value_error":
            return str(context["error"])
        case _:
            return "is refused: " + error["msg"]

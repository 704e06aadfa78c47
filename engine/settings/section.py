"""What every section of the settings is made of: a strict model, and the checks of single settings.

Each message says what is expected, without the value: the loader shows the value, and knows when it must not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from engine.model.text import bare_urls

HOME = "home"
"""Under this name the context of a validation holds the folder at which relative paths start."""


def matching(pattern: str, expected: str) -> AfterValidator:
    """A validator that wants the whole text to match ``pattern`` and otherwise says it must be ``expected``."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            msg = f"must be {expected}"
            raise ValueError(msg)
        return value

    return AfterValidator(check)


def template_fault(template: str, *, known: set[str], needed: str, why: str) -> str | None:
    """What is wrong with a ``{name}`` template: an unknown name, or the one it cannot do without."""
    names = set(re.findall(r"\{([^{}]*)\}", template))
    if unknown := names - known:
        return f"names {{{min(unknown)}}}; known: {', '.join(sorted(known))}"
    if needed not in names:
        return f"must contain {{{needed}}}{why}"
    return None


def _at_home(path: Path, known: ValidationInfo) -> Path:
    home: Path = (known.context or {}).get(HOME, Path())
    try:
        return home / path.expanduser()
    except RuntimeError as error:
        msg = "starts with ~, and there is no such home directory; write the whole path"
        raise ValueError(msg) from error


AT_HOME = AfterValidator(_at_home)
"""``~`` in a path is the home directory; a relative one starts at HOME of the validation's context."""


def _masked(value: str | None) -> str | None:
    return None if value is None else bare_urls(value)


MASKED = PlainSerializer(_masked)
"""Marks a URL that may carry credentials: reprs, dumps and snapshots show it without user name, password and query."""


_NAME = r"[A-Za-z][A-Za-z0-9_]{0,79}"

Identifier = Annotated[str, matching(_NAME, "one API name, such as Document__c")]
FieldPath = Annotated[str, matching(rf"{_NAME}(\.{_NAME}){{0,5}}", "API names joined by dots, such as Account__r.Name")]
Bucket = Annotated[
    str,
    matching(r"[A-Za-z0-9][A-Za-z0-9._-]{2,254}", "a bucket's name alone, of 3 to 255 letters, digits, dots, dashes"),
]
Origin = Annotated[
    str,
    matching(
        r"(https?://)?([A-Za-z0-9.\-]+|\[[0-9a-fA-F:]+\])(:\d{1,5})?", "a host, host:port or https://host:port, no more"
    ),
]
File = Annotated[Path, AT_HOME]
Filled = Annotated[str, Field(min_length=1)]
Share = Annotated[float, Field(ge=0, le=1)]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
Duration = Annotated[str, matching(f"(?:{_PART})+", "a duration with its unit, such as 90s, 10m or 1h30m")]


def seconds(duration: str) -> float:
    """Of a Duration."""
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(_PART, duration))


Insecure = Annotated[bool, Field(description="allow plain http to a host that is not this machine")]


class Section(BaseModel):
    """A strict, frozen group of settings. Where one is made of several, the keys of the last base come first."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, str_strip_whitespace=True, allow_inf_nan=False
    )

    def conflicts(self) -> Iterator[tuple[str, str]]:
        """Settings that do not go together: the key to blame within this section, and what is wrong with it."""
        return iter(())

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if found := list(self.conflicts()):
            text = "; ".join(f"{key} {fault}" for key, fault in found)
            raise PydanticCustomError("conflicts", "{text}", {"text": text, "found": found})
        return self

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            masked = name is not None and MASKED in type(self).model_fields[name].metadata
            yield name, bare_urls(value) if masked and isinstance(value, str) else value

"""The one place through which every answer of a command goes: as a JSON document, or as lines for a person.

What to type next is added here in both forms, from the same values.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.model.command import Advice, Step, steps_in
from engine.runs.shared.command import named_settings, to_type

SCHEMA = 1
"""The version of all documents. Within a version keys are added, and none changes its meaning."""
_UNSAFE = re.compile(r"[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""C1 controls, direction marks, line separators and lone surrogates, which JSON does not escape by itself."""


class Answer(Protocol):
    """What a command has found or done."""

    @property
    def exit_code(self) -> int: ...

    @property
    def next_steps(self) -> Sequence[Advice]:
        """What fits what has just happened, the most urgent first."""

    def as_json(self) -> Mapping[str, Any]:
        """What it has found, without the keys that all documents have."""


@dataclass(frozen=True, slots=True)
class Found:
    """An answer that is a plain document."""

    document: Mapping[str, Any]
    next_steps: Sequence[Advice] = ()
    exit_code: int = 0

    def as_json(self) -> Mapping[str, Any]:
        return self.document


def answered(found: Answer) -> dict[str, Any]:
    """The whole document of an answer."""
    named, steps = named_settings(), found.next_steps
    return {
        "schema": SCHEMA,
        **found.as_json(),
        "exit_code": found.exit_code,
        "next": _as_json(step for advice in steps for step in steps_in(advice, named)),
        "next_lines": [to_type(advice) for advice in steps],
    }


def next_lines(found: Answer) -> list[str]:
    """The same steps for a person."""
    return [f"  next: {to_type(advice)}" for advice in found.next_steps]


def failed(error: str, hint: Advice, exit_code: int) -> dict[str, Any]:
    """The whole document of a command that could not do what it was asked for."""
    steps = steps_in(hint, named_settings())
    return {
        "schema": SCHEMA,
        "error": error,
        "hint": to_type(hint),
        "exit_code": exit_code,
        "next": _as_json(step for step in steps if step.command is not None),
    }


def _as_json(steps: Iterable[Step]) -> list[dict[str, Any]]:
    return [{"command": step.command and to_type(step.command), "why": step.why} for step in steps]


def document_text(document: Any) -> str:
    """One JSON document, indented, with its newline; control characters, and what UTF-8 cannot hold, are escaped."""
    text = json.dumps(document, ensure_ascii=False, indent=2)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n"


def print_document(document: Any) -> None:
    """The same on stdout."""
    sys.stdout.write(document_text(document))
    sys.stdout.flush()  # a reader that has gone, or a full disk, is noticed here and not at exit

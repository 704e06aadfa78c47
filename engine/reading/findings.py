"""What is wrong with the settings. All problems are collected first, so that one message names them all."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from engine.model.command import Advice
from engine.model.errors import Usage
from engine.model.text import bare_urls, beginning, printable
from engine.reading.keys import Key, Way

SHOWN = 80
"""Characters of a value that a message shows at most."""


class Unusable(Exception):
    """A value that cannot be what its setting wants. The message says why, and what to write."""


@dataclass(frozen=True, slots=True)
class Given:
    """One value, and where it was written: ``settings.yaml:12``, an environment variable, or a flag."""

    way: Way
    value: Any
    origin: str


class Findings:
    """The problems found so far, and the settings that they are about."""

    def __init__(self) -> None:
        self._found: list[tuple[str, str]] = []
        self.blamed: set[Way] = set()
        self.hint: Advice = ""
        self.file_is_lost = False  # nothing could be read: what seems to be missing may be in it

    def __len__(self) -> int:
        return len(self._found)

    def add(self, origin: str, text: str, way: Way | None = None) -> None:
        """Add a problem: where it was written, what it is, and the setting that it is about."""
        if (origin, text) not in self._found:
            self._found.append((origin, text))
        if way is not None:
            self.blamed.add(way)

    def raise_any(self) -> None:
        """Raises Usage with each problem on a line of its own, if there is any."""
        lines = [f"{origin}: {text}" for origin, text in sorted(self._found, key=_by_line)]
        if len(lines) == 1:
            raise Usage(lines[0], hint=self.hint)
        if lines:
            listed = "\n".join(f"  {line}" for line in lines)
            raise Usage(f"{len(lines)} problems with the settings:\n{listed}", hint=self.hint)


def _by_line(problem: tuple[str, str]) -> tuple[bool, int]:
    line = re.search(r":(\d+)(:\d+)?$", problem[0])
    return line is None, int(line[1]) if line else 0


def shown(value: Any) -> str:
    """A value as a message may show it: on one line, cut short, URLs without credentials and query."""
    text = printable(bare_urls(beginning(str(value), 8 * SHOWN)))
    text = f"'{text}'" if isinstance(value, str) else text
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def is_private(key: Key, value: Any) -> bool:
    """Whether a value must be treated like a password: a secret, or a URL that holds a user name or a password."""
    return key.is_secret or (key.way == ("network", "proxy") and isinstance(value, str) and "@" in value)

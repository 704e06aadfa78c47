"""Child processes: their command, and their environment: what they need to run and to be read, but no settings and no
keys."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping

_PLAIN = {
    "PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "TEMP", "TMP", "TZ",
    "LANG", "LANGUAGE", "TERM", "COLORTERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR",
}  # fmt: skip


def plain(around: Mapping[str, str], names: Collection[str] = (), prefixes: tuple[str, ...] = ()) -> dict[str, str]:
    """The variables of ``around`` that any program needs, and those with these names or prefixes."""
    wanted, starts = _PLAIN.union(names), ("LC_", *prefixes)
    return {name: text for name, text in around.items() if name in wanted or name.startswith(starts)}


def command(module: str, *words: str) -> list[str]:
    """One of our modules under this interpreter. Nothing is imported from the working directory."""
    return [sys.executable, "-P", "-m", module, *words]

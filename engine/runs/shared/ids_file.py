"""Record Ids from a file that a person made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from engine.model.errors import Usage
from engine.model.ids import to18

_HEADINGS = {"id", "record_id", "doclist_entry_id"}


def read_ids(path: Path, flag: str) -> Iterator[str]:
    """Ids of 18 characters: the first word, or first cell, of each line. Headings, empty lines and ``#`` comments are
    left out. Raises Usage, which names the ``flag``."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Usage(
            f"{flag} {path} cannot be read: {why}", hint="Nothing was written. Write one Id per line."
        ) from error
    for number, line in enumerate(lines, start=1):
        word = next(iter(line.replace(",", " ").replace('"', " ").replace("'", " ").split()), "")
        if not word or word.startswith("#") or word.lower() in _HEADINGS:
            continue
        try:
            yield to18(word)
        except ValueError as error:
            raise Usage(f"{flag} {path}, line {number}: {error}") from error

"""CSV as Bulk API 2.0 takes and gives it: commas, LF, quotes doubled, UTF-8; an empty cell leaves a field as it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

NULL = "#N/A"
"""The cell that empties a field."""


def fits(link: str) -> bool:
    """Whether a link survives the way through CSV byte for byte.

    Not so text that reads as "empty this field", a carriage return, which a parser of lines may take for its own, other
    control characters, and lone surrogates, which no UTF-8 holds.
    """
    if link == NULL or any(char < " " and char not in "\n\t" for char in link):
        return False
    try:
        link.encode()
    except UnicodeEncodeError:
        return False
    return True


def written(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    """A header and rows, every cell in quotes; an empty cell empties its field."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerow(header)
    writer.writerows([cell or NULL for cell in row] for row in rows)
    return text.getvalue().encode()


def read(text: str) -> list[dict[str, str]]:
    """Rows by column. A row of another length than the header is left out. Raises ValueError where it is no CSV."""
    try:
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    except (csv.Error, ValueError) as error:
        raise ValueError(f"not CSV: {error}") from error
    return [dict(zip(header, row, strict=True)) for row in rows if len(row) == len(header)]

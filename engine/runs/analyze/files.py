"""The files that an analysis writes: its whole report, and the list of archived objects for the vendor."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from engine.model.text import csv_safe
from engine.runs.shared.exports import replacing
from engine.tracking.db.files import unwritable

FIELDS = ("bucket", "key", "version_id", "bytes", "storage_class", "records", "example_record")


def as_csv(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """The lines of a CSV file for a spreadsheet; no cell becomes a formula."""

    class Line(list[str]):
        def write(self, text: str) -> None:
            self.append(text)

    lines = Line()
    writer = csv.DictWriter(lines, FIELDS)
    writer.writeheader()
    for row in rows:
        writer.writerow({name: csv_safe(value) if isinstance(value, str) else value for name, value in row.items()})
        yield from lines
        lines.clear()
    yield from lines


def write(path: Path, texts: Iterable[str]) -> None:
    """Write a file of mode 0600, all of it or none; see ``replacing``. Raises Blocked."""
    try:
        with replacing(path) as out:
            out.writelines(texts)
    except OSError as error:
        raise unwritable(path, error) from error

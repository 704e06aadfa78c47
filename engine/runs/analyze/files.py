"""The files that an analysis writes: its whole report, and the list of archived objects for the vendor."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from engine.model.text import csv_safe
from engine.runs.shared.exports import saving

FIELDS = ("bucket", "key", "version_id", "bytes", "storage_class", "records", "example_record")


def write_text(path: Path, text: str) -> None:
    """Raises Blocked."""
    with saving(path) as file:
        file.write(text)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """CSV in which no cell becomes a formula, where the name ends so; else NDJSON. Raises Blocked."""
    with saving(path) as file:
        if path.suffix.lower() != ".csv":
            file.writelines(json.dumps(row) + "\n" for row in rows)
            return
        out = csv.DictWriter(file, FIELDS)
        out.writeheader()
        for row in rows:
            out.writerow({name: csv_safe(value) if isinstance(value, str) else value for name, value in row.items()})

"""``engine export``: tables of the tracking DB as CSV, NDJSON, Parquet, or a list for ``rclone copyurl --urls``."""

from __future__ import annotations

import csv
import hashlib
import importlib
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal, get_args

from engine.model.errors import Blocked, Usage
from engine.model.text import bare_urls, csv_safe
from engine.runs.shared.exports import replaced, saving
from engine.settings import Settings
from engine.tracking.db.connect import one_moment
from engine.tracking.db.files import unwritable
from engine.tracking.read.exports import TABLES, Cell, Table, sample_links

Format = Literal["csv", "ndjson", "parquet", "rclone-urls"]
Row = tuple[Cell, ...]
_BATCH = 50_000
_ENDINGS: dict[str, Format] = {".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Export:
    """What is wanted. ``form`` None: as the file's name ends."""

    what: str
    file: Path
    form: Format | None = None
    redact: bool = False


def export(settings: Settings, wanted: Export) -> dict[str, Any]:
    """Write the file. Raises Usage, Blocked, Fatal."""
    table, form = TABLES.get(wanted.what), wanted.form or _form_of(wanted.file)
    if table is None:
        raise Usage(f"there is no table {wanted.what!r}", hint=f"choose one of {', '.join(TABLES)}")
    if form == "rclone-urls" and not {"original_url", "your_s3_key"} <= set(table.columns):
        raise Usage(f"{wanted.what} has no files to fetch", hint="rclone-urls goes with plan and inventory")
    if form == "rclone-urls" and wanted.redact:
        raise Usage("--redact would leave nothing that rclone could fetch")
    proofs = settings.switch.accept_proof
    with one_moment(settings.tracking.database) as db:
        rows = _shown(table, table.rows(db, proofs), redact=wanted.redact, exact=form == "rclone-urls")
        count = _WRITERS[form](wanted.file, table, rows)
        samples = sample_links(db, proofs) if wanted.what == "plan" and not wanted.redact else []
    return {"table": wanted.what, "format": form, "file": str(wanted.file), "rows": count, "sample_links": samples}


def _form_of(file: Path) -> Format:
    form = _ENDINGS.get(file.suffix.lower())
    if form is None:
        raise Usage(f"{file} does not say which format it is to have", hint=f"--format {'|'.join(get_args(Format))}")
    return form


def _shown(table: Table, rows: Iterable[Row], *, redact: bool, exact: bool) -> Iterator[Row]:
    """No signature of a presigned link leaves the DB, but for who fetches by it; redacted: no name and no path."""
    links = [place for place, name in enumerate(table.columns) if name in table.links]
    hidden = [place for place, name in enumerate(table.columns) if name in table.links | table.names]
    salt = secrets.token_bytes(16)  # the same name looks the same in one file, and in no other
    change: Callable[[str], str] = (lambda text: _hidden(text, salt)) if redact else bare_urls
    places = [] if exact else hidden if redact else links
    for row in rows:
        cells = list(row)
        for place in places:
            if isinstance(text := cells[place], str) and text:
                cells[place] = change(text)
        yield tuple(cells)


def _hidden(text: str, salt: bytes) -> str:
    return f"hidden-{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), key=salt, digest_size=8).hexdigest()}"


def _csv(file: Path, table: Table, rows: Iterator[Row]) -> int:
    count = 0
    with saving(file) as out:
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(table.columns)
        for count, row in enumerate(rows, start=1):  # noqa: B007
            writer.writerow([csv_safe(cell) if isinstance(cell, str) else cell for cell in row])
    return count


def _ndjson(file: Path, table: Table, rows: Iterator[Row]) -> int:
    count = 0
    with saving(file) as out:
        for count, row in enumerate(rows, start=1):  # noqa: B007
            out.write(json.dumps(dict(zip(table.columns, row, strict=True)), ensure_ascii=True) + "\n")
    return count


def _rclone_urls(file: Path, table: Table, rows: Iterator[Row]) -> int:
    """Lines of ``url,path``, as rclone reads them."""
    url, key = table.columns.index("original_url"), table.columns.index("your_s3_key")
    count = 0
    with saving(file) as out:
        writer = csv.writer(out, lineterminator="\n")
        for row in rows:
            if row[url] and row[key]:
                writer.writerow((row[url], row[key]))
                count += 1
    return count


def _parquet(file: Path, table: Table, rows: Iterator[Row]) -> int:
    try:
        arrow, parquet = importlib.import_module("pyarrow"), importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise Blocked("Parquet needs a package that is not installed", hint="pip install 'engine[parquet]'") from error
    schema = arrow.schema([(n, arrow.int64() if n in table.numbers else arrow.string()) for n in table.columns])
    count = 0
    try:
        with (
            replaced(file) as handle,
            os.fdopen(os.dup(handle), "wb") as place,
            parquet.ParquetWriter(place, schema, compression="zstd") as out,
        ):
            while batch := list(islice(rows, _BATCH)):
                pairs = zip(zip(*batch, strict=True), schema.types, strict=True)
                arrays = [arrow.array(_storable(column), type=kind) for column, kind in pairs]
                out.write_table(arrow.Table.from_arrays(arrays, schema=schema))
                count += len(batch)
    except OSError as error:
        raise unwritable(file, error) from error
    return count


def _storable(column: Iterable[Cell]) -> list[Cell]:
    """Parquet's text is UTF-8: a lone surrogate becomes ``?``."""
    return [
        each.encode("utf-8", "replace").decode() if isinstance(each, str) and not each.isascii() else each
        for each in column
    ]


_WRITERS: dict[Format, Callable[[Path, Table, Iterator[Row]], int]] = {
    "csv": _csv,
    "ndjson": _ndjson,
    "parquet": _parquet,
    "rclone-urls": _rclone_urls,
}

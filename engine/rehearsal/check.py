"""An independent look at the result: bucket against DB against what the generator expected, object by object.

It shares no code with the engine: SQLite by the standard library, the store by its side door.

    python -m engine.rehearsal.check DIRECTORY STORE_URL
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.rehearsal.generator import VENDOR_BUCKET

OUR_BUCKET = "our-documents"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Not through the proxy that is exported."""


@dataclass(slots=True)
class Findings:
    """What was compared, and what does not fit."""

    records: int = 0
    objects: int = 0
    states: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


def check(directory: Path, store_url: str, *, complete: bool = True) -> Findings:
    """Compare everything. ``complete``: each expected record must have reached its expected end."""
    findings = Findings()
    say = findings.problems.append
    held = {bucket: _dump(store_url, bucket) for bucket in (VENDOR_BUCKET, OUR_BUCKET)}
    expected = {row["id"]: row for row in _lines(directory / "expected.ndjson")}
    claimed: set[str] = set()
    for row in _rows(directory / "migration_tracking.db"):
        findings.records += 1
        findings.states[row["status"]] += 1
        name = row["doclist_entry_id"]
        want = expected.pop(name, None)
        if want is None:
            say(f"{name}: in the DB, but nobody made it")
            continue
        if row["status"] != want["status"] or row["failure_class"] != want["failure"]:
            say(f"{name}: {row['status']}/{row['failure_class']}, expected {want['status']}/{want['failure']}")
        if row["status"] in {"backed_up", "gone"} and row["proof"]:
            _compare(row, want, held, claimed, say)
    if complete:
        findings.problems += [f"{name}: never recorded" for name in expected]
    for key in sorted(set(held[OUR_BUCKET]) - claimed):
        if key.startswith(".engine/"):
            continue  # the journal's heads
        say(f"{key}: in our bucket, but no record claims it")
    uploads = json.loads(_get(f"{store_url}/__uploads__?bucket={OUR_BUCKET}"))
    findings.problems += [f"multipart upload left open: {upload}" for upload in uploads]
    findings.objects = len(claimed)
    return findings


def recorded(database: Path) -> int:
    """How many records the tracking DB holds by now; 0 while there is none."""
    if not database.exists():
        return 0
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            count: int = connection.execute("SELECT count(*) FROM file_migrations").fetchone()[0]
    except sqlite3.OperationalError:  # its tables are not made yet
        return 0
    return count


def expect_gone(directory: Path, ids: set[str]) -> None:
    """These records were deleted in Salesforce: rewrite what is expected of them. Their copies stay."""
    rows = list(_lines(directory / "expected.ndjson"))
    for row in rows:
        if row["id"] in ids:
            row["status"], row["failure"] = "gone", "deleted"
    (directory / "expected.ndjson").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def _compare(row: dict[str, Any], want: dict[str, Any], held: Any, claimed: set[str], say: Any) -> None:
    name, key = row["doclist_entry_id"], row["your_s3_key"]
    if key in claimed:
        say(f"{name}: shares the key {key} with another record")
    claimed.add(key)
    copy, source = held[OUR_BUCKET].get(key), held[VENDOR_BUCKET].get(want["source_key"])
    if copy is None or source is None:
        say(f"{name}: {'no object under ' + key if copy is None else 'its source is gone'}")
        return
    for what in ("size", "sha256", "content_type", "metadata", "headers"):
        if copy[what] != source[what]:
            say(f"{name}: {what} is {copy[what]!r} in the copy, {source[what]!r} at the source")
    if row["file_size_bytes"] != copy["size"] or row["destination_etag"] != copy["etag"]:
        say(f"{name}: the DB says {row['file_size_bytes']} bytes and ETag {row['destination_etag']}, the store differs")
    if row["file_hash"] and row["file_hash"] != copy["sha256"]:
        say(f"{name}: the DB's SHA-256 is not the copy's")


def _rows(database: Path) -> Iterator[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM file_migrations"):
            yield dict(row)


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as text:
        for line in text:
            yield json.loads(line)


def _dump(store_url: str, bucket: str) -> dict[str, dict[str, Any]]:
    found = (json.loads(line) for line in _get(f"{store_url}/__dump__?bucket={bucket}").splitlines())
    return {item["key"]: item for item in found}


def _get(url: str) -> bytes:
    with _DIRECT.open(url) as answer:
        body: bytes = answer.read()
        return body


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m engine.rehearsal.check", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("store_url")
    chosen = parser.parse_args()
    findings = check(chosen.directory, chosen.store_url)
    for problem in findings.problems[:50]:
        sys.stdout.write(problem + "\n")
    sys.stdout.write(
        f"{findings.records} records, {findings.objects} objects compared, {len(findings.problems)} problems; "
        f"{dict(findings.states)}\n"
    )
    sys.exit(1 if findings.problems else 0)


if __name__ == "__main__":
    main()

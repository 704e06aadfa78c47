"""What can be taken out of the tracking DB as a table, each with its columns. Read-only; rows come one by one."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.tracking.db.conditions import LINK_STATE, SWITCHABLE
from engine.tracking.read.desk import ACCOUNTS

Cell = str | int | None


@dataclass(frozen=True, slots=True)
class Table:
    """``names`` and ``links``: columns that tell who somebody is, or where a file lies."""

    sql: str
    columns: Sequence[str]
    numbers: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    links: frozenset[str] = frozenset()

    def rows(self, db: sqlite3.Connection, proofs: Sequence[str]) -> Iterator[tuple[Cell, ...]]:
        """``proofs``: those that a switch accepts."""
        yield from db.execute(self.sql, {"proofs": json.dumps(list(proofs))} if ":proofs" in self.sql else {})


_NAMES = frozenset({"account_name", "record_name", "file_name"})
_LINKS = frozenset({"original_url", "your_s3_url", "your_s3_key", "old_url", "new_url", "error_message", "detail"})


def _table(columns: str, rest: str, *, numbers: str = "") -> Table:
    names = [each.strip().rpartition(" AS ")[2] for each in columns.split(", ")]
    return Table(f"SELECT {columns} {rest}", names, frozenset(numbers.split()), _NAMES, _LINKS)


TABLES: dict[str, Table] = {
    "accounts": Table(
        f"{ACCOUNTS} ORDER BY account_id",
        ("account_id", "account_name", "files", "copied", "failed", "skipped", "switched"),
        frozenset({"files", "copied", "failed", "skipped", "switched"}),
        _NAMES,
        _LINKS,
    ),
    "failures": _table(
        "doclist_entry_id, account_id, account_name, record_name, failure_class, error_message, attempts, original_url,"
        " updated_date",
        "FROM file_migrations WHERE status = 'failed' ORDER BY failure_class, account_id, id",
        numbers="attempts",
    ),
    "plan": _table(
        "doclist_entry_id, account_id, account_name, original_url, your_s3_url, your_s3_key, file_size_bytes, proof",
        f"FROM file_migrations WHERE {SWITCHABLE} AND proof IN (SELECT value FROM json_each(:proofs))"
        " AND original_url <> '' AND your_s3_url <> original_url ORDER BY account_id, doclist_entry_id",
        numbers="file_size_bytes",
    ),
    "journal": Table(
        f"SELECT id, run_id, wave, doclist_entry_id, event, {LINK_STATE}, old_url, new_url, at, detail, prev_hash, hash"
        " FROM url_changes ORDER BY id",
        (
            "id", "run_id", "wave", "doclist_entry_id", "event", "link_state", "old_url", "new_url", "at", "detail",
            "prev_hash", "hash",
        ),
        frozenset({"id", "run_id", "wave"}),
        _NAMES,
        _LINKS,
    ),
    "inventory": _table(
        "doclist_entry_id, account_id, account_name, record_name, status, failure_class, original_url, your_s3_key,"
        " your_s3_url, file_name, file_size_bytes, file_hash, checksum, source_etag, destination_etag, proof, method,"
        " backup_timestamp, verified_at, last_modified_sf, run_id",
        "FROM file_migrations ORDER BY id",
        numbers="file_size_bytes run_id",
    ),
}  # fmt: skip


def sample_links(db: sqlite3.Connection, proofs: Sequence[str], count: int = 20) -> list[str]:
    """New links of records that a switch would take, spread over the table: for a person to open."""
    statement = (
        f"SELECT your_s3_url FROM file_migrations WHERE id >= ?1 AND {SWITCHABLE}"
        " AND proof IN (SELECT value FROM json_each(?2)) ORDER BY id LIMIT 1"
    )
    last = db.execute("SELECT coalesce(max(id), 0) FROM file_migrations").fetchone()[0]
    accepted = json.dumps(list(proofs))
    found = [db.execute(statement, (1 + last * n // count, accepted)).fetchone() for n in range(count)]
    return list(dict.fromkeys(row[0] for row in found if row is not None))

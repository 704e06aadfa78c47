"""Rows of ``migration_errors``: written here and nowhere else, so that no credential gets in."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from engine.model.failures import FailureClass
from engine.model.text import bare_urls, storable

MESSAGE_LIMIT = 2000
"""Longest message stored, in characters."""

_INSERT = (
    "INSERT INTO migration_errors (run_id, doclist_entry_id, error_type, error_message, original_url, timestamp,"
    " failure_class, attempt, settled) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


class ErrorRow(NamedTuple):
    """One failure, or one failed try, of a record."""

    record_id: str
    failure: FailureClass
    message: str
    url: str
    """As it is: credentials are cut out on the way into the DB."""
    at: str
    attempt: int
    settled: bool = True
    """False: a try, which no outcome of the record has counted yet."""
    kind: str = ""
    """``error_type``; empty: the failure class."""


def add(db: sqlite3.Connection, run_id: int | None, rows: Iterable[ErrorRow]) -> None:
    """Call inside a transaction. Raises sqlite3.Error."""
    db.executemany(
        _INSERT,
        [
            (
                run_id,
                row.record_id,
                row.kind or row.failure.value,
                shortened(row.message),
                storable(without_credentials(row.url)),
                row.at,
                row.failure.value,
                row.attempt,
                int(row.settled),
            )
            for row in rows
        ],
    )


def shortened(message: str) -> str:
    """A message as it is stored."""
    return storable(message)[:MESSAGE_LIMIT]


def without_credentials(url: str) -> str:
    """A signature may sit in the query, a password before the host."""
    return bare_urls(url).partition("?")[0]

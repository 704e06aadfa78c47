"""What the tracking DB holds, as another process sees it: what is committed, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

OPEN = {"intended", "undo_intended"}
_LATER = """
SELECT doclist_entry_id, id, event, old_url, new_url, detail, coalesce(link_state, '') FROM url_changes
 WHERE id > ? ORDER BY id
"""


class Row(NamedTuple):
    """The journal's latest word on a record."""

    number: int
    event: str
    old: str
    new: str
    detail: str
    stands: str
    """Where it says that the link stands; empty: it does not know."""


class Tracked:
    """``latest``, the journal's last word on each record, is kept and brought up to date; all else is asked."""

    def __init__(self, path: Callable[[], Path]) -> None:
        self._path = path
        self._open: sqlite3.Connection | None = None
        self._latest: dict[str, Row] = {}
        self._pairs: dict[str, set[tuple[str, str]]] = {}
        self._rows = 0
        self._version = -1
        """Of the data, as this connection sees it: it changes with every commit of another one."""

    def forget(self) -> None:
        """The file is another one from now on."""
        self.let_go()
        self._latest, self._pairs, self._rows = {}, {}, 0

    def let_go(self) -> None:
        """Of the file: who has it open keeps SQLite from folding in the WAL."""
        if self._open is not None:
            self._open.close()
            self._open, self._version = None, -1

    def latest(self, records: Iterable[str]) -> dict[str, Row]:
        """The journal's last word on each of them that it knows."""
        self._read_on()
        return {record: row for record in records if (row := self._latest.get(record)) is not None}

    def pairs(self) -> dict[str, set[tuple[str, str]]]:
        """(old, new) of all rows of the journal, by record."""
        self._read_on()
        return self._pairs

    @property
    def rows(self) -> int:
        """Of the journal."""
        self._read_on()
        return self._rows

    def ask(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        """Nothing where there is no DB, or no table yet."""
        try:
            if self._open is None:
                self._open = sqlite3.connect(f"file:{self._path()}?mode=ro", uri=True, isolation_level=None)
                self._open.row_factory = sqlite3.Row
            return self._open.execute(sql, parameters).fetchall()
        except sqlite3.OperationalError:
            return []

    def statuses(self) -> dict[str, str]:
        return {row[0]: row[1] for row in self.ask("SELECT doclist_entry_id, status FROM file_migrations")}

    def _read_on(self) -> None:
        known, self._version = self._version, next((row[0] for row in self.ask("PRAGMA data_version")), -1)
        if known == self._version != -1:
            return
        for row in self.ask(_LATER, (self._rows,)):
            record, number, event, old, new, detail, stands = row
            self._latest[record] = Row(number, event, old, new, detail, stands)
            self._pairs.setdefault(record, set()).add((old, new))
            self._rows = number


def said(row: Row | None) -> str:
    return "nothing" if row is None else f"row {row.number}, {row.event} {short(row.old)} → {short(row.new)}"


def short(link: str) -> str:
    return link.rpartition("amazonaws.com/")[2] if "amazonaws.com" in link else link or "nothing"

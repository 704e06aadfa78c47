"""A private, temporary database on disk that vanishes with the process."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from engine.tracking.db.faults import translated

CACHE_KIB = 32768


class TemporaryDatabase:
    """A context manager; who inherits it fills and asks ``_db``. ``journal``: ``OFF`` where nothing is rolled back.

    SQLite's cache bounds the memory. Raises Fatal where the temporary directory is full.
    """

    def __init__(self, tables: str, journal: Literal["MEMORY", "OFF"]) -> None:
        self._place = Path(tempfile.gettempdir()) / "(temporary)"
        with translated(self._place, starting=True):
            self._db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            for pragma in (f"journal_mode = {journal}", "synchronous = OFF", "temp_store = FILE"):
                self._db.execute(f"PRAGMA {pragma}")
            self._db.execute(f"PRAGMA cache_size = -{CACHE_KIB}")
            self._db.executescript(tables)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

"""What an analysis gathers: a private, temporary database on disk that vanishes with the process.

SQLite's cache bounds the memory (32 MiB, and as much again for a sort), whatever the number of records. On disk a
record takes some 300 bytes, a listed object 60. The file is unlinked as soon as it is open (sqlite.org/inmemorydb.html,
"Temporary Databases"), so a kill leaves nothing behind. Every method raises Fatal where the temporary directory is
full.

One or several records name a file. Its id is a hash that has nothing to do with its size. So a stretch of files in the
order of their ids, from a random point, is a random sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from engine.model.analyzed import AnalyzedRecord
from engine.model.estimate import Stratum
from engine.model.text import storable
from engine.model.urls import identity_hash
from engine.tracking.db.connect import by_name
from engine.tracking.db.faults import translated
from engine.tracking.db.temporary import TemporaryDatabase

RING = 1 << 63
"""Ids of files lie below it."""


class Drawn(NamedTuple):
    """A file of the sample: it is to get a HEAD."""

    source_id: int
    stratum: str
    record_id: str
    url: str
    extra: str


_TABLES = """
CREATE TABLE record (record_id TEXT, account TEXT, host TEXT, fate TEXT, reason TEXT, extension TEXT,
    source_id INTEGER, bucket TEXT, key_hash INTEGER, folded_hash INTEGER, url TEXT, extra TEXT);
CREATE TABLE account (id TEXT PRIMARY KEY, name TEXT) WITHOUT ROWID;
CREATE TABLE listed (source_id INTEGER, size INTEGER, storage_class TEXT, archived INTEGER);
CREATE TABLE file (source_id INTEGER PRIMARY KEY, bucket TEXT, extension TEXT, records INTEGER, todo INTEGER,
    example INTEGER, size INTEGER, storage_class TEXT, archived INTEGER, stratum TEXT, state TEXT, weight REAL);
"""
# state: '' not checked, 'listed', 'seen' by a HEAD, or the failure class of that HEAD
# weight: how many files it stands for; 0 where its size is unknown
_FILES = """
INSERT INTO file
SELECT r.*, l.size, l.storage_class, l.archived,
    CASE WHEN l.source_id IS NULL THEN r.bucket || ' ' || r.extension END,
    CASE WHEN l.source_id IS NULL THEN '' ELSE 'listed' END, l.source_id IS NOT NULL
FROM (
    SELECT source_id, min(bucket) AS bucket, min(extension) AS extension, count(*), sum(fate = 'to_copy'), min(rowid)
    FROM record WHERE source_id <> 0 GROUP BY source_id
) AS r LEFT JOIN listed l ON l.source_id = r.source_id
"""
_BY_STRATUM = "CREATE INDEX IF NOT EXISTS file_by_stratum ON file (stratum, source_id) WHERE stratum IS NOT NULL"
_DRAW = """
SELECT f.source_id, f.stratum, r.record_id, r.url, r.extra FROM file f JOIN record r ON r.rowid = f.example
WHERE f.stratum = ? AND f.source_id BETWEEN ? AND ? AND f.state = '' ORDER BY f.source_id LIMIT ?
"""


_ANSWERED = "stratum IS NOT NULL AND state IN ('seen', 'source_missing')"
_ADD = "INSERT INTO record VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class Scratch(TemporaryDatabase):
    """A context manager. Filled record by record; then ``gather``; then queried."""

    def __init__(self) -> None:
        super().__init__(_TABLES, "MEMORY")

    def add(self, rows: Sequence[AnalyzedRecord], accounts: Iterable[tuple[str, str]]) -> None:
        """Records, and the accounts among them with their names."""
        with self._writing():
            try:
                self._db.executemany(_ADD, rows)
            except UnicodeEncodeError:  # half a character in a URL; SQLite holds Unicode only
                self._db.execute("ROLLBACK")
                self._db.execute("BEGIN")
                self._db.executemany(
                    _ADD, [[storable(value) if isinstance(value, str) else value for value in row] for row in rows]
                )
            self._db.executemany(
                "INSERT OR IGNORE INTO account VALUES (?, ?)",
                [(storable(id_), storable(name)) for id_, name in accounts],
            )

    def add_listed(self, bucket: str, rows: Iterable[tuple[str, int, str, bool]]) -> None:
        """Objects of a listing: key, size, storage class, archived."""
        prefix = f"s3://{bucket}/"
        with self._writing():
            self._db.executemany(
                "INSERT INTO listed VALUES (?, ?, ?, ?)",
                ((identity_hash(prefix + key), size, kind, archived) for key, size, kind, archived in rows),
            )

    def gather(self) -> None:
        """All records and listings are in: make the files of them."""
        with self._writing():
            self._db.execute("CREATE INDEX listed_by_source ON listed (source_id, size, storage_class, archived)")
            self._db.execute(_FILES)

    def strata(self) -> dict[str, int]:
        """Files whose size no listing gave, by stratum."""
        return dict(self.ask("SELECT stratum, count(*) FROM file WHERE state = '' GROUP BY 1"))

    def lump(self, small: Iterable[str], into: str) -> None:
        """Make several strata one."""
        with self._writing():
            self._db.executemany("UPDATE file SET stratum = ? WHERE stratum = ?", ((into, name) for name in small))

    def draw(self, wanted: dict[str, int], start: int) -> Iterator[Drawn]:
        """Of each stratum so many files that are not checked yet, in the order of their ids from ``start`` round the
        ring."""
        with self._writing():
            self._db.execute(_BY_STRATUM)
        for stratum, count in wanted.items():
            for low, high in ((start, RING - 1), (0, start - 1)):
                found = self.ask(_DRAW, stratum, low, high, count)
                yield from map(Drawn._make, found)
                count -= len(found)

    def put_answers(self, answers: Iterable[tuple[int | None, str, bool, str, int]]) -> None:
        """What HEADs said: size, storage class, archived, state, and the file's id."""
        with self._writing():
            self._db.executemany(
                "UPDATE file SET size = ?, storage_class = ?, archived = ?, state = ? WHERE source_id = ?", answers
            )

    def moments(self, strata: dict[str, int]) -> dict[str, Stratum]:
        """What the known sizes say of each of these strata."""
        found = {name: Stratum(population) for name, population in strata.items()}
        for name, size in self.stream(f"SELECT stratum, coalesce(size, 0) FROM file WHERE {_ANSWERED}"):
            found[name].add(size)
        return found

    def weigh(self, strata: dict[str, int]) -> None:
        """Of each stratum, those of known size, or that are missing, stand for all of its files."""
        answered = dict(self.ask(f"SELECT stratum, count(*) FROM file WHERE {_ANSWERED} GROUP BY 1"))
        with self._writing():
            self._db.executemany(
                f"UPDATE file SET weight = ? WHERE stratum = ? AND {_ANSWERED}",
                [(strata[name] / count, name) for name, count in answered.items() if name in strata],
            )

    def ask(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """All rows of a query on the tables above."""
        with translated(self._place, starting=False):
            return self._db.execute(sql, parameters).fetchall()

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """The same, each by column."""
        with translated(self._place, starting=False):
            return by_name(self._db.execute(sql))

    def stream(self, sql: str, *parameters: object) -> Iterator[tuple[Any, ...]]:
        """The rows of a query one by one."""
        with translated(self._place, starting=False):
            yield from self._db.execute(sql, parameters)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with translated(self._place, starting=False):
            self._db.execute("BEGIN")
            try:
                yield
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

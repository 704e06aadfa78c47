"""The copies that the tracking DB claims, to be held against what is really there.

A listing of a bucket is compared in SQLite: its rows go in as one JSON text per batch and meet the claims in a
temporary table sorted by key, or the index by source. Nothing here grows with the number of copies but that table,
which lies in a temporary file, and the bitmap of rows that were met (an eighth of a byte each).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

import orjson

from engine.model.copy import ProvedCopy
from engine.model.outcome import Status
from engine.tracking.db.conditions import COPIED, PROVED
from engine.tracking.db.database import Database
from engine.tracking.read.columns import OF_ITS_SOURCE, PROVED_COPY
from engine.tracking.read.lookups import max_row

CHUNK = 2000
"""Copies handed over at a time."""
STRIDE = 20_000
"""Rows looked at in one step of ``rows``."""


class Copy(NamedTuple):
    """One claim: this object is a proved copy of that source. Empty text: not known."""

    row: int
    record_id: str
    status: Status
    url: str
    """The original link."""
    method: str
    extra: str
    """The record's further fields, as JSON; or nothing."""
    source_etag: str
    sha256: str
    proved: ProvedCopy

    @property
    def switched(self) -> bool:
        return self.status is Status.SWITCHED


class Met(NamedTuple):
    """What a batch of a listing came to: rows that are as recorded, rows that are not, and how many claimed nothing."""

    equal: list[int]
    unequal: list[int]
    unclaimed: int


_COPY = f"""
SELECT json_group_array(json_array(id, doclist_entry_id, status, original_url, coalesce(method, ''),
    coalesce(extra, ''), {OF_ITS_SOURCE}, {PROVED_COPY}))
FROM file_migrations WHERE id IN (SELECT value FROM json_each(?)) AND {COPIED}
"""

_ROWS = f"""
SELECT json_group_array(id) FROM file_migrations WHERE id > ? AND id <= ? AND {COPIED} AND (?3 = '' OR account_id = ?3)
"""

_DROP = "DROP TABLE IF EXISTS temp.seats"
_CREATE = """
CREATE TEMP TABLE seats (key TEXT NOT NULL, row INTEGER NOT NULL, size INTEGER NOT NULL, etag TEXT NOT NULL,
    PRIMARY KEY (key, row)) WITHOUT ROWID
"""
_FILL = f"""
INSERT INTO temp.seats SELECT your_s3_key, id, file_size_bytes, coalesce(destination_etag, '')
FROM file_migrations WHERE {COPIED} ORDER BY your_s3_key, id
"""

# a listing knows no checksum: where ETags differ, only a HEAD can tell
_MEET_KEYS = """
SELECT json_group_array(json_array(seats.row, seats.size = value ->> 1
    AND (seats.etag = value ->> 2 OR seats.etag = '' OR value ->> 2 = '')))
FROM json_each(?) JOIN temp.seats ON seats.key = value ->> 0
"""

_MEET_SOURCES = f"""
SELECT json_group_array(json_array(f.id, CASE WHEN coalesce(f.source_etag, '') = '' OR value ->> 2 = ''
    THEN f.file_size_bytes = value ->> 1 ELSE f.source_etag = value ->> 2 END))
FROM json_each(?) JOIN file_migrations f ON f.source_id = value ->> 0 AND {PROVED}
"""


class Copies:
    """Questions about claims. Every verb raises Fatal when SQLite cannot go on."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def count(self, account: str = "") -> int:
        """How many copies are claimed, of one account or of all."""
        where, values = (f"{COPIED} AND account_id = ?", (account,)) if account else (COPIED, ())
        return int((await self._db.fetch(f"SELECT count(*) FROM file_migrations WHERE {where}", values))[0][0])

    async def rows(self, account: str = "", *, seen: bytearray | None = None) -> AsyncIterator[list[int]]:
        """Row numbers of claimed copies in order, in chunks; without those whose bit in ``seen`` is set."""
        last = await max_row(self._db)
        for start in range(0, last, STRIDE):
            found: list[int] = await self._ask(_ROWS, start, min(start + STRIDE, last), account)
            found.sort()
            if seen is not None:
                found = [row for row in found if not is_marked(seen, row)]
            for first in range(0, len(found), CHUNK):
                yield found[first : first + CHUNK]

    async def of(self, rows: Sequence[int]) -> list[Copy]:
        """The claims of these rows, in order."""
        found = await self._ask(_COPY, json.dumps(list(rows)))
        return sorted(
            Copy(row, record, Status(status), url, method, extra, source_etag, sha256, ProvedCopy(*proved))
            for row, record, status, url, method, extra, source_etag, sha256, *proved in found
        )

    async def seat(self) -> None:
        """Sort the claims by key, for ``meet_keys``, in a temporary file of about 150 bytes each."""
        for statement in (_DROP, _CREATE, _FILL):
            await self._db.fetch(statement)

    async def unseat(self) -> None:
        """Give the temporary file back."""
        await self._db.fetch(_DROP)

    async def meet_keys(self, listed: Sequence[tuple[str, int, str]]) -> Met:
        """(key, size, ETag) of objects in our bucket against the claims on them; ``seat`` comes first."""
        return _met(await self._ask(_MEET_KEYS, orjson.dumps(listed).decode()), len(listed))

    async def meet_sources(self, listed: Sequence[tuple[int, int, str]]) -> Met:
        """(source id, size, ETag) of source objects against what the copies of them were made from."""
        return _met(await self._ask(_MEET_SOURCES, orjson.dumps(listed).decode()), len(listed))

    async def _ask(self, sql: str, *parameters: object) -> list[Any]:
        answer: list[Any] = orjson.loads((await self._db.fetch(sql, parameters))[0][0])
        return answer


def mark(seen: bytearray, rows: Sequence[int]) -> None:
    """Set the bits of these rows; the bitmap grows as needed."""
    if rows and (most := max(rows) >> 3) >= len(seen):
        seen.extend(bytes(most + 1 - len(seen) + 4096))
    for row in rows:
        seen[row >> 3] |= 1 << (row & 7)


def is_marked(seen: bytearray, row: int) -> bool:
    """Whether the bit of a row is set."""
    return row >> 3 < len(seen) and bool(seen[row >> 3] >> (row & 7) & 1)


def _met(pairs: list[tuple[int, int]], listed: int) -> Met:
    equal = [row for row, same in pairs if same]
    unequal = [row for row, same in pairs if not same]
    return Met(equal, unequal, max(0, listed - len(pairs)))

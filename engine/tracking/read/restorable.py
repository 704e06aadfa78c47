"""The links of a rollback file, laid out in a temporary table of the connection that reads.

SQLite keeps such a table on disk, whatever its size, and it is gone with the connection.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import NamedTuple

import orjson

from engine.tracking.db.conditions import ACCOUNT
from engine.tracking.db.database import Database
from engine.tracking.read.switchable import CHUNK, Undo, Undoable, Value

_BEGIN = """
DROP TABLE IF EXISTS temp.restorable;
DROP TABLE IF EXISTS temp.chosen;
CREATE TABLE temp.restorable (place INTEGER PRIMARY KEY, id TEXT NOT NULL, old TEXT NOT NULL, new TEXT NOT NULL,
    wave INTEGER NOT NULL);
CREATE TABLE temp.chosen (place INTEGER PRIMARY KEY, id TEXT NOT NULL, account TEXT NOT NULL);
"""
_ADD = "INSERT INTO temp.restorable (id, old, new, wave) VALUES (?, ?, ?, ?)"
_INDEX = "CREATE INDEX temp.restorable_by_id ON restorable (id, wave)"
_CHOOSE = f"""
INSERT INTO temp.chosen (id, account)
SELECT r.id, {ACCOUNT} FROM (
    SELECT DISTINCT id FROM temp.restorable WHERE (:wave IS NULL OR wave = :wave)
        AND (:ids IS NULL OR id IN (SELECT value FROM json_each(:ids)))) r
    LEFT JOIN file_migrations f ON f.doclist_entry_id = r.id
WHERE (:account IS NULL OR f.account_id = :account) ORDER BY 2, 1
"""
_KNOWN = """
SELECT EXISTS (SELECT 1 FROM temp.restorable r JOIN file_migrations f ON f.doclist_entry_id = r.id)
"""
_CHANGES = """
SELECT json_group_array(json_array(id, account, json(lines))) FROM (
    SELECT c.id, c.account, (SELECT json_group_array(json_array(place, old, new, wave)) FROM (
        SELECT max(place) AS place, old, new, wave FROM temp.restorable r
        WHERE r.id = c.id AND (:wave IS NULL OR wave = :wave) GROUP BY new)) AS lines
    FROM temp.chosen c WHERE c.place > :start ORDER BY c.place LIMIT :count)
"""


class Line(NamedTuple):
    """A value of ours that a record was to get, or that the org made of it: ``new``, which has replaced ``old``."""

    id: str
    old: str
    new: str
    wave: int


async def lay_out(database: Database, lines: Iterable[Line]) -> None:
    """Take in these lines, and no others. Raises Fatal, and what ``lines`` raises."""
    await begin(database)
    left = iter(lines)
    while part := list(islice(left, CHUNK)):
        await add(database, part)
    await finish(database)


async def begin(database: Database) -> None:
    """Forget what was laid out; ``add`` and ``finish`` follow. Raises Fatal."""
    await database.read(lambda db: db.executescript(_BEGIN))


async def add(database: Database, lines: list[Line]) -> None:
    """Take in some lines; the later ones count as the latest. Raises Fatal."""
    if lines:
        await database.read(partial(_add, lines=lines))


async def finish(database: Database) -> None:
    """All lines are there. Raises Fatal."""
    await database.read(lambda db: db.execute(_INDEX))


def _add(db: sqlite3.Connection, lines: list[Line]) -> None:
    db.execute("BEGIN")
    db.executemany(_ADD, lines)
    db.execute("COMMIT")


async def waves(database: Database) -> list[int]:
    """The waves of the lines. Raises Fatal."""
    return [int(wave) for (wave,) in await database.fetch("SELECT DISTINCT wave FROM temp.restorable ORDER BY wave")]


async def knows_accounts(database: Database) -> bool:
    """Whether the tracking DB knows any of the records. Raises Fatal."""
    return bool((await database.fetch(_KNOWN))[0][0])


async def choose(database: Database, wanted: Undo) -> int:
    """Choose the records that are wanted, accounts together. Returns how many. Raises Fatal."""
    ids = None if wanted.ids is None else json.dumps(list(wanted.ids))
    values = {"wave": wanted.wave, "account": wanted.account, "ids": ids}

    def work(db: sqlite3.Connection) -> int:
        db.execute("DELETE FROM temp.chosen")
        return db.execute(_CHOOSE, values).rowcount

    return await database.read(work)


def starts(count: int) -> Iterator[int]:
    """Where each chunk of the chosen ones begins."""
    return iter(range(0, count, CHUNK))


async def changes(database: Database, start: int, wanted: Undo) -> list[Undoable]:
    """A chunk of the chosen ones, with their values as far as wanted. Raises Fatal."""
    names = {"start": start, "count": CHUNK, "wave": wanted.wave}
    text = await database.read(lambda db: db.execute(_CHANGES, names).fetchone()[0])
    return [
        Undoable(record, account, [Value(*value) for _, *value in sorted(lines, reverse=True)])
        for record, account, lines in orjson.loads(text)
    ]

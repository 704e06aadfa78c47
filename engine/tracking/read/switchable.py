"""Which links may move, in which order: for a switch by the records' rows, for a rollback by the journal.

Both answer with row numbers first (eight bytes each, so that a million fit), in the order of accounts, and read the
rows in chunks afterwards.
"""

from __future__ import annotations

import json
import sqlite3
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from engine.model.change import Link
from engine.model.copy import ProvedCopy
from engine.tracking.db.conditions import ACCOUNT, COPIED, LINK_STATE, SWITCHABLE
from engine.tracking.db.database import Database
from engine.tracking.read.columns import PROVED_COPY
from engine.tracking.read.ours import VALUE

CHUNK = 4_000

# a failed row's copy may be of an older link: only the journal's last word ties it to this very pair of links
_REFUSED_BEFORE = """
    f.status = 'failed' AND f.failure_class IN (SELECT value FROM json_each(:classes)) AND EXISTS (
        SELECT 1 FROM url_changes c WHERE c.doclist_entry_id = f.doclist_entry_id
            AND (c.event = 'refused' OR c.event = 'settled' AND c.link_state = 'original')
            AND c.old_url = f.original_url AND c.new_url = f.your_s3_url
            AND c.id = (SELECT max(id) FROM url_changes d WHERE d.doclist_entry_id = f.doclist_entry_id))
"""
_MAY_MOVE = f"""
    ({SWITCHABLE} OR {_REFUSED_BEFORE})
    AND f.proof IN (SELECT value FROM json_each(:proofs)) AND f.original_url <> '' AND f.your_s3_url <> f.original_url
"""
_LINK = f"json_array(doclist_entry_id, account_id, original_url, your_s3_url, json_array({PROVED_COPY}))"

_WANTED = f"""
    {VALUE} AND (:run IS NULL OR c.run_id = :run) AND (:wave IS NULL OR c.wave = :wave)
    AND (:since IS NULL OR c.at >= :since)
"""
_CANDIDATES = f"""
SELECT max(c.id) FROM url_changes c LEFT JOIN file_migrations f ON f.doclist_entry_id = c.doclist_entry_id
WHERE {_WANTED} AND (:account IS NULL OR f.account_id = :account)
    AND (:ids IS NULL OR c.doclist_entry_id IN (SELECT value FROM json_each(:ids)))
GROUP BY c.doclist_entry_id ORDER BY {ACCOUNT}, c.doclist_entry_id
"""
_CHANGES = f"""
SELECT json_group_array(json_array(w.doclist_entry_id, {ACCOUNT},
    json((SELECT json_group_array(json_array(c.id, c.old_url, c.new_url, c.wave)) FROM url_changes c
        WHERE c.doclist_entry_id = w.doclist_entry_id AND {_WANTED})),
    (SELECT {LINK_STATE} FROM url_changes d WHERE d.doclist_entry_id = w.doclist_entry_id ORDER BY id DESC LIMIT 1)))
FROM json_each(:rows) AS wanted JOIN url_changes w ON w.id = wanted.value
    LEFT JOIN file_migrations f ON f.doclist_entry_id = w.doclist_entry_id
"""
_UNSEEN = """
SELECT json_group_object(reason, n) FROM (SELECT reason, count(*) AS n FROM unseen
    WHERE doclist_entry_id IN (SELECT value FROM json_each(?)) GROUP BY 1)
"""
_RUNS = "SELECT id, run_type FROM migration_runs ORDER BY id DESC"
_WAVES = "SELECT DISTINCT wave FROM url_changes WHERE event = 'intended' AND (? IS NULL OR run_id = ?) ORDER BY wave"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records a switch may take."""

    proofs: Sequence[str]
    account: str | None = None
    retry_classes: Sequence[str] = ()
    limit: int | None = None

    @property
    def lists(self) -> dict[str, object]:
        """Proofs and classes, as the queries name them."""
        return {"proofs": json.dumps(list(self.proofs)), "classes": json.dumps(list(self.retry_classes))}


@dataclass(frozen=True, slots=True)
class Undo:
    """Which changes a rollback is about; None: all."""

    run: int | None = None
    wave: int | None = None
    account: str | None = None
    ids: Sequence[str] | None = None
    since: str | None = None
    """UTC ISO."""
    limit: int | None = None

    @property
    def narrowed(self) -> dict[str, object]:
        """Which values, as the queries name that."""
        return {"run": self.run, "wave": self.wave, "since": self.since}


class Value(NamedTuple):
    """A value of ours that a record may hold: ``new``, which has replaced ``old``."""

    old: str
    new: str
    wave: int


class Undoable(NamedTuple):
    """One record of a rollback."""

    id: str
    account: str
    values: Sequence[Value]
    """The latest first."""
    link_state: str = ""
    """Where the link stood, as the journal last knew; empty: it does not."""


async def switchable(database: Database, wanted: Wanted) -> array[int]:
    """Rows that may be switched now, accounts together. Raises Fatal."""
    statement = f"SELECT f.id FROM file_migrations f WHERE {_MAY_MOVE}"
    if wanted.account is not None:
        statement += " AND f.account_id = :account"
    statement += " ORDER BY f.account_id, f.doclist_entry_id LIMIT :limit"
    values = wanted.lists | {"account": wanted.account, "limit": -1 if wanted.limit is None else wanted.limit}
    return await database.read(lambda db: array("q", (row for (row,) in db.execute(statement, values))))


async def links(database: Database, rows: Sequence[int]) -> list[Link]:
    """These rows, in this order. Raises Fatal."""
    statement = (
        f"SELECT json_group_array({_LINK}) FROM"
        " (SELECT f.* FROM json_each(?) AS wanted JOIN file_migrations f ON f.id = wanted.value ORDER BY wanted.key)"
    )
    found = await database.fetch(statement, (json.dumps(list(rows)),))
    return [_link(row) for row in orjson.loads(found[0][0])]


def _link(row: list[Any]) -> Link:
    record, account, old, new, copy = row
    return Link(record, account, old, new, ProvedCopy._make(copy))


async def unseen(database: Database, ids: Sequence[str]) -> dict[str, int]:
    """How many of these records' sources could not be seen, by reason. Raises Fatal."""
    found: dict[str, int] = orjson.loads((await database.fetch(_UNSEEN, (json.dumps(ids),)))[0][0])
    return found


class Now(NamedTuple):
    """What the tracking DB says of a line of a plan by now."""

    row: int
    link: Link
    may_move: bool
    switched: bool


async def now(database: Database, ids: Sequence[str], wanted: Wanted) -> dict[str, Now]:
    """The rows of these records. Raises Fatal."""
    statement = (
        f"SELECT json_group_array(json_array(f.id, iif({_MAY_MOVE}, 1, 0), iif(f.status = 'switched', 1, 0), {_LINK}))"
        " FROM file_migrations f WHERE f.doclist_entry_id IN (SELECT value FROM json_each(:ids))"
        " AND f.your_s3_key IS NOT NULL AND f.file_size_bytes IS NOT NULL AND f.proof IS NOT NULL"
    )
    values = wanted.lists | {"ids": json.dumps(list(ids))}
    text = await database.read(lambda db: db.execute(statement, values).fetchone()[0])
    return {
        link[0]: Now(row, _link(link), bool(may_move), bool(switched))
        for row, may_move, switched, link in orjson.loads(text)
    }


async def undoable(database: Database, wanted: Undo) -> array[int]:
    """One journal row of each record that has been given a value of ours, as far as wanted, accounts together. Raises
    Fatal."""
    ids = None if wanted.ids is None else json.dumps(list(wanted.ids))
    values = {**wanted.narrowed, "account": wanted.account, "ids": ids}
    found = await database.read(lambda db: array("q", (row for (row,) in db.execute(_CANDIDATES, values))))
    return found if wanted.limit is None else found[: wanted.limit]


async def changes(database: Database, rows: Sequence[int], wanted: Undo) -> list[Undoable]:
    """The records of these journal rows, in this order, with their values as far as wanted. Raises Fatal."""
    names = {**wanted.narrowed, "rows": json.dumps(list(rows))}
    text = await database.read(lambda db: db.execute(_CHANGES, names).fetchone()[0])
    return [
        Undoable(record, account, [Value(*value) for _, *value in sorted(values, reverse=True)], state or "")
        for record, account, values, state in orjson.loads(text)
    ]


async def runs(database: Database) -> dict[int, str]:
    """All runs, latest first, with their types. Raises Fatal."""
    return {int(run): str(kind) for run, kind in await database.fetch(_RUNS)}


async def waves(database: Database, run: int | None) -> list[int]:
    """The waves of a switch, or of all of them, in which links were to move. Raises Fatal."""
    return [int(wave) for (wave,) in await database.fetch(_WAVES, (run, run))]


def chunks(rows: array[int], size: int = CHUNK) -> Iterator[list[int]]:
    """Consecutive groups."""
    return (list(rows[start : start + size]) for start in range(0, len(rows), size))


def copies(db: sqlite3.Connection) -> int:
    """Copies that stand: about what our bucket holds."""
    return int(db.execute(f"SELECT coalesce(sum(files), 0) FROM counters WHERE {COPIED}").fetchone()[0])


def switched_now(db: sqlite3.Connection) -> int:
    """Links that are switched now."""
    return int(db.execute("SELECT coalesce(sum(files), 0) FROM counters WHERE status = 'switched'").fetchone()[0])

"""The journal read and checked: is every row as it was written, and which changes has nobody confirmed?"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.model.change import OPEN, ChainTip, Event, Open
from engine.model.errors import Differs
from engine.model.old_copy import IMPORT
from engine.tracking.db import chain
from engine.tracking.db.chain import Key, Walk
from engine.tracking.db.conditions import LINK_STATE, among
from engine.tracking.db.connect import by_name

if TYPE_CHECKING:
    from engine.tracking.db.database import Database

COLUMNS = "id, run_id, wave, doclist_entry_id, old_url, new_url, event, at, detail"
"""What the HMAC of a row covers, in this order; and ``link_state``, where that is not NULL."""
ALL_COLUMNS = f"{COLUMNS}, link_state, prev_hash, hash"
_ROWS = f"SELECT {ALL_COLUMNS} FROM url_changes ORDER BY id"
_UNCONFIRMED = f"""
{among("event", OPEN)}
    AND NOT EXISTS (SELECT 1 FROM url_changes d WHERE d.doclist_entry_id = c.doclist_entry_id AND d.id > c.id)
"""

_STEPS = f"""
SELECT c.id, c.run_id, c.wave, c.doclist_entry_id AS record_id, c.doclist_entry_id AS record, c.event, c.at,
    {LINK_STATE} AS link_state,
    CASE WHEN c.link_state IS NULL THEN c.detail ELSE c.link_state || iif(c.detail = '', '', ': ' || c.detail) END
    AS detail, c.old_url, c.new_url
FROM url_changes c
"""

_JOB = "bulk job "
"""Earlier versions began the ``detail`` of a change with this, and the name of the bulk job that it travelled in."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A journal that was read to its end and found whole."""

    tip: ChainTip
    open: list[Open]
    """Changes that were intended and never confirmed."""
    commits: list[int]
    """The first row of each commit: all rows of one have the same time."""


def walk(db: sqlite3.Connection, key: Key, tips: Iterable[ChainTip]) -> Checked:
    """Check the whole journal, in one pass. Raises Differs at the first row that does not fit, sqlite3.Error."""
    chain_so_far = Walk(key, tips)
    waiting: dict[str, Open] = {}
    commits, at = list[int](), ""
    with _undecodable():
        for row in db.execute(_ROWS):
            chain_so_far.step(row[:9] if row[9] is None else row[:10], row[10], row[11])
            if row[7] != at:
                commits.append(row[0])
                at = row[7]
            record, event, detail = row[3], row[6], row[8]
            if event in OPEN:
                job = detail.removeprefix(_JOB) if detail.startswith(_JOB) else ""
                waiting[record] = Open(
                    record, row[4], row[5], row[2], row[1], event == Event.UNDO_INTENDED, row[7], job
                )
            else:
                waiting.pop(record, None)
    return Checked(chain_so_far.end(), list(waiting.values()), commits)


async def check(database: Database, key: Key, tips: Iterable[ChainTip]) -> Checked:
    """``walk``, while other work goes on."""
    return await database.read(lambda db: walk(db, key, tips))


def first_hash(db: sqlite3.Connection) -> str:
    """The HMAC of the first row, which names the journal; empty while there is none."""
    row = db.execute("SELECT hash FROM url_changes ORDER BY id LIMIT 1").fetchone()
    return row[0] if row else ""


def last_at(db: sqlite3.Connection) -> str:
    """When the last row was written; empty while there is none."""
    row = db.execute("SELECT at FROM url_changes ORDER BY id DESC LIMIT 1").fetchone()
    return row[0] if row else ""


def count(db: sqlite3.Connection) -> int:
    """How many rows there are."""
    return int(db.execute("SELECT count(*) FROM url_changes").fetchone()[0])


def rows_between(first: int, last: int) -> Callable[[sqlite3.Connection], list[tuple[Any, ...]]]:
    """These rows with all their columns."""
    statement = f"SELECT {ALL_COLUMNS} FROM url_changes WHERE id BETWEEN ? AND ? ORDER BY id"
    return lambda db: db.execute(statement, (first, last)).fetchall()


_LEFT_OPEN = f"""
FROM url_changes c WHERE {_UNCONFIRMED} AND run_id IN (SELECT id FROM migration_runs
    WHERE run_type IN ('switch', 'rollback', '{IMPORT}') AND status NOT LIKE 'completed%')
"""


def perhaps_open(db: sqlite3.Connection) -> bool:
    """Whether a run that did not end as it should has left changes unconfirmed. Cheap: no such run, no look."""
    return bool(db.execute(f"SELECT EXISTS (SELECT 1 {_LEFT_OPEN})").fetchone()[0])


def left_open(db: sqlite3.Connection) -> int:
    """How many such changes there are: links in doubt."""
    return int(db.execute(f"SELECT count(*) {_LEFT_OPEN}").fetchone()[0])


def open_changes(run_id: int) -> Callable[[sqlite3.Connection], tuple[int, str]]:
    """How many changes of a run nobody knows the end of, and when the latest of them was written down."""
    statement = f"SELECT count(*), coalesce(max(at), '') FROM url_changes c WHERE run_id = ? AND {_UNCONFIRMED}"

    def read(db: sqlite3.Connection) -> tuple[int, str]:
        count, at = db.execute(statement, (run_id,)).fetchone()
        return int(count), str(at)

    return read


@contextmanager
def _undecodable() -> Iterator[None]:
    """Bytes that are no text are a change like any other."""
    try:
        yield
    except (UnicodeDecodeError, sqlite3.OperationalError) as error:
        if isinstance(error, sqlite3.OperationalError) and "decode" not in str(error).lower():
            raise
        raise Differs("the journal holds bytes that no run has written", hint=chain.SAFE) from error


def history(
    db: sqlite3.Connection, *, record: str | None, account: str | None, run: int | None, limit: int
) -> list[dict[str, Any]]:
    """Rows in the order in which they were written; the last ``limit`` of them."""
    statement = f"{_STEPS} WHERE (:run IS NULL OR c.run_id = :run)"
    if record is not None:
        statement += " AND c.doclist_entry_id = :record"
    if account is not None:
        statement += (
            " AND c.doclist_entry_id IN (SELECT doclist_entry_id FROM file_migrations WHERE account_id = :account)"
        )
    cursor = db.execute(
        f"SELECT * FROM ({statement} ORDER BY c.id DESC LIMIT :limit) ORDER BY id",
        {"record": record, "account": account, "run": run, "limit": limit},
    )
    return by_name(cursor)


def summary(db: sqlite3.Connection) -> list[dict[str, Any]]:
    """How many steps of each kind every run and wave made."""
    cursor = db.execute(
        "SELECT run_id, wave, event, count(*) AS steps, min(at) AS first, max(at) AS last FROM url_changes"
        " GROUP BY run_id, wave, event ORDER BY run_id, wave, min(id)"
    )
    return by_name(cursor)

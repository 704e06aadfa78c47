"""What the journal says of one record, account or run. No event loop; reads only, from one snapshot."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.model.change import ChainTip
from engine.model.keys import LinkTemplate
from engine.tracking.db.chain import Key
from engine.tracking.db.conditions import LINK_STATE
from engine.tracking.db.connect import by_name, snapshot
from engine.tracking.read.journal import Checked, first_hash, walk
from engine.tracking.read.links import Foreign, foreign

_STEPS = f"""
SELECT c.id, c.run_id, c.wave, c.doclist_entry_id AS record, c.event, c.at, {LINK_STATE} AS link_state,
    CASE WHEN c.link_state IS NULL THEN c.detail ELSE c.link_state || iif(c.detail = '', '', ': ' || c.detail) END
    AS detail, c.old_url, c.new_url
FROM url_changes c
"""


class History:
    """Answers as plain JSON values. ``open_history`` makes one."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def check(self, key: Key, tips: Iterable[ChainTip]) -> Checked:
        """Check the whole chain. Raises Differs."""
        return walk(self._db, key, tips)

    def rows(self) -> int:
        """How many there are."""
        return int(self._db.execute("SELECT count(*) FROM url_changes").fetchone()[0])

    def foreign_links(self, template: LinkTemplate) -> Foreign:
        """Records whose row brings a link of its own, or says of a switch what the journal does not."""
        return foreign(self._db, template)

    def first(self) -> str:
        """The HMAC of the first row, which names the journal; empty while there is none."""
        return first_hash(self._db)

    def steps(self, *, record: str | None, account: str | None, run: int | None, limit: int) -> list[dict[str, Any]]:
        """Rows in the order in which they were written; the last ``limit`` of them."""
        statement = f"{_STEPS} WHERE (:run IS NULL OR c.run_id = :run)"
        if record is not None:
            statement += " AND c.doclist_entry_id = :record"
        if account is not None:
            statement += (
                " AND c.doclist_entry_id IN (SELECT doclist_entry_id FROM file_migrations WHERE account_id = :account)"
            )
        cursor = self._db.execute(
            f"SELECT * FROM ({statement} ORDER BY c.id DESC LIMIT :limit) ORDER BY id",
            {"record": record, "account": account, "run": run, "limit": limit},
        )
        return by_name(cursor)

    def runs(self) -> list[dict[str, Any]]:
        """How many steps of each kind every run and wave made."""
        cursor = self._db.execute(
            "SELECT run_id, wave, event, count(*) AS steps, min(at) AS first, max(at) AS last FROM url_changes"
            " GROUP BY run_id, wave, event ORDER BY run_id, wave, min(id)"
        )
        return by_name(cursor)


@contextmanager
def open_history(path: Path) -> Iterator[History]:
    """Look at the journal without touching it. Raises Blocked when the DB cannot be read."""
    with snapshot(path) as db:
        yield History(db)

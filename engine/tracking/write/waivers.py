"""Records taken out of the readiness sum, on record: who, when, why. Rows are only ever added.

A waiver changes nothing else: a waived record is still backed up, verified and switched where that can be done.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

from engine.tracking.db.conditions import WAIVED
from engine.tracking.db.database import Database

Event = Literal["waived", "undone"]


class Noted(NamedTuple):
    """What became of a list of Ids."""

    noted: list[str]
    already: list[str]
    """Waived before, or, for an undo, not waived at all."""
    unknown: list[str]
    """No such record in the tracking DB."""
    switched: list[str]
    """Not waived: users follow their link to our copy, and whatever becomes of that must count."""


async def note(db: Database, ids: Sequence[str], event: Event, *, reason: str, who: str) -> Noted:
    """Waive these records, or take a waiver back. All in one transaction. Raises Fatal."""
    return await db.write(
        partial(_note, ids=list(dict.fromkeys(ids)), event=event, reason=reason, who=who, now=db.now())
    )


def _note(db: sqlite3.Connection, ids: list[str], event: Event, reason: str, who: str, now: str) -> Noted:
    chosen = json.dumps(ids)
    among = "(SELECT value FROM json_each(?))"
    asked = f"SELECT doclist_entry_id, status FROM file_migrations WHERE doclist_entry_id IN {among}"
    known = dict(db.execute(asked, (chosen,)))
    waived = {row[0] for row in db.execute(f"{WAIVED} AND doclist_entry_id IN {among}", (chosen,))}
    result = Noted([], [], [], [])
    for each in ids:
        if each not in known:
            result.unknown.append(each)
        elif (each in waived) == (event == "waived"):
            result.already.append(each)
        elif event == "waived" and known[each] == "switched":
            result.switched.append(each)
        else:
            result.noted.append(each)
    db.executemany(
        "INSERT INTO waivers (doclist_entry_id, event, reason, who, at) VALUES (?, ?, ?, ?, ?)",
        [(each, event, reason, who, now) for each in result.noted],
    )
    return result

"""Copies whose source the last look could not see: which, and why. Such a file may have been replaced since."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from engine.model.outcome import Looked

_NOTE = (
    "INSERT INTO unseen (doclist_entry_id, reason, message, at) VALUES (?, ?, ?, ?) ON CONFLICT (doclist_entry_id)"
    " DO UPDATE SET reason = excluded.reason, message = excluded.message, at = excluded.at"
)
_FORGET = "DELETE FROM unseen WHERE doclist_entry_id IN (SELECT value FROM json_each(?))"


def note(db: sqlite3.Connection, looks: Iterable[Looked], now: str) -> None:
    """Put down what looks came to. Call inside a transaction. Raises sqlite3.Error."""
    told = [look for look in looks if look.news]
    db.executemany(_NOTE, [(look.record.id, look.unseen, look.message, now) for look in told if look.unseen])
    forget(db, json.dumps([look.record.id for look in told if not look.unseen]))


def forget(db: sqlite3.Connection, ids: str) -> None:
    """Records of this JSON array have ended otherwise."""
    db.execute(_FORGET, (ids,))

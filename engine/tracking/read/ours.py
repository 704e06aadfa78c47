"""Values of ours: what a record may hold that comes from us, by the journal.

Every link that we set out to write is one, however long ago that was. So is what the org has made of such a link. Where
it has made nothing of it, that is over once it is undone: whoever clears the field later is another.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable

from engine.model.change import OURS, Ours
from engine.model.text import storable
from engine.tracking.db.conditions import among

VALUE = f"""(
    {among("c.event", OURS)} AND (c.new_url <> '' OR 'ours' = (SELECT link_state FROM url_changes u
        WHERE u.doclist_entry_id = c.doclist_entry_id AND u.new_url = c.new_url AND u.link_state IN ('ours', 'original')
        ORDER BY id DESC LIMIT 1))
    AND NOT EXISTS (SELECT 1 FROM url_changes d
        WHERE d.doclist_entry_id = c.doclist_entry_id AND d.id > c.id AND d.new_url = c.new_url
            AND {among("d.event", OURS)})
)"""
"""Row ``c`` of the journal is the latest that makes its ``new_url`` a value of ours, which has replaced ``old_url``."""

_UNDONE_HERE = f"""(
    c.event = 'undo_intended' AND c.new_url <> '' AND NOT EXISTS (SELECT 1 FROM url_changes d
        WHERE d.doclist_entry_id = c.doclist_entry_id AND d.new_url = c.new_url
            AND ({among("d.event", OURS)} OR (d.event = 'undo_intended' AND d.id > c.id)))
)"""
"""Row ``c`` undoes a value that this journal has never written: that of an earlier journal, whose DB is lost."""

_OURS = f"""
SELECT c.doclist_entry_id, c.old_url, c.event = 'rewritten' OR (c.event = 'undo_intended' AND EXISTS (
    SELECT 1 FROM url_changes e WHERE e.doclist_entry_id = c.doclist_entry_id AND e.id > c.id
        AND e.new_url = c.new_url AND e.event = 'settled' AND e.link_state = 'ours')) FROM json_each(?) AS wanted
    JOIN url_changes c ON c.doclist_entry_id = wanted.value ->> 0 AND c.new_url = wanted.value ->> 1
WHERE {VALUE} OR {_UNDONE_HERE}
"""


def ours(db: sqlite3.Connection, held: Iterable[tuple[str, str]]) -> dict[str, Ours]:
    """Of these records, with what they hold: those that hold a value of ours. Raises sqlite3.Error."""
    if db.execute("SELECT 1 FROM url_changes LIMIT 1").fetchone() is None:
        return {}
    wanted = json.dumps([(record, storable(value)) for record, value in held])
    return {record: Ours(old, bool(rewritten)) for record, old, rewritten in db.execute(_OURS, (wanted,))}

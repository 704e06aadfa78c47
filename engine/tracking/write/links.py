"""Links in the rows formed anew from their keys, where settings or hands have changed (``read/links.py``)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from functools import partial

from engine.model.errors import Paused
from engine.model.failures import FailureClass
from engine.model.keys import LinkTemplate
from engine.tracking.db.counters import counted
from engine.tracking.db.database import Database
from engine.tracking.read.links import Foreign, not_of_template, other_links

_CHUNK = 4_000
_OPERATIONS = 100_000
"""Of SQLite's machine, between two looks at whether to stop: some milliseconds."""
_RENEW = "UPDATE file_migrations SET your_s3_url = ?, updated_date = ? WHERE id = ?"
_TOO_LONG = f"""
UPDATE file_migrations SET status = 'failed', failure_class = '{FailureClass.URL_TOO_LONG.value}',
    error_message = 'the new link is longer than the field; shorten url_template or key_template'
WHERE doclist_entry_id IN (SELECT value FROM json_each(?))
"""


async def renew(
    database: Database, template: LinkTemplate, fits: Callable[[str], bool], *, look: bool, stopped: Callable[[], bool]
) -> tuple[int, Foreign]:
    """Form anew what is outdated or foreign, all or none; returns how many were outdated, and which were foreign.
    One that does not fit its field fails as url_too_long. ``look``: also if no run had other settings. Raises Paused,
    with all as it was, once ``stopped`` says so: a million rows take their time."""
    if not look and not await database.read(partial(other_links, template=template)):
        return 0, Foreign()
    return await database.write(partial(_renew, template=template, fits=fits, now=database.now(), stopped=stopped))


def _renew(
    db: sqlite3.Connection,
    *,
    template: LinkTemplate,
    fits: Callable[[str], bool],
    now: str,
    stopped: Callable[[], bool],
) -> tuple[int, Foreign]:
    db.set_progress_handler(stopped, _OPERATIONS)
    try:
        return _renewed(db, template, fits, now)
    except sqlite3.OperationalError as error:
        if not stopped():
            raise
        raise Paused("stopped while links were formed anew: they stay as they were") from error
    finally:
        db.set_progress_handler(None, 0)


def _renewed(
    db: sqlite3.Connection, template: LinkTemplate, fits: Callable[[str], bool], now: str
) -> tuple[int, Foreign]:
    rows, strange = list(not_of_template(db, template)), Foreign()
    strange.add(record for _, record, _, old in rows if not old)
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        links = [(template.url(key), now, row) for row, _, key, _ in chunk]
        db.executemany(_RENEW, links)
        too_long = [record for (_, record, _, _), (link, _, _) in zip(chunk, links, strict=True) if not fits(link)]
        if too_long:
            with counted(db, too_long):
                db.execute(_TOO_LONG, (json.dumps(too_long),))
    return len(rows) - strange.count, strange

"""Our links in the rows, held against what the settings of today make of a key."""

# ruff: noqa: S608 - statements are composed of constants; values are always bound

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from engine.model.failures import FailureClass
from engine.model.keys import placed
from engine.tracking.counters import counted
from engine.tracking.database import Database

_CHUNK = 4_000

# Salesforce carries the link of a switched row, and a record that is gone may come back with it: those stay as they are
_OUTDATED = """
    proof IS NOT NULL AND status <> 'switched' AND status <> 'gone' AND NOT (
        substr(your_s3_url, 1, length(:head)) = :head AND substr(your_s3_url, -length(:tail), length(:tail)) = :tail)
"""
_OTHERS = """
SELECT EXISTS (SELECT 1 FROM migration_runs
    WHERE json_extract(config_snapshot, '$.destination.url_template') <> :template
        OR json_extract(config_snapshot, '$.destination.region') <> :region)
"""
_RENEW = "UPDATE file_migrations SET your_s3_url = ?, updated_date = ? WHERE id = ?"
_TOO_LONG = f"""
UPDATE file_migrations SET status = 'failed', failure_class = '{FailureClass.URL_TOO_LONG.value}',
    error_message = 'the new link is longer than the field; shorten url_template or key_template'
WHERE doclist_entry_id IN (SELECT value FROM json_each(?))
"""


@dataclass(frozen=True, slots=True)
class Form:
    """What a link of ours looks like: ``template`` holds ``{bucket}``, ``{region}`` and ``{key}``."""

    template: str
    bucket: str
    region: str

    @property
    def ends(self) -> dict[str, str]:
        """What stands before the key, and behind it."""
        link = placed(self.template, self.bucket, self.region)
        return {"head": link.partition("{key}")[0], "tail": link.rpartition("{key}")[2]}


async def outdated(database: Database, form: Form) -> bool:
    """Whether there are copies whose links are of another form. Looks at the rows only if a run had other settings."""
    return await database.read(partial(_outdated, form=form))


async def renew(database: Database, form: Form, url_of: Callable[[str], str], fits: Callable[[str], bool]) -> int:
    """Form those links anew, all or none; returns how many. One that does not fit its field fails as url_too_long."""
    if not await outdated(database, form):
        return 0
    return await database.write(partial(_renew, form=form, url_of=url_of, fits=fits, now=database.now()))


def _outdated(db: sqlite3.Connection, form: Form) -> bool:
    (others,) = db.execute(_OTHERS, {"template": form.template, "region": form.region}).fetchone()
    if not others:
        return False
    (found,) = db.execute(f"SELECT EXISTS (SELECT 1 FROM file_migrations WHERE {_OUTDATED})", form.ends).fetchone()
    return bool(found)


def _renew(
    db: sqlite3.Connection, *, form: Form, url_of: Callable[[str], str], fits: Callable[[str], bool], now: str
) -> int:
    found = db.execute(f"SELECT id, doclist_entry_id, your_s3_key FROM file_migrations WHERE {_OUTDATED}", form.ends)
    rows = found.fetchall()
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        links = [(url_of(key), now, row) for row, _, key in chunk]
        db.executemany(_RENEW, links)
        too_long = [record for (_, record, _), (link, _, _) in zip(chunk, links, strict=True) if not fits(link)]
        if too_long:
            with counted(db, too_long):
                db.execute(_TOO_LONG, (json.dumps(too_long),))
    return len(rows)

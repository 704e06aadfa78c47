"""Our links in the rows, held against what a key, the bucket and a template make of them.

A link of another form than today's is *outdated* where an earlier run's settings make it of its key; where nobody's do,
it is *foreign*: somebody has changed the row by hand. Neither is ever written to Salesforce.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from engine.model.command import Command
from engine.model.errors import Paused
from engine.model.failures import FailureClass
from engine.model.keys import Form
from engine.tracking.db.counters import counted

if TYPE_CHECKING:
    from engine.tracking.db.database import Database

FORMED_ANEW = (Command("run backup --full"), "   forms them anew from their keys")
"""What mends a foreign link."""

_CHUNK = 4_000
_OPERATIONS = 100_000
"""Of SQLite's machine, between two looks at whether to stop: some milliseconds."""
_EXAMPLES = 5

# Salesforce carries the link of a switched row, and a record that is gone may come back with it: those stay
_LINKS = """
SELECT id, doclist_entry_id, your_s3_key, your_s3_url FROM file_migrations
WHERE proof IS NOT NULL AND status <> 'switched' AND status <> 'gone'
    AND your_s3_key IS NOT NULL AND your_s3_url IS NOT NULL
"""
_MOVED_OTHERWISE = """
SELECT f.doclist_entry_id FROM file_migrations f JOIN url_changes c ON c.id = (
    SELECT max(id) FROM url_changes d WHERE d.doclist_entry_id = f.doclist_entry_id)
WHERE f.status = 'switched' AND (f.your_s3_url, f.original_url) IS NOT (c.new_url, c.old_url)
"""
_FORMS = """
SELECT DISTINCT json_extract(config_snapshot, '$.destination.url_template') AS template,
    json_extract(config_snapshot, '$.destination.region') AS region
FROM migration_runs WHERE template <> '' AND region <> ''
"""
_RENEW = "UPDATE file_migrations SET your_s3_url = ?, updated_date = ? WHERE id = ?"
_TOO_LONG = f"""
UPDATE file_migrations SET status = 'failed', failure_class = '{FailureClass.URL_TOO_LONG.value}',
    error_message = 'the new link is longer than the field; shorten url_template or key_template'
WHERE doclist_entry_id IN (SELECT value FROM json_each(?))
"""


@dataclass(slots=True)
class Foreign:
    """Records whose row holds a link that is not made of its key."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, records: Iterable[str]) -> None:
        for record in records:
            self.count += 1
            if len(self.examples) < _EXAMPLES:
                self.examples.append(record)

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.examples) else ""
        return (
            f"the tracking DB was changed by other hands: the links in {self.count:,} rows are not what their keys,"
            f" destination.bucket and url_template make ({', '.join(self.examples)}{more})"
        )


async def outdated(database: Database, form: Form) -> bool:
    """Whether there are copies whose links are of an earlier form. Looks at rows only if a run had other settings."""
    return await database.read(lambda db: bool(_others(db, form)) and any(old for *_, old in _differing(db, form)))


def foreign(db: sqlite3.Connection, form: Form) -> Foreign:
    """Rows with a foreign link; of switched rows, those that say other than the journal. Walks the whole table."""
    found = Foreign()
    found.add(record for _, record, _, old in _differing(db, form) if not old)
    found.add(record for (record,) in db.execute(_MOVED_OTHERWISE))
    return found


async def renew(
    database: Database, form: Form, fits: Callable[[str], bool], *, look: bool, stopped: Callable[[], bool]
) -> tuple[int, Foreign]:
    """Form anew what is outdated or foreign, all or none; returns how many were outdated, and which were foreign.
    One that does not fit its field fails as url_too_long. ``look``: also if no run had other settings. Raises Paused,
    with all as it was, once ``stopped`` says so: a million rows take their time."""
    if not look and not await database.read(partial(_others, form=form)):
        return 0, Foreign()
    return await database.write(partial(_renew, form=form, fits=fits, now=database.now(), stopped=stopped))


def _others(db: sqlite3.Connection, form: Form) -> list[Form]:
    """The forms of earlier runs, without this one."""
    forms = [Form(template, form.bucket, region) for template, region in db.execute(_FORMS)]
    return [each for each in forms if each != form]


def _differing(db: sqlite3.Connection, form: Form) -> Iterator[tuple[int, str, str, bool]]:
    """Row, record and key of the links that are not of this form, and whether an earlier one makes them."""
    earlier = _others(db, form)
    for row, record, key, link in db.execute(_LINKS):
        if link != form.url(key):
            yield row, record, key, any(link == each.url(key) for each in earlier)


def _renew(
    db: sqlite3.Connection, *, form: Form, fits: Callable[[str], bool], now: str, stopped: Callable[[], bool]
) -> tuple[int, Foreign]:
    db.set_progress_handler(stopped, _OPERATIONS)
    try:
        return _renewed(db, form, fits, now)
    except sqlite3.OperationalError as error:
        if not stopped():
            raise
        raise Paused("stopped while links were formed anew: they stay as they were") from error
    finally:
        db.set_progress_handler(None, 0)


def _renewed(db: sqlite3.Connection, form: Form, fits: Callable[[str], bool], now: str) -> tuple[int, Foreign]:
    rows, strange = list(_differing(db, form)), Foreign()
    strange.add(record for _, record, _, old in rows if not old)
    for start in range(0, len(rows), _CHUNK):
        chunk = rows[start : start + _CHUNK]
        links = [(form.url(key), now, row) for row, _, key, _ in chunk]
        db.executemany(_RENEW, links)
        too_long = [record for (_, record, _, _), (link, _, _) in zip(chunk, links, strict=True) if not fits(link)]
        if too_long:
            with counted(db, too_long):
                db.execute(_TOO_LONG, (json.dumps(too_long),))
    return len(rows) - strange.count, strange

"""Our links in the rows, held against what a key, the bucket and a template make of them.

A link of another form than today's is *outdated* where an earlier run's settings make it of its key; where nobody's do,
it is *foreign*: somebody has changed the row by hand. Neither is ever written to Salesforce.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.model.command import Command
from engine.model.keys import Form

if TYPE_CHECKING:  # ``engine status`` asks for foreign links without an event loop
    from engine.tracking.db.database import Database

FORMED_ANEW = (Command("run backup --full"), "   forms them anew from their keys")
"""What mends a foreign link."""

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
    return await database.read(
        lambda db: bool(earlier_forms(db, form)) and any(old for *_, old in not_of_form(db, form))
    )


def foreign(db: sqlite3.Connection, form: Form) -> Foreign:
    """Rows with a foreign link; of switched rows, those that say other than the journal. Walks the whole table."""
    found = Foreign()
    found.add(record for _, record, _, old in not_of_form(db, form) if not old)
    found.add(record for (record,) in db.execute(_MOVED_OTHERWISE))
    return found


def earlier_forms(db: sqlite3.Connection, form: Form) -> list[Form]:
    """The forms of earlier runs, without this one."""
    forms = [Form(template, form.bucket, region) for template, region in db.execute(_FORMS)]
    return [each for each in forms if each != form]


def not_of_form(db: sqlite3.Connection, form: Form) -> Iterator[tuple[int, str, str, bool]]:
    """Row, record and key of the links that are not of this form, and whether an earlier one makes them."""
    earlier = earlier_forms(db, form)
    for row, record, key, link in db.execute(_LINKS):
        if link != form.url(key):
            yield row, record, key, any(link == each.url(key) for each in earlier)

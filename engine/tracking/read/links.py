"""Our links in the rows, held against what a key, the bucket and a template make of them.

A link that today's template does not make is *outdated* where an earlier run's template makes it of its key, or where
the journal knows it as one of ours: the original scripts made theirs without a template. Else it is *foreign*: somebody
has changed the row by hand. Neither is ever written to Salesforce.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.model.change import OURS
from engine.model.command import Command
from engine.model.keys import LinkTemplate
from engine.model.old_copy import IMPORT
from engine.tracking.db.conditions import among

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
SELECT f.doclist_entry_id FROM file_migrations f
WHERE f.status = 'switched' AND EXISTS (SELECT 1 FROM url_changes c WHERE c.doclist_entry_id = f.doclist_entry_id)
    AND NOT EXISTS (SELECT 1 FROM url_changes c WHERE c.doclist_entry_id = f.doclist_entry_id
        AND c.new_url = f.your_s3_url AND c.old_url = f.original_url)
"""
_OF_JOURNAL = f"""
SELECT 1 FROM url_changes c WHERE c.doclist_entry_id = ? AND c.new_url = ? AND {among("c.event", OURS)}
"""
_IMPORTED = f"SELECT 1 FROM migration_runs WHERE run_type = '{IMPORT}' LIMIT 1"
_TEMPLATES = """
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


async def outdated(database: Database, template: LinkTemplate) -> bool:
    """Whether there are copies with the links of an earlier template. Looks at rows only if a run had another one."""
    return await database.read(
        lambda db: other_links(db, template) and any(old for *_, old in not_of_template(db, template))
    )


def foreign(db: sqlite3.Connection, template: LinkTemplate) -> Foreign:
    """Rows with a foreign link; of switched rows, those that say other than the journal. Walks the whole table."""
    found = Foreign()
    found.add(record for _, record, _, old in not_of_template(db, template) if not old)
    found.add(record for (record,) in db.execute(_MOVED_OTHERWISE))
    return found


def other_links(db: sqlite3.Connection, template: LinkTemplate) -> bool:
    """Whether a run had another template, or has taken over links of the original scripts."""
    return bool(earlier_templates(db, template) or db.execute(_IMPORTED).fetchone())


def earlier_templates(db: sqlite3.Connection, template: LinkTemplate) -> list[LinkTemplate]:
    """The link templates of earlier runs, without this one."""
    templates = [LinkTemplate(text, template.bucket, region) for text, region in db.execute(_TEMPLATES)]
    return [each for each in templates if each != template]


def not_of_template(db: sqlite3.Connection, template: LinkTemplate) -> Iterator[tuple[int, str, str, bool]]:
    """Row, record and key of the links that this template does not make, and whether an earlier one does."""
    earlier = earlier_templates(db, template)
    for row, record, key, link in db.execute(_LINKS):
        if link != template.url(key):
            old = any(link == each.url(key) for each in earlier)
            yield row, record, key, old or db.execute(_OF_JOURNAL, (record, link)).fetchone() is not None

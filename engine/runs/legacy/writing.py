"""Rows and journal entries of an import, written."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from engine.model.change import Step
from engine.runs.legacy.deciding import Becomes
from engine.tracking.db.database import Database
from engine.tracking.write import legacy as imported
from engine.tracking.write.journal import Journal
from engine.tracking.write.legacy import ImportedRow


class Writing:
    """Of one import. A chunk is written while the next one is looked at: disk and bucket take their time."""

    def __init__(self, database: Database, run_id: int | None, journal: Journal | None) -> None:
        """``run_id`` None: a dry run, in which nothing is written."""
        self._db = database
        self._run_id = run_id
        self._journal = journal
        self._under_way: asyncio.Future[None] | None = None

    async def put(self, rows: Sequence[Becomes], steps: Sequence[Step]) -> None:
        """Begin to write a chunk, once the one before it is written. Raises Fatal for that one."""
        await self.settled()
        if self._run_id is not None:
            self._under_way = asyncio.ensure_future(self._write(self._run_id, rows, steps))

    async def settled(self) -> None:
        """All is written. Raises Fatal."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            await under_way

    async def _write(self, run_id: int, rows: Sequence[Becomes], steps: Sequence[Step]) -> None:
        """First the rows, then what the journal says of them."""
        now, told = self._db.now(), {step.id for step in steps}
        stored = [_stored(row, now) for row in rows]
        await self._db.write(partial(imported.take, rows=stored, run_id=run_id, uncounted=told, now=now))
        if self._journal is not None:
            await self._journal.append(steps)


def _stored(row: Becomes, now: str) -> ImportedRow:
    old, copy = row.old, row.copy
    stored = ImportedRow(
        id=old.id,
        account_id=old.account_id,
        account_name=old.account_name,
        original_url=old.url,
        last_modified=old.modified or None,
        file_name=old.name or None,
        status=row.status.value,
        failure=None if row.failure is None else row.failure.value,
        message=imported.message(row.message),
        phase=2 if old.switched else 1,
    )
    if copy is None:
        return stored
    return stored._replace(
        key=old.key,
        link=copy.link,
        size=copy.size,
        sha256=copy.sha256 or None,
        copied_at=old.copied_at or now,
        method="adopted",
        source_id=old.source_id or None,
        source_etag=copy.source_etag or None,
        etag=copy.etag or None,
        proof=copy.proof.value,
        verified_at=now if copy.verified else None,
    )

"""What a verification found, written down.

| verdict on a copy        | backed_up, rolled_back                    | switched                                |
|--------------------------|-------------------------------------------|-----------------------------------------|
| as recorded              | verified_at                               | verified_at                             |
| better proof             | proof, hash, checksum                     | the same                                |
| object missing           | pending / copy_missing                    | verified_at forgotten: to be proved anew |
| object differs           | failed / key_conflict                     | verified_at forgotten                   |
| copy lies in an archive  | failed / archived                         | stays: the copy is what was proved      |
| source has changed       | pending / source_changed                  | stays: the link is ours                 |

A pending row is copied again by the next incremental backup, and so is a switched one that is not verified: the link
keeps its key. Whatever is wrong also gets a row in ``migration_errors``.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from engine.model.copy import CopyFault
from engine.model.failures import FailureClass
from engine.tracking.db.conditions import SWITCHABLE
from engine.tracking.db.counters import counted
from engine.tracking.db.database import Database
from engine.tracking.write import errors, runs
from engine.tracking.write.errors import ErrorRow
from engine.tracking.write.runs import RunCounts


class Verdict(NamedTuple):
    """What was found of one copy."""

    row: int
    record_id: str
    url: str
    """Of the source."""
    fault: CopyFault
    message: str


class Raised(NamedTuple):
    """One copy whose claim rests on more from now on."""

    row: int
    record_id: str
    proof: str
    sha256: str
    etag: str
    """The copy's ETag of today."""


_BECOMES = {
    CopyFault.MISSING: ("pending", FailureClass.COPY_MISSING),
    CopyFault.DIFFERS: ("failed", FailureClass.KEY_CONFLICT),
    CopyFault.ARCHIVED: ("failed", FailureClass.ARCHIVED),
    CopyFault.EXPIRING: ("failed", FailureClass.ARCHIVED),
    CopyFault.SOURCE_CHANGED: ("pending", FailureClass.SOURCE_CHANGED),
}
#: Faults that change a row: the others say nothing of the copy itself.
CONDEMNED = frozenset(_BECOMES)
_CONDEMN = (
    "UPDATE file_migrations SET status = ?, failure_class = ?, error_message = ?, verified_at = NULL, run_id = ?,"
    f" updated_date = ? WHERE id = ? AND {SWITCHABLE}"
)


class Verdicts:
    """Writes verdicts of one run. Every verb raises Fatal when SQLite cannot go on; durable when it returns."""

    def __init__(self, database: Database, run_id: int) -> None:
        self._db = database
        self._run_id = run_id

    async def confirm(self, rows: Sequence[int]) -> None:
        """These copies are as recorded, as of now."""
        if rows:
            await self._db.write(partial(_confirm, rows=rows, run_id=self._run_id, now=self._db.now()))

    async def raise_proofs(self, raised: Sequence[Raised]) -> None:
        """These copies are proved better than before, as of now."""
        if raised:
            await self._db.write(partial(_raise, raised=raised, run_id=self._run_id, now=self._db.now()))

    async def condemn(self, verdicts: Sequence[Verdict]) -> None:
        """These are not as recorded. What nobody could look at, and what has only lost its source, stays."""
        if certain := [each for each in verdicts if each.fault in CONDEMNED]:
            await self._db.write(partial(_condemn, verdicts=certain, run_id=self._run_id, now=self._db.now()))


def _confirm(db: sqlite3.Connection, rows: Sequence[int], run_id: int, now: str) -> None:
    db.execute(
        "UPDATE file_migrations SET verified_at = ? WHERE id IN (SELECT value FROM json_each(?))",
        (now, json.dumps(list(rows))),
    )
    runs.count(db, run_id, RunCounts(len(rows), successful=len(rows)), now=now)


def _raise(db: sqlite3.Connection, raised: Sequence[Raised], run_id: int, now: str) -> None:
    with counted(db, (each.record_id for each in raised)):
        db.executemany(
            "UPDATE file_migrations SET verified_at = ?1, proof = min(proof, ?2), file_hash = coalesce(nullif(?3, ''),"
            " file_hash), checksum = CASE WHEN ?3 <> '' THEN 'sha256:' || ?3 ELSE checksum END,"
            " destination_etag = coalesce(nullif(?4, ''), destination_etag) WHERE id = ?5",
            # proofs sort as their strength: checksum, etag, received, size
            [(now, each.proof, each.sha256, each.etag, each.row) for each in raised],
        )
    runs.count(db, run_id, RunCounts(len(raised), successful=len(raised), updated=len(raised)), now=now)


def _condemn(db: sqlite3.Connection, verdicts: Sequence[Verdict], run_id: int, now: str) -> None:
    with counted(db, (each.record_id for each in verdicts)):
        for each in verdicts:
            status, failure = _BECOMES[each.fault]
            db.execute(
                _CONDEMN,
                (status, failure.value, each.message, run_id, now, each.row),
            )
            if each.fault in {CopyFault.MISSING, CopyFault.DIFFERS}:
                db.execute(
                    "UPDATE file_migrations SET verified_at = NULL, updated_date = ?"
                    " WHERE id = ? AND status = 'switched'",
                    (now, each.row),
                )
    errors.add(db, run_id, [_error(each, now) for each in verdicts])
    runs.count(db, run_id, RunCounts(len(verdicts), failed=len(verdicts)), now=now)


def _error(verdict: Verdict, now: str) -> ErrorRow:
    _, failure = _BECOMES[verdict.fault]
    return ErrorRow(verdict.record_id, failure, verdict.message, verdict.url, now, attempt=0, kind="verify")

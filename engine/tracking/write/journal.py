"""The journal (``url_changes``): every step of every link change, a row each, with an HMAC, and never changed again.

A batch of steps goes in as one transaction, together with what it means for the records' rows and the counters. It is
durable when ``append`` returns, and its chain tip is exported beside the DB before that:

=============  ========================================================================================================
link state     the record's row
=============  ========================================================================================================
(nobody knows)  stays
ours           ``switched``, if its copy is the one that the link points at
original       ``rolled_back`` after an undo, if its copy is the one; otherwise it stays, or is ``failed`` with a class
edited         ``pending`` / ``drifted``, with the link that was found: the next backup copies that
gone           ``gone`` / ``deleted``
=============  ========================================================================================================
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Sequence
from functools import partial

from engine.limiting.group_commit import GroupCommit
from engine.model.change import GENESIS, ChainTip, Event, LinkState, Step
from engine.model.errors import Blocked, Fatal
from engine.model.text import storable
from engine.tracking.db import chain
from engine.tracking.db.chain import Key
from engine.tracking.db.counters import counted
from engine.tracking.db.database import Database
from engine.tracking.read.journal import COLUMNS
from engine.tracking.write import errors, runs
from engine.tracking.write.errors import ErrorRow, shortened
from engine.tracking.write.runs import RunCounts

_INSERT = f"INSERT INTO url_changes ({COLUMNS}, link_state, prev_hash, hash) VALUES ({', '.join('?' * 12)})"
_LAST = "SELECT id, hash FROM url_changes ORDER BY id DESC LIMIT 1"

_OURS = (
    "UPDATE file_migrations SET status = 'switched', salesforce_updated = 1, migration_phase = 2, failure_class = NULL,"
    " error_message = NULL, run_id = ?, updated_date = ? WHERE doclist_entry_id = ? AND your_s3_url = ?"
    " AND original_url = ? AND proof IS NOT NULL"
)
_OUR_COPY = "your_s3_url IS ?1 AND proof IS NOT NULL"
_GOOD = f"({_OUR_COPY} AND verified_at IS NOT NULL)"  # no verification has condemned it while the link was ours
_RESTORED = (
    f"UPDATE file_migrations SET status = iif({_GOOD}, 'rolled_back', 'pending'), failure_class ="
    f" iif({_GOOD}, NULL, iif({_OUR_COPY}, 'copy_missing', 'drifted')), error_message = NULL, original_url = ?2,"
    " salesforce_updated = 0, migration_phase = 2, run_id = ?3, updated_date = ?4 WHERE doclist_entry_id = ?5"
)
_EDITED = (
    "UPDATE file_migrations SET status = 'pending', failure_class = 'drifted',"
    " error_message = 'its link was edited in Salesforce since the backup', original_url = ?, salesforce_updated = 0,"
    " run_id = ?, updated_date = ? WHERE doclist_entry_id = ?"
)
_GONE = (
    "UPDATE file_migrations SET status = 'gone', failure_class = 'deleted',"
    " error_message = 'the record was deleted in Salesforce, or is hidden from this user', run_id = ?,"
    " updated_date = ? WHERE doclist_entry_id = ?"
)
_FAILED = (
    "UPDATE file_migrations SET status = 'failed', failure_class = ?, error_message = ?, run_id = ?, updated_date = ?"
    " WHERE doclist_entry_id = ? AND salesforce_updated = 0"
)


class Journal:
    """Of one run. ``check`` before the first ``append``."""

    def __init__(self, database: Database, key: Key, run_id: int) -> None:
        self._db = database
        self._key = key
        self._run_id = run_id
        self._commits = GroupCommit(self._write_batch)
        self.tip = GENESIS

    @property
    def key(self) -> Key:
        return self._key

    async def append(self, steps: Sequence[Step]) -> None:
        """Durable, and the tip exported, when this returns. Raises Fatal; then nothing of it is stored.

        Group commit: whatever comes while a batch is being written goes into the next one.
        """
        if steps:
            await self._commits.add(steps)

    async def export(self) -> None:
        """Write the tip beside the DB. Raises Fatal."""
        document = chain.tip_document(self._key, self.tip, self._db.now())
        try:
            await asyncio.to_thread(chain.write_tip, chain.tip_path(self._db.path), document, self._db.files)
        except Blocked as error:
            raise Fatal(str(error), hint=error.hint) from error

    async def flush(self) -> None:
        """Wait until nothing is being written. For whoever was cancelled while it waited for an ``append``."""
        await self._commits.flush()

    async def _write_batch(self, steps: Sequence[Step]) -> None:
        # microseconds: later than whatever it answers, earlier than whatever it announces
        at = self._db.clock.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        self.tip = await self._db.write(partial(self._write, steps, at))
        await self.export()

    def _write(self, steps: Sequence[Step], at: str, db: sqlite3.Connection) -> ChainTip:
        number, before = db.execute(_LAST).fetchone() or (0, GENESIS.hash)
        rows = []
        for step in steps:
            number += 1
            row = (number, self._run_id, step.wave, step.id, step.old, step.new, str(step.event), at,
                   step.message and shortened(step.message))  # fmt: skip
            state = step.link_state and str(step.link_state)
            mac = self._key.row_hmac(before, row if state is None else (*row, state))
            rows.append((*row, state, before, mac))
            before = mac
        db.executemany(_INSERT, rows)
        if ended := [step for step in steps if step.link_state is not None]:
            _record(db, ended, self._run_id, at[:23] + "Z")
        return ChainTip(number, before)


def _record(db: sqlite3.Connection, steps: Sequence[Step], run_id: int, now: str) -> None:
    by: dict[str, list[tuple[object, ...]]] = {}
    for step in steps:
        statement, values = _effect(step, run_id, now)
        if statement:
            by.setdefault(statement, []).append(values)
    with counted(db, [step.id for step in steps]) as rows:
        changed = {statement: db.executemany(statement, values).rowcount for statement, values in by.items()}
        if changed.get(_OURS) == rows.files == len(steps):
            rows.became = "switched"
    failures = [ErrorRow(s.id, s.failure, s.message, s.old, now, attempt=1) for s in steps if s.failure is not None]
    errors.add(db, run_id, failures)
    events = Counter(step.event for step in steps)
    moved = events[Event.APPLIED] + events[Event.UNDONE]
    rest = events[Event.SETTLED] + events[Event.KEPT]
    failed = len(failures)
    counts = RunCounts(moved + failed + rest, successful=moved, failed=failed, skipped=rest, updated=moved)
    runs.count(db, run_id, counts, now=now)


def _effect(step: Step, run_id: int, now: str) -> tuple[str, tuple[object, ...]]:
    match step.link_state:
        case LinkState.OURS if step.failure is None:
            return _OURS, (run_id, now, step.id, step.new, step.old)
        case LinkState.EDITED:
            return _EDITED, (storable(step.found), run_id, now, step.id)
        case LinkState.GONE:
            return _GONE, (run_id, now, step.id)
        case LinkState.ORIGINAL if step.undo:
            return _RESTORED, (step.new, step.old, run_id, now, step.id)
        case LinkState.ORIGINAL if step.failure is not None:
            return _FAILED, (step.failure.value, shortened(step.message) or None, run_id, now, step.id)
    return "", ()

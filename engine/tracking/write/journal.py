"""The journal (``url_changes``): every step of every link change, a row each, with an HMAC, and never changed again.

A batch of steps goes in as one transaction, together with what it means for the records' rows and the counters. It is
durable when ``append`` returns, its chain tip is exported beside the DB before that, and its rows are kept off this
machine, where somewhere is given:

=============  ========================================================================================================
link state     the record's row
=============  ========================================================================================================
(nobody knows)  stays
ours           ``switched``, if its copy is the one that the link points at
original       ``rolled_back`` after an undo, if its copy is of it; otherwise it stays, or is ``failed`` with a class
edited         ``pending`` / ``drifted``, with the link that was found: the next backup copies that
gone           ``gone`` / ``deleted``
=============  ========================================================================================================

Where the org has changed what we wrote, the row is ``failed`` / ``rejected`` and keeps its original. A link that was
found may be a value of ours from another change (``read/ours.py``): then the row says so, and is not ``drifted``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

from engine.limiting.group_commit import GroupCommit
from engine.model.change import CHANGED_BY_ORG, GENESIS, ChainTip, Event, LinkState, Ours, Step
from engine.model.errors import Blocked, Fatal
from engine.model.text import storable
from engine.tracking.db import chain
from engine.tracking.db.chain import Key
from engine.tracking.db.counters import counted
from engine.tracking.db.database import Database
from engine.tracking.read.journal import ALL_COLUMNS
from engine.tracking.read.ours import ours
from engine.tracking.write import errors, runs
from engine.tracking.write.errors import ErrorRow, shortened
from engine.tracking.write.runs import RunCounts

INSERT = f"INSERT INTO url_changes ({ALL_COLUMNS}) VALUES ({', '.join('?' * 12)})"
_LAST = "SELECT id, hash FROM url_changes ORDER BY id DESC LIMIT 1"

SWITCHED = (
    "UPDATE file_migrations SET status = 'switched', salesforce_updated = 1, migration_phase = 2, failure_class = NULL,"
    " error_message = NULL, original_url = ?, updated_date = ?, run_id = coalesce(?, run_id) WHERE doclist_entry_id = ?"
    " AND your_s3_url = ? AND proof IS NOT NULL"
)
"""The record holds the link of the row's copy; ``original_url`` is what the link has replaced."""
# its key never holds another file's content, so whoever once meant to put it in place of this original has proved it
_OUR_COPY = """
    proof IS NOT NULL AND EXISTS (SELECT 1 FROM url_changes c WHERE c.doclist_entry_id = ?4 AND c.old_url = ?1
        AND c.new_url = your_s3_url)
"""
_GOOD = f"({_OUR_COPY} AND verified_at IS NOT NULL)"  # no verification has condemned it while the link was ours
_RESTORED = (
    f"UPDATE file_migrations SET status = iif({_GOOD}, 'rolled_back', 'pending'), failure_class ="
    f" iif({_GOOD}, NULL, iif({_OUR_COPY}, 'copy_missing', 'drifted')), error_message = NULL, original_url = ?1,"
    " salesforce_updated = 0, migration_phase = 2, run_id = ?2, updated_date = ?3 WHERE doclist_entry_id = ?4"
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
_ITS_LINK = "your_s3_url IS ?1 AND proof IS NOT NULL"


def _holding(status: str, failure: str) -> str:
    """For a record that holds a value of ours: ``switched`` if that is the link of the row's copy."""
    return (
        f"UPDATE file_migrations SET status = iif({_ITS_LINK}, 'switched', '{status}'),"
        f" failure_class = iif({_ITS_LINK}, NULL, '{failure}'), error_message = iif({_ITS_LINK}, NULL, ?2),"
        f" salesforce_updated = iif({_ITS_LINK}, 1, 0), original_url = ?3, migration_phase = 2, run_id = ?4,"
        " updated_date = ?5 WHERE doclist_entry_id = ?6"
    )


_CHANGED_BY_ORG = _holding("failed", "rejected")
_OLDER_LINK = _holding("pending", "drifted")


class OffBox(Protocol):
    """Where rows are kept off this machine."""

    def take(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Begin to keep the rows of one commit."""

    async def settled(self) -> None:
        """All that was taken is kept. Raises Paused."""


class Journal:
    """Of one run. ``check`` before the first ``append``. ``now``: the time of a step; else as the DB's clock says."""

    def __init__(self, database: Database, key: Key, run_id: int, now: Callable[[], datetime] | None = None) -> None:
        self._db = database
        self._key = key
        self._run_id = run_id
        self._now = now or database.clock.now
        self._commits = GroupCommit(self._write_batch)
        self.tip = GENESIS
        self.off_box: OffBox | None = None

    @property
    def key(self) -> Key:
        return self._key

    async def append(self, steps: Sequence[Step]) -> None:
        """Durable, the tip exported, and the rows kept off this machine, when this returns. Raises Fatal: then nothing
        of it is stored; or Paused where the rows could not be kept elsewhere.

        Group commit: whatever comes while a batch is being written goes into the next one.
        """
        if steps:
            await self._commits.add(steps)
            if self.off_box is not None:
                await self.off_box.settled()

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
        at = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        rows = await self._db.write(partial(self._write, steps, at))
        self.tip = ChainTip(rows[-1][0], rows[-1][-1])
        if self.off_box is not None:
            self.off_box.take(rows)  # first: the rows behind these would leave a gap there, if the tip cannot be saved
        await self.export()

    def _write(self, steps: Sequence[Step], at: str, db: sqlite3.Connection) -> list[tuple[Any, ...]]:
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
        db.executemany(INSERT, rows)
        if ended := [step for step in steps if step.link_state is not None]:
            follow(db, ended, self._run_id, at[:23] + "Z")
        return rows


def follow(db: sqlite3.Connection, steps: Sequence[Step], run_id: int, now: str) -> None:
    """Let rows and counters follow what these steps say. Call inside a transaction. Raises sqlite3.Error."""
    found = ours(db, [(step.id, step.found) for step in steps if step.link_state is LinkState.EDITED])
    effects: dict[str, tuple[str, tuple[object, ...]]] = {}
    for step in steps:
        if (effect := _effect(step, found.get(step.id), run_id, now)) is not None:
            effects[step.id] = effect  # of two about one record, the later one knows what it holds
    by: dict[str, list[tuple[object, ...]]] = {}
    for statement, values in effects.values():
        by.setdefault(statement, []).append(values)
    with counted(db, [step.id for step in steps]) as rows:
        changed = {statement: db.executemany(statement, values).rowcount for statement, values in by.items()}
        if changed.get(SWITCHED) == rows.files == len(steps):
            rows.became = "switched"
    failures = [ErrorRow(s.id, s.failure, s.message, s.old, now, attempt=1) for s in steps if s.failure is not None]
    errors.add(db, run_id, failures)
    runs.count(db, run_id, _counts(steps), now=now)


def _counts(steps: Sequence[Step]) -> RunCounts:
    """What was changed right behind our write was counted as moved when it was written."""
    events = Counter(step.event for step in steps if not step.by_org)
    behind, failed = sum(step.behind for step in steps), sum(step.failure is not None for step in steps)
    moved = events[Event.APPLIED] + events[Event.UNDONE] - behind
    rest = events[Event.SETTLED] + events[Event.KEPT]
    return RunCounts(moved + failed + rest, successful=moved, failed=failed, skipped=rest, updated=moved)


def _effect(step: Step, found: Ours | None, run_id: int, now: str) -> tuple[str, tuple[object, ...]] | None:
    """``found``: what was found there is a value of ours."""
    at = (run_id, now, step.id)
    if step.by_org:
        held = step.new if step.link_state is LinkState.OURS else step.old
        return _CHANGED_BY_ORG, (held, shortened(step.message), step.old, *at)
    match step.link_state:
        case LinkState.OURS if step.failure is None:
            return SWITCHED, (step.old, now, run_id, step.id, step.new)
        case LinkState.EDITED if found is not None and found.rewritten:
            return _CHANGED_BY_ORG, (storable(step.found), CHANGED_BY_ORG, found.old, *at)
        case LinkState.EDITED if found is not None:
            return _OLDER_LINK, (storable(step.found), "its link is an older one of ours", found.old, *at)
        case LinkState.EDITED:
            return _EDITED, (storable(step.found), *at)
        case LinkState.GONE:
            return _GONE, at
        case LinkState.ORIGINAL if step.undo:
            return _RESTORED, (step.old, *at)
        case LinkState.ORIGINAL if step.failure is not None:
            return _FAILED, (step.failure.value, shortened(step.message) or None, *at)
    return None

"""Rows of the journal that come back from the bucket: records follow them in the order of the chain."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.model.change import GENESIS, Event, LinkState, Step
from engine.model.outcome import Batch
from engine.tracking.db.chain import Key
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.read.journal import ALL_COLUMNS
from engine.tracking.write import rebuild
from engine.tracking.write.journal import Journal
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import copied, record_id

KEY = Key(b"k" * 32)
TEN = datetime(2026, 11, 22, 10, 0, 5, tzinfo=UTC)


async def moved_and_put_back(path: Path, apart: timedelta) -> list[tuple[Any, ...]]:
    """The journal of a switch and of a rollback, whose clock is ``apart`` from the switch's."""
    async with open_database(path, ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.write(Batch([copied(1)]))
        tip = GENESIS
        for kind, at, events in (
            ("switch", TEN, ((Event.INTENDED, None), (Event.APPLIED, LinkState.OURS))),
            ("rollback", TEN + apart, ((Event.UNDO_INTENDED, None), (Event.UNDONE, LinkState.ORIGINAL))),
        ):
            journal = Journal(db, KEY, await ledger.begin_run(kind, {}), lambda at=at: at)
            journal.tip = tip
            made, undo = copied(1), kind == "rollback"
            steps = [
                Step(record_id(1), made.record.url, made.url, event, link_state=state, undo=undo)
                for event, state in events
            ]
            await journal.append(steps)
            tip = journal.tip
        rows = await db.fetch(f"SELECT {ALL_COLUMNS} FROM url_changes ORDER BY id")
        assert (await db.fetch("SELECT status FROM file_migrations"))[0][0] == "rolled_back"
    return rows


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("apart", [timedelta(seconds=2), timedelta(seconds=-2)], ids=["later", "earlier"])
async def test_a_clock_that_went_back_between_two_runs_leaves_no_record_behind(
    tmp_path: Path, apart: timedelta, at_once: bool
) -> None:
    rows = await moved_and_put_back(tmp_path / "a.db", apart)
    async with open_database(tmp_path / "older.db", ManualClock()) as db:
        await Ledger(db).write(Batch([copied(1)]))
        for part in [rows] if at_once else [rows[:2], rows[2:]]:
            await db.write(lambda raw, part=part: rebuild.add(raw, part, copies={}, config={}))
        assert (await db.fetch("SELECT status FROM file_migrations"))[0][0] == "rolled_back"

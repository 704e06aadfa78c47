"""Rows of ``migration_errors``: whoever writes one, neither a password nor a signature gets into it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from engine.limiting.clock import SystemClock
from engine.model.change import Event, LinkState, Step
from engine.model.copy import CopyFault
from engine.model.failures import FailureClass
from engine.model.outcome import Attempt, Batch
from engine.tracking.db.chain import Key
from engine.tracking.db.database import Database, open_database
from engine.tracking.ledger import Ledger
from engine.tracking.write.journal import Journal
from engine.tracking.write.verdicts import Verdict, Verdicts
from tests.support.outcomes import a_record, copied, failed, record_id

Writer = Callable[[Database, Ledger, int], Awaitable[None]]
URL = "https://user:canary@vendor.example/a.pdf?X-Amz-Signature=canary"


async def by_an_outcome(database: Database, ledger: Ledger, run: int) -> None:
    tried = Attempt(record_id(1), FailureClass.NETWORK, "reset", URL, 1, "2026-11-22T10:00:00.000Z")
    await ledger.write(Batch([failed(1, record=a_record(1, url=URL))], attempts=[tried]))


async def by_a_verification(database: Database, ledger: Ledger, run: int) -> None:
    await Verdicts(database, run).condemn([Verdict(1, record_id(1), URL, CopyFault.MISSING, "no object")])


async def by_the_journal(database: Database, ledger: Ledger, run: int) -> None:
    refused = Step(record_id(1), URL, "https://ours.example/1.pdf", Event.REFUSED, link_state=LinkState.ORIGINAL)
    await Journal(database, Key(b"k" * 32), run).append([refused._replace(failure=FailureClass.REJECTED)])


@pytest.mark.parametrize("write", [by_an_outcome, by_a_verification, by_the_journal])
async def test_no_credential_of_a_url_is_stored(tmp_path: Path, write: Writer) -> None:
    async with open_database(tmp_path / "tracking.db", SystemClock()) as database:
        ledger = Ledger(database)
        run = await ledger.begin_run("backup", {})
        await ledger.write(Batch([copied(1)]))
        await write(database, ledger, run)
        rows = await database.fetch("SELECT original_url FROM migration_errors")

    assert rows
    assert {url for (url,) in rows} == {"https://…@vendor.example/a.pdf"}

"""The audit beside a run that goes on writing: it raises no false alarm."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path
from typing import Any

from engine.limiting.clock import SystemClock
from engine.model.change import Event, LinkState, Step
from engine.runs.journal.audit import AuditOptions, audit
from engine.settings import Settings
from engine.tracking.db.chain import Key
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.write.journal import Journal

SECRET = b"a secret of some length"


async def write_on(path: Path, number: int) -> None:
    """What a switch does all the time: a batch of steps, and its tip after it."""
    async with open_database(path, SystemClock()) as database:
        journal = Journal(database, Key(SECRET), await Ledger(database).begin_run("switch", {}))
        link = (f"a0X{number:015d}", "https://old.test/1", "https://new.test/1")
        await journal.append([Step(*link, Event.INTENDED, 1), Step(*link, Event.APPLIED, 1, LinkState.OURS)])


def test_an_audit_beside_a_run_that_goes_on_raises_no_false_alarm(tmp_path: Path) -> None:
    """The run writes while the audit is under way: held up at its key, which is a pipe here."""
    path, pipe = tmp_path / "tracking.db", tmp_path / "key"
    os.mkfifo(pipe, 0o600)
    settings = Settings.model_validate(
        {
            "salesforce": {"login_url": "https://x.my.salesforce.com"},
            "destination": {"bucket": "ours"},
            "tracking": {"database": str(path)},
            "switch": {"journal_key_file": str(pipe)},
        }
    )
    asyncio.run(write_on(path, 1))
    found: list[dict[str, Any]] = []
    auditor = threading.Thread(target=lambda: found.append(asyncio.run(audit(settings, AuditOptions(bucket=False)))))
    auditor.start()
    with pipe.open("wb") as key:  # opens once the audit waits for it
        asyncio.run(write_on(path, 2))
        key.write(SECRET)
    auditor.join(10)
    assert (found[0]["whole"], found[0]["problem"], found[0]["rows"]) == (True, None, 4)

"""A tracking DB with some of everything, for the pages."""

from __future__ import annotations

from pathlib import Path

from engine.model.change import Event, LinkState, Step
from engine.model.failures import FailureClass
from engine.model.outcome import Batch
from engine.tracking.db.chain import Key
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.write.journal import Journal
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import a_record, copied, failed, record_id

EVIL = "<script>alert(1)</script>\x1b[31m"
PATHS = ("/", "/failures", "/accounts", "/runs", "/readiness", "/record")


async def some_of_everything(path: Path) -> Path:
    """Some of everything: a scan of 600 that has met 14, names that are no markup, a link that moved."""
    async with open_database(path, ManualClock()) as db:
        ledger = Ledger(db)
        run = await ledger.begin_run("backup", {})
        scan = await ledger.begin_scan("full", "scope", restricted=False, watermark="2026-01-01T00:00:00.000Z")
        await ledger.sample({"kind": "scope", "scan": scan, "records": 600})
        url = "https://vendor.example/a.pdf?X-Amz-Signature=canary"
        await ledger.write(
            Batch(
                [
                    *(copied(n) for n in range(10)),
                    failed(30, FailureClass.SOURCE_MISSING, record=a_record(30, url=url), message=EVIL),
                    failed(31, FailureClass.NETWORK),
                ]
            )
        )
        old, new = "https://vendor.example/1.pdf?X-Amz-Signature=canary", "https://ours.example/1.pdf"
        step = Step(record_id(1), old, new, Event.INTENDED, 1)
        await Journal(db, Key(b"k" * 32), run).append(
            [step, step._replace(event=Event.APPLIED, link_state=LinkState.OURS)]
        )
    return path

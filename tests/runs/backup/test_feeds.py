"""A full scan in many ranges, killed between checkpoints: real org, real tracking DB, records that need no copying."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

from engine.limiting.clock import SystemClock
from engine.model.failures import FailureClass
from engine.model.hosts import source_rules
from engine.model.id_space import id_at, position
from engine.model.plan import Known
from engine.model.record import ObjectShape
from engine.pipeline.allowance import Allowance
from engine.pipeline.intake import Intake, MetRows
from engine.pipeline.planning import Filters
from engine.pipeline.recorder import Recorder
from engine.pipeline.routes import Routes
from engine.pipeline.stop import Stop
from engine.pipeline.tally import Tally
from engine.pipeline.work_queue import WorkQueue
from engine.rehearsal.salesforce import SalesforceStandIn, Server, StandInSettings
from engine.runs.backup.feeds import Feeds
from engine.runs.backup.inventory import Inventory
from engine.runs.shared.assembly import Services
from engine.runs.shared.bounds import Bounds
from engine.runs.shared.lifecycle import Run
from engine.salesforce.connection import open_salesforce
from engine.settings import NetworkSettings, Settings
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger

OBJECT = "DocListEntry__c"
BASE = position("a0X5e0000000000")
RECORDS = 45_000
PAGE = 2_000
LONG_AGO = "2026-01-01T00:00:00.000+0000"
"""No record has changed since the scan began."""


class Wanted:
    full = True
    retry_classes: frozenset[FailureClass] = frozenset()


def settings_for(server: Server, database: Path) -> Settings:
    return Settings.model_validate(
        {
            "salesforce": {
                "login_url": server.login_url,
                "client_id": "rehearsal",
                "client_secret": "rehearsal-secret",
            },
            "source": {"buckets": ["vendor"], "inventory": "never"},
            "destination": {"bucket": "ours"},
            "tracking": {"database": str(database)},
        }
    )


class Fed(NamedTuple):
    """How a run of the feed went."""

    done: bool
    recorded_before: int
    read: int


async def feed(server: Server, database: Path, *, full: bool, kill_after: int | None) -> Fed:
    """One run of the feed; ``kill_after`` so many pages it is dropped as it stands, unwritten outcomes and all."""
    settings, clock = settings_for(server, database), SystemClock()
    async with (
        open_database(database, clock) as db,
        open_salesforce(settings.salesforce, NetworkSettings(), clock) as salesforce,
    ):
        pages: list[int] = []
        killed = asyncio.Event()

        class Watched(Ledger):
            """Kills when so many pages were taken up."""

            async def known(self, ids: Sequence[str]) -> dict[str, Known]:
                found = await super().known(ids)
                pages.append(len(ids))
                if len(pages) == kill_after:
                    killed.set()
                return found

        ledger = Watched(db)
        await salesforce.organization()
        run = await ledger.begin_run("backup", {})
        absent: Any = dict.fromkeys(each.name for each in fields(Services))
        here = {
            "ours": settings.destination,
            "filters": Filters(),
            "clock": clock,
            "ledger": ledger,
            "salesforce": salesforce,
        }
        parts = Services(**absent | here | {"rules": source_rules(("vendor",), None, None, ())})
        planner = parts.planner(ObjectShape(OBJECT, "Document__c", 255, True), None)
        tally, met = Tally(), MetRows(run)
        recorder = Recorder(ledger, tally, 500)
        ((before,),) = await db.fetch("SELECT count(*) FROM file_migrations")
        allowance = Allowance(None, Stop())
        intake = Intake(ledger, planner, Routes(_no_route), WorkQueue(800, 4), recorder, clock, allowance, met)
        wanted = Wanted()
        wanted.full = full
        screen: Any = None
        here_now = Run(parts, screen, Stop(), Bounds(), ExitStack(), run)
        inventory = Inventory(parts, settings.source, tally, here_now.note)
        feeds = Feeds(here_now, wanted, "scope", tally, met, inventory)
        recording = asyncio.create_task(recorder.run())
        feeding = asyncio.create_task(feeds.run(intake))
        dying = asyncio.create_task(killed.wait())
        await asyncio.wait([feeding, dying], return_when=asyncio.FIRST_COMPLETED)
        for task in (recording, feeding, dying):
            task.cancel()
        if not killed.is_set():
            await feeding
        await asyncio.wait([recording, feeding, dying])
        return Fed(not killed.is_set(), before, sum(pages))


async def _no_route(bucket: str, samples: Any) -> Any:
    raise AssertionError("nothing here is copied")


async def test_a_scan_killed_again_and_again_between_checkpoints_loses_nothing_and_reads_at_most_a_page_twice(
    tmp_path: Path,
) -> None:
    chance, path = random.Random(7), tmp_path / "t.db"
    async with SalesforceStandIn(StandInSettings(latency_ms={"query": 60})).serve() as server:
        ids = [id_at(BASE + 3 * n + (n // 9000) * 62**7) for n in range(RECORDS)]
        server.world.load(OBJECT, [{"Id": row, "Name": "n", "SystemModstamp": LONG_AGO} for row in ids])
        kills = 0
        fed = await feed(server, path, full=True, kill_after=4)
        while not fed.done:
            kills += 1
            fed = await feed(server, path, full=False, kill_after=chance.randint(2, 6) if kills < 5 else None)
    with closing(sqlite3.connect(path)) as db:
        rows = {row for (row,) in db.execute("SELECT doclist_entry_id FROM file_migrations")}
        states = [state for (state,) in db.execute("SELECT state FROM scans ORDER BY id")]
    assert rows == set(ids)
    assert kills == 5
    assert states == ["completed", "completed"]
    assert 0 < fed.recorded_before < RECORDS
    assert fed.read - (RECORDS - fed.recorded_before) <= PAGE, "only a page that was half recorded"

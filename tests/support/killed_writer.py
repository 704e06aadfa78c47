"""A process that writes the tracking DB until it is killed, and what must be true of the file then."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

PRELUDE = """
import asyncio, sys, random
from pathlib import Path
from engine.model.outcome import (Batch, Checkpoint, Touch)
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import a_record, copied, failed
"""


WRITER = (
    PRELUDE
    + """
async def main():
    chance = random.Random(int(sys.argv[2]))
    async with open_database(Path(sys.argv[1]), ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        await ledger.begin_scan("full", "all", restricted=False, watermark="w")
        step = int((await db.fetch("SELECT max(last_id) FROM scans"))[0][0] or 0)
        while True:
            step += 1
            some = [chance.choice((copied, failed))(chance.randrange(5000)) for _ in range(chance.randrange(1, 80))]
            new = copied(100_000 + step)
            await ledger.write(Batch([*some, new], [Touch(a_record(7))], checkpoints=[Checkpoint(f"{step:08d}")]))
            print(step, flush=True)
asyncio.run(main())
"""
)


def consistent(path: Path) -> int:
    """Rows of a file that must be whole, with counters that agree."""
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        truth = db.execute("SELECT status, count(*) FROM file_migrations GROUP BY 1 ORDER BY 1").fetchall()
        counted = db.execute("SELECT status, sum(files) FROM counters GROUP BY 1 HAVING sum(files) ORDER BY 1")
        assert counted.fetchall() == truth
        return sum(count for _, count in truth)

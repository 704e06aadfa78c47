"""What moving links costs besides Salesforce: plan, plan check, journal, rollback file, rows and counters.

    python -m benchmarks.bench_switch --records 100000 --off-box 20

Salesforce is a dictionary here; the tracking DB, the journal with its HMACs, the rollback file and the plan are real,
the rows are as a backup leaves them, and the process starts as a run does. ``--off-box``: each batch of the journal is
put into a bucket too, whose store takes so many milliseconds for an object.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import random
import resource
import sqlite3
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from engine.commands.frame import perform
from engine.limiting.clock import SystemClock
from engine.model.change import Change, Held, Said, Sent
from engine.pipeline.changing import Changing
from engine.pipeline.link_slices import ChangePolicy, Slices
from engine.pipeline.stop import Stop
from engine.pipeline.switching import WINDOW
from engine.runs.journal.batches import Pins
from engine.runs.journal.off_box import OffBox
from engine.runs.links.plan_file import PlanFile, PlanWriter, open_plan
from engine.runs.links.rollback_file import JournalWithFile, RollbackFile
from engine.tracking.db import chain, schema
from engine.tracking.db.database import Database, open_database
from engine.tracking.ledger import Ledger
from engine.tracking.read import switchable
from engine.tracking.read.journal import check
from engine.tracking.read.switchable import Wanted
from engine.tracking.write.journal import Journal

_INSERT = (
    "INSERT INTO file_migrations (doclist_entry_id, account_id, account_name, record_name, original_url, your_s3_key,"
    " your_s3_url, file_name, source_id, source_etag, destination_etag, last_modified_sf, created_date, updated_date,"
    " backup_timestamp, verified_at, file_size_bytes, status, method, proof, attempts, run_id) VALUES (?1, ?2, ?3, ?4,"
    " ?5, ?6, ?7, ?8, ?9, ?10, ?10, ?11, ?11, ?11, ?11, ?11, 1000, 'backed_up', 'server_copy', 'etag', 1, 1)"
)


def url_of(key: str) -> str:
    return f"https://my-documents.s3.us-east-1.amazonaws.com/{key.replace(' ', '%20')}"


def rows(count: int) -> Iterator[tuple[object, ...]]:
    chance = random.Random(1)
    for number in range(count):
        customer = chance.randrange(max(1, count // 40))
        record, account, file = f"a0X5e{number:010d}AAA", f"0015e{customer:010d}AAA", f"contract {number}.pdf"
        key = f"uploads/{account}/{record}/{file}"
        old = f"https://vendor-documents.s3.us-west-2.amazonaws.com/docs/{account}/{number}/contract%20{number}.pdf"
        new = url_of(key)
        source, etag, at = chance.getrandbits(63), f"{number:032x}", "2026-01-01T00:00:00.000Z"
        yield record, account, f"Account {customer}", f"Contract {number}", old, key, new, file, source, etag, at


def fill(path: Path, count: int) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        schema.migrate(db)
        db.execute("BEGIN")
        db.executemany(_INSERT, rows(count))
        db.execute(
            "INSERT INTO counters SELECT status, '', proof, count(*), sum(file_size_bytes) FROM file_migrations"
            " GROUP BY 1, 3"
        )
        db.execute("COMMIT")
    path.chmod(0o600)


class Org:
    """Salesforce at no cost."""

    def __init__(self) -> None:
        self.links: dict[str, Held] = {}

    async def read(self, ids: Sequence[str]) -> dict[str, Held | None]:
        return {each: self.links[each] for each in ids}

    async def write(self, changes: Sequence[tuple[str, str]]) -> list[Said]:
        self.links |= {record: Held(link, "") for record, link in changes}
        return [Said(Sent.DONE)] * len(changes)

    async def write_strictly(self, changes: Sequence[tuple[str, str, str]]) -> list[Said]:
        return await self.write([(record, link) for record, link, _ in changes])


class Bucket:
    """A store that takes its time."""

    def __init__(self, milliseconds: float) -> None:
        self._seconds = milliseconds / 1000
        self.objects = self.bytes = 0

    async def get(self, _key: str, _size: int) -> bytes:
        raise NotImplementedError

    async def put(self, _key: str, content: bytes) -> None:
        hashlib.sha256(content).digest()  # as the real one does, for the signature
        self.objects += 1
        self.bytes += len(content)
        await asyncio.sleep(self._seconds)


async def bench(directory: Path, count: int, milliseconds: float | None) -> None:
    path, clock = directory / "tracking.db", SystemClock()
    fill(path, count)
    async with open_database(path, clock) as database:
        with Stopwatch("plan", count):
            found = await switchable.switchable(database, Wanted(("checksum", "etag")))
            writer = PlanWriter(directory / "plan.ndjson", {"settings": "as they are"})
            for chunk in switchable.chunks(found):
                writer.add(await switchable.links(database, chunk))
            writer.finish()
        run = await Ledger(database).begin_run("switch", {})
        key = chain.load_key(directory / "key", may_create=True)
        journal, org, bucket = Journal(database, key, run), Org(), Bucket(milliseconds or 0)
        if milliseconds is not None:
            journal.off_box = OffBox(
                bucket.put, bucket.get, key, Pins("00D", "DocListEntry__c", "Document__c", "my-documents"), ""
            )
        file = RollbackFile(directory / "rollback.ndjson", key, {})
        with open_plan(directory / "plan.ndjson", lambda _header: "", url_of) as plan:
            for start in range(0, count, WINDOW):
                org.links |= {each.id: Held(each.old, "") for each in plan.window(start, min(start + WINDOW, count))}
            slices = Slices(org, JournalWithFile(journal, file), clock, ChangePolicy())
            with Stopwatch("switch", count):
                await Changing(slices, Stop()).run(windows(database, plan))
        assert slices.counts.done == count, slices.counts
        with Stopwatch("check the journal", 2 * count):
            await check(database, key, [journal.tip])
        with Stopwatch("rollback", count):
            undo = Slices(org, journal, clock, ChangePolicy(undo=True))
            await Changing(undo, Stop()).run(undoing(database))
        assert undo.counts.done == count, undo.counts
        if bucket.objects:
            print(f"off box: {bucket.objects:,} objects of {bucket.bytes / bucket.objects / 1000:,.0f} kB")


async def windows(database: Database, plan: PlanFile) -> AsyncIterator[list[Change]]:
    for start in range(0, plan.count, WINDOW):
        links = plan.window(start, min(start + WINDOW, plan.count))
        now = await switchable.now(database, [link.id for link in links], switchable.Wanted(("checksum", "etag")))
        assert all(now[link.id].link == link for link in links)
        yield [Change(link.id, link.account, link.old, link.new, 1) for link in links]


async def undoing(database: Database) -> AsyncIterator[list[Change]]:
    found = await switchable.undoable(database, switchable.Undo())
    for chunk in switchable.chunks(found):
        rows_ = await switchable.changes(database, chunk, switchable.Undo())
        yield [Change(each.id, each.account, *each.values[0]) for each in rows_]


class Stopwatch:
    def __init__(self, what: str, count: int) -> None:
        self._what, self._count = what, count

    def __enter__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()

    def __exit__(self, *_: object) -> None:
        wall, cpu = time.monotonic() - self._wall, time.process_time() - self._cpu
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        each = 1e6 * cpu / self._count
        print(
            f"{self._what:18} {self._count:9,}  {wall:6.1f} s  {cpu:6.1f} s CPU  {each:5.1f} µs each  {memory:4.0f} MB"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--off-box", type=float, metavar="MS")
    chosen = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as directory:
        perform(bench(Path(directory), chosen.records, chosen.off_box))


if __name__ == "__main__":
    main()

"""Speed of the tracking DB: outcomes a second while it grows, and the questions that planning and status ask.

python benchmarks/bench_tracking.py [rows] [batch] [folder]
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from pathlib import Path

from engine.limiting.clock import SystemClock
from engine.model.facts import Method, Proof
from engine.model.failures import FailureClass
from engine.model.outcome import Batch, Outcome, Status
from engine.model.record import Record
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.read.report import open_report

CHANCE = random.Random(1)


def record_id(number: int) -> str:
    return f"a0B{number:015d}"


def outcome(number: int) -> Outcome:
    """Every twentieth fails; 26 records an account; rows as wide as real ones."""
    account, name = f"001{number // 26:015d}", f"file{number}.pdf"
    url = f"https://vendor-doc-storage.s3.us-west-2.amazonaws.com/docs/{number}/{name}"
    record = Record(record_id(number), f"Doc {number}", url, account, f"Account {number // 26}", "2026-11-22T10:00:00Z")
    if number % 20 == 0:
        return Outcome(record, Status.FAILED, FailureClass.SOURCE_MISSING, "no such key", attempts=1)
    key = f"uploads/{account}/{record.id}/{name}"
    return Outcome(
        record,
        Status.BACKED_UP,
        key=key,
        url=f"https://my-documents.s3.us-east-1.amazonaws.com/{key}",
        file_name=name,
        source_id=CHANCE.getrandbits(63),
        size=number,
        method=Method.SERVER_COPY,
        source_etag="ab" * 16,
        destination_etag="ab" * 16,
        checksum="sha256:" + "ab" * 32,
        sha256="ab" * 32,
        proof=Proof.CHECKSUM,
        attempts=1,
    )


async def timed_write(ledger: Ledger, numbers: list[int]) -> float:
    batch = Batch([outcome(number) for number in numbers])
    start = time.perf_counter()
    await ledger.write(batch)
    return time.perf_counter() - start


async def bench(path: Path, rows: int, batch: int) -> None:
    async with open_database(path, SystemClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        for step in range(0, rows, rows // 10):
            numbers = range(step, step + rows // 10)
            spent = sum(
                [await timed_write(ledger, list(numbers[n : n + batch])) for n in range(0, len(numbers), batch)]
            )
            wal = Path(f"{path}-wal").stat().st_size >> 20  # noqa: ASYNC240 - nothing else runs
            print(f"{step + rows // 10:>9,} rows  {rows / 10 / spent:>8,.0f} outcomes/s  WAL {wal} MiB", flush=True)
        spent = sum([await timed_write(ledger, CHANCE.sample(range(rows), batch)) for _ in range(10)])
        print(f"random rewrites     {10 * batch / spent:>8,.0f} outcomes/s")
        times = []
        for _ in range(21):
            first = CHANCE.randrange(rows - 2000)
            start = time.perf_counter()
            await ledger.known([record_id(number) for number in range(first, first + 2000)])
            times.append(time.perf_counter() - start)
        print(f"known(2,000 ids)    {sorted(times)[10] * 1e3:>8.1f} ms")
    start = time.perf_counter()
    with open_report(path) as report:
        report.document()
    print(f"status document     {(time.perf_counter() - start) * 1e3:>8.1f} ms")


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 200_000
    batch = int(sys.argv[2]) if len(sys.argv) > 2 else 500
    folder = sys.argv[3] if len(sys.argv) > 3 else None
    with tempfile.TemporaryDirectory(dir=folder) as room:
        asyncio.run(bench(Path(room) / "t.db", rows, batch))


main()

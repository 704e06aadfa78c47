"""The engine with a watch on its event loop: how long it was blocked at most, and how much of that was our own CPU.

    python -m benchmarks.loop_probe OUT.json [engine's arguments]

A gap counts the time by which a 5 ms sleep came late. On a busy machine the scheduler is late too, so the CPU that the
loop's thread burnt within the gap is noted beside it: that share alone is the engine's.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

import cli

TICK_S = 0.005


class Watch:
    def __init__(self) -> None:
        self.late: list[float] = []
        self.burnt: list[float] = []

    async def run(self) -> None:
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK_S)
            self.late.append(max(0.0, time.perf_counter() - wall - TICK_S))
            self.burnt.append(time.thread_time() - cpu)

    def document(self) -> dict[str, float]:
        late, burnt = sorted(self.late), sorted(self.burnt)
        if not late:
            return {}
        return {
            "ticks": len(late),
            "late_max_ms": late[-1] * 1e3,
            "late_p99_ms": late[int(len(late) * 0.99)] * 1e3,
            "late_over_50ms": sum(value > 0.05 for value in late),
            "cpu_in_one_gap_max_ms": min(late[-1], burnt[-1]) * 1e3,
        }


def main() -> None:
    out = Path(sys.argv[1])
    sys.argv[1:] = sys.argv[2:]
    watch = Watch()

    async def watched(work: Coroutine[Any, Any, Any]) -> Any:
        watching = asyncio.create_task(watch.run())
        try:
            return await work
        finally:
            watching.cancel()

    cli._run = lambda work: uvloop.run(watched(work))  # the one place where the command line starts its loop
    try:
        cli.main()
    finally:
        out.write_text(json.dumps(watch.document()), encoding="utf-8")


main()

"""The engine with a watch on its event loop: how long it was blocked at most, and how much of that was our own CPU.

    python -m benchmarks.loop_probe OUT.json [engine's arguments]

A gap counts the time by which a 5 ms sleep came late. On a busy machine the scheduler is late too, so the CPU that the
loop's thread burnt within the gap is noted beside it: that share alone is the engine's. The first seconds, in which
everything is imported and opened, are told apart in runs that last longer.
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
from engine.commands import frame

TICK_S = 0.005
OPENING = 3.0
"""Seconds."""


class Watch:
    def __init__(self) -> None:
        self.gaps: list[tuple[float, float, float]] = []
        """When it began, how late it was, and the CPU in it."""

    async def run(self) -> None:
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(TICK_S)
            late = max(0.0, time.perf_counter() - wall - TICK_S)
            self.gaps.append((wall, late, min(late, time.thread_time() - cpu)))

    def document(self) -> dict[str, float]:
        """Milliseconds, and a count."""
        gaps = self.gaps
        if not gaps:
            return {}
        begun, ended = gaps[0][0], gaps[-1][0]
        steady = [gap for gap in gaps if gap[0] >= begun + OPENING] if ended - begun > 2 * OPENING else gaps
        late = sorted(gap[1] for gap in steady)
        return {
            "opening_ms": max(gap[2] for gap in gaps) * 1e3,
            "late_max_ms": late[-1] * 1e3,
            "late_p99_ms": late[int(len(late) * 0.99)] * 1e3,
            "late_over_50ms": sum(value > 0.05 for value in late),
            "cpu_max_ms": max(gap[2] for gap in steady) * 1e3,
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

    def start(work: Coroutine[Any, Any, Any]) -> Any:
        return uvloop.run(watched(work))

    frame.start_loop = start  # the one place where the command line starts its loop
    try:
        cli.main()
    finally:
        out.write_text(json.dumps(watch.document()), encoding="utf-8")


main()

"""What the run is waiting for, seen by looking often instead of by timing every step; and how late the loop is.

Ten times a second: what do the workers wait for, what does the feed wait for, how late did the timer come? Over a run
that gives shares of time as exact as anybody needs, and costs the files nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Protocol

from engine.limiting.clock import Clock
from engine.limiting.limiter import Limiter
from engine.limiting.limiters import Limiters
from engine.model.byte_units import MB
from engine.model.outcome import Batch
from engine.model.ports import Sink
from engine.pipeline.tally import Tally

TICK_S = 0.1
SAMPLE_S = 10.0
LATE_S = 0.05
"""Above this the loop was blocked for longer than it ever should be."""


class TimedSink:
    """Fits ``Sink``; knows how long it took to write, in seconds."""

    def __init__(self, sink: Sink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self.seconds = 0.0
        self.writing = False

    async def write(self, batch: Batch) -> None:
        started, self.writing = self._clock.monotonic(), True
        try:
            await self._sink.write(batch)
        finally:
            self.writing = False
            self.seconds += self._clock.monotonic() - started


class Stages(Protocol):
    """What can be seen of a flow at a glance."""

    @property
    def work_batches(self) -> int:
        """Leases waiting for the crew."""
        ...

    @property
    def work_batches_full(self) -> bool: ...

    @property
    def unwritten(self) -> int:
        """Outcomes that wait for the tracking DB."""
        ...

    @property
    def asking(self) -> bool:
        """Whether Salesforce owes us an answer."""
        ...

    @property
    def api(self) -> dict[str, int] | None:
        """Daily API calls: used, max."""
        ...


class Watch:
    """Looks at a flow while ``run`` runs. ``keep`` stores a sample; ``on_late`` hears of a blocked loop, in seconds."""

    def __init__(
        self,
        clock: Clock,
        tally: Tally,
        limiters: Limiters,
        sink: TimedSink,
        stages: Stages,
        *,
        concurrency: int,
        keep: Callable[[Mapping[str, Any]], Awaitable[None]],
        on_late: Callable[[float], None] = lambda _seconds: None,
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock = clock
        self._tally = tally
        self._limiters = limiters
        self._sink = sink
        self._stages = stages
        self._concurrency = concurrency
        self._keep = keep
        self._on_late = on_late
        self._cpu = cpu
        self._workers: Counter[str] = Counter()
        self._feed: Counter[str] = Counter()
        self._started = self._sampled = clock.monotonic()
        self._cpu_started = self._cpu_sampled = cpu()
        self._late = self._latest = self._longest = 0.0
        self._before = (0, 0, 0, 0)

    async def run(self) -> None:
        """Look, for ever; cancel it when the flow has ended."""
        while True:
            due = self._clock.monotonic() + TICK_S
            await self._clock.sleep(TICK_S)
            now = self._clock.monotonic()
            late = now - due
            if late > LATE_S:
                self._late += late
                self._on_late(late)
            self._latest = max(self._latest, late)
            self._longest = max(self._longest, late)
            self._look()
            if now - self._sampled >= SAMPLE_S:
                await self._keep(self.sample())

    def _look(self) -> None:
        """One glance: to each worker what it waits for, to the feed likewise."""
        copying = self._tally.in_flight
        idle = max(0, self._concurrency - copying)
        written = _load(self._limiters.destination)
        # a body stays open at the source while its last block is written: what is being written is not being read
        bodies = sum(limiter.reading for limiter in self._limiters.sources)
        read = sum(map(_load, self._limiters.sources)) + max(0, bodies - self._limiters.destination.in_flight)
        busy = max(1, read + written)
        at_hosts = min(copying, read + written)
        self._workers["source"] += at_hosts * read // busy
        self._workers["destination"] += at_hosts - at_hosts * read // busy
        self._workers["own"] += copying - at_hosts
        if self._stages.work_batches:
            self._workers["disk" if idle else "own"] += idle
        else:
            self._workers["plans"] += idle
        if self._stages.work_batches_full:
            self._feed["room"] += 1
        elif self._stages.asking:
            self._feed["salesforce"] += 1
        else:
            self._feed["own"] += 1

    def sample(self) -> dict[str, Any]:
        """The figures since the last sample, and a fresh start."""
        now, cpu, tally = self._clock.monotonic(), self._cpu(), self._tally
        seconds = max(1e-9, now - self._sampled)
        counts = (
            tally.backed_up + tally.failed + tally.skipped,
            tally.bytes_stored,
            sum(limiter.refusals for limiter in self._limiters.all),
            tally.retries,
        )
        files, stored, refusals, retries = (new - old for new, old in zip(counts, self._before, strict=True))
        destination = self._limiters.destination
        row = {
            "kind": "sample",
            "seconds": round(seconds, 1),
            "done": tally.done,
            "files_per_s": round(files / seconds, 1),
            "mb_per_s": round(stored / seconds / MB, 2),
            "in_flight": tally.in_flight,
            "leases": self._stages.work_batches,
            "unwritten": self._stages.unwritten,
            "limit": destination.limit,
            "rate_limit": None if destination.rate is None else round(destination.rate, 1),
            "source_limit": min(limiter.limit for limiter in self._limiters.sources),
            "refusals": refusals,
            "retries": retries,
            "lag_ms": round(self._latest * 1000, 1),
            "rss_mb": round(_rss() / MB, 1),
            "cpu": round((cpu - self._cpu_sampled) / seconds, 3),
        }
        if (api := self._stages.api) is not None:
            row["api"] = api
        self._sampled, self._cpu_sampled, self._before, self._latest = now, cpu, counts, 0.0
        return row

    def shares(self) -> dict[str, Any]:
        """Of the whole run: of the workers' time, of the feed's, of the wall clock."""
        seconds = max(1e-9, self._clock.monotonic() - self._started)
        return {
            "kind": "shares",
            "workers": _parts(self._workers, ("plans", "source", "destination", "disk", "own")),
            "feed": _parts(self._feed, ("salesforce", "room", "own")),
            "commits": round(min(1.0, self._sink.seconds / seconds), 3),
            "cpu": round((self._cpu() - self._cpu_started) / seconds, 3),
            "blocked": round(min(1.0, self._late / seconds), 3),
            "lag_ms": round(self._longest * 1000, 1),
            "refusals": sum(limiter.refusals for limiter in self._limiters.all),
            "seconds": round(seconds, 1),
        }


@asynccontextmanager
async def watching(watch: Watch) -> AsyncIterator[None]:
    """Watch while the block runs. A sample that cannot be stored ends the block with its error."""
    async with asyncio.TaskGroup() as group:
        looking = group.create_task(watch.run(), name="watch")
        try:
            yield
        finally:
            looking.cancel()


def _load(limiter: Limiter) -> int:
    """Who is being served there, and who waits for that."""
    return limiter.in_flight + limiter.waiting


def _parts(counted: Counter[str], names: tuple[str, ...]) -> dict[str, float]:
    whole = max(1, counted.total())
    return {name: round(counted[name] / whole, 3) for name in names}


def _rss() -> int:
    """Resident memory in bytes; 0 where the system does not tell."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * 4096

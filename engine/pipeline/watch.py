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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from engine.limiting.clock import Clock
from engine.limiting.limiters import Limiters
from engine.model.byte_units import MB
from engine.model.outcome import Batch
from engine.model.ports import Sink
from engine.pipeline.recorder import Recorder
from engine.pipeline.seen import Roster, Seen, seen
from engine.pipeline.work_queue import WorkQueue

TICK_S = 0.1
SAMPLE_S = 10.0
LATE_S = 0.05
"""Above this the loop was blocked for longer than it ever should be."""

log = structlog.get_logger()


class TimedSink:
    """Fits ``Sink``; knows how long it took to write, in seconds."""

    def __init__(self, sink: Sink, clock: Clock) -> None:
        self._sink = sink
        self._clock = clock
        self.seconds = 0.0

    async def write(self, batch: Batch) -> None:
        started = self._clock.monotonic()
        try:
            await self._sink.write(batch)
        finally:
            self.seconds += self._clock.monotonic() - started


class Calls(Protocol):
    """Daily API calls."""

    @property
    def used(self) -> int: ...

    @property
    def allowed(self) -> int: ...


class Org(Protocol):
    """What can be seen of Salesforce at a glance."""

    @property
    def answer_due(self) -> bool:
        """Whether it owes us an answer."""

    @property
    def limits(self) -> Calls | None: ...


@dataclass(frozen=True, slots=True)
class Watched:
    """What there is to see of a flow."""

    queue: WorkQueue
    recorder: Recorder
    org: Org
    limiters: Limiters
    sink: TimedSink
    concurrency: int
    roster: Roster | None = None
    """Of workers in other processes; None: this process makes the copies."""

    def copying(self) -> Seen:
        """Who makes the copies: this process, or all workers together."""
        here = seen(self.limiters, self.recorder.tally)
        if self.roster is None:
            return here
        there = self.roster.together()
        there.refusals += here.refusals  # what planning asks, it asks from here
        return there

    def pressure(self) -> str:
        """How hard the hosts may be pressed now, and what waits, for the display."""
        now, limits = self.copying(), self.org.limits
        parts = [] if self.roster is None else [f"{len(self.roster)} worker{'s' if len(self.roster) != 1 else ''}"]
        parts.append(f"limit {now.limit}" + (f" and {now.rate:,.0f}/s" if now.rate is not None else ""))
        if now.source_refuses:
            parts.append(f"source limit {now.source_limit}")
        if now.refusals:
            parts.append(f"{now.refusals:,} refused")
        parts.append(f"queued {len(self.queue)} batches, {self.recorder.unwritten:,} unwritten")
        if limits is not None:
            parts.append(f"API {limits.used:,} of {limits.allowed:,}")
        return ", ".join(parts)


@dataclass(slots=True)
class _Since:
    """A moment, and what was so then; and the longest that the loop was late since."""

    at: float
    cpu: float
    counts: tuple[int, int, int, int] = (0, 0, 0, 0)
    latest: float = 0.0


class Watch:
    """Looks at a flow while ``run`` runs. ``keep`` stores a sample."""

    def __init__(
        self,
        clock: Clock,
        watched: Watched,
        keep: Callable[[Mapping[str, Any]], Awaitable[None]],
        cpu: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock = clock
        self._watched = watched
        self._keep = keep
        self._cpu = cpu
        self._workers: Counter[str] = Counter()
        self._feed: Counter[str] = Counter()
        self._start = _Since(clock.monotonic(), cpu())
        self._last = _Since(clock.monotonic(), cpu())
        self._late = 0.0

    async def run(self) -> None:
        """Look, for ever; cancel it when the flow has ended."""
        while True:
            due = self._clock.monotonic() + TICK_S
            await self._clock.sleep(TICK_S)
            now = self._clock.monotonic()
            late = now - due
            if late > LATE_S:
                self._late += late
                log.debug("loop_late", milliseconds=round(late * 1000))
            for since in (self._start, self._last):
                since.latest = max(since.latest, late)
            self._look()
            if now - self._last.at >= SAMPLE_S:
                await self._keep(self.sample())

    def _look(self) -> None:
        """One glance: to each worker what it waits for, to the feed likewise."""
        flow, now = self._watched, self._watched.copying()
        idle = max(0, flow.concurrency - now.in_flight)
        busy = now.at_source + now.at_destination
        at_hosts = min(now.in_flight, busy)
        at_source = at_hosts * now.at_source // max(1, busy)
        self._workers["source"] += at_source
        self._workers["destination"] += at_hosts - at_source
        self._workers["own"] += now.in_flight - at_hosts
        self._workers[self._idle_for()] += idle
        if flow.queue.full:
            self._feed["room"] += 1
        elif flow.org.answer_due:
            self._feed["salesforce"] += 1
        else:
            self._feed["own"] += 1

    def _idle_for(self) -> str:
        """What workers without a plan wait for."""
        flow = self._watched
        if not len(flow.queue):
            return "plans"
        # here only a recorder that is full keeps plans from a worker; elsewhere the way to it takes time too
        return "disk" if flow.roster is None or flow.recorder.full else "own"

    def sample(self) -> dict[str, Any]:
        """The figures since the last sample, and a fresh start."""
        flow, tally, last = self._watched, self._watched.recorder.tally, self._last
        copying = flow.copying()
        now, cpu = self._clock.monotonic(), self._cpu()
        seconds = max(1e-9, now - last.at)
        counts = (
            tally.backed_up + tally.failed + tally.skipped,
            tally.copies.bytes_stored,
            copying.refusals,
            tally.retries,
        )
        files, stored, refusals, retries = (new - old for new, old in zip(counts, last.counts, strict=True))
        row = {
            "kind": "sample",
            "seconds": round(seconds, 1),
            "done": tally.done,
            "total": tally.total,
            "files_per_s": round(files / seconds, 1),
            "mb_per_s": round(stored / seconds / MB, 2),
            "in_flight": tally.in_flight,
            "leases": len(flow.queue),
            "unwritten": flow.recorder.unwritten,
            "limit": copying.limit,
            "rate_limit": None if copying.rate is None else round(copying.rate, 1),
            "source_limit": copying.source_limit,
            "refusals": refusals,
            "retries": retries,
            "lag_ms": round(last.latest * 1000, 1),
            "rss_mb": round(_rss() / MB, 1),
            "cpu": round((cpu - last.cpu) / seconds, 3),
        }
        if flow.roster is not None:
            row["workers"] = flow.roster.listed(seconds)
        if (limits := flow.org.limits) is not None:
            row["api"] = {"used": limits.used, "max": limits.allowed}
        self._last = _Since(now, cpu, counts)
        return row

    def shares(self) -> dict[str, Any]:
        """Of the whole run: of the workers' time, of the feed's, of the wall clock."""
        start, flow = self._start, self._watched
        seconds = max(1e-9, self._clock.monotonic() - start.at)
        return {
            "kind": "shares",
            "workers": _parts(self._workers, ("plans", "source", "destination", "disk", "own")),
            "feed": _parts(self._feed, ("salesforce", "room", "own")),
            "commits": round(min(1.0, flow.sink.seconds / seconds), 3),
            "cpu": round((self._cpu() - start.cpu) / seconds, 3),
            "blocked": round(min(1.0, self._late / seconds), 3),
            "lag_ms": round(start.latest * 1000, 1),
            "refusals": flow.copying().refusals,
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

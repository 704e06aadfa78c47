"""The watch sees what a run waits for."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from engine.limiting.limiters import Limiters
from engine.model.errors import Fatal
from engine.model.outcome import Batch
from engine.pipeline.tally import CopiesMade, Tally
from engine.pipeline.watch import TimedSink, Watch, Watched, watching
from engine.salesforce.limits import DailyCalls
from tests.support.fakes.clock import ManualClock


@dataclass
class Still:
    """A flow that stands still."""

    tally: Tally
    batches: int = 0
    full: bool = False
    unwritten: int = 0
    answer_due: bool = False
    limits: DailyCalls | None = None

    def __len__(self) -> int:
        return self.batches


class Slow:
    """A sink that takes two seconds."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    async def write(self, batch: Batch) -> None:
        await self._clock.sleep(2)


class Scene:
    """Ten workers, of whom ``copying`` have a plan in hand."""

    def __init__(self, copying: int = 0, **still: Any) -> None:
        self.clock = ManualClock()
        self.tally = Tally(in_flight=copying)
        self.limiters = Limiters(self.clock, 10)
        self.sink = TimedSink(Slow(self.clock), self.clock)
        self.kept: list[Mapping[str, Any]] = []
        self.error: Exception | None = None
        flow: Any = Still(self.tally, **still)
        self.watch = Watch(
            self.clock,
            Watched(flow, flow, flow, self.limiters, self.sink, concurrency=10),
            self.keep,
            cpu=lambda: self.clock.monotonic() / 4,
        )

    async def keep(self, sample: Mapping[str, Any]) -> None:
        if self.error is not None:
            raise self.error
        self.kept.append(sample)

    async def pass_by(self, seconds: float) -> dict[str, Any]:
        async with watching(self.watch), self.clock.running():
            await self.clock.sleep(seconds)
        return self.watch.shares()


async def test_workers_without_plans_wait_for_salesforce_while_it_owes_an_answer() -> None:
    shares = await Scene(copying=2, answer_due=True).pass_by(5)

    assert shares["workers"]["plans"] == pytest.approx(0.8)
    assert shares["feed"] == {"salesforce": 1.0, "room": 0.0, "own": 0.0}


async def test_workers_with_plans_wait_for_the_host_that_serves_them() -> None:
    scene = Scene(copying=10, batches=3, full=True)
    for _ in range(9):
        scene.limiters.destination.enter()
    shares = await scene.pass_by(5)

    assert shares["workers"]["destination"] == pytest.approx(0.9)
    assert shares["workers"]["own"] == pytest.approx(0.1)
    assert shares["feed"]["room"] == 1.0


async def test_a_body_that_is_being_written_does_not_count_as_being_read() -> None:
    scene = Scene(copying=10, batches=3)
    scene.limiters.source.reading = 10
    for _ in range(3):
        scene.limiters.destination.enter()
    shares = await scene.pass_by(1)

    assert shares["workers"]["source"] == pytest.approx(0.7)
    assert shares["workers"]["destination"] == pytest.approx(0.3)


async def test_idle_workers_beside_waiting_plans_wait_for_the_disk() -> None:
    assert (await Scene(copying=5, batches=2).pass_by(1))["workers"]["disk"] == pytest.approx(0.5)


async def test_a_sample_every_ten_seconds_tells_what_happened_since_the_last() -> None:
    scene = Scene(copying=4, batches=2, unwritten=7, limits=DailyCalls(10, 100))
    scene.tally.copies, scene.tally.retries = CopiesMade(files=500, bytes_stored=20_000_000), 3
    await scene.pass_by(20.5)
    first, second = scene.kept

    assert (first["files_per_s"], first["mb_per_s"], first["retries"]) == pytest.approx((50, 2, 3), rel=0.02)
    assert (second["files_per_s"], second["mb_per_s"], second["retries"]) == (0, 0, 0)
    assert (first["in_flight"], first["leases"], first["unwritten"], first["limit"]) == (4, 2, 7, 10)
    assert first["cpu"] == pytest.approx(0.25)
    assert first["rss_mb"] > 1
    assert first["api"] == {"used": 10, "max": 100}


async def test_a_blocked_loop_is_heard_of_and_its_longest_block_kept() -> None:
    scene = Scene()
    with capture_logs() as heard:
        async with watching(scene.watch):
            await asyncio.sleep(0)
            scene.clock.advance(0.5)  # the timer asked for 0.1
            for _ in range(3):
                await asyncio.sleep(0)

    assert [(each["event"], each["milliseconds"]) for each in heard] == [("loop_late", 400)]
    assert scene.watch.shares()["lag_ms"] == pytest.approx(400)


async def test_commit_time_is_what_the_sink_took() -> None:
    scene = Scene()
    async with watching(scene.watch), scene.clock.running():
        await scene.sink.write(Batch())
        await scene.clock.sleep(6)

    assert scene.watch.shares()["commits"] == pytest.approx(0.25)


async def test_a_sample_that_cannot_be_stored_ends_the_run() -> None:
    scene = Scene()
    scene.error = Fatal("disk full")
    with pytest.raises(ExceptionGroup) as caught:
        await scene.pass_by(60)

    assert caught.group_contains(Fatal, match="disk full")

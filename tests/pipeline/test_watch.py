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
from engine.pipeline.seen import Roster, Seen
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

    def __init__(self, copying: int = 0, *, workers: Mapping[str, Seen] | None = None, **still: Any) -> None:
        self.clock = ManualClock()
        self.tally = Tally(in_flight=copying)
        self.limiters = Limiters(self.clock, 10)
        self.sink = TimedSink(Slow(self.clock), self.clock)
        self.kept: list[Mapping[str, Any]] = []
        self.error: Exception | None = None
        flow: Any = Still(self.tally, **still)
        self.roster = None if workers is None else Roster(self.clock)
        for name, seen in (workers or {}).items():
            self.hear(name, seen)
        self.watched = Watched(flow, flow, flow, self.limiters, self.sink, concurrency=10, roster=self.roster)
        self.watch = Watch(
            self.clock,
            self.watched,
            self.keep,
            cpu=lambda: self.clock.monotonic() / 4,
        )

    def hear(self, worker: str, seen: Seen) -> None:
        assert self.roster is not None
        self.roster.beat(worker, seen)

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


async def test_the_line_of_a_local_run_names_no_workers() -> None:
    scene = Scene(unwritten=7)
    scene.limiters.destination.refusals = 3

    assert scene.watched.pressure() == "limit 10, 3 refused, queued 0 batches, 7 unwritten"


async def test_the_line_tells_of_all_workers_together_and_forgets_no_refusal_of_those_that_are_gone() -> None:
    one = Seen(limit=40, rate=100.0, source_limit=4, source_refuses=True, refusals=8)
    two = Seen(limit=24, rate=50.0, source_limit=16, refusals=4)
    scene = Scene(workers={"worker 1": one, "worker 2": two}, batches=2)
    assert scene.roster is not None
    both = scene.watched.pressure()
    scene.roster.gone("worker 1")

    assert both == "2 workers, limit 64 and 150/s, source limit 20, 12 refused, queued 2 batches, 0 unwritten"
    assert scene.watched.pressure() == "1 worker, limit 24 and 50/s, 12 refused, queued 2 batches, 0 unwritten"


async def test_while_one_worker_knows_no_rate_there_is_none_for_all() -> None:
    scene = Scene(workers={"worker 1": Seen(limit=4, rate=100.0), "worker 2": Seen(limit=4)})

    assert scene.watched.pressure().startswith("2 workers, limit 8, queued")


async def test_a_sample_lists_each_worker_by_its_last_sign_of_life() -> None:
    scene = Scene(workers={"worker 1": Seen(files=5, in_hand=30, limit=6), "worker 2": Seen(files=0, limit=7)})
    await scene.pass_by(9)
    scene.hear("worker 2", Seen(files=450, in_hand=3, limit=7, refusals=2))
    await scene.pass_by(1.5)
    (sample,) = scene.kept

    assert [each["name"] for each in sample["workers"]] == ["worker 1", "worker 2"]
    assert [each["in_hand"] for each in sample["workers"]] == [30, 3]
    assert [each["files_per_s"] for each in sample["workers"]] == pytest.approx([0.5, 45], rel=0.02)
    assert [each["silent_s"] for each in sample["workers"]] == pytest.approx([10, 1], abs=0.2)
    assert (sample["limit"], sample["refusals"]) == (13, 2)


async def test_with_workers_elsewhere_it_is_they_who_wait() -> None:
    shares = await Scene(workers={"worker 1": Seen(in_flight=8, at_source=6, at_destination=2)}, batches=2).pass_by(1)

    assert shares["workers"] == pytest.approx({"plans": 0, "source": 0.6, "destination": 0.2, "disk": 0, "own": 0.2})

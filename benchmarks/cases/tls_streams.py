"""Bytes that pass through over TLS: ``stream`` (signed GET → PUT) and ``http`` (plain https link → PUT), beside rclone.

What a run of one small record takes is taken off on both sides: a run of a day starts once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from benchmarks.bench import FULL, Bench, measured, peer
from benchmarks.measure import Run, spread
from benchmarks.peers import programs
from benchmarks.report import Goal, Row, Sample
from benchmarks.stage import Stage, stage

MIB = 1 << 20
SUMS = ("sha256", "crc64nvme")


@dataclass(frozen=True, slots=True)
class Size:
    """Files of so many bytes: how many of them, how many at once, and what rclone's CPU ÷ the engine's should be."""

    name: str
    nbytes: int
    count: int
    tiny: int
    at_once: int
    goals: dict[str, tuple[float, float]]
    """By method: with crc64nvme, and with sha256."""


SIZES = (
    Size("100 kB", 100_000, 20_000, 60, 64, {"stream": (1.6, 1.6), "http": (2.4, 2.4)}),
    Size("1.3 MB", 1_300_000, 2_000, 20, 64, {"stream": (1.0, 0.85), "http": (1.4, 1.4)}),
    Size("64 MiB", 64 * MIB, 32, 2, 8, {"stream": (0.8, 0.8), "http": (0.8, 0.8)}),
)
RATES = {("http", "1.3 MB"): 1.7}
"""Goals of speed: engine ÷ rclone."""
Theirs = Callable[[Stage, int, int], Run]
"""rclone: takes the stage, a number of files and how many to keep in flight."""


def run(bench: Bench) -> None:
    """Each size by each method, the engine with either checksum, then rclone, in turns."""
    for size in SIZES:
        for method, theirs in (("stream", _rclone_copy), ("http", _rclone_urls)):
            _one(bench, size, method, theirs)


def _one(bench: Bench, size: Size, method: str, theirs: Theirs) -> None:
    count = size.tiny if bench.quick else min(size.count, bench.records or size.count)
    title = f"{method} of {count:,} files of {size.name} over TLS, {bench.latency_ms:g} ms, start-up taken off"
    rows = {sum_: Row(title, f"engine, {sum_}", count, nbytes=size.nbytes * count) for sum_ in SUMS}
    rclone = Row(title, f"rclone, {size.at_once}", count, nbytes=size.nbytes * count)
    pairs: list[tuple[dict[str, Sample], Sample]] = []
    common: dict[str, Any] = {
        "latency_ms": bench.latency_ms, "two_services": True, "tls": True, "plain_links": method == "http",
        "migration": {"concurrency": size.at_once},
    }  # fmt: skip
    with (
        stage(bench.place(f"{method}-one"), 1, **common) as one,
        stage(bench.place(f"{method}-{size.nbytes}"), count, size=size.nbytes, spread=1, **common) as place,
    ):
        for _ in range(bench.rounds):
            ours = {sum_: _without_start(one, place, count, partial(_engine, checksum=sum_)) for sum_ in SUMS}
            for sum_, sample in ours.items():
                rows[sum_].samples.append(sample)
            work = partial(_without_start, one, place, count, partial(theirs, at_once=size.at_once))
            sample = peer(rclone, work)
            if sample is not None:
                pairs.append((ours, sample))
    for row in (*rows.values(), rclone):
        bench.report.add(row)
    for sum_, wanted in zip(("crc64nvme", "sha256"), size.goals[method], strict=True):
        name = f"{method} {size.name}, {sum_}"
        if pairs:
            cpu = [sample.run.cpu_s / ours[sum_].run.cpu_s for ours, sample in pairs]
            bench.report.ratio(f"{name}: CPU, rclone ÷ engine", cpu, wanted)
            rate = [sample.run.wall_s / ours[sum_].run.wall_s for ours, sample in pairs]
            text = f"{name}: rate, engine ÷ rclone"
            if (method, size.name) in RATES:
                bench.report.ratio(text, rate, RATES[method, size.name])
            else:
                bench.report.goal(Goal(text, "", f"{spread(rate).shown('.2f')} ×"))


def _without_start(one: Stage, place: Stage, count: int, work: Callable[[Stage, int], Run]) -> Sample:
    """A run of all files, less what a run of one small file takes."""
    start = work(one, 1)
    sample = measured(place, partial(work, place, count), written=count)
    run = sample.run
    lasted = replace(run, wall_s=run.wall_s - start.wall_s, cpu_s=run.cpu_s - start.cpu_s)
    return replace(sample, run=lasted)


def _engine(place: Stage, _count: int, checksum: str) -> Run:
    place.overrides["migration"]["checksum"] = checksum
    place.write_settings()
    return place.engine(*FULL, fresh=True)


def _rclone_copy(place: Stage, _count: int, at_once: int) -> Run:
    place.ours.reset()
    ca = place.ca.ca if place.ca else None
    return programs.rclone_streams(place.room, place.source.url, place.ours.url, at_once, ca=ca)


def _rclone_urls(place: Stage, count: int, at_once: int) -> Run:
    place.ours.reset()
    ca = place.ca.ca if place.ca else None
    return programs.rclone_urls(place.room, place.source.url, place.ours.url, count, at_once, ca=ca)

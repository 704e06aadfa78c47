"""Bytes that pass through: small files between two services, then large ones."""

from __future__ import annotations

import hashlib
import time
from functools import partial
from typing import Any

from benchmarks.bench import FULL, Bench, measured, peer
from benchmarks.measure import spread
from benchmarks.peers import programs
from benchmarks.report import Goal, Row, Sample
from benchmarks.stage import Stage, stage

THREADS = 32
MIB = 1 << 20


def run_small(bench: Bench) -> None:
    """100 KB each, GET from one service and PUT to the other."""
    count, size = bench.count(10_000, 100), 100_000
    title = f"GET → PUT of {count:,} files of 100 kB between two services, {bench.latency_ms:g} ms"
    engine, rclone = Row(title, "engine", count), Row(title, f"rclone copy, {THREADS * 2}", count)
    fewer = max(count // 5, 50)
    threads = Row(title, f"boto3, {THREADS} threads", fewer)
    pairs: list[tuple[Sample, Sample | None, Sample | None]] = []
    with stage(
        bench.place("small"),
        count,
        size=size,
        latency_ms=bench.latency_ms,
        two_services=True,
        migration={"concurrency": bench.in_flight // 2},
    ) as place:
        for _ in range(bench.rounds):
            ours = measured(place, partial(place.engine, *FULL, fresh=True), written=count)
            engine.samples.append(ours)
            pairs.append(
                (ours, peer(rclone, partial(_rclone, place, count)), peer(threads, partial(_boto3, place, fewer)))
            )
    report = bench.report
    for row in (engine, rclone, threads):
        report.add(row)
    cpu = engine.cpu_us.mid / 1e3
    if rclone.samples:
        values = [b.run.cpu_s / a.run.cpu_s for a, b, _ in pairs if b is not None]
        report.ratio("streaming 100 kB: CPU per file, rclone ÷ engine", values, 3)
        walls = spread([b.run.wall_s / a.run.wall_s for a, b, _ in pairs if b is not None])
        report.goal(Goal("streaming 100 kB: wall time, rclone ÷ engine", "", f"{walls.shown('.2f')} ×"))
    values = [c.run.cpu_s / fewer / (a.run.cpu_s / count) for a, _, c in pairs if c is not None]
    report.ratio("streaming 100 kB: CPU per file, boto3 threads ÷ engine", values, 5)
    report.ratio("streaming 100 kB: CPU per file", [cpu], 0.25, most=True, unit="ms")


def run_large(bench: Bench) -> None:
    """64 MiB and 1 GiB, in parts; the cost of hashing is measured beside it."""
    sum_s = _hash_s_per_gb()
    for size, count in ((16 * MIB, 2),) if bench.quick else ((64 * MIB, 32), (1024 * MIB, 4)):
        title = f"GET → PUT of {count} files of {size // MIB} MiB between two services"
        names = ("engine, sha256 (the default)", "engine, crc64nvme", "rclone copy, 4")
        engine, quick, rclone = (Row(title, name, count, nbytes=size * count) for name in names)
        pairs = []
        migration: dict[str, Any] = {"concurrency": 8}
        with stage(
            bench.place(f"large-{size}"),
            count,
            size=size,
            spread=1,
            latency_ms=bench.latency_ms,
            two_services=True,
            migration=migration,
        ) as place:
            for _ in range(bench.rounds):
                sums = []
                for row, checksum in ((engine, "sha256"), (quick, "crc64nvme")):
                    place.overrides["migration"] = migration | {"checksum": checksum}
                    place.write_settings()
                    row.samples.append(measured(place, partial(place.engine, *FULL, fresh=True), written=count))
                    sums.append(row.samples[-1])
                theirs = peer(rclone, partial(_rclone, place, count, transfers=4))
                if theirs is not None:
                    pairs.append((*sums, theirs))
        engine.note = f"one SHA-256 takes {sum_s:.2f} CPU-s a GB here and now"
        for row in (engine, quick, rclone):
            bench.report.add(row)
        for place_in_pair, (row, sum_) in enumerate(((engine, "sha256"), (quick, "crc64nvme"))):
            name = f"streaming {size // MIB} MiB, {sum_}"
            if pairs:
                values = [pair[2].run.wall_s / pair[place_in_pair].run.wall_s for pair in pairs]
                bench.report.ratio(f"{name}: MB/s, engine ÷ rclone", values, 1.5)
            beside = [row.cpu_s_per_gb.mid - sum_s]
            bench.report.ratio(f"{name}: CPU besides one SHA-256", beside, 0.6, most=True, unit="s/GB")


def _rclone(place: Stage, count: int, transfers: int = THREADS * 2) -> Sample:
    work = partial(programs.rclone_streams, place.room, place.source.url, place.ours.url, transfers)
    return measured(place, work, written=count)


def _boto3(place: Stage, count: int) -> Sample:
    urls = place.source.url, count, THREADS, place.ours.url
    return measured(place, partial(programs.script, "boto3_threads", "stream", *urls, room=place.room), written=count)


def _hash_s_per_gb() -> float:
    """CPU seconds that hashlib takes for a GB of SHA-256 here and now."""
    block, rounds = bytes(16 * MIB), 8
    digest, start = hashlib.sha256(), time.thread_time()
    for _ in range(rounds):
        digest.update(block)
    return (time.thread_time() - start) / (rounds * len(block)) * 1e9

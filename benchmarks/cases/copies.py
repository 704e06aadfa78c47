"""Server-side copies behind latency: the engine, whole, against programs, scripts and the bare signed loop."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.bench import FULL, Bench, measured, peer
from benchmarks.measure import Run
from benchmarks.peers import programs
from benchmarks.report import Row, Sample
from benchmarks.stage import Stage, stage

NAME = "copies"
TITLE = "Server-side copies"
THREADS = 64
AWS_KEYS = "docs/0000[01]???/*"
AWS_FILES = 2_000

Runner = Callable[[Stage, int, int], Run]
"""A peer: takes the stage, a number of files and how many to keep in flight."""


def run(bench: Bench) -> None:
    """Every pair is run one after the other; ratios are taken within a pair."""
    count = bench.count(100_000)
    title = f"{TITLE}, {count:,} files of 1 kB, {bench.latency_ms:g} ms"
    engine, s5cmd, bare = (Row(title, name, count) for name in ("engine run backup --full", "s5cmd run", "bare loop"))
    ratios: list[tuple[float, float]] = []
    shares: list[tuple[float, float]] = []
    migration = {"concurrency": bench.in_flight}
    with stage(bench.place(NAME), count, latency_ms=bench.latency_ms, migration=migration) as place:
        for _ in range(bench.rounds):
            loop = _bare(place, count, bench.in_flight)
            bare.samples.append(loop)
            ours = measured(place, partial(place.engine, *FULL, fresh=True), written=count)
            engine.samples.append(ours)
            theirs = peer(s5cmd, partial(_s5cmd, place, count, bench.in_flight))
            shares.append((loop.run.wall_s / ours.run.wall_s, (ours.run.cpu_s - loop.run.cpu_s) / count * 1e3))
            if theirs is not None:
                ratios.append((theirs.run.wall_s / ours.run.wall_s, theirs.run.cpu_s / ours.run.cpu_s))
        report = bench.report
        for row in (engine, s5cmd, bare):
            report.add(row)
        threads = report.add(_scaled(bench, place, title, "boto3, 64 threads", max(count // 20, 100), _boto3))
        report.add(_scaled(bench, place, title, "aiobotocore loop", max(count // 10, 100), _aiobotocore))
        report.add(_scaled(bench, place, title, "aws s3 cp --recursive", min(count, AWS_FILES), _aws))
    if ratios:
        report.ratio("copies: wall time, s5cmd ÷ engine", [wall for wall, _ in ratios], 3.5)
        report.ratio("copies: CPU per file, s5cmd ÷ engine", [cpu for _, cpu in ratios], 8)
    report.ratio("copies: rate, engine ÷ boto3 threads", [engine.rate.mid / threads.rate.mid], 15)
    report.ratio("copies: requests per file", [engine.requests_per_file], 1.01, most=True, unit="")
    report.ratio("pipeline: rate, engine ÷ bare loop", [wall for wall, _ in shares], 0.5)
    report.ratio("pipeline: CPU beyond the bare loop", [tax for _, tax in shares], 0.06, most=True, unit="ms a file")


def _bare(place: Stage, count: int, in_flight: int) -> Sample:
    more = [] if place.ca is None else [place.ca.ca]
    work = partial(programs.script, "bare_loop", place.ours.url, 0, count, in_flight, *more, room=place.room)
    return measured(place, work, written=count)


def _s5cmd(place: Stage, count: int, workers: int) -> Sample:
    insecure = place.ca is not None
    work = partial(programs.s5cmd_copies, place.room, place.ours.url, count, workers, insecure=insecure)
    return measured(place, work, written=count)


def _scaled(bench: Bench, place: Stage, title: str, name: str, count: int, work: Runner) -> Row:
    """A slow peer, on fewer files: rates and CPU per file do not depend on their number."""
    row = Row(title, name, count)
    peer(row, lambda: measured(place, lambda: work(place, count, bench.in_flight), written=count))
    return row


def _boto3(place: Stage, count: int, in_flight: int) -> Run:
    return programs.script("boto3_threads", "copy", place.ours.url, count, THREADS, room=place.room)


def _aiobotocore(place: Stage, count: int, in_flight: int) -> Run:
    return programs.script("aiobotocore_loop", place.ours.url, count, in_flight, room=place.room)


def _aws(place: Stage, count: int, in_flight: int) -> Run:
    return programs.aws_copies(place.room, place.ours.url, AWS_KEYS)


def run_tls(bench: Bench) -> None:
    """The same, smaller, with TLS under a local CA: what encryption costs each."""
    count = bench.count(20_000)
    title = f"Server-side copies over TLS, {count:,} files"
    engine, s5cmd, bare = (Row(title, name, count) for name in ("engine", "s5cmd run (not verifying)", "bare loop"))
    plain = Row(title, "engine, without TLS", count)
    migration = {"concurrency": bench.in_flight}
    place_of = bench.place("tls")
    with stage(place_of, count, latency_ms=bench.latency_ms, migration=migration, tls=True) as place:
        for _ in range(bench.rounds):
            bare.samples.append(_bare(place, count, bench.in_flight))
            engine.samples.append(measured(place, partial(place.engine, *FULL, fresh=True), written=count))
            peer(s5cmd, partial(_s5cmd, place, count, bench.in_flight))
    with stage(place_of, count, latency_ms=bench.latency_ms, migration=migration) as place:
        for _ in range(bench.rounds):
            plain.samples.append(measured(place, partial(place.engine, *FULL, fresh=True), written=count))
    for row in (engine, s5cmd, bare, plain):
        bench.report.add(row)

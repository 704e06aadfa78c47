"""A hundred thousand against a million: memory, rate, the event loop; then a run with nothing to do, and the status."""

from __future__ import annotations

import json
import sys
from functools import partial

from benchmarks.bench import FULL, Bench, measured
from benchmarks.measure import run as run_child
from benchmarks.measure import spread
from benchmarks.report import Goal, Row, Sample
from benchmarks.stage import Stage, stage

AGAIN = "Nothing to do"


def run(bench: Bench) -> None:
    """The large run's DB serves the cases after it."""
    few, many = bench.count(100_000), bench.count(1_000_000, 1_000)
    if many == few:
        few = max(many // 10, 100)
    samples: dict[int, Sample] = {}
    report, migration = bench.report, {"concurrency": bench.in_flight}
    for count in (few, many):
        room = bench.place(f"million-{count}")
        with stage(room, count, latency_ms=bench.latency_ms, migration=migration) as place:
            probe = room / "loop.json"
            work = partial(place.engine, *FULL, fresh=True, probe=probe)
            samples[count] = measured(place, work, written=count)
            loop = json.loads(probe.read_text(encoding="utf-8"))
            note = (
                f"event loop late at most {loop['late_max_ms']:.0f} ms (p99 {loop['late_p99_ms']:.1f}), "
                f"{loop['late_over_50ms']} times beyond 50 ms; own CPU at most {loop['cpu_max_ms']:.0f} ms"
            )
            report.add(
                Row("Flat in memory, flat in growth", f"engine, {count:,} records", count, [samples[count]], note=note)
            )
            if count == many:
                blocked = [loop["cpu_max_ms"]]
                report.ratio("million: event loop blocked at most, after opening", blocked, 50, most=True, unit="ms")
                report.goal(
                    Goal("million: event loop blocked at most, while opening", "", f"{loop['opening_ms']:.0f} ms")
                )
                _again(bench, place, count)
                _status(bench, place)
    small, large = samples[few].run, samples[many].run
    sizes = f"{many:,} ÷ {few:,} records"
    report.ratio(f"million: RSS, {sizes}", [large.rss / small.rss], 1.15, most=True)
    report.ratio(f"million: rate, {sizes}", [(many / large.wall_s) / (few / small.wall_s)], 0.95)


def _again(bench: Bench, place: Stage, count: int) -> None:
    row = Row(f"{AGAIN}: {count:,} records, all backed up", "engine run backup --full again", count)
    work = partial(place.engine, *FULL)
    row.samples.append(measured(place, work, written=count, reset=False))
    bench.report.add(row)
    bench.report.ratio("nothing to do: records a second", [row.rate.mid], 25_000, unit="/s")
    bench.report.ratio("nothing to do: S3 requests per file", [row.requests_per_file], 0.01, most=True, unit="")


def _status(bench: Bench, place: Stage) -> None:
    times = [place.engine("status").wall_s * 1e3 for _ in range(1 if bench.quick else 5)]
    bench.report.ratio(f"status on a DB of {place.records:,} rows", times, 300, most=True, unit="ms")


def run_start(bench: Bench) -> None:
    """``engine --help`` from a cold start of Python."""
    room = bench.place("start")
    command = [sys.executable, "-m", "cli", "--help"]
    runs = [run_child(command, log=room / "help.log") for _ in range(1 if bench.quick else 7)]
    bench.report.ratio("start-up of engine --help", [each.wall_s * 1e3 for each in runs], 300, most=True, unit="ms")
    bare = [run_child([sys.executable, "-c", "pass"], log=room / "bare.log").wall_s for _ in range(3)]
    bench.report.goal(Goal("start-up of python alone", "", f"{min(bare) * 1e3:.0f} ms"))
    row = Row("Start-up", "engine run backup --full of one record", 1, note="a part of every run's figures")
    with stage(room, 1, latency_ms=bench.latency_ms) as place:
        for _ in range(bench.rounds):
            row.samples.append(measured(place, partial(place.engine, *FULL, fresh=True), written=1))
    bench.report.add(row)
    cpu = f"{row.cpu_us.mid / 1e6:.2f} CPU-s, {spread([each.run.wall_s for each in row.samples]).mid:.2f} s"
    bench.report.goal(Goal("start-up of a whole run, one record", "", cpu))

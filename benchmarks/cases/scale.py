"""The same backup by one process and by more and more workers: does it get faster, and what does a file cost then?"""

from __future__ import annotations

from functools import partial

from benchmarks.apart import apart
from benchmarks.bench import FULL, Bench, measured
from benchmarks.measure import spread
from benchmarks.report import Goal, Row, Sample
from benchmarks.stage import Stage, stage

LOCAL = "local"


def run(bench: Bench) -> None:
    """Server copies, and streams of two sizes."""
    _ladder(bench, "copies", "server-side copies of 1 kB", bench.count(100_000), 1000, bench.in_flight)
    for name, size, normal in (("100 kB", 100_000, 10_000), ("1.3 MB", 1_300_000, 2_000)):
        _ladder(bench, name, f"GET → PUT of {name}", bench.count(normal, 100), size, bench.in_flight // 2, streams=True)


def _ladder(
    bench: Bench, name: str, what: str, count: int, size: int, in_flight: int, *, streams: bool = False
) -> None:
    rungs = [LOCAL, *dict.fromkeys(bench.executor.replace("N", str(workers)) for workers in bench.ladder)]
    taken: dict[str, list[Sample]] = {rung: [] for rung in rungs}
    place_of, migration = bench.place(f"scale-{name}".replace(" ", "-")), {"concurrency": in_flight}
    with (
        stage(
            place_of, count, size=size, latency_ms=bench.latency_ms, two_services=streams, migration=migration
        ) as place,
        apart({place.source.pid, place.ours.pid, place.org.pid}) as where,
    ):
        for _ in range(bench.rounds):
            for rung in rungs:
                taken[rung].append(_backup(place, rung, count))
    title = f"Scale: {count:,} {what}, {bench.latency_ms:g} ms; {where}"
    for rung, samples in taken.items():
        row = Row(title, rung, count, samples)
        faster = [a.run.wall_s / b.run.wall_s for a, b in zip(taken[LOCAL], samples, strict=True)]
        dearer = [b.run.cpu_s / a.run.cpu_s for a, b in zip(taken[LOCAL], samples, strict=True)]
        if rung != LOCAL:
            row.note = f"{spread(faster).shown('.2f')} × the rate of local, {spread(dearer).shown('.2f')} × its CPU"
            bench.report.goal(Goal(f"scale, {name}: rate, {rung} ÷ local", "", f"{spread(faster).shown('.2f')} ×"))
        bench.report.add(row)


def _backup(place: Stage, executor: str, count: int) -> Sample:
    return measured(place, partial(place.engine, *FULL, "--executor", executor, fresh=True), written=count)

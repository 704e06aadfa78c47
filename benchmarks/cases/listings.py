"""How fast a bucket is listed through the engine's own floor; and the engine on moto, whose ceiling is its own."""

from __future__ import annotations

import asyncio
import json
import sys
from functools import partial

from benchmarks.bench import FULL, Bench, measured
from benchmarks.measure import Failed, Run, run
from benchmarks.peers import programs
from benchmarks.report import Goal, Row, Sample
from benchmarks.stage import ENV, stage


def run_listing(bench: Bench) -> None:
    """No latency: what counts is the client."""
    count = bench.count(500_000, 2_500)
    row = Row(f"Listing {count:,} objects, 1,000 a page", "engine.s3 inventory", count)
    with stage(bench.place("listing"), count, latency_ms=0) as place:
        for _ in range(bench.rounds):
            work = partial(programs.script, "list_bucket", place.settings, room=place.room)
            row.samples.append(measured(place, work, written=None))
            told = json.loads(row.samples[-1].run.output)
            if told["objects"] != count:
                raise Failed(f"{told['objects']} objects listed, not {count}")
    row.note = f"{told['cpu_us']:.1f} µs of CPU an object, start-up aside"
    bench.report.add(row)
    bench.report.ratio("listing: objects a second of client CPU", [1e6 / told["cpu_us"]], 50_000, unit="/s")


def run_moto(bench: Bench) -> None:
    """The rehearsal as it is: moto's server answers a few hundred requests a second, so this measures moto."""
    from engine.rehearsal.generator import Cast
    from engine.rehearsal.stage import stage as rehearsal

    count = min(bench.count(1_000, 60), 5_000)
    plain = Cast(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    room = bench.place("moto")
    for file in room.glob("*.db*"):
        file.unlink()
    row = Row(f"On moto, {count:,} files", "engine run backup --full", count, note="moto is the ceiling here")

    async def play() -> None:
        async with rehearsal(room, count, 1, cast=plain) as place:
            row.samples.append(Sample(await asyncio.to_thread(engine, str(place.settings_file))))

    def engine(settings: str) -> Run:
        return run([sys.executable, "-m", "cli", "-c", settings, *FULL, "--json"], env=ENV, log=room / "engine.log")

    asyncio.run(play())
    output = row.samples[0].run.output
    told = json.loads(output[output.index("{") :])
    if told["records"]["backed_up"] != count:
        raise Failed(f"{told['records']['backed_up']} backed up on moto, not {count}")
    bench.report.add(row)
    bench.report.goal(Goal("on moto: files a second", "moto's own", f"{row.rate.mid:,.0f}/s"))

"""``engine tune``: which concurrency, queue size and batch size are enough here, measured and not guessed.

| mode         | concurrency                                            | queue size      | batch size               |
|--------------|--------------------------------------------------------|-----------------|--------------------------|
| ``rehearse`` | whole backups against the stand-ins                    | the same        | the same                 |
| ``real``     | HEADs of sampled files (GETs of small ones where bytes | ten plans per   | commits to a throw-away  |
|              | pass this machine); with ``allow_writes`` their copies | file in flight, | DB beside the tracking   |
|              | under a prefix of their own                            | not measured    | DB                       |

What the stand-ins tell is the shape and not the speed: theirs is the ceiling there.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.model.errors import Fatal, Usage
from engine.pipeline.tuning import Point, choice
from engine.rehearsal import children
from engine.runs.rehearsal.rehearse import need_rehearsal

if TYPE_CHECKING:
    from engine.rehearsal.stage import Stage

CONCURRENCY = (8, 32, 100, 200, 400)
QUEUE = (200, 2000, 8000)
BATCH = (50, 200, 500, 2000)
KEPT = {"queue_size": 2000, "batch_size": 500}
"""The defaults."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """``records`` of a rehearsal; ``requests`` per setting against real endpoints."""

    allow_writes: bool = False
    records: int = 600
    requests: int = 400
    concurrency: tuple[int, ...] = CONCURRENCY
    latency_ms: float = 20.0


@dataclass(slots=True)
class Sweep:
    """What was tried and what came of it."""

    what: str
    points: dict[str, list[Point]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    derived: dict[str, int] = field(default_factory=dict)
    """Settings that follow from others and were not measured."""
    keep: dict[str, int] = field(default_factory=dict)
    """Settings as they are, which stay unless another is clearly faster."""

    @property
    def chosen(self) -> dict[str, int]:
        """The settings to use."""
        return {name: choice(points, self.keep.get(name)).value for name, points in self.points.items()} | self.derived

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "measured": self.what,
            "sweeps": {name: [each.as_json() for each in points] for name, points in self.points.items()},
            "use": {"migration": self.chosen},
            "not_measured": sorted(self.derived),
            "notes": self.notes,
        }


async def tune_rehearsed(options: TuneOptions, say: Say) -> Sweep:
    """Whole backups against the stand-ins, one setting after the other. Raises Blocked without the extra."""
    if options.allow_writes:
        raise Usage("--allow-writes goes with --real")
    need_rehearsal()
    from engine.rehearsal.generator import Cast
    from engine.rehearsal.object_faults import Fault
    from engine.rehearsal.stage import stage

    plain = Cast(missing=0, archived=0, html=0, useless=0, no_url=0, large=0, mean_bytes=2000)
    found = Sweep(f"backups of {options.records:,} records against the stand-ins, {options.latency_ms:g} ms away")
    found.keep |= KEPT
    found.notes.append("one run per setting: differences of a few per cent are noise")
    found.notes.append("the stand-ins' own speed is the ceiling here: this tells the shape, not what S3 can do")
    with tempfile.TemporaryDirectory(prefix="engine-tune-") as room:
        async with stage(Path(room) / "stage", options.records, 1, cast=plain) as place:
            await place.objects.misbehave(Fault("delay", seconds=options.latency_ms / 1000))
            sweeps = {"concurrency": options.concurrency, "queue_size": QUEUE, "batch_size": BATCH}
            chosen: dict[str, int] = {}
            for name, values in sweeps.items():
                found.points[name] = []
                for value in values:
                    say(f"{name} {value:,}")
                    run = _Rehearsed(place, Path(room), f"{name}-{value}".replace("_", "-"))
                    found.points[name].append(await run.point(value, chosen | {name: value}))
                chosen[name] = choice(found.points[name], found.keep.get(name)).value
    return found


class _Rehearsed:
    """One backup with a DB and a bucket of its own."""

    def __init__(self, place: Stage, room: Path, tag: str) -> None:
        self._place = place
        self._room = room
        self._tag = tag

    async def point(self, value: int, wanted: dict[str, int]) -> Point:
        bucket = f"ours-{self._tag}"
        await self._place.objects.create_buckets(bucket)
        flags = [word for name, number in wanted.items() for word in (f"--{name.replace('_', '-')}", str(number))]
        settings = self._room / f"{self._tag}.yaml"
        own = {"destination": {"bucket": bucket}, "tracking": {"database": f"{self._tag}.db"}}
        self._place.write_settings(settings, own)
        command = ("--config", str(settings), "run", "backup", "--full", "--no-progress", "--json")
        process = await asyncio.create_subprocess_exec(
            *children.command("cli", *command, *flags),
            env=children.environment(), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, told = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise Fatal(f"the backup of the rehearsal ended with {process.returncode}: {told.decode()[-300:]}")
        report = json.loads(out)
        copied = report["records"]["backed_up"]
        return Point(value, copied / report["seconds"], refused=report["retries"], done=copied)

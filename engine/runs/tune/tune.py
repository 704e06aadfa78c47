"""``engine tune``: which concurrency, queue size and batch size are enough here, measured and not guessed.

| mode         | concurrency                                            | queue size      | batch size               |
|--------------|--------------------------------------------------------|-----------------|--------------------------|
| ``rehearse`` | whole backups against the stand-ins                    | the same        | the same                 |
| ``real``     | HEADs of sampled files (GETs of small ones where bytes | ten plans per   | commits to a temporary   |
|              | pass through this machine); with ``allow_writes``      | file in flight, | DB beside the tracking   |
|              | copies under ``engine-tune/``                          | not measured    | DB                       |

Every setting is measured in several rounds, and the rounds of all settings take turns: what changes meanwhile changes
for all of them. Against the stand-ins that shows the shape and not the speed: their own speed is the ceiling.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.model.command import Advice
from engine.model.errors import Fatal, Usage
from engine.rehearsal import children
from engine.runs.rehearsal.rehearse import need_rehearsal
from engine.runs.tune.points import ROUNDS, Point, Recommendation, Round, recommend

if TYPE_CHECKING:
    from engine.rehearsal.stage import Stage

CONCURRENCY = (8, 32, 100, 200, 400)
QUEUE = (50, 200, 2000, 8000)
BATCH = (50, 200, 500, 2000)
DEFAULTS = {"concurrency": 200, "queue_size": 2000, "batch_size": 500}

Say = Callable[[str], None]
Measure = Callable[[str, int, int], Awaitable[Round]]
"""Takes the name of a setting, its value and the number of the round."""


@dataclass(frozen=True, slots=True)
class TuneOptions:
    """``records`` of a rehearsal; ``requests`` per setting against real endpoints, at most."""

    allow_writes: bool = False
    records: int = 1000
    requests: int = 2400
    concurrency: tuple[int, ...] = CONCURRENCY
    latency_ms: float = 20.0


@dataclass(slots=True)
class Tuning:
    """What was measured, and what follows."""

    what: str
    keep: dict[str, int] = field(default_factory=dict)
    """Settings as they are. They stay unless another is clearly faster."""
    points: dict[str, list[Point]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    derived: dict[str, int] = field(default_factory=dict)
    """Settings that follow from others and were not measured."""

    @property
    def recommendations(self) -> dict[str, Recommendation]:
        return {name: recommend(points, self.keep.get(name)) for name, points in self.points.items()}

    @property
    def use(self) -> dict[str, int]:
        """The settings to use."""
        return {name: found.use for name, found in self.recommendations.items()} | self.derived

    @property
    def exit_code(self) -> int:
        return 0

    @property
    def next_steps(self) -> Sequence[Advice]:
        return ["put what stands under migration into the settings file"]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "measured": self.what,
            "sweeps": {name: [point.as_json() for point in points] for name, points in self.points.items()},
            "use": {"migration": self.use},
            "no_difference_seen": sorted(
                name for name, found in self.recommendations.items() if not found.difference_seen
            ),
            "not_measured": sorted(self.derived),
            "notes": self.notes,
        }


async def in_rounds(name: str, values: Iterable[int], measure: Measure, say: Say) -> list[Point]:
    """Measure each value in every round."""
    found: dict[int, list[Round]] = {value: [] for value in values}
    for number in range(1, ROUNDS + 1):
        for value, rounds in found.items():
            say(f"{name} {value:,}, round {number} of {ROUNDS}")
            rounds.append(await measure(name, value, number))
    return [Point(value, tuple(rounds)) for value, rounds in found.items()]


def told_apart(values: Sequence[int], records: int, keep: int) -> list[int]:
    """Sizes between which so many records show a difference: all that hold every record act alike, so one is enough."""
    large = [value for value in values if value >= records]
    return [value for value in values if value < records] + ([keep if keep in large else min(large)] if large else [])


async def tune_rehearsed(options: TuneOptions, say: Say) -> Tuning:
    """Whole backups against the stand-ins. Raises Blocked without the extra."""
    if options.allow_writes:
        raise Usage("--allow-writes needs --real")
    need_rehearsal()
    from engine.rehearsal.generator import Cast
    from engine.rehearsal.object_faults import Fault
    from engine.rehearsal.stage import stage

    plain = Cast(missing=0, archived=0, html=0, useless=0, no_url=0, large=0, mean_bytes=2000)
    what = f"backups of {options.records:,} records against the stand-ins, {options.latency_ms:g} ms away"
    with tempfile.TemporaryDirectory(prefix="engine-tune-") as room:
        async with stage(Path(room) / "stage", options.records, 1, cast=plain) as place:
            await place.objects.misbehave(Fault("delay", seconds=options.latency_ms / 1000))
            return await compare(Tuning(what, dict(DEFAULTS)), options, _Rehearsed(place, Path(room)).backup, say)


async def compare(
    found: Tuning, options: TuneOptions, backup: Callable[[str, dict[str, int]], Awaitable[Round]], say: Say
) -> Tuning:
    """One setting after the other, each with what was found before. ``backup`` takes a name of its own and settings."""
    chosen: dict[str, int] = {}

    async def measure(name: str, value: int, number: int) -> Round:
        return await backup(f"{name}-{value}-{number}".replace("_", "-"), chosen | {name: value})

    sizes = {"queue_size": QUEUE, "batch_size": BATCH}
    tried = {name: told_apart(values, options.records, found.keep[name]) for name, values in sizes.items()}
    for name, values in ({"concurrency": list(options.concurrency)} | tried).items():
        if name == "concurrency" or len(values) > 1:
            found.points[name] = await in_rounds(name, values, measure, say)
            chosen[name] = found.use[name]
        else:
            found.derived[name] = found.keep[name]
    found.notes.append(f"with {options.records:,} records all larger sizes act alike; more --records tell more apart")
    found.notes.append("the stand-ins' own speed is the ceiling here: this shows the shape, not what S3 can do")
    return found


class _Rehearsed:
    """Backups, each with a DB and a bucket of its own."""

    def __init__(self, place: Stage, room: Path) -> None:
        self._place = place
        self._room = room

    async def backup(self, tag: str, wanted: dict[str, int]) -> Round:
        bucket = f"ours-{tag}"
        await self._place.objects.create_buckets(bucket)
        flags = [word for name, number in wanted.items() for word in (f"--{name.replace('_', '-')}", str(number))]
        settings = self._room / f"{tag}.yaml"
        own = {"destination": {"bucket": bucket}, "tracking": {"database": f"{tag}.db"}}
        self._place.write_settings(settings, own)
        command = ("--config", str(settings), "run", "backup", "--full", "--no-progress", "--json")
        process = await asyncio.create_subprocess_exec(
            *children.command("cli", *command, *flags),
            env=children.environment(), stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            out, errors = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise Fatal(f"the backup of the rehearsal ended with {process.returncode}: {errors.decode()[-300:]}")
        report = json.loads(out)
        copied = report["records"]["backed_up"]
        return Round(copied / report["seconds"], copied, refused=report["retries"])

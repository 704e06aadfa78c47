"""``python -m tests.simulation``: seeds, one seed, every crash point of a story, or the planted bugs."""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.simulation import disk
from tests.simulation.drawing import draw
from tests.simulation.player import Played, play
from tests.simulation.shrink import shrunk
from tests.simulation.story import Story
from tests.simulation.world import ALL, Hostile

SHOWN = 20


@dataclass(frozen=True, slots=True)
class Finding:
    """A seed that broke a promise."""

    seed: int
    oracle: str
    what: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What a worker is to play."""

    seeds: range
    hostile: Hostile


@dataclass(frozen=True, slots=True)
class Tally:
    seeds: int
    digest: str
    findings: list[Finding]


def run_batch(batch: Batch) -> Tally:
    root, digest, findings = own_root(), hashlib.blake2b(digest_size=8), []
    for seed in batch.seeds:
        world = play(draw(seed, batch.hostile), root, batch.hostile).world
        digest.update(world.digest.encode())
        findings += [Finding(seed, each.oracle, each.what) for each in world.violations[:1]]
    return Tally(len(batch.seeds), digest.hexdigest(), findings)


def own_root() -> Path:
    """A folder of this process."""
    return disk.memory_folder() / f"engine-simulation-{os.getpid()}"


def replay_line(seed: int, hostile: Hostile, left_out: Sequence[int] = ()) -> str:
    line = f"python -m tests.simulation --seed {seed}"
    names = [name for name in Hostile.__slots__ if getattr(hostile, name)]
    if names:
        line += f" --hostile {','.join(names)}"
    return line + (f" --without {','.join(map(str, left_out))}" if left_out else "")


def run_seeds(first: int, count: int, hostile: Hostile, jobs: int) -> int:
    begun = time.monotonic()
    size = max(1, min(50, count // (4 * jobs) or 1))
    batches = [Batch(range(at, min(at + size, first + count)), hostile) for at in range(first, first + count, size)]
    digest, findings, done = hashlib.blake2b(digest_size=8), [], 0
    for tally in _each(batches, jobs):
        done += tally.seeds
        digest.update(tally.digest.encode())
        for finding in tally.findings:
            findings.append(finding)
            if len(findings) <= SHOWN:
                print(f"seed {finding.seed}: {finding.oracle}: {finding.what}")
    for seed in {finding.oracle: finding.seed for finding in reversed(findings)}.values():
        story, found = shrunk(draw(seed, hostile), own_root(), hostile)
        left_out = sorted(set(draw(seed, hostile).numbers) - set(story.numbers))
        print(f"\n{found[0]}\n{story}\n  {replay_line(seed, hostile, left_out)}")
    seconds = time.monotonic() - begun
    told = Counter(finding.oracle for finding in findings)
    kinds = f" ({', '.join(f'{name} {n}' for name, n in sorted(told.items()))})" if told else ""
    print(
        f"{done:,} seeds, {len(findings):,} violations{kinds}, trace {digest.hexdigest()}, "
        f"{seconds:.1f} s, {done / seconds:.1f} seeds/s"
    )
    return 1 if findings else 0


def _each(batches: list[Batch], jobs: int) -> Iterator[Tally]:
    if jobs == 1:
        yield from map(run_batch, batches)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap(run_batch, batches)


def run_seed(seed: int, hostile: Hostile, left_out: set[int], *, trace: bool) -> int:
    story = draw(seed, hostile).without(left_out)
    print(story)
    played = play(story, own_root(), hostile, keep=trace)
    tell(story, played)
    if trace:
        print("\n".join(played.world.lines or ()))
    return 1 if played.world.violations else 0


def tell(story: Story, played: Played) -> None:
    for line, ended in played.lives:
        print(f"  {line.replace(str(played.world.root), '')}: {ended.words}, {ended.steps} steps")
    for violation in played.world.violations:
        print(f"  {violation}")
    print(f"1 seed ({story.seed}), {len(played.world.violations)} violations, trace {played.world.digest}")


def hostile_of(text: str) -> Hostile:
    if text == "all":
        return ALL
    return Hostile(**{name: True for name in text.split(",") if name})


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, metavar="N", help="play so many seeds")
    parser.add_argument("--from", type=int, default=0, dest="first", metavar="S", help="the first of them")
    parser.add_argument("--seed", type=int, metavar="S", help="play this one")
    parser.add_argument("--without", default="", metavar="1,2", help="with --seed: leave these numbers out")
    parser.add_argument("--trace", action="store_true", help="with --seed: show every step")
    parser.add_argument("--hostile", default="", metavar="NAMES", help=f"all, or of {', '.join(Hostile.__slots__)}")
    parser.add_argument("--exhaustive", action="store_true", help="kill a story at every step of it")
    parser.add_argument("--pairs", type=int, default=0, metavar="N", help="with --exhaustive: and N pairs of kills")
    parser.add_argument("--planted", action="store_true", help="every planted bug must be found")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args(arguments)
    hostile = hostile_of(given.hostile)
    try:
        if given.seed is not None:
            left_out = {int(number) for number in given.without.split(",") if number}
            return run_seed(given.seed, hostile, left_out, trace=given.trace)
        if given.exhaustive:
            from tests.simulation.exhaustive import run_exhaustive

            return run_exhaustive(own_root(), given.pairs, given.jobs)
        if given.planted:
            from tests.simulation.planted import run_planted

            return run_planted(given.seeds or 1_000, given.jobs)
        return run_seeds(given.first, given.seeds or 100, hostile, given.jobs)
    finally:
        shutil.rmtree(own_root(), ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

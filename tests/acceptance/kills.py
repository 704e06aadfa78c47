"""Kill a backup again and again, resume it to its end, and compare everything object by object.

    python -m tests.acceptance.kills --records 20000 --kills 20

Kills fall at random moments (seeded) while the real ``engine`` command copies between real servers. Afterwards an
independent comparison must find no difference, and no source object may have been copied more often than
1 + the kills that hit it (I2): the store's own log is asked.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from engine.rehearsal.check import check, recorded
from engine.rehearsal.stage import Stage, stage
from tests.support.acceptance import engine


@dataclass
class Ordeal:
    """What happened."""

    kills: int = 0
    runs: int = 0
    seconds: float = 0.0
    exit_code: int | None = None
    most_copies: int = 0
    repeated: int = 0
    problems: list[str] = field(default_factory=list)
    status: dict[str, object] = field(default_factory=dict)


async def ordeal(
    directory: Path, records: int, kills: int, seed: int, *, flags: tuple[str, ...] = (), pace: float = 150.0
) -> Ordeal:
    """Back up ``records`` with that many kills on the way, spread by the ``pace`` to expect (files per second)."""
    chance = random.Random(seed)
    result = Ordeal()
    async with stage(directory, records, seed) as place:
        begun = time.monotonic()
        mode = "--full"
        while result.exit_code is None:
            process = await engine(place, "run", "backup", mode, "--no-progress", *flags)
            result.runs += 1
            # --incremental resumes, --full looks at everything again: both must come to the same end
            mode = chance.choice(("--full", "--incremental"))
            mode = mode if (directory / "migration_tracking.db").exists() else "--full"
            if result.kills < kills:
                wait = 1.2 + chance.random() * 2 * records / pace / kills
                try:
                    result.exit_code = await asyncio.wait_for(process.wait(), wait)
                except TimeoutError:
                    process.send_signal(signal.SIGKILL)
                    await process.wait()
                    result.kills += 1
                    continue
            else:
                result.exit_code = await process.wait()
        result.seconds = time.monotonic() - begun
        result.status = await _status(place)
        result.problems = (await asyncio.to_thread(check, directory, place.store.url)).problems
        result.problems += _adds_up(result.status, records)
        copies = Counter(unquote(entry.path) for entry in await place.objects.requests() if _writes(entry))
        result.most_copies = max(copies.values(), default=0)
        result.repeated = sum(count - 1 for count in copies.values())
    return result


def _writes(entry: object) -> bool:
    return entry.method == "PUT" and entry.status == 200 and "our-documents/" in entry.path  # type: ignore[attr-defined]


def _adds_up(status: dict[str, object], records: int) -> list[str]:
    files = status["files"]
    assert isinstance(files, dict)
    states = sum(count for name, count in files.items() if name not in {"tracked", "bytes"})
    return [] if states == files["tracked"] == records else [f"status does not add up: {files}, {records} records"]


async def _status(place: Stage) -> dict[str, object]:
    process = await engine(place, "status", "--json", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    found: dict[str, object] = json.loads(out)
    return found


def main() -> None:
    """Kills fall by time: on a quick machine the run may end before the last of them; half of them must have hit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=600)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=Path("rehearsal/kills"))
    parser.add_argument("--transport", default="fast")
    parser.add_argument("--pace", type=float, default=250.0, help="files per second to expect: spreads the kills")
    chosen = parser.parse_args()
    shutil.rmtree(chosen.directory, ignore_errors=True)
    result = asyncio.run(
        ordeal(
            chosen.directory,
            chosen.records,
            chosen.kills,
            chosen.seed,
            flags=("--transport", chosen.transport),
            pace=chosen.pace,
        )
    )
    print(
        f"{chosen.records} records, {result.kills} kills, {result.runs} runs, {result.seconds:.0f} s, last exit code "
        f"{result.exit_code}; {recorded(chosen.directory / 'migration_tracking.db')} recorded; most copies of one "
        f"object {result.most_copies}, {result.repeated} copies repeated; {len(result.problems)} problems"
    )
    for problem in result.problems[:20]:
        print("  ", problem)
    sys.exit(1 if result.problems or result.exit_code not in {0, 3} or result.kills < chosen.kills / 2 else 0)


if __name__ == "__main__":
    main()

"""Kill a switch with four calls in flight that Salesforce carries out much later, and roll back at once.

    python -m tests.acceptance.late_commits --late 25 --settle 45

Until Salesforce has written, the old links are all there, and a rollback that trusted them would be wrong seconds
later. It has to wait, and to say so. Meanwhile users edit records: some that no call is about, and some right after a
late commit. In the end every link is its original again, or the user's, and nothing was written while a late call was
out.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp

from engine.rehearsal.generator import VENDOR_BUCKET, Cast
from engine.rehearsal.stage import Stage, stage
from tests.support.acceptance import engine

CAST = Cast(filthy=0.0, large=0.0, mean_bytes=300, html=0.0, missing=0.0, archived=0.0)
CALLS = 4
ROLLBACK = ("run", "rollback", "--from-database", "--execute", "--yes", "--no-progress")


async def until(ready: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Raises TimeoutError."""
    for _ in range(int(seconds * 10)):
        if await ready():
            return
        await asyncio.sleep(0.1)
    raise TimeoutError


async def sim(place: Stage, what: str) -> Any:
    """Ask the org's side door."""
    async with aiohttp.ClientSession() as http, http.get(f"{place.salesforce_url}/__sim__/{what}") as answer:
        return await answer.json()


async def writes(place: Stage) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = (await sim(place, "log?name=collections_update"))["entries"]
    return [entry for entry in entries if entry["ids_written"]]


def intended(place: Stage) -> list[str]:
    """Records whose change the killed run had announced."""
    database = place.directory / "migration_tracking.db"
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT DISTINCT doclist_entry_id FROM url_changes WHERE event = 'intended'")
        return sorted(row[0] for row in rows)


async def told(place: Stage, *words: str) -> tuple[int, str]:
    """Exit code and what was said."""
    path = place.directory / "said.txt"
    with path.open("w") as out:
        process = await engine(place, *words, stdout=out.fileno())
        return await process.wait(), path.read_text()


async def kill_in_flight(place: Stage, late_s: float) -> list[str]:
    """Returns the records that Salesforce will still write."""
    slow = {"kind": "slow", "endpoint": "collections_update", "params": {"seconds": late_s}}
    await place.org("faults", [slow])
    run = await engine(place, "run", "switch", "--execute", "--yes", "--no-progress")

    async def all_out() -> bool:
        return sum(rule["fired"] for rule in await sim(place, "faults")) == CALLS

    await until(all_out, 60)
    run.send_signal(signal.SIGKILL)
    await run.wait()
    await place.org("faults", [])
    return intended(place)


async def play(directory: Path, records: int, late_s: float, settle_s: float) -> list[str]:
    """What went wrong."""
    overrides: dict[str, dict[str, Any]] = {"switch": {"waves": ["100%"], "settle_after": f"{settle_s:.0f}s"}}
    async with stage(directory, records, 1, overrides=overrides, cast=CAST) as place:
        await told(place, "run", "backup", "--full", "--no-progress")
        before = {each: link for each, link in (await place.links()).items() if VENDOR_BUCKET in link}
        out = await kill_in_flight(place, late_s)
        begun, problems = time.monotonic(), list[str]()
        now = await place.links()
        if any(now[each] != before[each] for each in out):
            problems.append("a call was carried out before the kill")
        rollback = asyncio.create_task(told(place, *ROLLBACK))
        edits = dict.fromkeys([each for each in before if each not in out][:5], "https://users.test/early.pdf")
        await place.org("edit", {"ids": list(edits), "set": {"Document__c": "https://users.test/early.pdf"}})

        async def all_in() -> bool:
            now = await place.links()
            return all(now[each] != before[each] for each in out)

        await until(all_in, late_s + 20)
        came_s, late_calls = time.monotonic() - begun, len(await writes(place))
        edits |= dict.fromkeys(out[:5], "https://users.test/late.pdf")
        await place.org("edit", {"ids": out[:5], "set": {"Document__c": "https://users.test/late.pdf"}})
        code, said = await rollback
        print(said)
        print(f"{len(out)} links in {late_calls} calls were in flight; all were there {came_s:.1f} s after the kill")
        print(f"the rollback ended {time.monotonic() - begun:.1f} s after the kill, with exit code {code}")
        now = await place.links()
        wrong = [each for each, link in before.items() if now[each] != edits.get(each, link)]
        problems += [f"{each} holds {now[each]}" for each in wrong]
        problems += [f"not said: {word}" for word in _must_say(len(out)) if word not in said]
        problems += [] if code == 0 else [f"exit code {code}"]
        problems += [] if late_calls == CALLS else [f"{late_calls} calls were carried out before the last late one"]
        count = len(await writes(place))
        again, said = await told(place, *ROLLBACK)
        problems += [] if again == 0 and len(await writes(place)) == count else ["a second rollback wrote something"]
        problems += [] if (await told(place, "audit", "--bucket"))[0] == 0 else ["the journal does not hold"]
        return problems


def _must_say(doubtful: int) -> list[str]:
    return [f"{doubtful} in doubt until", f"{doubtful - 5} put back", "5 edited by others"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2_000)
    parser.add_argument("--late", type=float, default=25.0, help="seconds until Salesforce carries the calls out")
    parser.add_argument("--settle", type=float, default=45.0, help="switch.settle_after, in seconds")
    parser.add_argument("--directory", type=Path, default=Path("rehearsal/late_commits"))
    chosen = parser.parse_args()
    shutil.rmtree(chosen.directory, ignore_errors=True)
    problems = asyncio.run(play(chosen.directory, chosen.records, chosen.late, chosen.settle))
    print(json.dumps({"problems": problems}, indent=2))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()

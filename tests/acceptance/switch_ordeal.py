"""Switch everything and put it back, while sessions end, answers get lost, rows are locked, users edit and kills fall.

    python -m tests.acceptance.switch_ordeal --records 100000 --kills 20
    python -m tests.acceptance.switch_ordeal --records 60000 --kills 0 --calm --edits 0.01

Afterwards the org itself is asked, record by record. After the switch every link is exactly ours, with its proved
object behind it, or the user's, or named with its class. The org's log is held against the journal: no row was written
before its intent was committed, kills or not. The rollback has put back every untouched record byte for byte, and a
second one writes nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import resource
import shutil
import signal
import sqlite3
import sys
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from engine.rehearsal.generator import Cast
from engine.rehearsal.stage import OUR_BUCKET, Stage, stage
from tests.support.acceptance import engine

FAULTS: list[dict[str, Any]] = [
    {"kind": "commit_then_cut", "endpoint": "collections_update", "rate": 0.025, "seed": 1},
    {"kind": "commit_then_503", "endpoint": "collections_update", "rate": 0.025, "seed": 2},
    {"kind": "session_expired", "endpoint": "composite/sobjects", "rate": 0.01, "seed": 3},
    {"kind": "503_html", "endpoint": "composite/sobjects", "rate": 0.005, "seed": 4},
    {"kind": "lock_row", "rate": 0.02, "seed": 5, "params": {"tries": 1}},
]
EDITED = 0.01
WRITES = {"collections_update", "composite", "record_update"}
PLAIN = Cast(filthy=0.15, large=0.0, mean_bytes=300, html=0.0, missing=0.01, archived=0.005)


@dataclass
class Act:
    """One half of the ordeal: the switch, or the rollback."""

    runs: int = 0
    kills: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    codes: list[int] = field(default_factory=list)
    edits: dict[str, str] = field(default_factory=dict)
    ends: Counter[str] = field(default_factory=Counter)
    overwritten: list[str] = field(default_factory=list)
    """Edits that fell between a read and the write right behind it, and were lost."""


@dataclass
class Ordeal:
    """What happened."""

    switch: Act = field(default_factory=Act)
    rollback: Act = field(default_factory=Act)
    requests: int = 0
    problems: list[str] = field(default_factory=list)


class Play:
    """The ordeal on one stage."""

    def __init__(self, place: Stage, seed: int, faults: list[dict[str, Any]], edited: float) -> None:
        self.place = place
        self.faults = faults
        self.edited = edited
        self.chance = random.Random(seed)
        self.result = Ordeal()
        self.database = place.directory / "migration_tracking.db"
        self._seen = 0

    async def run(self, records: int, kills: int, pace: float) -> Ordeal:
        before = await self.links()
        await self.must("run", "backup", "--full", codes={0, 3})
        await self.place.org("faults", self.faults)
        ids = sorted(before)
        await self.act(self.result.switch, ids, kills, records / pace, "run", "switch", "--execute", "--yes")
        await self.check_switch(before)
        words = ("run", "rollback", "--from-database", "--execute", "--yes")
        await self.act(self.result.rollback, ids, kills // 2, records / pace, *words)
        await self.check_rollback(before)
        await self.place.org("faults", [])
        steps, asked = self.steps(), await self.writes(0)
        await self.must(*words, codes={0})
        if self.steps() != steps or len(await self.writes(0)) != len(asked):
            self.say("the second rollback wrote something")
        await self.must("audit", codes={0})
        return self.result

    async def act(self, act: Act, ids: list[str], kills: int, seconds: float, *words: str) -> None:
        """Run to its end through so many kills, with users at work."""
        begun, worked = time.monotonic(), _children_s()
        seen = await self.last_call()
        users = asyncio.create_task(self.users(act, ids, seconds))
        try:
            await self.until_done(act, kills, seconds, words)
        finally:
            users.cancel()
            with suppress(asyncio.CancelledError):
                await users
        act.seconds, act.cpu = time.monotonic() - begun, _children_s() - worked
        act.calls = await self.calls(seen)
        await self.check_journal()

    async def until_done(self, act: Act, kills: int, seconds: float, words: tuple[str, ...]) -> None:
        while act.runs < 200:
            process = await engine(self.place, *words, "--no-progress")
            act.runs += 1
            if act.kills < kills:
                try:
                    code = await asyncio.wait_for(process.wait(), 0.9 + self.chance.random() * 2 * seconds / kills)
                except TimeoutError:
                    process.send_signal(signal.SIGKILL)
                    await process.wait()
                    act.kills += 1
                    await self.check_journal()
                    continue
            else:
                code = await process.wait()
            act.codes.append(code)
            if code in {0, 3}:
                return
            if code not in {5, 6}:
                break
        self.say(f"engine {' '.join(words)} came to no end: {act.codes}")

    async def users(self, act: Act, ids: list[str], seconds: float) -> None:
        """Edit one record in a hundred, whichever and whenever."""
        count = max(1, int(len(ids) * self.edited))
        for number in range(count):
            await asyncio.sleep(self.chance.random() * 2 * seconds / count)
            record = self.chance.choice(ids)
            link = f"https://users.test/{len(act.edits)}/{number}.pdf"
            await self.place.org("edit", {"ids": [record], "set": {"Document__c": link}})
            act.edits[record] = link

    # judging

    async def check_journal(self) -> None:
        """Every row that the org has written was announced in the journal before its request arrived (I3)."""
        intents: dict[str, list[str]] = {}
        for record, at in self.query(
            "SELECT doclist_entry_id, at FROM url_changes WHERE event IN ('intended', 'undo_intended') ORDER BY id"
        ):
            intents.setdefault(record, []).append(at)
        for entry in await self.writes(self._seen):
            self._seen = max(self._seen, entry["number"])
            self.result.requests += 1
            for record in entry["ids_written"]:
                if not any(at < entry["arrived"] for at in intents.get(record, ())):
                    self.say(f"{record} was written at {entry['arrived']} before the journal knew of it")

    async def check_switch(self, before: dict[str, str]) -> None:
        act, now = self.result.switch, await self.links()
        held = await self.place.objects.dump(OUR_BUCKET)
        for record, status, failure, ours, key, etag in self.query(
            "SELECT doclist_entry_id, status, coalesce(failure_class, ''), coalesce(your_s3_url, ''),"
            " coalesce(your_s3_key, ''), coalesce(destination_etag, '') FROM file_migrations"
        ):
            link, edit = now[record], act.edits.get(record)
            if edit is not None and link == edit:
                act.ends["the user's"] += 1
            elif link and link == ours:
                act.ends["ours"] += 1
                if status != "switched":
                    self.say(f"{record} holds our link but is {status}/{failure}")
                if key not in held or held[key].etag != etag:
                    self.say(f"{record} points at {key}, which is not there as proved")
                if edit is not None:
                    act.overwritten.append(record)
            elif link == before[record]:
                act.ends[f"{status}/{failure}"] += 1
                if status not in {"failed", "skipped"} or not failure:
                    self.say(f"{record} holds its original link, yet is {status}/{failure}")
            else:
                self.say(f"{record} holds {link!r}, which nobody wrote")

    async def check_rollback(self, before: dict[str, str]) -> None:
        act, now = self.result.rollback, await self.links()
        edits = {**self.result.switch.edits, **act.edits}
        lost = set(self.result.switch.overwritten)
        for record, original in before.items():
            link, edit = now[record], edits.get(record)
            if edit is None:
                act.ends["original"] += 1
                if link != original:
                    self.say(f"{record} holds {link!r} instead of its original {original!r}")
            elif link == edit:
                act.ends["the user's"] += 1
            elif record in lost and record not in act.edits and link == original:
                act.ends["original"] += 1
            elif link == original:
                act.overwritten.append(record)
            else:
                self.say(f"{record} was edited to {edit!r} and holds {link!r}")

    def say(self, problem: str) -> None:
        self.result.problems.append(problem)

    # the world

    async def links(self) -> dict[str, str]:
        url = f"{self.place.salesforce_url}/__sim__/dump?object=DocListEntry__c"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            rows = [json.loads(line) for line in (await answer.read()).splitlines()]
        return {row["Id"]: row.get("Document__c") or "" for row in rows}

    async def writes(self, since: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        async with aiohttp.ClientSession() as http:
            for name in WRITES:
                url = f"{self.place.salesforce_url}/__sim__/log?name={name}&since={since}"
                async with http.get(url) as answer:
                    found += (await answer.json())["entries"]
        return [entry for entry in found if entry["ids_written"]]

    async def calls(self, since: int) -> Counter[str]:
        """What the org was asked, by name."""
        url = f"{self.place.salesforce_url}/__sim__/log?since={since}"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            entries = (await answer.json())["entries"]
        return Counter(entry["name"] for entry in entries)

    async def last_call(self) -> int:
        url = f"{self.place.salesforce_url}/__sim__/log?limit=1"
        async with aiohttp.ClientSession() as http, http.get(url) as answer:
            return max((entry["number"] for entry in (await answer.json())["entries"]), default=0)

    def steps(self) -> int:
        return int(self.query("SELECT count(*) FROM url_changes")[0][0])

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as db:
            return db.execute(sql).fetchall()

    async def must(self, *words: str, codes: set[int]) -> None:
        code = await (await engine(self.place, *words)).wait()
        if code not in codes:
            self.say(f"engine {' '.join(words)} ended with {code}")


def _children_s() -> float:
    """CPU seconds of the runs so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


async def ordeal(
    directory: Path,
    records: int,
    kills: int,
    seed: int,
    *,
    pace: float = 1500.0,
    calm: bool = False,
    edited: float = EDITED,
) -> Ordeal:
    """``pace``: links per second to expect; it spreads the kills and the edits. ``calm``: nothing goes wrong but for
    the kills and the edits."""
    overrides: dict[str, dict[str, Any]] = {"migration": {"concurrency": 64}}
    faults = [] if calm else FAULTS
    async with stage(directory, records, seed, overrides=overrides, cast=PLAIN) as place:
        await place.org("settings", {"daily_max": 10_000_000})
        return await Play(place, seed, faults, edited).run(records, kills, pace)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=600)
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--directory", type=Path, default=Path("rehearsal/switch_ordeal"))
    parser.add_argument("--pace", type=float, default=1500.0, help="links per second to expect")
    parser.add_argument("--calm", action="store_true", help="no faults")
    parser.add_argument("--edits", type=float, default=EDITED, help="share of records that users edit in each half")
    chosen = parser.parse_args()
    shutil.rmtree(chosen.directory, ignore_errors=True)
    play = ordeal(
        chosen.directory, chosen.records, chosen.kills, chosen.seed,
        pace=chosen.pace, calm=chosen.calm, edited=chosen.edits,
    )  # fmt: skip
    result = asyncio.run(play)
    for name, act in (("switch", result.switch), ("rollback", result.rollback)):
        print(
            f"{name}: {act.runs} runs, {act.kills} kills, {act.seconds:.0f} s, exit codes {act.codes}, "
            f"{len(act.edits)} edits, {len(act.overwritten)} of them overwritten; {dict(act.ends)}"
        )
        print(f"  {act.cpu:.1f} s of CPU, {act.calls.total():,} calls: {dict(act.calls)}")
    print(f"{result.requests} writes held against the journal; {len(result.problems)} problems")
    for problem in result.problems[:20]:
        print("  ", problem)
    sys.exit(1 if result.problems or result.switch.kills < chosen.kills / 2 else 0)


if __name__ == "__main__":
    main()

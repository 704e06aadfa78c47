"""A million rows of the original scripts, with every known defect: imported, then backed up.

Of each hundred records, 76 are as they should be, 20 of them with links that were moved. Each of the others has a
defect of its own: see ``_DEFECTS``.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from itertools import islice
from typing import Any

from benchmarks.bench import FULL, Bench, measured
from benchmarks.cheap_s3 import OURS, SOURCE
from benchmarks.measure import Failed
from benchmarks.report import Row
from benchmarks.servers import record
from benchmarks.stage import Stage, stage
from benchmarks.standin.store import name_of
from engine.rehearsal.old_scripts import OldRow, OldScripts, old_key, old_link
from engine.rehearsal.salesforce.world import make_id

TITLE = "An import of the original scripts' DB"
_BATCH = 10_000
_KEEP = 16 << 20
"""The journal's batches are read again."""
_DEFECTS = {
    65: "missing", 66: "missing", 67: "cut short", 68: "cut short", 69: "other sum", 70: "other sum", 71: "one key",
    72: "one key, overwritten", 73: "elsewhere", 74: "unparsable", 75: "foreign host", 76: "lost original",
    77: "lost original, moved", 78: "dead link", 79: "dead link", 80: "broken link", 81: "edited", 82: "put back",
    83: "unmarked", 84: "unmarked", 85: "short id", 86: "twice", 87: "naive", 88: "no size",
}  # fmt: skip
"""By number modulo 100; 45 to 64: a link that was moved; all others: nothing is wrong."""
PROVED = {"", "moved", "dead link", "put back", "unmarked", "short id", "twice", "naive", "no size", "edited",
          "one key, overwritten"}  # fmt: skip
"""Kinds whose copies are to be proved."""


def kind_of(number: int) -> str:
    return "moved" if 45 <= number % 100 < 65 else _DEFECTS.get(number % 100, "")


class Old:
    """Record ``number`` in the scripts' eyes."""

    def __init__(self, number: int, accounts: int) -> None:
        self.number, self.kind = number, kind_of(number)
        now = record(number, accounts)
        self.id, self.url, self.account = now["Id"], now["Document__c"], now["Account__c"]
        self.account_name = "Acme #5 & Co" if self.kind == "dead link" else f"Account {number % accounts}"
        mine = number + 1 if self.kind == "one key" else number
        key = old_key(self.account, self.account_name, self.url)
        if self.kind == "one key":
            key = Old(mine, accounts).key
        self.key = key
        self.link = old_link("elsewhere" if self.kind == "elsewhere" else OURS, key)

    def row(self) -> OldRow:
        kind = self.kind
        url = {"unparsable": "https:///x.pdf", "foreign host": "https://evil.example/x.pdf"}.get(kind, self.url)
        return OldRow(
            id=self.id[:15] if kind == "short id" else self.id,
            url=self.link if kind.startswith("lost original") else url,
            key=self.key,
            link=self.link,
            account_id=self.account,
            account_name=self.account_name,
            name=self.url.rpartition("/")[2],
            size=None if kind == "no size" else 1000 + self.number % 100,
            at="last Tuesday" if kind == "naive" else "2025-08-14T10:20:30.123456",
            moved=int(kind in {"moved", "dead link", "broken link", "edited", "put back", "lost original, moved"}),
        )

    def object(self) -> tuple[str, str, str] | None:
        """What lies under its key: a copy of which source object."""
        if self.kind in {"missing", "one key", "broken link"}:
            return None
        other = self.number + 7 if self.kind == "cut short" else self.number
        return self.key, name_of(other), "0" * 32 if self.kind == "other sum" else ""

    def held(self) -> str:
        """The link in Salesforce."""
        if self.kind in {"moved", "dead link", "broken link", "unmarked", "lost original, moved"}:
            return self.link
        return "https://edited.example/x.pdf" if self.kind == "edited" else self.url


def in_org(number: int, accounts: int) -> dict[str, str]:
    old = Old(number, accounts)
    return {**record(number, accounts), "Account__c": old.account, "Document__c": old.held()}


def run(bench: Bench) -> None:
    count = bench.count(1_000_000, 2_500)
    room, report = bench.place(f"legacy-{count}"), bench.report
    migration = {"concurrency": bench.in_flight}
    with stage(room, count, latency_ms=bench.latency_ms, migration=migration, row=in_org, keep=_KEEP) as place:
        kinds = _lay_out(place, count)
        _run(bench, place, "", "(dry run)")
        place.overrides["expect_failures"] = {"exit code": 3}
        done = _run(bench, place, "--execute", "--execute")
        done.note = _checked(_document(done.samples[0].run.output), kinds)
        report.ratio("legacy import: minutes", [done.samples[0].run.wall_s / 60], 10, most=True, unit="min")
        _run(bench, place, "--execute", "--execute, again")
        row = Row(TITLE, "engine run backup --full after it", count)
        before, adopted = place.ours.state()["objects"][OURS], _adopted(place)
        row.samples.append(measured(place, partial(place.engine, *FULL, "--json"), written=None, reset=False))
        wrote = place.ours.state()["objects"][OURS] - before
        most = sum(number for kind, number in kinds.items() if kind not in PROVED)
        if wrote > most:
            raise Failed(f"{wrote:,} objects were written after the import; {most:,} copies were not proved")
        if lost := adopted - _adopted(place):
            raise Failed(f"{len(lost):,} copies that the import had proved were made anew")
        row.note = (
            f"{wrote:,} objects written, for {most:,} copies that were not proved; none of {len(adopted):,} again"
        )
        report.add(row)


def _adopted(place: Stage) -> set[tuple[str, str]]:
    """Records and keys of the copies that were taken over, and are proved."""
    with closing(sqlite3.connect(place.database)) as db:
        sql = "SELECT doclist_entry_id, your_s3_key FROM file_migrations WHERE method = 'adopted' AND verified_at <> ''"
        return set(db.execute(sql))


def _run(bench: Bench, place: Stage, flags: str, name: str) -> Row:
    row = Row(TITLE, f"engine import-legacy {name}", place.records)
    words = ("import-legacy", str(place.room / "old.db"), "--json", "--no-progress", *flags.split())
    row.samples.append(measured(place, partial(place.engine, *words), written=None, reset=False))
    bench.report.add(row)
    return row


def _lay_out(place: Stage, count: int) -> Counter[str]:
    """The old DB, and the objects; returns how many records are of each kind."""
    accounts, file = max(1, count // 40), place.room / "old.db"
    for path in place.room.glob("old.db*"):
        path.unlink()
    scripts = OldScripts(file)
    olds: Iterator[Old] = (Old(number, accounts) for number in range(count))
    kinds: Counter[str] = Counter()
    while batch := list(islice(olds, _BATCH)):
        kinds.update(old.kind for old in batch)
        scripts.add(old.row() for old in batch)
        scripts.add(old.row()._replace(id=old.id[:15], updated="2020") for old in batch if old.kind == "twice")
        place.ours.lay(OURS, SOURCE, [there for old in batch if (there := old.object()) is not None])
    for number in range(100):
        scripts.add([OldRow(f"no id {number}", "u", "k", "l")])
        scripts.failed(make_id("a0X", 90_000_000 + number))
    scripts.run("backup")
    scripts.run("full_migration", "failed", dry_run=False)
    scripts.close()
    return kinds


def _document(output: str) -> dict[str, Any]:
    """The JSON document in what a command said."""
    start = output.index("{\n")
    document: dict[str, Any] = json.JSONDecoder().raw_decode(output[start:])[0]
    return document


def _checked(found: dict[str, Any], kinds: Counter[str]) -> str:
    """All are counted, and what can be proved is. Raises Failed."""
    records, rows = found["records"], found["rows"]
    if sum(records.values()) != kinds.total() or rows["duplicates"] != kinds["twice"] or rows["unfit"]["bad_id"] != 100:
        raise Failed(f"{records} of {kinds}; {rows}")
    proved, wanted = sum(found["proofs"].values()), sum(kinds[kind] for kind in PROVED)
    if proved != wanted:
        raise Failed(f"{proved:,} copies were proved, not {wanted:,}: {found['becomes']}")
    links = found["links"]
    return (
        f"{proved:,} proved, {records['switched']:,} switched, {records['pending']:,} pending; "
        f"{links['journalled']:,} links journalled, {found['looked_at_by_head']:,} HEADs"
    )

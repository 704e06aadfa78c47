"""The source inventory in the tracking DB: stored with what remains, believed only when told to."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from engine.model.errors import Fatal
from engine.model.facts import ObjectFacts
from engine.model.outcome import Batch
from engine.model.urls import identity_hash
from engine.tracking.db import schema
from engine.tracking.db.database import open_database
from engine.tracking.ledger import Ledger
from engine.tracking.write.listings import Listing, Listings
from tests.support.fakes.clock import ManualClock
from tests.support.outcomes import copied, record_id

WHEN = "2026-01-02T03:04:05.000Z"
MD5 = "0123456789abcdef0123456789abcdef"
FACTS = ObjectFacts(5, MD5, last_modified=WHEN)


def source(key: str, bucket: str = "vendor") -> int:
    return identity_hash(f"s3://{bucket}/{key}")


def row(key: str, etag: str = MD5, storage_class: str = "STANDARD") -> tuple[str, int, str, str, str]:
    return key, 5, etag, storage_class, WHEN


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        await ledger.begin_scan("full", "scope", restricted=False, watermark=WHEN)
        yield ledger


async def begun(ledger: Ledger, bucket: str = "vendor") -> Listing:
    assert ledger.scan_id is not None
    return await ledger.listings.begin(ledger.scan_id, bucket)


async def test_what_is_listed_is_found_by_the_id_of_its_source(ledger: Ledger) -> None:
    names = ["a", "dir/ü.pdf", "nul\0 inside", "quote\"'"]
    await ledger.listings.add(await begun(ledger), [row(name) for name in names], [])
    await ledger.listings.enforce()

    found = await ledger.inventory([source(name) for name in (*names, "missing")])

    assert found == {source(name): FACTS for name in names}


async def test_the_same_key_in_another_bucket_is_another_source(ledger: Ledger) -> None:
    await ledger.listings.add(await begun(ledger, "one"), [row("a", "e1")], [])
    await ledger.listings.add(await begun(ledger, "two"), [row("a", "e2")], [])
    await ledger.listings.enforce()

    found = await ledger.inventory([source("a", "one"), source("a", "two"), source("a", "three")])

    assert {number: facts.etag for number, facts in found.items()} == {
        source("a", "one"): "e1",
        source("a", "two"): "e2",
    }


async def test_archives_and_multipart_etags_are_told_apart(ledger: Ledger) -> None:
    rows = [row("frozen", MD5, "DEEP_ARCHIVE"), row("instant", MD5, "GLACIER_IR"), row("parts", MD5 + "-2")]
    await ledger.listings.add(await begun(ledger), rows, [])
    await ledger.listings.enforce()

    found = await ledger.inventory([source(name) for name in ("frozen", "instant", "parts")])

    told = [(found[source(name)].archived, found[source(name)].etag_is_md5) for name in ("frozen", "instant", "parts")]
    assert told == [(True, True), (False, True), (False, False)]


async def test_nothing_is_looked_up_before_the_listing_is_in_force_nor_after_it_lapsed(ledger: Ledger) -> None:
    await ledger.write(Batch([copied(1, source_id=source("a"))]))
    await ledger.listings.add(await begun(ledger), [row("a")], [])

    async def look() -> tuple[dict[int, ObjectFacts], str]:
        known = await ledger.known([record_id(1)])
        return await ledger.inventory([source("a")]), known[record_id(1)].listed_etag

    assert await look() == ({}, "")
    await ledger.listings.enforce()
    assert await look() == ({source("a"): FACTS}, MD5)
    ledger.listings.lapse()
    assert await look() == ({}, "")


async def test_rows_know_the_listed_etag_of_their_copys_source(ledger: Ledger) -> None:
    await ledger.write(Batch([copied(1, source_id=source("a")), copied(2, source_id=source("gone")), copied(3)]))
    await ledger.listings.add(await begun(ledger), [row("a", "new")], [])
    await ledger.listings.enforce()

    known = await ledger.known([record_id(n) for n in (1, 2, 3)])

    assert {name: each.listed_etag for name, each in known.items()} == {
        record_id(1): "new",
        record_id(2): "",
        record_id(3): "",
    }
    assert known[record_id(1)].source_etag == "s1"


async def test_a_listing_goes_on_from_what_was_stored_with_its_rows(tmp_path: Path) -> None:
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        scan = await ledger.begin_scan("full", "scope", restricted=False, watermark=WHEN)
        listing = await ledger.listings.begin(scan, "vendor")
        assert listing.remaining == (("", None),)
        await ledger.listings.add(listing, [row("a"), row("b")], [("b", "m"), ("p", None)])
        await ledger.listings.add(listing, [row("c")], [("c", "m"), ("p", None)])
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        found = await Ledger(db).listings.of_scan(scan)

    assert found == {"vendor": Listing(listing.id, "vendor", "running", 3, 15, (("c", "m"), ("p", None)))}


@pytest.mark.parametrize("state", ["completed", "given_up"])
async def test_an_ended_listing_has_nothing_left_and_keeps_its_rows(ledger: Ledger, state: str) -> None:
    listing = await begun(ledger)
    await ledger.listings.add(listing, [row("a")], [("a", None)])
    await ledger.listings.end(listing, "completed" if state == "completed" else "given_up")
    await ledger.listings.enforce()
    assert ledger.scan_id is not None

    found = (await ledger.listings.of_scan(ledger.scan_id))["vendor"]

    assert (found.state, found.objects, found.remaining) == (state, 1, ())
    assert await ledger.inventory([source("a")]) == {source("a"): FACTS}


async def test_a_new_scan_forgets_what_earlier_ones_listed(ledger: Ledger) -> None:
    await ledger.listings.add(await begun(ledger), [row("a")], [])
    await ledger.listings.enforce()
    await ledger.begin_scan("full", "scope", restricted=False, watermark=WHEN)
    await ledger.listings.add(await begun(ledger), [row("b")], [])
    await ledger.listings.add(await begun(ledger, "second"), [], [])
    await ledger.listings.enforce()

    assert set(await ledger.inventory([source("a"), source("b")])) == {source("b")}
    assert ledger.scan_id is not None
    assert set(await ledger.listings.of_scan(ledger.scan_id)) == {"vendor", "second"}


async def test_rows_that_cannot_be_stored_leave_neither_rows_nor_progress(ledger: Ledger) -> None:
    listing = await begun(ledger)
    with pytest.raises(Fatal):
        await ledger.listings.add(listing, [row("a"), ("b", -1, "", "", "")], [("b", None)])
    assert ledger.scan_id is not None

    assert (await ledger.listings.of_scan(ledger.scan_id))["vendor"].remaining == (("", None),)
    assert (await ledger.listings.of_scan(ledger.scan_id))["vendor"].objects == 0


async def test_indexing_leaves_the_writer_as_it_was(tmp_path: Path) -> None:
    async with open_database(tmp_path / "t.db", ManualClock()) as db:
        wanted = ("temp_store", "cache_size", "synchronous")

        def pragmas(raw: sqlite3.Connection) -> list[object]:
            return [raw.execute(f"PRAGMA {name}").fetchone() for name in wanted]

        before = await db.maintain(pragmas)
        listings = Listings(db)
        await listings.enforce()
        await listings.enforce()

        assert await db.maintain(pragmas) == before
        assert await db.fetch("SELECT count(*) FROM sqlite_master WHERE name = 'inventory_by_source'") == [(1,)]


async def test_an_older_file_gets_the_inventory_without_losing_a_row(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        schema.migrate(raw, schema.STEPS[:1])
        raw.execute(
            "INSERT INTO file_migrations (doclist_entry_id, status, created_date, updated_date)"
            f" VALUES ('{record_id(1)}', 'pending', 't', 't')"
        )
    async with open_database(path, ManualClock()) as db:
        ledger = Ledger(db)
        await ledger.begin_run("backup", {})
        scan = await ledger.begin_scan("full", "scope", restricted=False, watermark=WHEN)
        await ledger.listings.begin(scan, "vendor")
        known = await ledger.known([record_id(1)])

    assert list(known) == [record_id(1)]

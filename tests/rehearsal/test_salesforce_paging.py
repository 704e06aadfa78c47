"""Pages, locators, and their bad days."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.rehearsal.salesforce import StandInSettings
from tests.support.standin import Answer, Caller, calling

ALL = "SELECT Id, Name FROM DocListEntry__c ORDER BY Name"


async def drain(org: Caller, answer: Answer) -> list[dict[str, Any]]:
    """All pages of a query."""
    pages = [answer.json]
    while not pages[-1]["done"]:
        pages.append((await org.call("GET", pages[-1]["nextRecordsUrl"])).json)
        assert len(pages) < 1000
    return pages


def names(pages: list[dict[str, Any]]) -> list[str]:
    return [record["Name"] for page in pages for record in page["records"]]


async def test_pages_hold_two_thousand_rows_and_the_last_has_no_next() -> None:
    async with calling() as org:
        ids = org.load(4500)
        pages = await drain(org, await org.query(ALL))

        assert [len(page["records"]) for page in pages] == [2000, 2000, 500]
        assert [page["totalSize"] for page in pages] == [4500, 4500, 4500]
        assert [record["Id"] for page in pages for record in page["records"]] == ids
        assert "nextRecordsUrl" not in pages[-1]
        assert pages[0]["nextRecordsUrl"].startswith("/services/data/v62.0/query/01g")
        assert pages[0]["nextRecordsUrl"].endswith("-2000")


@pytest.mark.parametrize(("asked", "given"), [("1", 200), ("500", 500), ("9999", 2000)])
async def test_the_batch_size_is_clamped(asked: str, given: int) -> None:
    async with calling() as org:
        org.load(2500)
        answer = await org.query(ALL, headers={"Sforce-Query-Options": f"batchSize={asked}"})
        pages = await drain(org, answer)

        assert {len(page["records"]) for page in pages[:-1]} == {given}
        assert len(names(pages)) == 2500


async def test_a_page_may_be_asked_for_again() -> None:
    async with calling() as org:
        org.load(2500)
        first = (await org.query(ALL)).json
        once = await org.call("GET", first["nextRecordsUrl"])
        again = await org.call("GET", first["nextRecordsUrl"])

        assert once.json == again.json


async def test_single_use_locators_are_lost_after_one_use() -> None:
    async with calling(StandInSettings(single_use_locators=True)) as org:
        org.load(2500)
        first = (await org.query(ALL)).json
        once = await org.call("GET", first["nextRecordsUrl"])
        again = await org.call("GET", first["nextRecordsUrl"])

        assert once.status == 200
        assert again.status == 400
        assert again.json == [{"message": "invalid query locator", "errorCode": "INVALID_QUERY_LOCATOR"}]


@pytest.mark.parametrize("locator", ["01g000000000000AAA-2000", "nonsense", "01g"])
async def test_an_unknown_locator_is_400(locator: str) -> None:
    async with calling() as org:
        answer = await org.call("GET", f"/query/{locator}")

        assert (answer.status, answer.code) == (400, "INVALID_QUERY_LOCATOR")


async def test_a_locator_lives_two_days() -> None:
    async with calling() as org:
        org.load(2500)
        following = (await org.query(ALL)).json["nextRecordsUrl"]
        await org.sim("POST", "clock", json={"advance": 2 * 86_400 - 60})
        await org.login()
        alive = await org.call("GET", following)
        await org.sim("POST", "clock", json={"advance": 120})
        dead = await org.call("GET", following)

        assert alive.status == 200
        assert dead.code == "INVALID_QUERY_LOCATOR"


async def test_a_locator_survives_a_restart_when_rows_are_in_a_file(tmp_path: Path) -> None:
    async with calling(StandInSettings(db=tmp_path / "org.db")) as org:
        org.load(2500)
        following = (await org.query(ALL)).json["nextRecordsUrl"]
    async with calling(StandInSettings(db=tmp_path / "org.db")) as org:
        answer = await org.call("GET", following)

        assert len(answer.json["records"]) == 500


async def test_the_recycle_bin_page_goes_on_under_either_address() -> None:
    async with calling() as org:
        ids = org.load(2500)
        org.world.set_deleted(ids, deleted=True)
        first = (await org.query(ALL, "/queryAll")).json
        following = first["nextRecordsUrl"]
        other = following.replace("/query/", "/queryAll/")

        assert "/query/" in following
        assert len((await org.call("GET", following)).json["records"]) == 500
        assert len((await org.call("GET", other)).json["records"]) == 500


async def test_a_later_page_shows_edits_and_misses_deleted_rows() -> None:
    async with calling() as org:
        ids = org.load(2500)
        first = (await org.query(ALL)).json
        org.world.set_deleted([ids[2000]], deleted=True)
        org.world.edit([ids[2001]], {"Name": "edited"})
        second = (await org.call("GET", first["nextRecordsUrl"])).json

        assert len(second["records"]) == 499
        assert second["records"][0]["Name"] == "edited"
        assert second["done"] is True


async def test_a_keyset_scan_meets_every_row_once() -> None:
    async with calling() as org:
        ids = org.load(4100)
        seen: list[str] = []
        last = "000000000000000"
        while True:
            soql = f"SELECT Id FROM DocListEntry__c WHERE Id > '{last}' ORDER BY Id LIMIT 2000"
            answer = (await org.query(soql)).json
            if not answer["records"]:
                break
            seen += [record["Id"] for record in answer["records"]]
            last = seen[-1]

        assert seen == ids


async def test_short_pages_lose_nothing() -> None:
    async with calling() as org:
        org.load(3000)
        await org.faults({"kind": "short_pages", "endpoint": "query", "seed": 7, "params": {"min": 100, "max": 900}})
        pages = await drain(org, await org.query(ALL))

        assert names(pages) == [f"{n:04}" for n in range(3000)]
        assert len({len(page["records"]) for page in pages}) > 2


async def test_a_limit_of_two_thousand_can_still_take_two_pages() -> None:
    async with calling() as org:
        org.load(2500)
        await org.faults({"kind": "short_pages", "endpoint": "query", "count": 1, "params": {"max": 900}})
        pages = await drain(org, await org.query(ALL + " LIMIT 2000"))

        assert len(pages) > 1
        assert pages[0]["totalSize"] == 2000
        assert names(pages) == [f"{n:04}" for n in range(2000)]


async def test_an_empty_page_need_not_be_the_last() -> None:
    async with calling() as org:
        org.load(5000)
        await org.faults({"kind": "empty_nonfinal_page", "endpoint": "query_more", "nth": 1})
        pages = await drain(org, await org.query(ALL))

        assert [len(page["records"]) for page in pages] == [2000, 0, 2000, 1000]


async def test_the_first_total_may_be_approximate() -> None:
    async with calling() as org:
        org.load(2500)
        await org.faults({"kind": "approximate_total", "params": {"factor": 0.8}})
        pages = await drain(org, await org.query(ALL))

        assert [page["totalSize"] for page in pages] == [2000, 2500]


async def test_a_lost_locator_stays_lost() -> None:
    async with calling() as org:
        org.load(2500)
        following = (await org.query(ALL)).json["nextRecordsUrl"]
        await org.faults({"kind": "locator_lost", "endpoint": "query_more", "nth": 1})

        for _ in range(2):
            assert (await org.call("GET", following)).code == "INVALID_QUERY_LOCATOR"


async def test_a_field_taken_away_between_pages_breaks_the_next_one() -> None:
    async with calling() as org:
        org.load(2500)
        following = (await org.query("SELECT Id, Document__c FROM DocListEntry__c")).json["nextRecordsUrl"]
        await org.faults(
            {"kind": "fls_removed", "nth": 1, "params": {"object": "DocListEntry__c", "field": "Document__c"}}
        )

        assert (await org.call("GET", following)).code == "INVALID_FIELD"

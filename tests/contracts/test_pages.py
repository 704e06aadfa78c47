"""What every Pages keeps: order, resumption, scopes, nothing twice. The fake, and Salesforce over the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from engine.limiting.clock import SystemClock
from engine.model.record import Page, Record, Scope
from engine.rehearsal.salesforce import SalesforceStandIn, StandInSettings
from engine.salesforce.connection import open_salesforce
from engine.salesforce.pages import SalesforcePages
from engine.settings import NetworkSettings, SalesforceSettings
from tests.support.fakes.pages import FakePages

OBJECT = "DocListEntry__c"
PAGE = 7
OLD, NEW = "2020-01-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"


class Filled:
    """A Pages of either kind, and the records it was filled with, by Id."""

    def __init__(self, pages: Any, records: list[Record], gone: list[Record]) -> None:
        self.pages = pages
        self.records = sorted(records, key=lambda record: record.id)
        self.gone = sorted(gone, key=lambda record: record.id)

    async def scan(self, **scope: Any) -> list[Page]:
        return [page async for page in self.pages.pages(Scope(**scope))]

    async def ids(self, **scope: Any) -> list[str]:
        return [record.id for page in await self.scan(**scope) for record in page.records]


@pytest.fixture(params=["fake", "salesforce"])
async def filled(request: pytest.FixtureRequest) -> AsyncIterator[Filled]:
    async with SalesforceStandIn(StandInSettings()).serve() as server:
        accounts = server.world.load("Account", [{"Name": "Acme"}, {"Name": "Other"}])
        names = dict(zip(accounts, ("Acme", "Other"), strict=True))
        rows = [
            {
                "Name": f"D{n}",
                "Document__c": f"https://files.test/{n}" if n % 5 else None,
                "Account__c": accounts[n % 2] if n % 9 else None,
                "SystemModstamp": NEW if n % 3 else OLD,
            }
            for n in range(30)
        ]
        ids = server.world.load(OBJECT, rows)
        records = [
            Record(
                id=row_id,
                name=row["Name"] or "",
                url=row["Document__c"] or "",
                account_id=row["Account__c"] or "",
                account_name=names.get(row["Account__c"] or "", ""),
                modified=row["SystemModstamp"] or "",
            )
            for row_id, row in zip(ids, rows, strict=True)
        ]
        live, gone = records[4:], records[:4]
        if request.param == "fake":
            yield Filled(FakePages(live, deleted=gone, page_size=PAGE), live, gone)
            return
        server.world.set_deleted([record.id for record in gone], deleted=True)
        settings = SalesforceSettings(
            login_url=server.login_url, client_id="rehearsal", client_secret="rehearsal-secret"
        )
        async with open_salesforce(settings, NetworkSettings(), SystemClock()) as salesforce:
            yield Filled(SalesforcePages(salesforce.session, settings, page_size=PAGE), live, gone)


async def test_a_scan_brings_every_live_record_once_as_it_is(filled: Filled) -> None:
    assert [record for page in await filled.scan() for record in page.records] == filled.records


async def test_pages_are_bounded_and_end_where_they_say(filled: Filled) -> None:
    pages = await filled.scan()
    assert all(0 < len(page.records) <= PAGE and not page.deleted for page in pages)
    assert [page.last_id for page in pages] == [page.records[-1].id for page in pages]


async def test_a_scan_resumed_behind_any_page_brings_exactly_the_rest(filled: Filled) -> None:
    whole = await filled.ids()
    for page in await filled.scan():
        rest = whole[whole.index(page.last_id) + 1 :]
        assert await filled.ids(after_id=page.last_id) == rest
        assert await filled.pages.count(Scope(after_id=page.last_id)) == len(rest)


async def test_an_account_narrows_a_scan(filled: Filled) -> None:
    account = filled.records[0].account_id
    expected = [record.id for record in filled.records if record.account_id == account]
    assert 0 < len(expected) < len(filled.records)
    assert await filled.ids(account_id=account) == expected
    assert await filled.ids(account_id=account[:15]) == expected
    assert await filled.pages.count(Scope(account_id=account)) == len(expected)


async def test_a_lower_bound_in_time_is_inclusive_and_ignores_fractions(filled: Filled) -> None:
    expected = [record.id for record in filled.records if record.modified == NEW]
    assert await filled.ids(since=NEW) == expected
    assert await filled.ids(since="2026-01-01T00:00:00.900Z") == expected
    assert await filled.ids(since="2026-01-01T00:00:01.000Z") == []
    assert await filled.ids(since=OLD) == [record.id for record in filled.records]


async def test_deleted_records_are_a_scan_of_their_own(filled: Filled) -> None:
    pages = await filled.scan(deleted=True)
    assert [record.id for page in pages for record in page.records] == [record.id for record in filled.gone]
    assert all(page.deleted for page in pages)


async def test_existing_knows_live_records_only(filled: Filled) -> None:
    unknown = replace(filled.records[0], id="a0X5e00000zzzzzEAA"[:15]).id
    asked = [*(record.id for record in filled.records + filled.gone), unknown]
    assert await filled.pages.existing(asked) == {record.id for record in filled.records}
    assert await filled.pages.existing([]) == set()


async def test_a_scan_that_is_left_early_can_be_begun_again(filled: Filled) -> None:
    async for _ in filled.pages.pages(Scope()):
        break
    assert await filled.ids() == [record.id for record in filled.records]

"""Accounts: counted by the org, complete beyond what one grouped query may answer."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from engine.model.errors import Fatal, Paused
from engine.rehearsal.salesforce import Server
from engine.salesforce.accounts import AccountFiles, accounts
from tests.support.org import OBJECT, QuickClock, Scripted, connected, fault
from tests.support.servers.salesforce import Reply, Seen, problem


async def test_every_account_is_listed_with_its_records_beyond_two_thousand(org: Server, clock: QuickClock) -> None:
    ids = org.world.load("Account", [{"Name": f"Acme {n}"} for n in range(4300)])
    org.world.load(OBJECT, [{"Name": f"D{n}", "Account__c": ids[n % 4300]} for n in range(9000)])
    org.world.load(OBJECT, [{"Name": "orphan"}] * 3)
    async with connected(org, clock) as salesforce:
        found = [item async for item in salesforce.accounts()]
    assert [item.id for item in found] == [*sorted(ids), ""]
    assert {item.id: item.files for item in found} == {
        **{account: 3 if place < 400 else 2 for place, account in enumerate(ids)},
        "": 3,
    }
    assert {item.name for item in found[:-1]} == {f"Acme {n}" for n in range(4300)}
    assert all(item.last_modified.endswith("Z") for item in found[:-1])


async def test_accounts_without_records_and_records_outside_the_condition_do_not_count(
    org: Server, clock: QuickClock
) -> None:
    used, _ = org.world.load("Account", [{"Name": "Used"}, {"Name": "Unused"}])
    org.world.load(OBJECT, [{"Name": "yes", "Account__c": used}, {"Name": "no", "Account__c": used}, {"Name": "no"}])
    async with connected(org, clock, where="Name = 'yes'") as salesforce:
        found = [item async for item in salesforce.accounts()]
    assert [(item.id, item.name, item.files) for item in found] == [(used, "Used", 1)]


async def test_a_page_that_is_exactly_full_is_followed_by_another_look(org: Server, clock: QuickClock) -> None:
    ids = org.world.load("Account", [{"Name": f"A{n}"} for n in range(6)])
    org.world.load(OBJECT, [{"Name": "x", "Account__c": account} for account in ids])
    async with connected(org, clock) as salesforce:
        found = [item async for item in accounts(salesforce.pages, page_size=3)]
    assert [item.id for item in found] == ids


async def test_a_slow_org_is_asked_for_fewer_groups(org: Server, clock: QuickClock) -> None:
    account = org.world.load("Account", [{"Name": "A"}])[0]
    org.world.load(OBJECT, [{"Name": "x", "Account__c": account}])
    fault(org, {"kind": "query_timeout", "endpoint": "query", "nth": [1, 2]})
    async with connected(org, clock) as salesforce:
        assert [item.id async for item in salesforce.accounts()] == [account]


async def test_an_org_too_slow_for_any_count_pauses(scripted: Scripted) -> None:
    async with scripted(lambda seen: problem("QUERY_TIMEOUT", "too long")) as (salesforce, server):
        with pytest.raises(Paused):
            [item async for item in salesforce.accounts()]
        assert len(server.seen) < 8


async def test_an_account_listed_twice_stops_instead_of_looping(scripted: Scripted) -> None:
    group = {"Account__c": "0015e0000000001AAA", "Name": "A", "files": 2, "newest": None}

    def script(seen: Seen) -> Reply:
        return Reply({"totalSize": 2, "done": True, "records": [group, group]})

    async with scripted(script) as (salesforce, _):
        found: list[AccountFiles] = []
        with pytest.raises(Fatal, match="twice"):
            await _collect(salesforce.accounts(), found)
    assert [item.files for item in found] == [2]


async def _collect(items: AsyncIterator[AccountFiles], found: list[AccountFiles]) -> None:
    async for item in items:
        found.append(item)

"""Pages: nothing lost, nothing twice, no endless way, whatever the server's habits."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model.errors import Fatal, Paused, Transient, Usage
from engine.model.record import Page, Scope
from engine.rehearsal.salesforce import SalesforceStandIn, Server, StandInSettings
from engine.rehearsal.salesforce.schema import Field
from engine.salesforce.connection import Salesforce
from engine.salesforce.pages import SalesforcePages
from tests.support.org import OBJECT, QuickClock, Scripted, asked, connected, fault, load
from tests.support.servers.salesforce import Reply, Seen, problem, rows

A1, A2, A3, A4 = "a0X5e0000000001EAA", "a0X5e0000000002EAA", "a0X5e0000000003EAA", "a0X5e0000000004EAA"


async def scan(salesforce: Salesforce, scope: Scope | None = None, size: int | None = None) -> list[Page]:
    pages = salesforce.pages
    if size is not None:
        pages = SalesforcePages(salesforce.session, pages.records, page_size=size)
    return [page async for page in pages.pages(scope or Scope())]


def ids_of(pages: list[Page]) -> list[str]:
    return [record.id for page in pages for record in page.records]


async def test_all_records_come_once_in_the_servers_order(org: Server, clock: QuickClock) -> None:
    expected = load(org, 4100)
    async with connected(org, clock) as salesforce:
        assert ids_of(await scan(salesforce)) == expected


async def test_a_scan_resumes_behind_the_id_it_is_given(org: Server, clock: QuickClock) -> None:
    expected = load(org, 30)
    async with connected(org, clock) as salesforce:
        pages = await scan(salesforce, Scope(after_id=expected[9]), size=8)
    assert ids_of(pages) == expected[10:]
    assert [page.last_id for page in pages][-1] == expected[-1]


async def test_every_page_ends_with_the_id_where_a_resume_would_start(org: Server, clock: QuickClock) -> None:
    load(org, 25)
    async with connected(org, clock) as salesforce:
        pages = await scan(salesforce, size=10)
    assert [page.last_id for page in pages] == [page.records[-1].id for page in pages]


@pytest.mark.parametrize(
    "rules",
    [
        [{"kind": "short_pages", "params": {"min": 1, "max": 700}}],
        [{"kind": "empty_nonfinal_page", "nth": [1, 2]}, {"kind": "short_pages", "params": {"min": 100, "max": 900}}],
        [{"kind": "approximate_total", "params": {"factor": 0.5}}],
        [
            {"kind": "locator_lost", "endpoint": "query_more", "nth": [1, 3]},
            {"kind": "short_pages", "params": {"min": 300}},
        ],
        [{"kind": "cut_mid_body", "endpoint": "query", "nth": [1, 3]}],
        [{"kind": "truncated_json", "endpoint": "query", "nth": 2}],
        [{"kind": "reset", "endpoint": "query", "nth": [2, 3]}],
        [{"kind": "503_html", "endpoint": "query", "nth": [1, 2]}, {"kind": "502_html", "endpoint": "query", "nth": 2}],
        [{"kind": "503_json", "endpoint": "query", "nth": 1}, {"kind": "500_unknown", "endpoint": "query", "nth": 2}],
        [{"kind": "html_200", "endpoint": "query", "nth": 2}, {"kind": "420", "endpoint": "query", "nth": 3}],
        [{"kind": "concurrent_limit", "endpoint": "query", "nth": 2}, {"kind": "429", "endpoint": "query", "nth": 2}],
        [{"kind": "session_expired", "endpoint": "query", "nth": [1, 3]}],
        [{"kind": "query_timeout", "endpoint": "query", "nth": [1, 2, 3]}],
    ],
    ids=lambda rules: "+".join(rule["kind"] for rule in rules),
)
async def test_nothing_is_lost_or_doubled_under(rules: list[dict[str, Any]], org: Server, clock: QuickClock) -> None:
    expected = load(org, 4500)
    async with connected(org, clock) as salesforce:
        await salesforce.organization()
        fault(org, *rules)
        assert ids_of(await scan(salesforce)) == expected
    assert any(rule.fired for rule in org.org.faults.rules)


async def test_locators_that_work_once_do_not_stop_a_scan(clock: QuickClock) -> None:
    async with SalesforceStandIn(StandInSettings(single_use_locators=True)).serve() as org:
        expected = load(org, 3000)
        fault(
            org,
            {"kind": "short_pages", "params": {"min": 200, "max": 500}},
            {"kind": "truncated_json", "endpoint": "query_more", "nth": 2},
        )
        async with connected(org, clock) as salesforce:
            assert ids_of(await scan(salesforce)) == expected


async def test_records_that_appear_and_vanish_during_a_scan_hurt_no_others(org: Server, clock: QuickClock) -> None:
    expected = load(org, 40)
    fault(org, {"kind": "delete", "endpoint": "query", "nth": 2, "params": {"ids": [expected[3], expected[25]]}})
    async with connected(org, clock) as salesforce:
        assert ids_of(await scan(salesforce, size=10)) == [row for row in expected if row != expected[25]]


async def test_a_page_shorter_than_asked_for_is_not_taken_for_the_last(scripted: Scripted) -> None:
    """The server announces three, hands out one, and says it is done."""

    def script(seen: Seen) -> Reply:
        return rows(A2, A3) if A1 in seen.query["q"] else rows(A1, total=3)

    async with scripted(script) as (salesforce, _):
        assert ids_of(await scan(salesforce)) == [A1, A2, A3]


async def test_the_next_page_is_asked_for_at_the_path_as_given(scripted: Scripted) -> None:
    link = "/services/data/v62.0/query/0r8xx0000000001AAA-2000"

    def script(seen: Seen) -> Reply:
        return rows(A2, total=2) if "0r8xx" in seen.path else rows(A1, total=2, link=link)

    async with scripted(script) as (salesforce, server):
        assert ids_of(await scan(salesforce)) == [A1, A2]
        assert [seen.path for seen in server.seen[1:]] == ["/services/data/v62.0/query", link]


@pytest.mark.parametrize(
    "link", ["https://elsewhere.test/services/data/v62.0/query/x", "//elsewhere.test/services/x", "/a b", "\\\\x"]
)
async def test_a_next_page_on_another_host_is_refused(link: str, scripted: Scripted) -> None:
    async with scripted(lambda seen: rows(A1, total=2, link=link)) as (salesforce, server):
        with pytest.raises(Fatal):
            await scan(salesforce)
        assert len(server.seen) == 2


async def test_an_absolute_link_to_the_org_itself_is_followed(scripted: Scripted) -> None:
    def script(seen: Seen) -> Reply:
        host = seen.headers["Host"]
        link = f"http://{host}/services/data/v62.0/query/next"
        return rows(A2, total=2) if seen.path.endswith("next") else rows(A1, total=2, link=link)

    async with scripted(script) as (salesforce, _):
        assert ids_of(await scan(salesforce)) == [A1, A2]


async def test_a_server_that_ignores_the_cursor_is_not_followed_for_ever(scripted: Scripted) -> None:
    async with scripted(lambda seen: rows(A1, A2, total=9)) as (salesforce, server):
        with pytest.raises(Fatal, match="twice"):
            await scan(salesforce)
        assert len(server.seen) <= 4


async def test_a_record_twice_in_one_page_stops_the_scan(scripted: Scripted) -> None:
    async with scripted(lambda seen: rows(A1, A2, A1)) as (salesforce, _):
        with pytest.raises(Fatal, match="twice"):
            await scan(salesforce)


async def test_the_cursor_itself_coming_back_stops_the_scan(scripted: Scripted) -> None:
    async with scripted(lambda seen: rows(A1)) as (salesforce, _):
        with pytest.raises(Fatal, match="twice"):
            await scan(salesforce, Scope(after_id=A1))


async def test_links_that_lead_in_a_circle_stop_the_scan(scripted: Scripted) -> None:
    async with scripted(lambda seen: rows(total=5, link="/services/data/v62.0/query/same")) as (salesforce, server):
        with pytest.raises(Fatal, match="circle"):
            await scan(salesforce)
        assert len(server.seen) < 30


async def test_full_pages_that_lead_in_a_circle_stop_a_search_for_ids_too(scripted: Scripted) -> None:
    async with scripted(lambda seen: rows(A1, total=5, link="/services/data/v62.0/query/same")) as (salesforce, server):
        with pytest.raises(Fatal, match="circle"):
            await salesforce.pages.existing([A1])
        assert len(server.seen) < 6


async def test_records_announced_but_never_handed_out_pause_the_run(scripted: Scripted) -> None:
    async with scripted(lambda seen: rows(total=5)) as (salesforce, server):
        with pytest.raises(Paused, match="does not send them"):
            await scan(salesforce)
        assert len(server.seen) < 8


async def test_a_cursor_lost_again_and_again_without_progress_pauses_the_run(scripted: Scripted) -> None:
    def script(seen: Seen) -> Reply:
        if "cursor" in seen.path:
            return problem("INVALID_QUERY_LOCATOR", "invalid query locator", 404)
        return rows(total=5, link="/services/data/v62.0/query/cursor")

    async with scripted(script) as (salesforce, server):
        with pytest.raises(Paused):
            await scan(salesforce)
        assert len(server.seen) < 12


async def test_a_slow_org_is_asked_for_half_after_the_second_timeout(scripted: Scripted) -> None:
    limits: list[int] = []

    def script(seen: Seen) -> Reply:
        limits.append(int(seen.query["q"].rpartition(" ")[2]))
        return rows() if limits[-1] <= 500 else problem("QUERY_TIMEOUT", "Your query request was running for too long.")

    async with scripted(script) as (salesforce, _):
        assert await scan(salesforce) == []
    assert limits == [2000, 2000, 1000, 500]


async def test_an_org_too_slow_for_the_smallest_page_pauses_the_run(scripted: Scripted) -> None:
    async with scripted(lambda seen: problem("QUERY_TIMEOUT", "too long")) as (salesforce, server):
        with pytest.raises(Paused, match="QUERY_TIMEOUT"):
            await scan(salesforce)
        assert server.seen[-1].query["q"].endswith("LIMIT 200")


async def test_an_outage_that_does_not_end_is_transient_and_bounded(scripted: Scripted) -> None:
    async with scripted(lambda seen: Reply(b"<html>", 502, "text/html")) as (salesforce, server):
        with pytest.raises(Transient):
            await scan(salesforce)
        assert len(server.seen) == 1 + 5


async def test_an_answer_that_is_no_query_answer_is_not_taken_for_an_empty_org(scripted: Scripted) -> None:
    for body in (
        {"totalSize": 0, "done": False, "records": []},
        [],
        {"records": "none"},
        {"done": True, "records": [1]},
    ):
        async with scripted(lambda seen, body=body: Reply(body)) as (salesforce, _):
            with pytest.raises(Transient):
                await scan(salesforce)


async def test_a_row_without_an_id_stops_the_scan(scripted: Scripted) -> None:
    async with scripted(lambda seen: Reply({"totalSize": 1, "done": True, "records": [{"Name": "x"}]})) as (
        salesforce,
        _,
    ):
        with pytest.raises(Fatal, match="Id"):
            await scan(salesforce)


async def test_scopes_narrow_by_account_time_and_the_settings_condition(org: Server, clock: QuickClock) -> None:
    account, other = org.world.load("Account", [{"Name": "Acme"}, {"Name": "Other"}])
    load(org, 3, Account__c=other)
    old = load(org, 2, Account__c=account, SystemModstamp="2020-01-01T00:00:00.000Z")
    new = load(org, 2, Account__c=account, Identifier__c="it's", SystemModstamp="2026-01-01T00:00:00.000Z")
    load(org, 1, Account__c=account, Identifier__c="no", SystemModstamp="2026-01-01T00:00:00.000Z")
    scope = Scope(account_id=account[:15], since="2026-01-01T00:00:00.400Z")
    async with connected(org, clock, where="Identifier__c = 'it\\'s' OR Identifier__c = null") as salesforce:
        assert sorted(ids_of(await scan(salesforce, scope))) == sorted(set(new) - set(old))
        assert await salesforce.pages.count(scope) == 2


async def test_an_account_is_found_in_a_formula_that_holds_ids_of_15_characters(org: Server, clock: QuickClock) -> None:
    org.org.schema.get(OBJECT).fields.append(Field(name="Account_Id__c", calculated=True))
    org.org.world.refresh_tables()
    account = org.world.load("Account", [{"Name": "Acme"}])[0]
    mine = load(org, 3, Account_Id__c=account[:15])
    load(org, 2, Account_Id__c="0015e0000000zzz")
    async with connected(org, clock, account_field="Account_Id__c") as salesforce:
        for given in (account, account[:15]):
            pages = await scan(salesforce, Scope(account_id=given))
            assert ids_of(pages) == mine
            assert {record.account_id for page in pages for record in page.records} == {account}


async def test_an_answer_that_says_neither_done_nor_where_more_is_is_asked_for_again(scripted: Scripted) -> None:
    """It brings as many rows as it announces, and would pass for the last."""
    mute = {"totalSize": 1, "records": [{"Id": A1, "SystemModstamp": "2026-01-02T03:04:05.000+0000"}]}
    answers = [Reply(mute), rows(A1, A2)]
    async with scripted(lambda seen: answers.pop(0)) as (salesforce, _):
        assert ids_of(await scan(salesforce)) == [A1, A2]
    async with scripted(lambda seen: Reply(mute)) as (salesforce, server):
        with pytest.raises(Transient, match="whether there are more rows"):
            await scan(salesforce)
        assert len(server.seen) == 1 + 5


@pytest.mark.parametrize("size", [12_000, 20_000])
async def test_a_condition_too_long_for_a_url_is_a_settings_error_before_anything_is_read(
    size: int, org: Server, clock: QuickClock
) -> None:
    """The shorter one would fit into the check's question, and not into a scan's."""
    async with connected(org, clock, where=f"Name != '{'x' * size}'") as salesforce:
        with pytest.raises(Usage, match="too long") as caught:
            await salesforce.pages.check(Scope())
    assert "salesforce.where" in caught.value.hint
    assert asked(org, "query") == 0


async def test_deleted_records_are_found_only_when_asked_for(org: Server, clock: QuickClock) -> None:
    ids = load(org, 5)
    org.world.set_deleted(ids[:2], deleted=True)
    async with connected(org, clock) as salesforce:
        deleted = await scan(salesforce, Scope(deleted=True))
        assert ids_of(deleted) == ids[:2]
        assert all(page.deleted for page in deleted)
        assert ids_of(await scan(salesforce)) == ids[2:]
        assert await salesforce.pages.count(Scope(deleted=True)) == 2


async def test_a_count_respects_the_checkpoint(org: Server, clock: QuickClock) -> None:
    ids = load(org, 10)
    async with connected(org, clock) as salesforce:
        assert await salesforce.pages.count(Scope(after_id=ids[3])) == 6


@pytest.mark.parametrize("scope", [Scope(account_id="x' OR Name != '"), Scope(after_id="short"), Scope(since="now")])
async def test_a_scope_that_is_no_scope_is_refused_before_anything_is_sent(
    scope: Scope, org: Server, clock: QuickClock
) -> None:
    async with connected(org, clock) as salesforce:
        with pytest.raises(Usage):
            await scan(salesforce, scope)
    assert asked(org, "query") == 0


async def test_existing_tells_live_records_from_deleted_and_unknown_ones(org: Server, clock: QuickClock) -> None:
    ids = load(org, 700)
    org.world.set_deleted(ids[:10], deleted=True)
    async with connected(org, clock) as salesforce:
        found = await salesforce.pages.existing([*(row[:15] for row in ids), "a0X5e000000zzzzEAA"[:15]])
        assert found == set(ids[10:])
        assert await salesforce.pages.existing([]) == set()
    assert asked(org, "query") == 3


async def test_reading_never_writes(org: Server, clock: QuickClock) -> None:
    ids = load(org, 10)
    async with connected(org, clock) as salesforce:
        await salesforce.organization()
        await salesforce.shape()
        await scan(salesforce)
        await salesforce.pages.existing(ids)
        [_ async for _ in salesforce.accounts()]
    assert {(entry.method, entry.name) for entry in org.org.log if entry.method != "GET"} == {("POST", "token")}


async def test_field_names_in_another_case_than_the_schemas_still_bring_values(org: Server, clock: QuickClock) -> None:
    account = org.world.load("Account", [{"Name": "Acme"}])[0]
    load(org, 1, Account__c=account)
    names = {"url_field": "document__C", "account_field": "ACCOUNT__C", "account_name_field": "account__R.name"}
    async with connected(org, clock, name_field="NAME", object=OBJECT.lower(), **names) as salesforce:
        record = (await scan(salesforce))[0].records[0]
        assert (record.name, record.url, record.account_name) == ("D0", "https://files.test/0.pdf", "Acme")
        assert (await salesforce.shape()).url_field == "Document__c"


async def test_a_condition_that_is_no_soql_blocks_with_a_hint(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock, where="Name LIKE") as salesforce:
        with pytest.raises(Fatal, match="MALFORMED_QUERY") as caught:
            await scan(salesforce)
    assert "salesforce.where" in caught.value.hint

"""Faults on demand: each kind as the service shows it, where and as often as the rule says."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from engine.rehearsal.salesforce import StandInSettings
from engine.rehearsal.salesforce.faults import ANSWERING, CHANGING, KINDS, REFUSING, FaultBook, rule_from
from tests.support.standin import LOGIN, Caller, StillClock, calling, entry

QUERY = "SELECT Id, Name FROM DocListEntry__c"


async def value(org: Caller, row_id: str) -> Any:
    record = org.world.record(row_id)
    assert record is not None
    return record["Identifier__c"]


@pytest.mark.parametrize(
    ("kind", "status", "code", "words"),
    [
        ("uncurable_401", 401, "INVALID_SESSION_ID", "This session is not valid for use with the REST API"),
        ("daily_limit", 403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
        ("concurrent_limit", 403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentPerOrgLongTxn Limit exceeded."),
        ("503_json", 503, "SERVER_UNAVAILABLE", "Server Unavailable"),
        ("500_unknown", 500, "UNKNOWN_EXCEPTION", "Please include this ErrorId"),
        ("429", 429, "REQUEST_LIMIT_EXCEEDED", "Too many"),
        ("query_timeout", 400, "QUERY_TIMEOUT", "Your query request was running for too long."),
        ("locator_lost", 400, "INVALID_QUERY_LOCATOR", "invalid query locator"),
    ],
)
async def test_a_refusal_has_its_status_and_body_and_is_over_after_its_turn(
    kind: str, status: int, code: str, words: str
) -> None:
    async with calling() as org:
        await org.faults({"kind": kind, "endpoint": "query", "nth": 1})
        answer = await org.query(QUERY)

        assert (answer.status, answer.code) == (status, code)
        assert words in answer.message
        assert (await org.query(QUERY)).status == 200


@pytest.mark.parametrize(("kind", "status"), [("503_html", 503), ("502_html", 502), ("html_200", 200), ("420", 420)])
async def test_an_edge_page_is_not_json(kind: str, status: int) -> None:
    async with calling() as org:
        await org.faults({"kind": kind, "nth": 1})
        answer = await org.query(QUERY)

        assert answer.status == status
        assert answer.headers["Content-Type"].startswith("text/")
        with pytest.raises(json.JSONDecodeError):
            _ = answer.json


async def test_retry_after_is_told_when_asked_for() -> None:
    async with calling() as org:
        await org.faults(
            {"kind": "429", "nth": 1, "params": {"retry_after": 17}},
            {"kind": "503_json", "nth": 1, "params": {"retry_after": 30}},
        )
        answers = [await org.query(QUERY) for _ in range(2)]

        assert [answer.headers["Retry-After"] for answer in answers] == ["17", "30"]


async def test_an_exhausted_day_shows_in_the_usage_header() -> None:
    async with calling() as org:
        await org.faults({"kind": "daily_limit"})

        assert (await org.query(QUERY)).headers["Sforce-Limit-Info"] == "api-usage=100000/100000"


async def test_an_expired_session_needs_a_new_token() -> None:
    async with calling() as org:
        await org.faults({"kind": "session_expired", "endpoint": "query", "nth": 2})
        statuses = [(await org.query(QUERY)).status for _ in range(3)]
        await org.login()

        assert statuses == [200, 401, 401]
        assert (await org.query(QUERY)).status == 200


async def test_a_burst_ends_every_session() -> None:
    async with calling() as org:
        first, second = org.token, ""
        await org.login()
        second = org.token
        await org.faults({"kind": "burst_401", "nth": 1})
        await org.query(QUERY)

        for org.token in (first, second):
            assert (await org.query(QUERY)).status == 401


async def test_a_refused_refresh_is_an_oauth_error() -> None:
    async with calling() as org:
        await org.faults({"kind": "refresh_fails", "endpoint": "token", "count": 1})
        refused = await org.raw("POST", f"{org.server.login_url}/services/oauth2/token", data=LOGIN)
        granted = await org.raw("POST", f"{org.server.login_url}/services/oauth2/token", data=LOGIN)

        assert (refused.status, granted.status) == (400, 200)
        assert refused.json == {"error": "invalid_grant", "error_description": "expired access/refresh token"}


async def test_a_refresh_may_name_a_new_instance() -> None:
    async with calling() as org:
        await org.faults({"kind": "new_instance_url", "params": {"url": "http://localhost:1"}})
        answer = await org.raw("POST", f"{org.server.login_url}/services/oauth2/token", data=LOGIN)

        assert answer.json["instance_url"] == "http://localhost:1"


async def test_commit_then_503_has_written() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        await org.faults({"kind": "commit_then_503", "endpoint": "collections_update", "nth": 1})
        answer = await org.patch([entry(row_id, Identifier__c="written")])

        assert answer.status == 503
        assert await value(org, row_id) == "written"
        log = await org.sim("GET", "log", params={"name": "collections_update"})
        assert (log["entries"][0]["status"], log["entries"][0]["ids_written"]) == (503, [row_id])


async def test_a_503_before_the_work_has_not_written() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        await org.faults({"kind": "503_html", "endpoint": "collections_update", "nth": 1})
        await org.patch([entry(row_id, Identifier__c="written")])

        assert await value(org, row_id) is None


@pytest.mark.parametrize(("kind", "written"), [("commit_then_cut", "written"), ("reset", None)])
async def test_a_lost_connection_may_or_may_not_have_written(kind: str, written: str | None) -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        await org.faults({"kind": kind, "endpoint": "collections_update", "nth": 1})
        with pytest.raises(aiohttp.ClientConnectionError):
            await org.patch([entry(row_id, Identifier__c="written")])

        assert await value(org, row_id) == written
        log = await org.sim("GET", "log", params={"name": "collections_update"})
        assert log["entries"][0]["status"] == 0
        assert log["entries"][0]["faults"] == [kind]


async def test_a_body_can_break_off_in_the_middle() -> None:
    async with calling() as org:
        org.load(500)
        await org.faults({"kind": "cut_mid_body", "endpoint": "query", "nth": 1})
        with pytest.raises(aiohttp.ClientPayloadError):
            await org.query(QUERY)

        assert (await org.query(QUERY)).json["totalSize"] == 500


async def test_json_can_be_half_of_itself() -> None:
    async with calling() as org:
        org.load(50)
        await org.faults({"kind": "truncated_json", "endpoint": "query", "nth": 1})
        answer = await org.query(QUERY)

        assert answer.status == 200
        with pytest.raises(json.JSONDecodeError):
            _ = answer.json


async def test_slowness_before_and_after_the_work_goes_through_the_clock() -> None:
    async with calling() as org:
        await org.faults(
            {"kind": "slow", "endpoint": "query", "params": {"seconds": 40}},
            {"kind": "slow_after", "endpoint": "query", "params": {"seconds": 2}},
        )
        await org.query(QUERY)

        assert org.clock.slept == [40.0, 2.0]


async def test_locked_rows_are_a_share_by_id_and_come_free() -> None:
    async with calling() as org:
        ids = org.load(200)
        await org.faults({"kind": "lock_row", "rate": 0.2, "seed": 3, "params": {"tries": 2}})

        async def locked() -> set[str]:
            answer = await org.patch(entry(row_id, Identifier__c="x") for row_id in ids)
            results = zip(ids, answer.json, strict=True)
            failed = {row_id: result["errors"][0] for row_id, result in results if not result["success"]}
            assert {error["statusCode"] for error in failed.values()} <= {"UNABLE_TO_LOCK_ROW"}
            assert all(row_id in error["message"] for row_id, error in failed.items())
            return set(failed)

        first, second, third = await locked(), await locked(), await locked()

        assert 20 <= len(first) <= 60
        assert first == second
        assert third == set()


async def test_a_locked_row_is_400_on_its_own() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        await org.faults({"kind": "lock_row"})
        path = f"/sobjects/DocListEntry__c/{row_id}"
        answers = [await org.call("PATCH", path, json={"Identifier__c": "x"}) for _ in range(2)]

        assert [answer.status for answer in answers] == [400, 204]
        assert answers[0].code == "UNABLE_TO_LOCK_ROW"


async def test_a_field_may_shrink_or_become_read_only_in_mid_run() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        target = {"object": "DocListEntry__c", "field": "Identifier__c"}
        await org.faults(
            {"kind": "field_shortened", "endpoint": "collections_update", "nth": 2, "params": {**target, "length": 3}},
            {
                "kind": "fls_removed",
                "endpoint": "collections_update",
                "nth": 3,
                "params": {**target, "mode": "read_only"},
            },
        )
        codes = []
        for _ in range(3):
            (result,) = (await org.patch([entry(row_id, Identifier__c="four")])).json
            codes.append(result["errors"][0]["statusCode"] if result["errors"] else "ok")

        assert codes == ["ok", "STRING_TOO_LONG", "INVALID_FIELD_FOR_INSERT_UPDATE"]


async def test_somebody_else_may_edit_delete_and_insert_while_a_scan_runs() -> None:
    async with calling() as org:
        ids = org.load(3)
        await org.faults(
            {"kind": "edit", "endpoint": "query", "nth": 2, "params": {"ids": ids[:1], "set": {"Name": "edited"}}},
            {"kind": "delete", "endpoint": "query", "nth": 2, "params": {"ids": ids[1:2]}},
            {
                "kind": "insert",
                "endpoint": "query",
                "nth": 2,
                "params": {"object": "DocListEntry__c", "records": [{"Name": "late"}]},
            },
        )

        assert await org.names("ORDER BY Id") == ["0000", "0001", "0002"]
        assert await org.names("ORDER BY Id") == ["edited", "0002", "late"]


async def test_a_rule_may_look_at_the_address_and_the_question() -> None:
    async with calling() as org:
        await org.faults({"kind": "query_timeout", "endpoint": r"GET .*/query\?q=SELECT COUNT"})

        assert (await org.query("SELECT COUNT() FROM Account")).code == "QUERY_TIMEOUT"
        assert (await org.query("SELECT Id FROM Account")).status == 200


def struck(rule: dict[str, Any], calls: int) -> list[int]:
    """Numbers of the calls a rule strikes."""
    book = FaultBook()
    book.set([rule_from({"kind": "slow", **rule})])
    return [number for number in range(1, calls + 1) if book.strikes(("slow",), "query", "GET /x")]


def test_rules_strike_by_number_by_count_after_some_and_by_rate() -> None:
    assert struck({"nth": 3}, 5) == [3]
    assert struck({"nth": [1, 4]}, 5) == [1, 4]
    assert struck({"count": 2}, 5) == [1, 2]
    assert struck({"after": 3}, 5) == [4, 5]
    assert struck({"after": 1, "count": 2}, 5) == [2, 3]
    assert struck({"endpoint": "token"}, 5) == []
    assert struck({}, 3) == [1, 2, 3]
    half = struck({"rate": 0.5, "seed": 1}, 1000)
    assert 400 < len(half) < 600
    assert half == struck({"rate": 0.5, "seed": 1}, 1000) != struck({"rate": 0.5, "seed": 2}, 1000)


@pytest.mark.parametrize(
    "rule", [{"kind": "nonsense"}, {"kind": "slow", "often": 1}, {"kind": "slow", "endpoint": "("}]
)
def test_a_rule_nobody_understands_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"rule|regular expression"):
        rule_from(rule)


async def test_rules_are_shown_with_their_counters_and_taken_away() -> None:
    async with calling() as org:
        await org.faults({"kind": "503_json", "endpoint": "query", "nth": 2})
        for _ in range(3):
            await org.query(QUERY)
        (shown,) = await org.sim("GET", "faults")
        await org.sim("DELETE", "faults")

        assert (shown["matched"], shown["fired"]) == (3, 1)
        assert org.server.org.faults.rules == []


class HeldClock(StillClock):
    """Its sleepers count their seconds at once but wait until they are let go."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = asyncio.Event()
        self.let_go = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds)
        self.asleep.set()
        await self.let_go.wait()


async def test_calls_of_twenty_seconds_are_limited_in_number() -> None:
    clock = HeldClock()
    async with calling(StandInSettings(long_request_max=1), clock=clock) as org:
        await org.faults({"kind": "slow", "nth": 1, "params": {"seconds": 25}})
        long = asyncio.create_task(org.query(QUERY))
        await clock.asleep.wait()
        meanwhile = await org.query(QUERY)
        clock.let_go.set()

        assert (meanwhile.status, meanwhile.code) == (403, "REQUEST_LIMIT_EXCEEDED")
        assert "ConcurrentPerOrgLongTxn" in meanwhile.message
        assert (await long).status == 200


async def test_a_burst_also_refuses_the_calls_that_were_waiting() -> None:
    clock = HeldClock()
    async with calling(clock=clock) as org:
        await org.faults({"kind": "slow", "nth": 1}, {"kind": "burst_401", "nth": 1})
        waiting = asyncio.create_task(org.query(QUERY))
        await clock.asleep.wait()
        struck_first = await org.query(QUERY)
        clock.let_go.set()

        assert struck_first.status == 401
        assert (await waiting).status == 401


def test_every_kind_of_fault_is_explained() -> None:
    assert all(words for words in KINDS.values())
    assert {*REFUSING, *CHANGING, *ANSWERING} < set(KINDS)


async def test_two_calls_at_once_cannot_both_write_to_children_of_one_parent() -> None:
    clock = HeldClock()
    async with calling(StandInSettings(lock_parent="Account__c"), clock=clock) as org:
        acme, bolt = org.world.load("Account", [{"Name": "Acme"}, {"Name": "Bolt"}])
        ids = org.load(2, Account__c=acme) + org.load(1, Account__c=bolt)
        await org.faults({"kind": "slow", "endpoint": "collections_update", "nth": 1})
        first = asyncio.create_task(org.patch([entry(ids[0], Identifier__c="first")]))
        await clock.asleep.wait()
        second = await org.patch([entry(ids[1], Identifier__c="second"), entry(ids[2], Identifier__c="second")])
        clock.let_go.set()
        assert (await first).json[0]["success"] is True
        again = await org.patch([entry(ids[1], Identifier__c="second")])

        assert [result["success"] for result in second.json] == [False, True]
        assert second.json[0]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"
        assert acme in second.json[0]["errors"][0]["message"]
        assert again.json[0]["success"] is True

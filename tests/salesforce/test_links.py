"""Links against the stand-in org: what is read, what is written, and what its answers mean."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model.change import Held, Sent
from engine.model.errors import Blocked, Paused, Transient
from engine.model.failures import FailureClass
from engine.rehearsal.salesforce import Server
from engine.salesforce.links import MOST_READ
from tests.support.org import OBJECT, QuickClock, Scripted, asked, connected, fault, load
from tests.support.servers.salesforce import Reply, Seen, problem

NEW = "https://ours.test/{}.pdf"


def truth(org: Server, record: str) -> str | None:
    row = org.world.record(record)
    assert row is not None
    return row.get("Document__c")


async def test_links_are_read_by_the_thousand_and_the_missing_are_none(org: Server, clock: QuickClock) -> None:
    ids = load(org, MOST_READ + 5)
    org.world.set_deleted([ids[3]], deleted=True)
    org.world.edit([ids[4]], {"Document__c": None})
    absent = ids[0][:14] + "zZZZ"
    async with connected(org, clock) as salesforce:
        held = await salesforce.links.read(ids)
    assert len(held) == len(ids)
    assert held[ids[0]] is not None
    assert held[ids[0]].url == truth(org, ids[0])  # type: ignore[union-attr]
    assert held[ids[3]] is None
    assert held[ids[4]] is not None
    assert held[ids[4]].url == ""  # type: ignore[union-attr]
    assert asked(org, "collections_retrieve") == 2
    assert absent not in held


async def test_a_read_tells_whether_our_own_user_has_changed_a_record_last(org: Server, clock: QuickClock) -> None:
    ids = load(org, 3)
    async with connected(org, clock) as salesforce:
        await salesforce.links.write([(ids[0], NEW.format(0))])
        org.world.edit([ids[1]], {"Name": "x"}, org.org.colleague_id)
        held = await salesforce.links.read(ids)
    told = [(now.by, now.by_us) for now in held.values() if now is not None]
    assert told == [(org.org.user_id, True), (org.org.colleague_id, False), (org.org.colleague_id, False)]
    assert asked(org, "resources") == 0, "the login has said who it is"


@pytest.mark.parametrize("says", [Reply({}), problem("API_DISABLED", "no", 403), Reply([]), Reply({"identity": "x"})])
async def test_where_nobody_says_who_we_are_no_change_counts_as_ours(scripted: Scripted, says: Reply) -> None:
    record = "a0X000000000001EAA"
    row = {"Id": record, "document__c": "x", "LastModifiedById": "005000000000001AAA"}

    def script(seen: Seen) -> Reply:
        return Reply([row]) if "composite" in seen.path else says

    async with scripted(script) as (salesforce, server):
        assert await salesforce.session.user() == ""
        held = await salesforce.links.read([record])
    assert held == {record: Held("x", "", "005000000000001AAA", False)}
    assert len([seen for seen in server.seen if seen.path.endswith("/v62.0/")]) == 1


async def test_a_write_is_answered_row_by_row_in_its_order(org: Server, clock: QuickClock) -> None:
    ids = load(org, 5)
    org.world.set_deleted([ids[1]], deleted=True)
    org.org.read_only_ids = {ids[2]}
    changes = [(record, NEW.format(n)) for n, record in enumerate(ids)]
    changes[3] = (ids[3], "https://ours.test/" + "x" * 300)
    async with connected(org, clock) as salesforce:
        said = await salesforce.links.write(changes)
    assert [each.sent for each in said] == [Sent.DONE, Sent.REFUSED, Sent.REFUSED, Sent.REFUSED, Sent.DONE]
    assert [each.failure for each in said[1:4]] == [
        FailureClass.DELETED,
        FailureClass.REJECTED,
        FailureClass.URL_TOO_LONG,
    ]
    assert truth(org, ids[0]) == NEW.format(0)
    assert truth(org, ids[2]) == "https://files.test/2.pdf" or truth(org, ids[2]) != NEW.format(2)


async def test_nothing_but_the_link_is_written(org: Server, clock: QuickClock) -> None:
    [record] = load(org, 1)
    before = org.world.record(record)
    async with connected(org, clock) as salesforce:
        await salesforce.links.write([(record, NEW.format(1))])
    after = org.world.record(record)
    assert before is not None
    assert after is not None
    audit = {"LastModifiedDate", "SystemModstamp", "LastModifiedById"}
    assert {name for name in after if after[name] != before[name]} - audit == {"Document__c"}


@pytest.mark.parametrize("kind", ["commit_then_cut", "commit_then_503", "truncated_json", "cut_mid_body"])
async def test_an_answer_that_is_lost_after_the_write_is_in_doubt(org: Server, clock: QuickClock, kind: str) -> None:
    ids = load(org, 2)
    async with connected(org, clock) as salesforce:
        fault(org, {"kind": kind, "endpoint": "collections_update", "nth": 1})
        with pytest.raises(Transient):
            await salesforce.links.write([(record, NEW.format(0)) for record in ids])
        assert asked(org, "collections_update") == 1, "a write is never sent again by itself"
        held = await salesforce.links.read(ids)
    assert [each.url for each in held.values() if each] == [NEW.format(0)] * 2


@pytest.mark.parametrize("kind", ["503_json", "503_html", "502_html", "500_unknown", "html_200", "reset"])
async def test_a_refused_write_is_in_doubt_too_and_found_undone(org: Server, clock: QuickClock, kind: str) -> None:
    [record] = load(org, 1)
    async with connected(org, clock) as salesforce:
        fault(org, {"kind": kind, "endpoint": "collections_update", "nth": 1})
        with pytest.raises(Transient):
            await salesforce.links.write([(record, NEW.format(0))])
        held = await salesforce.links.read([record])
    assert held[record] is not None
    assert held[record].url == "https://files.test/0.pdf"  # type: ignore[union-attr]


@pytest.mark.parametrize("kind", ["429", "concurrent_limit"])
async def test_a_write_that_salesforce_itself_turns_away_is_certainly_not_done(
    org: Server, clock: QuickClock, kind: str
) -> None:
    [record] = load(org, 1)
    async with connected(org, clock) as salesforce:
        fault(org, {"kind": kind, "endpoint": "collections_update", "nth": 1})
        [said] = await salesforce.links.write([(record, NEW.format(0))])
    assert (said.sent, said.failure) == (Sent.NOT_DONE, FailureClass.THROTTLED)
    assert truth(org, record) == "https://files.test/0.pdf"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 418, 500])
async def test_an_answer_that_is_not_salesforces_own_leaves_open_what_was_done(scripted: Scripted, status: int) -> None:
    async with scripted(lambda _seen: Reply({"message": "Forbidden"}, status)) as (salesforce, _):
        with pytest.raises(Transient, match=f"{status} that is not Salesforce's own"):
            await salesforce.links.write([("a0X000000000001EAA", "x")])
        with pytest.raises(Transient, match=f"{status} that is not Salesforce's own"):
            await salesforce.links.write_strictly([("a0X000000000001EAA", "x", "2026-11-22T10:00:00.000+0000")])


async def test_a_session_that_ends_under_a_write_is_renewed_and_the_write_happens_once(
    org: Server, clock: QuickClock
) -> None:
    [record] = load(org, 1)
    async with connected(org, clock) as salesforce:
        await salesforce.links.read([record])
        fault(org, {"kind": "session_expired", "endpoint": "collections_update", "nth": 1})
        said = await salesforce.links.write([(record, NEW.format(0))])
    assert [each.sent for each in said] == [Sent.DONE]
    assert sum(bool(entry.ids_written) for entry in org.org.log) == 1


async def test_the_daily_limit_means_nothing_was_done(org: Server, clock: QuickClock) -> None:
    [record] = load(org, 1)
    async with connected(org, clock) as salesforce:
        fault(org, {"kind": "daily_limit", "endpoint": "collections_update"})
        with pytest.raises(Paused, match="TotalRequests"):
            await salesforce.links.write([(record, NEW.format(0))])
    assert truth(org, record) == "https://files.test/0.pdf"


async def test_locked_rows_are_worth_another_try(org: Server, clock: QuickClock) -> None:
    ids = load(org, 3)
    fault(org, {"kind": "lock_row", "endpoint": "collections_update", "params": {"tries": 1}})
    changes = [(record, NEW.format(0)) for record in ids]
    async with connected(org, clock) as salesforce:
        assert {each.sent for each in await salesforce.links.write(changes)} == {Sent.AGAIN}
        assert {each.sent for each in await salesforce.links.write(changes)} == {Sent.DONE}


async def test_a_field_that_may_not_be_edited_stops(org: Server, clock: QuickClock) -> None:
    [record] = load(org, 1)
    async with connected(org, clock) as salesforce:
        params = {"object": OBJECT, "field": "Document__c", "mode": "read_only"}
        fault(org, {"kind": "fls_removed", "endpoint": "collections_update", "params": params})
        [said] = await salesforce.links.write([(record, NEW.format(0))])
    assert said.sent is Sent.STOP
    assert "security settings" in said.message


async def test_a_strict_write_spares_what_changed_since_it_was_read(org: Server, clock: QuickClock) -> None:
    ids = load(org, 3)
    async with connected(org, clock) as salesforce:
        held = await salesforce.links.read(ids)
        org.org.clock.advance(2)
        org.world.edit([ids[1]], {"Document__c": "https://users.test/x"})
        changes = [(record, NEW.format(0), now.modified) for record, now in held.items() if now is not None]
        said = await salesforce.links.write_strictly(changes)
    assert [each.sent for each in said] == [Sent.DONE, Sent.MOVED, Sent.DONE]
    assert truth(org, ids[1]) == "https://users.test/x"
    assert truth(org, ids[2]) == NEW.format(0)


ROW = {"id": "a0X000000000001EAA", "success": True, "errors": []}
LOCK_IN_TRIGGER = "Trg: execution of BeforeUpdate caused by: UNABLE_TO_LOCK_ROW, unable to obtain exclusive access"


def failure(code: str, message: str = "no") -> dict[str, Any]:
    return {"success": False, "errors": [{"statusCode": code, "message": message, "fields": []}]}


@pytest.mark.parametrize(
    ("row", "sent", "failed"),
    [
        (ROW, Sent.DONE, None),
        ({**ROW, "id": "a0X000000000002EAA"}, Sent.UNKNOWN, None),
        ({"success": True}, Sent.UNKNOWN, None),
        ({}, Sent.UNKNOWN, None),
        ("text", Sent.UNKNOWN, None),
        (None, Sent.UNKNOWN, None),
        ({"success": False}, Sent.REFUSED, FailureClass.REJECTED),
        ({"success": False, "errors": []}, Sent.REFUSED, FailureClass.REJECTED),
        (failure("UNABLE_TO_LOCK_ROW"), Sent.AGAIN, FailureClass.THROTTLED),
        (failure("UNKNOWN_EXCEPTION"), Sent.AGAIN, FailureClass.NETWORK),
        (failure("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", LOCK_IN_TRIGGER), Sent.AGAIN, FailureClass.THROTTLED),
        (failure("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "NullPointer"), Sent.REFUSED, FailureClass.REJECTED),
        (failure("FIELD_CUSTOM_VALIDATION_EXCEPTION"), Sent.REFUSED, FailureClass.REJECTED),
        (failure("ENTITY_IS_DELETED"), Sent.REFUSED, FailureClass.DELETED),
        (failure("STRING_TOO_LONG"), Sent.REFUSED, FailureClass.URL_TOO_LONG),
        (failure("MALFORMED_ID"), Sent.REFUSED, FailureClass.REJECTED),
        (failure("NOBODY_HAS_MET_THIS"), Sent.REFUSED, FailureClass.REJECTED),
        (failure("INVALID_FIELD_FOR_INSERT_UPDATE"), Sent.STOP, FailureClass.REJECTED),
        (failure("INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"), Sent.STOP, FailureClass.REJECTED),
        (failure("STORAGE_LIMIT_EXCEEDED"), Sent.STOP, FailureClass.REJECTED),
    ],
)
async def test_what_a_row_of_an_answer_means(
    scripted: Scripted, row: object, sent: Sent, failed: FailureClass | None
) -> None:
    async with scripted(lambda _seen: Reply([row])) as (salesforce, _):
        [said] = await salesforce.links.write([("a0X000000000001EAA", "https://ours.test/1")])
    assert (said.sent, said.failure) == (sent, failed)


@pytest.mark.parametrize("why", ["Trg: CPU", LOCK_IN_TRIGGER])
async def test_a_trigger_that_fails_on_all_rows_alike_asks_for_smaller_batches(scripted: Scripted, why: str) -> None:
    rows = [failure("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", why)] * 2
    changes = [("a0X000000000001EAA", "x"), ("a0X000000000002EAA", "y")]
    async with scripted(lambda _seen: Reply(rows)) as (salesforce, _):
        assert [each.sent for each in await salesforce.links.write(changes)] == [Sent.APART] * 2


@pytest.mark.parametrize("body", [[], [ROW, ROW], {}, None, "text"])
async def test_an_answer_of_another_length_is_in_doubt(scripted: Scripted, body: object) -> None:
    async with scripted(lambda _seen: Reply(body)) as (salesforce, _):
        with pytest.raises(Transient):
            await salesforce.links.write([("a0X000000000001EAA", "x")])


async def test_a_write_that_ran_out_of_time_is_in_doubt(scripted: Scripted) -> None:
    async with scripted(lambda _seen: problem("REQUEST_RUNNING_TOO_LONG", "too long")) as (salesforce, _):
        with pytest.raises(Transient):
            await salesforce.links.write([("a0X000000000001EAA", "x")])


async def test_a_read_that_answers_with_other_records_is_not_believed(scripted: Scripted) -> None:
    row = {"Id": "a0X000000000002EAA", "Document__c": "x", "SystemModstamp": "2026-11-22T10:00:00.000+0000"}
    async with scripted(lambda _seen: Reply([row])) as (salesforce, _):
        with pytest.raises(Exception, match="other records"):
            await salesforce.links.read(["a0X000000000001EAA"])


async def test_a_read_is_tried_again(scripted: Scripted) -> None:
    tries = 0

    def script(_seen: Seen) -> Reply:
        nonlocal tries
        tries += 1
        row = {"Id": "a0X000000000001EAA", "document__c": None, "SystemModstamp": "2026-11-22T10:00:00.000+0000"}
        return problem("SERVER_UNAVAILABLE", "busy", 503) if tries < 3 else Reply([row])

    async with scripted(script) as (salesforce, _):
        held = await salesforce.links.read(["a0X000000000001EAA"])
    assert held == {"a0X000000000001EAA": Held("", "2026-11-22T10:00:00.000+0000")}


async def test_a_request_that_does_not_stand_means_nothing_was_done(scripted: Scripted) -> None:
    async with scripted(lambda _seen: problem("INVALID_FIELD", "No such column")) as (salesforce, _):
        with pytest.raises(Blocked, match="No such column"):
            await salesforce.links.write([("a0X000000000001EAA", "x")])

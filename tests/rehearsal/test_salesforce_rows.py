"""Reading and writing rows: one at a time, two hundred at a time, and several calls in one."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from engine.rehearsal.salesforce import Schema, StandInSettings, default_schema
from engine.rehearsal.salesforce.schema import Rule
from engine.rehearsal.salesforce.world import make_id
from tests.support.standin import VERSION, Caller, calling, entry

ROW = "/sobjects/DocListEntry__c"
UNKNOWN = make_id("a0X", 999_999)


def errors(results: list[dict[str, Any]]) -> list[str]:
    """One word per row: ``ok`` or the statusCode."""
    return ["ok" if result["success"] else result["errors"][0]["statusCode"] for result in results]


def url_of(org: Caller, row_id: str) -> Any:
    record = org.world.record(row_id)
    assert record is not None
    return record["Document__c"]


async def test_a_row_is_read_whole_or_in_part() -> None:
    async with calling() as org:
        (row_id,) = org.load(1, Document__c="https://x.test")
        whole = await org.call("GET", f"{ROW}/{row_id}")
        part = await org.call("GET", f"{ROW}/{row_id[:15]}", params={"fields": "document__c"})

        assert whole.json["attributes"]["url"] == f"{VERSION}/sobjects/DocListEntry__c/{row_id}"
        assert whole.json["IsDeleted"] is False
        assert set(part.json) == {"attributes", "Id", "Document__c"}
        assert part.json["Id"] == row_id


async def test_a_row_is_updated_with_204_and_no_body() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        await org.sim("POST", "clock", json={"advance": 3})
        answer = await org.call("PATCH", f"{ROW}/{row_id}", json={"document__C": " https://new.test "})
        record = org.world.record(row_id)

        assert (answer.status, answer.body) == (204, b"")
        assert record is not None
        assert record["Document__c"] == "https://new.test"
        assert record["SystemModstamp"] == record["LastModifiedDate"] == "2026-11-22T10:00:03.000+0000"
        assert record["LastModifiedById"] == org.server.org.user_id


async def test_a_row_is_created_with_201_and_deleted_with_204() -> None:
    async with calling() as org:
        made = await org.call("POST", ROW, json={"Name": "new"})
        gone = await org.call("DELETE", f"{ROW}/{made.json['id']}")
        after = await org.call("GET", f"{ROW}/{made.json['id']}")

        assert made.status == 201
        assert made.json["success"] is True
        assert made.json["id"].startswith("a0X")
        assert gone.status == 204
        assert (after.status, after.code) == (404, "ENTITY_IS_DELETED")


async def test_a_row_without_its_required_name_is_not_created() -> None:
    async with calling() as org:
        answer = await org.call("POST", ROW, json={"Document__c": "https://x.test"})

        assert (answer.status, answer.code) == (400, "REQUIRED_FIELD_MISSING")
        assert answer.json[0]["fields"] == ["Name"]


@pytest.mark.parametrize(
    ("row_id", "body", "status", "code"),
    [
        (UNKNOWN, {}, 404, "NOT_FOUND"),
        ("a0Xnonsense", {}, 400, "MALFORMED_ID"),
        ("", {"Id": UNKNOWN}, 400, "INVALID_FIELD"),
        ("", {"Nope__c": 1}, 400, "INVALID_FIELD"),
        ("", {"CreatedDate": "2020-01-01T00:00:00Z"}, 400, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ("", {"Document__c": "x" * 256}, 400, "STRING_TOO_LONG"),
        ("", {"Document__c": 5}, 400, "JSON_PARSER_ERROR"),
        ("", {"Account__c": "001nope"}, 400, "MALFORMED_ID"),
        ("", {"Account__c": make_id("001", 77)}, 404, "INVALID_CROSS_REFERENCE_KEY"),
        ("", {"Name": None}, 400, "REQUIRED_FIELD_MISSING"),
    ],
)
async def test_a_wrong_single_update_is_refused(row_id: str, body: dict[str, Any], status: int, code: str) -> None:
    async with calling() as org:
        (known,) = org.load(1)
        answer = await org.call("PATCH", f"{ROW}/{row_id or known}", json=body)

        assert (answer.status, answer.code) == (status, code)
        assert org.world.record(known) is not None


async def test_an_update_can_ask_that_nobody_was_there_since() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        await org.sim("POST", "clock", json={"advance": 60})
        await org.sim("POST", "edit", json={"ids": [row_id], "set": {"Identifier__c": "meanwhile"}})

        async def patch(since: str) -> int:
            headers = {"If-Unmodified-Since": since}
            path = f"{ROW}/{row_id}"
            return (await org.call("PATCH", path, json={"Document__c": "https://n.test"}, headers=headers)).status

        assert await patch("Sun, 22 Nov 2026 10:00:30 GMT") == 412
        assert url_of(org, row_id) is None
        assert await patch("not a date") == 400
        assert await patch("Sun, 22 Nov 2026 10:01:00 GMT") == 204


async def test_an_unmodified_row_is_304() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        headers = {"If-Modified-Since": "Sun, 22 Nov 2026 10:00:00 GMT"}

        assert (await org.call("GET", f"{ROW}/{row_id}", headers=headers)).status == 304


async def test_two_hundred_rows_are_updated_in_request_order() -> None:
    async with calling() as org:
        ids = org.load(200)
        answer = await org.patch(entry(row_id, Document__c=f"https://x.test/{row_id}") for row_id in reversed(ids))

        assert answer.status == 200
        assert answer.json == [{"id": row_id, "success": True, "errors": []} for row_id in reversed(ids)]
        assert url_of(org, ids[7]) == f"https://x.test/{ids[7]}"


async def test_two_hundred_and_one_rows_are_too_many() -> None:
    async with calling() as org:
        ids = org.load(201)
        answer = await org.patch(entry(row_id, Document__c="https://x.test") for row_id in ids)

        assert answer.status == 400
        assert url_of(org, ids[0]) is None


def strict_schema() -> Schema:
    """The usual objects, with a rule against plain http and a field nobody may write."""
    schema = default_schema()
    entries = schema.get("DocListEntry__c")
    entries.rules.append(Rule(field="Document__c", pattern="^http:", message="Only https is allowed"))
    locked = entries.column("Identifier__c")
    assert locked is not None
    locked.updateable = False
    return schema


async def test_each_bad_row_fails_for_its_own_reason_and_the_others_are_written() -> None:
    async with calling(schema=strict_schema()) as org:
        ids = org.load(6)
        org.world.set_deleted([ids[1]], deleted=True)
        await org.sim("POST", "access", json={"read_only": [ids[5]]})
        swapped = ids[0][:12] + ids[0][12:].swapcase()
        answer = await org.patch(
            [
                entry(ids[0], Document__c="https://ok.test"),
                entry(ids[1], Document__c="https://x.test"),
                entry(UNKNOWN, Document__c="https://x.test"),
                entry(swapped, Document__c="https://x.test"),
                entry("001000000000001", Document__c="https://x.test"),
                entry(ids[2], Document__c="https://x.test/" + "y" * 250),
                entry(ids[3], Identifier__c="no"),
                entry(ids[4], Document__c="http://plain.test"),
                entry(ids[5], Document__c="https://x.test"),
                entry(ids[0], Document__c="https://twice.test"),
                {"attributes": {"type": "DocListEntry__c"}, "Document__c": "https://x.test"},
            ]
        )

        assert answer.status == 200
        assert errors(answer.json) == [
            "ok",
            "ENTITY_IS_DELETED",
            "INVALID_CROSS_REFERENCE_KEY",
            "MALFORMED_ID",
            "MALFORMED_ID",
            "STRING_TOO_LONG",
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            "FIELD_CUSTOM_VALIDATION_EXCEPTION",
            "INSUFFICIENT_ACCESS_OR_READONLY",
            "DUPLICATE_VALUE",
            "MISSING_ARGUMENT",
        ]
        assert all("id" not in result for result in answer.json[1:])
        too_long = answer.json[5]["errors"][0]
        assert too_long["message"].startswith("Document: data value too large: https://x.test/")
        assert too_long["message"].endswith("(max length=255)")
        assert too_long["fields"] == ["Document__c"]
        assert url_of(org, ids[0]) == "https://ok.test"


async def test_length_counts_utf16_units() -> None:
    async with calling() as org:
        ids = org.load(2)
        answer = await org.patch([entry(ids[0], Document__c="é" * 255), entry(ids[1], Document__c="😀" * 128)])

        assert errors(answer.json) == ["ok", "STRING_TOO_LONG"]


async def test_all_or_none_takes_the_innocent_rows_back() -> None:
    async with calling() as org:
        ids = org.load(2)
        records = [entry(ids[0], Document__c="https://x.test"), entry(UNKNOWN, Document__c="https://x.test")]
        answer = await org.patch(records, all_or_none=True)

        assert errors(answer.json) == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "INVALID_CROSS_REFERENCE_KEY"]
        assert url_of(org, ids[0]) is None


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "JSON_PARSER_ERROR"),
        ({"records": "x"}, "JSON_PARSER_ERROR"),
        ({"records": [{"id": UNKNOWN}]}, "INVALID_TYPE"),
        ({"records": [{"attributes": {"type": "Nope"}, "id": UNKNOWN}]}, "INVALID_TYPE"),
        ({"records": [entry(UNKNOWN, Nope__c=1)]}, "INVALID_FIELD"),
        ({"allOrNone": "yes", "records": []}, "JSON_PARSER_ERROR"),
    ],
)
async def test_a_malformed_collection_is_400_as_a_whole(body: dict[str, Any], code: str) -> None:
    async with calling() as org:
        answer = await org.call("PATCH", "/composite/sobjects/", json=body)

        assert (answer.status, answer.code) == (400, code)


async def test_rows_are_created_and_deleted_in_collections() -> None:
    async with calling() as org:
        records = [{"attributes": {"type": "DocListEntry__c"}, "Name": f"n{n}"} for n in range(3)]
        made = await org.call("POST", "/composite/sobjects", json={"records": records})
        ids = [result["id"] for result in made.json]
        gone = await org.call("DELETE", "/composite/sobjects", params={"ids": ",".join(ids[:2])})

        assert errors(made.json) == [*errors(gone.json), "ok"] == ["ok"] * 3
        assert await org.names("") == ["n2"]


async def test_rows_are_read_back_in_order_with_null_for_the_invisible() -> None:
    async with calling() as org:
        ids = org.load(3)
        org.world.set_deleted([ids[1]], deleted=True)
        body = {"ids": [ids[2], ids[1], UNKNOWN, "bad", ids[0][:15], ids[2]], "fields": ["name", "SystemModstamp"]}
        answer = await org.call("POST", "/composite/sobjects/DocListEntry__c", json=body)
        by_get = await org.call(
            "GET", "/composite/sobjects/DocListEntry__c", params={"ids": ",".join(ids), "fields": "Id"}
        )

        assert [row and row["Name"] for row in answer.json] == ["0002", None, None, None, "0000", "0002"]
        assert set(answer.json[0]) == {"attributes", "Name", "SystemModstamp"}
        assert [row and row["Id"] for row in by_get.json] == [ids[0], None, ids[2]]


async def test_two_thousand_ids_are_read_at_most_and_a_bad_field_is_400() -> None:
    async with calling() as org:
        ids = org.load(1)
        path = "/composite/sobjects/DocListEntry__c"
        fits = await org.call("POST", path, json={"ids": ids * 2000, "fields": ["Id"]})
        too_many = await org.call("POST", path, json={"ids": ids * 2001, "fields": ["Id"]})
        bad = await org.call("POST", path, json={"ids": ids, "fields": ["Nope"]})

        assert len(fits.json) == 2000
        assert (too_many.status, too_many.code) == (400, "EXCEEDED_ID_LIMIT")
        assert (bad.status, bad.code) == (400, "INVALID_FIELD")


async def test_deleted_and_updated_rows_are_told_by_the_minute() -> None:
    async with calling() as org:
        ids = org.load(3)
        await org.sim("POST", "clock", json={"advance": 600})
        await org.sim("POST", "delete", json={"ids": [ids[0]]})
        await org.sim("POST", "edit", json={"ids": [ids[1]], "set": {}})
        await org.sim("POST", "clock", json={"advance": 60})
        span = {"start": "2026-11-22T10:05:59Z", "end": "2026-11-22T10:11:59+00:00"}
        gone = await org.call("GET", f"{ROW}/deleted/", params=span)
        moved = await org.call("GET", f"{ROW}/updated", params=span)

        assert [row["id"] for row in gone.json["deletedRecords"]] == [ids[0]]
        assert gone.json["deletedRecords"][0]["deletedDate"] == "2026-11-22T10:10:00.000+0000"
        assert moved.json == {"ids": [ids[1]], "latestDateCovered": "2026-11-22T10:11:00.000+0000"}


@pytest.mark.parametrize(
    ("kind", "start", "end"),
    [
        ("deleted", "2026-11-06T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("updated", "2026-10-20T00:00:00Z", "2026-11-22T00:00:00Z"),
        ("updated", "2026-11-22T00:00:10Z", "2026-11-22T00:00:50Z"),
        ("updated", "yesterday", "today"),
    ],
)
async def test_a_span_too_old_empty_or_unreadable_is_refused(kind: str, start: str, end: str) -> None:
    async with calling() as org:
        answer = await org.call("GET", f"{ROW}/{kind}", params={"start": start, "end": end})

        assert (answer.status, answer.code) == (400, "INVALID_REPLICATION_DATE")


def part(method: str, path: str, reference: str, body: Any = None) -> dict[str, Any]:
    """One part of a composite call."""
    whole = {"method": method, "url": f"{VERSION}{path}", "referenceId": reference}
    return whole if body is None else {**whole, "body": body}


async def test_a_composite_call_answers_each_part_and_costs_one() -> None:
    async with calling() as org:
        ids = org.load(2)
        used = org.server.org.usage.used()
        parts = [
            part("GET", "/query?q=SELECT+Id+FROM+DocListEntry__c+ORDER+BY+Id", "q"),
            part("PATCH", "/composite/sobjects", "w", {"records": [entry(ids[0], Document__c="https://c.test")]}),
            part("GET", "/sobjects/Nope/describe", "bad"),
        ]
        answer = await org.call("POST", "/composite", json={"compositeRequest": parts})
        q, w, bad = answer.json["compositeResponse"]

        assert (q["referenceId"], q["httpStatusCode"], q["body"]["totalSize"]) == ("q", 200, 2)
        assert w["body"][0]["success"] is True
        assert (bad["httpStatusCode"], bad["body"][0]["errorCode"]) == (404, "NOT_FOUND")
        assert url_of(org, ids[0]) == "https://c.test"
        assert org.server.org.usage.used() == used + 1
        written = await org.sim("GET", "log", params={"name": "composite"})
        assert written["entries"][0]["ids_written"] == [ids[0]]


async def test_an_all_or_none_composite_takes_every_part_back() -> None:
    async with calling() as org:
        (row_id,) = org.load(1)
        parts = [
            part("PATCH", f"{ROW}/{row_id}", "w", {"Document__c": "https://c.test"}),
            part("PATCH", f"{ROW}/{UNKNOWN}", "bad", {"Document__c": "https://c.test"}),
        ]
        answer = await org.call("POST", "/composite", json={"allOrNone": True, "compositeRequest": parts})
        first, second = answer.json["compositeResponse"]

        assert (first["httpStatusCode"], first["body"][0]["errorCode"]) == (400, "PROCESSING_HALTED")
        assert second["httpStatusCode"] == 404
        assert url_of(org, row_id) is None


@pytest.mark.parametrize(("path", "count"), [("/limits", 26), ("/query?q=SELECT+Id+FROM+Account", 6)])
async def test_a_composite_call_has_at_most_25_parts_and_5_queries(path: str, count: int) -> None:
    async with calling() as org:
        parts = [part("GET", path, f"r{n}") for n in range(count)]
        refused = await org.call("POST", "/composite", json={"compositeRequest": parts})
        accepted = await org.call("POST", "/composite", json={"compositeRequest": parts[1:]})

        assert refused.status == 400
        assert accepted.status == 200


async def test_a_batch_counts_every_part_and_can_halt() -> None:
    async with calling() as org:
        used = org.server.org.usage.used()
        parts = [{"method": "GET", "url": f"v62.0/{path}"} for path in ("limits", "nowhere", "limits")]
        going_on = await org.call("POST", "/composite/batch", json={"batchRequests": parts})
        halted = await org.call("POST", "/composite/batch", json={"batchRequests": parts, "haltOnError": True})

        assert going_on.json["hasErrors"] is True
        assert [result["statusCode"] for result in going_on.json["results"]] == [200, 404, 200]
        assert [result["statusCode"] for result in halted.json["results"]] == [200, 404, 412]
        assert halted.json["results"][2]["result"][0]["errorCode"] == "BATCH_PROCESSING_HALTED"
        assert org.server.org.usage.used() == used + 5


async def test_bodies_travel_gzipped_both_ways() -> None:
    async with calling() as org:
        ids = org.load(100)
        body = gzip.compress(json.dumps({"records": [entry(row_id, Identifier__c="z") for row_id in ids]}).encode())
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json", "Accept-Encoding": "gzip"}
        answer = await org.call("PATCH", "/composite/sobjects", data=body, headers=headers)

        assert errors(answer.json) == ["ok"] * 100
        assert answer.headers["Content-Encoding"] == "gzip"


async def test_compression_can_be_turned_off() -> None:
    async with calling(StandInSettings(gzip=False)) as org:
        answer = await org.call("GET", "/sobjects/Account/describe", headers={"Accept-Encoding": "gzip"})

        assert "Content-Encoding" not in answer.headers

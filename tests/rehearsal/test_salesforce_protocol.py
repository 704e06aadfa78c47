"""Versions, describe, limits, and how the service refuses what it does not understand."""

from __future__ import annotations

from typing import Any

import pytest

from engine.rehearsal.salesforce import StandInSettings
from engine.rehearsal.salesforce.answering import MAX_URI
from tests.support.standin import VERSION, StillClock, calling


async def test_versions_are_told_without_a_session_and_without_counting() -> None:
    async with calling(login=False) as org:
        answer = await org.raw("GET", f"{org.server.url}/services/data/")

        assert {"label": "Winter '25", "url": "/services/data/v62.0", "version": "62.0"} in answer.json
        assert answer.json[-1]["label"] == "Summer '26"
        assert "Sforce-Limit-Info" not in answer.headers
        assert org.server.org.usage.used() == 0


@pytest.mark.parametrize(
    ("version", "status"), [("99.0", 404), ("62", 404), ("62.5", 404), ("25.0", 410), ("31.0", 200)]
)
async def test_an_unknown_version_is_404_and_a_retired_one_410(version: str, status: int) -> None:
    async with calling() as org:
        answer = await org.call("GET", f"/services/data/v{version}/limits")

        assert answer.status == status


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "NOT_FOUND"),
        ("GET", "/sobjects/Nope/describe", 404, "NOT_FOUND"),
        ("POST", "/query", 405, "METHOD_NOT_ALLOWED"),
        ("PUT", "/composite/sobjects", 405, "METHOD_NOT_ALLOWED"),
    ],
)
async def test_a_wrong_address_or_method_is_an_array_of_one_error(
    method: str, path: str, status: int, code: str
) -> None:
    async with calling() as org:
        answer = await org.call(method, path)

        assert (answer.status, answer.code) == (status, code)
        assert answer.message


async def test_a_body_that_is_not_json_is_refused() -> None:
    async with calling() as org:
        path = "/composite/sobjects"
        broken = await org.call("PATCH", path, data=b'{"records": [', headers={"Content-Type": "application/json"})
        xml = await org.call("PATCH", path, data=b"<a/>", headers={"Content-Type": "application/xml"})

        assert (broken.status, broken.code) == (400, "JSON_PARSER_ERROR")
        assert (xml.status, xml.code) == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_the_address_has_a_limit_and_so_have_address_and_headers_together() -> None:
    async with calling() as org:
        room = MAX_URI - len(f"{VERSION}/query?q=")
        fits = await org.call("GET", f"/query?q={'x' * (room - 2000)}")
        long_uri = await org.call("GET", f"/query?q={'x' * (room + 1)}")
        long_head = await org.call("GET", f"/query?q={'x' * (room - 10)}")

        assert [fits.status, long_uri.status, long_head.status] == [400, 414, 431]
        assert fits.code == "MALFORMED_QUERY"
        assert long_uri.message


async def test_describe_tells_what_a_preflight_needs() -> None:
    async with calling() as org:
        answer = (await org.call("GET", "/sobjects/doclistentry__c/describe")).json
        fields = {field["name"]: field for field in answer["fields"]}

        assert (answer["name"], answer["keyPrefix"], answer["updateable"]) == ("DocListEntry__c", "a0X", True)
        url = fields["Document__c"]
        assert (url["type"], url["length"], url["updateable"], url["filterable"]) == ("url", 255, True, True)
        assert (url["htmlFormatted"], url["calculated"], url["byteLength"]) == (False, False, 765)
        parent = fields["Account__c"]
        assert (parent["referenceTo"], parent["relationshipName"]) == (["Account"], "Account__r")
        assert fields["SystemModstamp"]["updateable"] is False
        assert fields["Id"]["type"] == "id"


async def test_describe_follows_field_level_security() -> None:
    async with calling() as org:

        async def field(name: str) -> dict[str, Any] | None:
            described = (await org.call("GET", "/sobjects/DocListEntry__c/describe")).json["fields"]
            return next((item for item in described if item["name"] == name), None)

        target = {"object": "DocListEntry__c", "field": "Document__c"}
        await org.sim("POST", "field", json={**target, "updateable": False, "length": 100})
        read_only = await field("Document__c")
        await org.sim("POST", "field", json={**target, "readable": False})

        assert read_only is not None
        assert (read_only["updateable"], read_only["length"]) == (False, 100)
        assert await field("Document__c") is None
        assert (await org.query("SELECT Document__c FROM DocListEntry__c")).code == "INVALID_FIELD"


async def test_all_objects_are_listed() -> None:
    async with calling() as org:
        answer = await org.call("GET", "/sobjects")

        names = {item["name"] for item in answer.json["sobjects"]}
        assert names >= {"Account", "DocListEntry__c", "Organization", "User"}
        assert all(item["queryable"] for item in answer.json["sobjects"])


@pytest.mark.parametrize("name", ["FieldDefinition", "Vote", "ColorDefinition"])
async def test_some_objects_are_listed_and_take_no_plain_question(name: str) -> None:
    async with calling() as org:
        described = await org.call("GET", f"/sobjects/{name}/describe")
        assert described.json["queryable"] is True
        assert (await org.query(f"SELECT Id FROM {name} LIMIT 1")).status == 400


async def test_the_organisation_has_one_row() -> None:
    async with calling(StandInSettings(org_name="Mine", is_sandbox=False)) as org:
        answer = await org.query("SELECT Id, Name, OrganizationType, IsSandbox, InstanceName FROM Organization")

        (row,) = answer.json["records"]
        assert (row["Id"], row["Name"], row["IsSandbox"]) == (org.server.org.org_id, "Mine", False)


async def test_every_authenticated_answer_tells_the_usage() -> None:
    async with calling(StandInSettings(daily_max=500)) as org:
        good = await org.call("GET", "/sobjects/Account/describe")
        bad = await org.query("SELECT")

        assert good.headers["Sforce-Limit-Info"] == "api-usage=1/500"
        assert bad.headers["Sforce-Limit-Info"] == "api-usage=2/500"


async def test_limits_tell_what_remains() -> None:
    async with calling(StandInSettings(daily_max=500)) as org:
        answer = await org.call("GET", "/limits")

        assert answer.json["DailyApiRequests"] == {"Max": 500, "Remaining": 499}


async def test_calls_beyond_the_days_allowance_are_403_until_a_day_has_passed() -> None:
    async with calling(StandInSettings(daily_max=2)) as org:
        statuses = [(await org.call("GET", "/limits")).status for _ in range(3)]
        refused = await org.call("GET", "/limits")
        await org.sim("POST", "clock", json={"advance": 86_400 + 120})
        await org.login()

        assert statuses == [200, 200, 403]
        assert refused.json == [{"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}]
        assert refused.headers["Sforce-Limit-Info"] == "api-usage=2/2"
        assert (await org.call("GET", "/limits")).status == 200


async def test_record_counts_leave_the_recycle_bin_out() -> None:
    async with calling() as org:
        ids = org.load(3)
        org.world.set_deleted(ids[:1], deleted=True)
        answer = await org.call("GET", "/limits/recordCount", params={"sObjects": "DocListEntry__c,Nope"})

        assert answer.json == {"sObjects": [{"count": 2, "name": "DocListEntry__c"}]}


async def test_the_date_header_is_the_orgs_own_time() -> None:
    async with calling() as org:
        await org.sim("POST", "clock", json={"advance": 60})

        assert (await org.call("GET", "/limits")).headers["Date"] == "Sun, 22 Nov 2026 10:01:00 GMT"
        assert StillClock().now().minute == 0

"""Rows: every value as stored, every absence as an empty text."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model.errors import Fatal, Usage
from engine.rehearsal.salesforce import Server
from engine.salesforce.rows import Rows, moment, text
from engine.settings import SalesforceSettings
from tests.support.org import OBJECT, QuickClock, connected

ID = "a0X5e0000000001EAA"


def read(row: dict[str, Any], *extra: str) -> Any:
    return Rows(SalesforceSettings(), extra).record({"Id": ID, **row})


def test_a_full_row_becomes_a_record() -> None:
    record = read(
        {
            "attributes": {"type": OBJECT},
            "Name": "D-1",
            "Document__c": "https://files.test/a b.pdf",
            "Account__c": "0015e0000000001",
            "Account__r": {"attributes": {}, "Name": "Acme"},
            "SystemModstamp": "2013-05-07T22:07:19.000+0000",
            "Identifier__c": 17.0,
        },
        "Identifier__c",
    )
    assert (record.id, record.name, record.url) == (ID, "D-1", "https://files.test/a b.pdf")
    assert (record.account_id, record.account_name) == ("0015e0000000001AAA", "Acme")
    assert record.modified == "2013-05-07T22:07:19.000Z"
    assert record.extra == (("Identifier__c", "17"),)


@pytest.mark.parametrize("parent", [None, {}, "text", {"Name": None}])
def test_a_missing_or_invisible_parent_leaves_the_name_empty(parent: Any) -> None:
    assert read({"Account__c": None, "Account__r": parent}).account_name == ""


def test_missing_and_null_fields_are_empty() -> None:
    record = read({"Name": None, "Document__c": None})
    assert (record.name, record.url, record.account_id, record.modified) == ("", "", "", "")


@pytest.mark.parametrize(
    "url", ["\ud800", "a\x00b\x1f", "  https://x/ ", "javascript:alert(1)", "7", "é\u202e", "x" * 255]
)
def test_a_url_passes_untouched_whatever_it_holds(url: str) -> None:
    assert read({"Document__c": url}).url == url


@pytest.mark.parametrize("url", ["https://x/é\U0001f600.pdf", "a\tb", "q?x=1&y=%20#f", "\u202e.exe"])
async def test_a_url_comes_through_the_wire_untouched(url: str, org: Server, clock: QuickClock) -> None:
    org.world.load(OBJECT, [{"Name": "x", "Document__c": url}])
    async with connected(org, clock) as salesforce:
        from engine.model.record import Scope

        assert [r.url async for page in salesforce.pages.pages(Scope()) for r in page.records] == [url]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, ""), (True, "true"), (False, "false"), (10.0, "10"), (1.5, "1.5"), (7, "7"), ({"a": 1}, '{"a": 1}')],
)
def test_values_of_other_types_become_plain_text(value: object, expected: str) -> None:
    assert text(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2013-05-07T22:07:19.000+0000", "2013-05-07T22:07:19.000Z"),
        ("2013-05-07T22:07:19.123Z", "2013-05-07T22:07:19.123Z"),
        ("2013-05-07T22:07:19+02:00", "2013-05-07T20:07:19.000Z"),
        ("", ""),
    ],
)
def test_times_are_normalised_to_utc_with_milliseconds(value: str, expected: str) -> None:
    assert moment(value) == expected


def test_a_time_that_is_none_stops_rather_than_spoil_the_watermark() -> None:
    with pytest.raises(Fatal, match="SystemModstamp"):
        read({"SystemModstamp": "yesterday"})


@pytest.mark.parametrize("row_id", [None, 7, "", "a0X", "A0X5E0000000001EAA"])
def test_a_row_without_a_true_id_is_not_believed(row_id: Any) -> None:
    with pytest.raises(Fatal):
        Rows(SalesforceSettings()).record({"Id": row_id})


def test_an_account_field_that_holds_no_id_stays_as_it_is() -> None:
    assert read({"Account__c": "ACME-7"}).account_id == "ACME-7"


def test_fields_named_twice_are_asked_for_once() -> None:
    rows = Rows(SalesforceSettings(name_field="Id"), ["identifier__c", "SystemModstamp", "Identifier__c"])
    lowered = [field.lower() for field in rows.fields]
    assert len(lowered) == len(set(lowered)) == 6


def test_a_resolver_field_that_is_no_field_name_is_a_settings_error() -> None:
    with pytest.raises(Usage, match="API name"):
        Rows(SalesforceSettings(), ["Identifier__c FROM User"])

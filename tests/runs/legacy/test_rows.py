"""Rows of the original scripts' DB, understood: a table of what they may hold."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.model.ids import to18
from engine.model.keys import LinkTemplate
from engine.model.old_copy import Old, Unfit
from engine.model.urls import source_rules
from engine.runs.legacy.rows import Reading
from engine.tracking.read.legacy import COLUMNS

RULES = source_rules(["theirs"], None, "us-west-2", [])
TEMPLATE = LinkTemplate("https://{bucket}.s3.{region}.amazonaws.com/{key}", "ours", "us-east-1")
READING = Reading(RULES, TEMPLATE, None, ZoneInfo("America/Los_Angeles"), 255)
ID = to18("a0X5g00000AbcDe")
LINK = "https://ours.s3.us-east-1.amazonaws.com/uploads/a/b.pdf"
GOOD: dict[str, object] = {
    "doclist_entry_id": ID,
    "original_url": "https://theirs.s3.us-west-2.amazonaws.com/b.pdf",
    "your_s3_key": "uploads/a/b.pdf",
    "your_s3_url": LINK,
    "account_id": "0013D00000AbcDe",
    "file_size_bytes": 12,
    "salesforce_updated": 0,
}


def row(**changed: Any) -> Old | Unfit:
    values = GOOD | changed
    return READING.row([values.get(name) for name in COLUMNS])


def old(**changed: Any) -> Old:
    found = row(**changed)
    assert isinstance(found, Old)
    return found


def test_a_good_row_has_long_ids_and_no_reason_to_refuse_it() -> None:
    found = old()
    assert (found.id, found.account_id, found.size, found.refused) == (ID, to18("0013D00000AbcDe"), 12, "")
    assert found.source_id == old(original_url="https://theirs.s3.amazonaws.com/b.pdf").source_id != 0


@pytest.mark.parametrize(
    ("changed", "failure"),
    [
        ({"original_url": ""}, "no_url"),
        ({"original_url": None}, "no_url"),
        ({"original_url": LINK}, "already_ours"),
        ({"original_url": "https://ours.s3.us-east-1.amazonaws.com/uploads/other"}, "already_ours"),
        ({"original_url": "https:///b.pdf"}, "bad_url"),
        ({"original_url": "http://169.254.169.254/latest"}, "host_not_allowed"),
        ({"original_url": "javascript:alert(1)"}, "bad_url"),
        ({"original_url": "https://theirs.s3.amazonaws.com/" + "x" * 224}, "bad_url"),
        ({"original_url": "https://theirs.s3.amazonaws.com/" + "x" * 223}, ""),
        ({"your_s3_url": LINK + "x" * 200_000}, "bad_url"),
        ({"your_s3_key": "x" * 5_000}, "copy_missing"),
        ({"your_s3_key": ""}, "copy_missing"),
        ({"your_s3_url": ""}, "copy_missing"),
        ({"your_s3_url": "https://ours2.s3.us-east-1.amazonaws.com/uploads/a/b.pdf"}, "copy_missing"),
        ({"your_s3_url": "https://evil.example/ours.s3./uploads/a/b.pdf"}, "copy_missing"),
        ({"your_s3_url": "https://ours.s3.us-east-1.amazonaws.com/uploads/a #5/b.pdf"}, ""),
    ],
)
def test_what_cannot_be_looked_at_has_a_class(changed: dict[str, Any], failure: str) -> None:
    assert old(**changed).refused == failure


@pytest.mark.parametrize(
    ("changed", "kind"),
    [
        ({"doclist_entry_id": "x"}, "bad_id"),
        ({"doclist_entry_id": None}, "bad_id"),
        ({"doclist_entry_id": ID.upper()}, "bad_id"),
        ({"doclist_entry_id": "\udce9"}, "bad_id"),
        ({"original_url": "h\udce9"}, "bad_text"),
        ({"original_url": b"bytes"}, "bad_text"),
        ({"doclist_entry_id": b"\xff"}, "bad_id"),
    ],
)
def test_what_is_no_row_of_a_record_is_unfit(changed: dict[str, Any], kind: str) -> None:
    found = row(**changed)
    assert isinstance(found, Unfit)
    assert found.kind == kind
    found.example.encode()
    assert "b'" not in found.example


def test_what_is_absurdly_long_is_kept_shortened() -> None:
    endless = "https://theirs.s3.amazonaws.com/" + "x" * 3_000_000
    found = old(original_url=endless, your_s3_url=endless, your_s3_key=endless, account_name=endless, file_name=endless)
    assert found.refused == "bad_url"
    assert "the field takes 255" in found.why
    assert len("".join(map(str, found))) < 10_000


@pytest.mark.parametrize(("size", "told"), [(5, 5), ("5", 5), (None, None), ("many", None), (-1, None), (5.5, None)])
def test_a_size_is_a_number_or_not_known(size: object, told: int | None) -> None:
    assert old(file_size_bytes=size).size == told


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2025-08-14T10:20:30.123456", "2025-08-14T17:20:30.123Z"),
        ("2025-01-14T10:20:30", "2025-01-14T18:20:30.000Z"),
        ("2025-08-01T08:00:00.000+0000", "2025-08-01T08:00:00.000Z"),
        ("2025-08-01T08:00:00Z", "2025-08-01T08:00:00.000Z"),
        ("0001-01-01T00:00:00+10:00", ""),
        ("yesterday", ""),
        ("", ""),
    ],
)
def test_times_become_utc_and_none_is_made_up(text: str, utc: str) -> None:
    assert READING.moment(text) == utc


@pytest.mark.parametrize(
    ("key", "opens"),
    [
        ("uploads/a/b c.pdf", True),
        ("uploads/a/Café.pdf", True),
        ("uploads/a/Acme #5/b.pdf", False),
        ("uploads/a/what?.pdf", False),
        ("uploads/a/a%20b.pdf", False),
        ("uploads/a/100%.pdf", True),
        ("uploads/a/x+y.pdf", False),
        ("uploads/a\\b.pdf", False),
    ],
)
def test_a_link_opens_where_a_click_asks_for_its_key(key: str, opens: bool) -> None:
    assert READING.opens(f"https://ours.s3.us-east-1.amazonaws.com/{key}", key) is opens
    assert READING.opens(TEMPLATE.url(key), key) or "+" in key or "\\" in key


@pytest.mark.parametrize("flag", [1, "1", 1.0, True])
def test_a_moved_link_is_noted_in_many_ways(flag: object) -> None:
    assert old(salesforce_updated=flag).switched
    assert not old(salesforce_updated=0).switched
    assert not old(salesforce_updated=None).switched

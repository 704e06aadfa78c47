"""What the planner would do with each record, as rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.analyzed import AnalyzedRecord
from engine.model.outcome import Status
from engine.model.plan import Known
from engine.model.record import Record
from engine.model.urls import source_rules
from engine.pipeline.census import Census, host_of
from engine.pipeline.placing import Target
from engine.pipeline.planning import Filters, Planner

TARGET = Target("ours", "us-east-1", None, "up/{record_id}/{file_name}", "https://ours.test/{key}", 80)

WITH_FOLDERS = replace(TARGET, key_template="up/{record_id}/{source_key}")
"""Such keys cannot be shortened."""


def census(target: Target = TARGET, filters: Filters | None = None) -> Census:
    return Census(Planner(source_rules(["vendor"], None, "us-west-2", []), target, filters), target.url_length)


def record(number: int, url: str, **changes: str) -> Record:
    made = Record(f"a0X{number:012d}AAA", f"File {number}", url, "001", "Acme", "2026-01-01T00:00:00.000Z")
    return replace(made, **changes)


def row_of(each: Record, status: Status = Status.BACKED_UP, url: str = "") -> Known:
    return Known(
        1, status, "", url or each.url, f"https://ours.test/up/{each.id}/a.pdf", f"up/{each.id}/a.pdf", each.modified,
        each.account_id, each.account_name, each.name, "e", "e", 1, "etag",
    )  # fmt: skip


def one(url: str, taker: Census | None = None, known: Known | None = None, number: int = 1) -> AnalyzedRecord:
    each = record(number, url)
    (found,) = (taker or census()).take([each], {each.id: known} if known else {})
    return found


URL = "https://vendor.s3.us-west-2.amazonaws.com/a/Deed%20of%20Trust.PDF"


def test_a_record_to_copy_names_its_file() -> None:
    found = one(URL)

    assert (found.fate, found.extension, found.bucket) == ("to_copy", ".pdf", "vendor")
    assert found.host == "vendor.s3.us-west-2.amazonaws.com"
    assert found.source_id > 0


def test_two_spellings_of_one_object_are_one_file() -> None:
    assert one(URL).source_id == one("https://s3.us-west-2.amazonaws.com/vendor/a/Deed of Trust.PDF").source_id


@pytest.mark.parametrize(
    ("url", "fate", "host"),
    [
        ("", "no_url", ""),
        ("   ", "no_url", ""),
        ("c:\\docs\\a.pdf", "bad_url", "(no host)"),
        ("javascript:alert(1)", "bad_url", "(no host)"),
        ("https://exa mple.test/a.pdf", "bad_url", "(unreadable)"),
        ("https://user:pw@Elsewhere.TEST:8443/a.pdf", "bad_url", "elsewhere.test:8443"),
        ("https://elsewhere.test/a.pdf?sig=1", "host_not_allowed", "elsewhere.test"),
        ("s3://other/a.pdf", "host_not_allowed", "s3://other"),
    ],
)
def test_a_record_that_cannot_be_copied_says_why_and_what_host(url: str, fate: str, host: str) -> None:
    found = one(url)

    assert (found.fate, found.host, found.source_id) == (fate, host, 0)


def test_a_bad_url_has_a_reason_and_no_other_fate_has() -> None:
    assert one("nonsense").reason == "the URL is not an http, https or s3 URL"
    assert one("https://elsewhere.test/a").reason == ""


def test_the_longest_link_is_measured_also_where_it_does_not_fit() -> None:
    taker = census(WITH_FOLDERS)
    one("https://vendor.s3.us-west-2.amazonaws.com/a/Deed.pdf", taker, number=1)
    one("https://vendor.s3.us-west-2.amazonaws.com/a/" + "x" * 80, taker, number=2)

    assert taker.links.too_long == 1
    assert taker.links.longest == len("https://ours.test/up/a0X000000000002AAA/a/") + 80
    assert taker.links.longest_record == "a0X000000000002AAA"
    assert taker.links.as_json()["excess"] == taker.links.longest - 80


def test_a_link_that_does_not_fit_still_has_a_file() -> None:
    found = one("https://vendor.s3.us-west-2.amazonaws.com/a/" + "x" * 80 + ".tif", census(WITH_FOLDERS))

    assert (found.fate, found.extension, found.bucket) == ("url_too_long", ".tif", "vendor")
    assert found.source_id > 0


def test_a_filtered_file_is_a_file() -> None:
    found = one(URL, census(filters=Filters(frozenset({".docx"}))))

    assert (found.fate, found.extension) == ("type_filtered", ".pdf")
    assert found.source_id > 0


@pytest.mark.parametrize("status", [Status.BACKED_UP, Status.ROLLED_BACK])
def test_what_is_copied_already_is_done(status: Status) -> None:
    each = record(1, URL)
    found = one(URL, known=row_of(each, status))

    assert found.fate == "done"
    assert found.source_id == one(URL).source_id


def test_a_switched_record_counts_by_the_file_it_came_from() -> None:
    each = record(1, URL)
    ours = f"https://ours.test/up/{each.id}/a.pdf"
    found = one(ours, known=row_of(each, Status.SWITCHED, URL))

    assert (found.fate, found.host) == ("done", "ours.test")
    assert found.source_id == one(URL).source_id


def test_a_failed_row_is_still_to_copy() -> None:
    each = record(1, URL)

    assert one(URL, known=row_of(each, Status.FAILED)).fate == "to_copy"


def test_keys_that_differ_in_case_alone_fold_to_one() -> None:
    found, other = (one(f"https://vendor.s3.us-west-2.amazonaws.com/a/{name}", number=1) for name in ("Ä.pdf", "ä.PDF"))

    assert found.key_hash != other.key_hash
    assert found.folded_hash == other.folded_hash


def test_a_few_files_of_each_bucket_are_kept_for_the_probe() -> None:
    taker = census()
    for number in range(30):
        one(f"https://vendor.s3.us-west-2.amazonaws.com/{number}.pdf", taker, number=number)

    assert [len(some) for some in taker.samples.values()] == [8]


def test_a_host_is_never_a_signature_or_a_password() -> None:
    assert host_of("https://u:secret@h.test/p?X-Amz-Signature=secret#secret") == "h.test"
    assert host_of("https://h.test?X-Amz-Signature=secret") == "h.test"

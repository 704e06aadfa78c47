"""`engine analyze` against both stand-ins: what it says is what is there, and it changes nothing."""

from __future__ import annotations

import csv
import json
import stat
from typing import Any

import pytest

from engine.rehearsal.generator import VENDOR_BUCKET
from tests.support.corner import Corner, Whole, org_log, wait

ANALYZE = ("analyze", "--json", "--no-progress")


def analysis(corner: Corner, *words: str, **env: str) -> dict[str, Any]:
    said = corner.engine(*ANALYZE, *words, **env)
    assert said.code == 0, said.everything
    return dict(said.json)


def exactly(value: int) -> dict[str, Any]:
    return {"estimate": value, "low": value, "high": value, "exact": True}


def heads_of_the_source(corner: Corner) -> int:
    asked = wait(corner.stage.objects.requests())
    return sum(each.method == "HEAD" and each.path.startswith(f"/{VENDOR_BUCKET}/") for each in asked)


def test_the_whole_world_is_described_as_it_was_made(whole: Whole, tmp_path_factory: Any) -> None:
    place = whole.corner
    corner = Corner(place.stage, tmp_path_factory.mktemp("fresh"), tag="fresh")
    corner.env["ENGINE_SALESFORCE__WHERE"] = place.env["ENGINE_SALESFORCE__WHERE"]
    expected = corner.stage.world.expected
    found = analysis(corner)
    with_file = {each.source_key: each for each in expected if each.source_key is not None}
    lost = [each for each in with_file.values() if each.failure == "source_missing"]

    assert found["records"]["total"] == len(expected)
    assert found["records"]["without_url"] == sum(each.failure == "no_url" for each in expected)
    assert found["files"]["distinct"] == len(with_file)
    assert found["sizes"]["bytes"] == exactly(sum(each.size or 0 for each in with_file.values()))
    assert found["sizes"]["missing"] == exactly(len(lost))
    assert found["sizes"]["archived"] == exactly(sum(each.failure == "archived" for each in with_file.values()))
    assert not corner.database.exists()


def test_it_reads_only(corner: Corner) -> None:
    corner.files(5)
    corner.forget_requests()
    called = len(org_log(corner.stage))
    before = sorted(path.name for path in corner.directory.iterdir())
    analysis(corner)

    assert corner.source_methods() <= {"GET", "HEAD"}
    assert corner.methods() <= {"GET", "HEAD"}
    assert {call["method"] for call in org_log(corner.stage)[called:] if "/data/" in call["path"]} == {"GET"}
    assert corner.held() == {}
    assert sorted(path.name for path in corner.directory.iterdir()) == before


def test_what_is_backed_up_is_done_and_the_rest_is_left(corner: Corner) -> None:
    corner.files(4, size=1000)
    assert corner.engine("run", "backup", "--full", "--no-progress").code == 0
    corner.files(3, size=200)
    before = corner.query("SELECT * FROM migration_runs")
    found = analysis(corner)

    assert (found["records"]["done"], found["records"]["to_copy"]) == (4, 3)
    assert found["sizes"]["bytes"] == exactly(4600)
    assert found["sizes"]["bytes_to_copy"] == exactly(600)
    assert found["forecast"]["s3_requests"] == {"HEAD": 3, "COPY": 3}
    assert corner.query("SELECT * FROM migration_runs") == before


def test_records_that_share_a_file_read_it_once(corner: Corner) -> None:
    corner.put("shared/a.pdf", size=500)
    corner.records([corner.row(url=corner.url("shared/a.pdf")) for _ in range(3)])
    found = analysis(corner)

    assert found["files"] == {
        "distinct": 1, "to_copy": 1, "shared": 1, "records_sharing": 3, "reads_saved": 2, "bytes_saved": 1000,
    }  # fmt: skip
    assert found["sizes"]["bytes_to_store"] == exactly(1500)


def test_a_listing_makes_it_exact_and_costs_no_head_per_file(corner: Corner) -> None:
    corner.files(30, size=100)
    corner.forget_requests()
    found = analysis(corner, ENGINE_SOURCE__INVENTORY="always")
    heads = heads_of_the_source(corner)

    assert found["sizes"]["basis"] == "exact"
    assert found["sizes"]["listed_objects"] >= 30
    assert found["sizes"]["objects_without_record"]["objects"] == found["sizes"]["listed_objects"] - 30
    assert heads < 30
    assert found["sizes"]["bytes"] == exactly(3000)


def test_where_listing_is_not_allowed_a_sample_is_measured_and_named_one(corner: Corner) -> None:
    for size in (100, 3000, 50_000):
        corner.files(40, size=size)
    truth = 40 * (100 + 3000 + 50_000)
    corner.forget_requests()
    found = analysis(corner, "--sample", "60", ENGINE_SOURCE__INVENTORY="never")
    sizes = found["sizes"]

    assert (sizes["basis"], sizes["heads"], sizes["confidence"]) == ("sample", 60, 0.95)
    assert sizes["bytes"]["low"] <= truth <= sizes["bytes"]["high"]
    assert not sizes["bytes"]["exact"]
    assert heads_of_the_source(corner) <= 60 + 20


def test_a_sample_of_none_leaves_sizes_unknown(corner: Corner) -> None:
    corner.files(3)
    found = analysis(corner, "--sample", "0", ENGINE_SOURCE__INVENTORY="never")

    assert found["sizes"]["basis"] == "unknown"
    assert found["sizes"]["bytes"] is None
    assert any("sizes are unknown" in each for each in found["recommendations"])
    assert "unknown" in corner.engine("analyze", "--sample", "0", ENGINE_SOURCE__INVENTORY="never").out


def test_a_listing_that_is_denied_gives_way_to_a_sample_unless_it_must_be(corner: Corner) -> None:
    corner.files(6)
    corner.misbehave(kind="access_denied", method="GET", path=rf"^/{VENDOR_BUCKET}/?\?.*list-type=2")
    refused = corner.engine(*ANALYZE, ENGINE_SOURCE__INVENTORY="always")
    found = analysis(corner, "--sample", "5")

    assert refused.code == 4, refused.everything
    assert "cannot be listed" in refused.err
    assert found["sizes"]["heads"] == 5
    assert any("not listed" in note for note in found["notes"])


def test_links_that_do_not_fit_are_told_before_anything_is_copied(corner: Corner) -> None:
    corner.files(2)
    corner.files(1, suffix=f"-{'y' * 150}.pdf")
    template = f"{'x' * 60}/{{record_id}}/"
    shortened = analysis(corner, ENGINE_DESTINATION__KEY_TEMPLATE=template + "{file_name}")
    found = analysis(corner, ENGINE_DESTINATION__KEY_TEMPLATE=template + "{source_key}")

    assert shortened["links"]["too_long"] == 0
    assert found["links"]["too_long"] == 1
    assert found["links"]["longest"] == 255 + found["links"]["excess"]
    assert any("shorten destination.key_template" in each for each in found["recommendations"])


@pytest.mark.parametrize("suffix", [".csv", ".ndjson"])
def test_archived_objects_are_listed_for_the_vendor(corner: Corner, suffix: str) -> None:
    key = f'{corner.tag}/=cold, "file".pdf'
    corner.put(key, size=700, storage_class="DEEP_ARCHIVE")
    (record,) = corner.records([corner.row(url=corner.url(key))])
    corner.files(1)
    file = corner.directory / f"archived{suffix}"
    found = analysis(corner, "--archived", str(file))
    with file.open(newline="", encoding="utf-8") as text:
        rows = list(csv.DictReader(text)) if suffix == ".csv" else [json.loads(line) for line in text]

    assert found["archived_file"] == {"file": str(file), "objects": 1, "complete": True}
    assert [(row["bucket"], row["key"], str(row["bytes"]), row["storage_class"]) for row in rows] == [
        (VENDOR_BUCKET, key, "700", "DEEP_ARCHIVE")
    ]
    assert rows[0]["example_record"] == record
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert found["sizes"]["archived"] == exactly(1)


def test_an_account_and_a_limit_narrow_it(corner: Corner) -> None:
    account = corner.account("Acme")
    corner.files(3, size=10, account=account)
    corner.files(4, size=1000)
    one, some = analysis(corner, "--account", account), analysis(corner, "--limit", "2")

    assert (one["records"]["total"], one["sizes"]["bytes"]) == (3, exactly(30))
    assert [row["account_id"] for row in one["by"]["account"]] == [account]
    assert (some["records"]["total"], some["scope"]["whole"]) == (2, False)
    assert any("first 2" in note for note in some["notes"])


def test_test_settings_bind_it(corner: Corner) -> None:
    corner.files(4)

    assert analysis(corner, ENGINE_MIGRATION__MAX_TEST_FILES="3")["records"]["total"] == 3
    assert corner.engine(*ANALYZE, "--limit", "9", ENGINE_MIGRATION__MAX_TEST_FILES="3").code == 2


def test_prices_of_the_settings_are_used_and_a_wrong_one_is_a_usage_error(corner: Corner) -> None:
    corner.files(1)
    found = analysis(corner, ENGINE_PRICES='{"put": 5000, "currency": "EUR"}')["forecast"]["cost"]

    assert found["currency"] == "EUR"
    assert found["once"]["requests"]["estimate"] >= 5
    assert corner.engine(*ANALYZE, ENGINE_PRICES='{"pot": 1}').code == 2


def test_the_export_holds_everything_and_nothing_secret(corner: Corner) -> None:
    corner.files(2)
    corner.records([corner.row(url="https://elsewhere.test/a.pdf?X-Amz-Signature=canary")])
    file = corner.directory / "analysis.json"
    found = analysis(corner, "--export", str(file))
    exported = json.loads(file.read_text(encoding="utf-8"))

    assert {key: value for key, value in found.items() if key != "by_rows"} == exported
    assert exported["problems"]["foreign_hosts"][0]["host"] == "elsewhere.test"
    assert "canary" not in file.read_text(encoding="utf-8")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_tables_hold_the_numbers_a_person_asks_for(corner: Corner) -> None:
    account = corner.account("\x1b[31mRed\u202e Inc")
    corner.files(2, size=1500, account=account)
    corner.records([corner.row(), corner.row(url="no url at all")])
    said = corner.engine("analyze")

    assert said.code == 0, said.everything
    for word in ("records to copy", "3.0 kB", "exact", "Red Inc", ".pdf", "By size", "Forecast", "Recommendations"):
        assert word in said.out, said.out
    assert "\x1b[31m" not in said.out
    assert "the URL is not an http, https or s3 URL" in said.out


def test_an_empty_scope_is_told(corner: Corner) -> None:
    found = analysis(corner)

    assert found["records"]["total"] == 0
    assert any("No record is in scope" in each for each in found["recommendations"])


def test_a_file_that_cannot_be_written_is_refused_before_the_work(corner: Corner) -> None:
    corner.forget_requests()
    said = corner.engine(*ANALYZE, "--export", str(corner.directory / "no" / "such.json"))

    assert said.code == 2
    assert corner.methods() == set()

"""``engine doctor`` looks before anything is done, changes nothing, and names the fix."""

from __future__ import annotations

import json
from typing import Any
from urllib.request import Request, urlopen

import pytest

from tests.support.corner import Corner, Said, org_log, wait


@pytest.fixture
def corner(corner: Corner) -> Corner:
    """New links lead to the stand-in, which answers a GET without credentials as a private bucket does."""
    corner.same_time()
    corner.env["ENGINE_DESTINATION__URL_TEMPLATE"] = f"{corner.stage.store.url}/{{bucket}}/{{key}}"
    return corner


def found(said: Said) -> dict[str, dict[str, Any]]:
    return {each["check"]: each for each in said.json["findings"]}


def test_a_sound_world_has_no_blocker_and_is_left_as_it_was(corner: Corner) -> None:
    corner.files(8)
    wait(corner.stage.objects.clear_requests())
    org_log(corner.stage, "clear=1")
    said = corner.engine("doctor", "--json")
    assert said.code == 0, said.everything
    checks = found(said)
    for name in ("login", "url_field", "records", "api_quota", "links", "new_links", "source", "destination"):
        assert checks[name]["level"] in {"ok", "warn"}, checks[name]
    assert "8 records" in checks["records"]["what"]
    assert "5 of 5 sample files were read" in checks["source"]["what"]
    assert checks["clock_salesforce"]["level"] == checks["clock_s3"]["level"] == "ok"
    assert corner.held() == {}
    assert not corner.database.exists()
    writes = [each for each in wait(corner.stage.objects.requests()) if each.method in {"PUT", "POST", "DELETE"}]
    assert {each.method for each in writes} == {"PUT", "DELETE"}
    assert all("/.engine/doctor-" in each.path for each in writes)
    assert all(entry["method"] == "GET" for entry in org_log(corner.stage, "path=/services/data"))


def test_a_bucket_that_keeps_versions_keeps_the_probes_too_and_doctor_says_so(corner: Corner) -> None:
    corner.files(1)
    assert found(corner.engine("doctor", "--json"))["probe"]["what"] == "the probe object was deleted again"
    body = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    place = f"{corner.stage.store.url}/{corner.bucket}?versioning"
    asked = Request(place, body, {"Content-Type": "application/xml"}, method="PUT")
    with urlopen(asked) as answer:
        assert answer.status == 200
    told = found(corner.engine("doctor", "--json"))
    assert "version and a delete marker remain" in told["probe"]["what"]
    assert "versioning is on" in told["versioning"]["what"]


def test_the_table_shows_every_finding_and_its_fix(corner: Corner) -> None:
    corner.files(2)
    said = corner.engine("doctor")
    assert said.code == 0
    assert "nothing blocks" in said.out
    assert "versioning is off" in said.out
    assert "→ turn versioning on before the switch" in said.out


def test_links_that_users_cannot_open_warn_before_a_backup_and_block_a_switch(corner: Corner) -> None:
    corner.files(4)
    assert corner.engine("run", "backup", "--full").code == 0
    backup = corner.engine("doctor", "--json")
    assert backup.code == 0
    assert found(backup)["user_links"]["level"] == "warn"
    assert "403 4" in found(backup)["user_links"]["what"]
    assert "the bucket is private" in found(backup)["user_links"]["fix"]
    switch = corner.engine("doctor", "--for", "switch", "--json")
    assert found(switch)["user_links"]["level"] == "block"
    assert switch.code == 4


def test_what_acts_on_an_update_is_named(corner: Corner) -> None:
    corner.files(1)
    corner.org(
        "tooling",
        ApexTrigger=[
            {"Name": "TellTheVendor", "on": "DocListEntry__c", "Status": "Active", "UsageAfterUpdate": True},
            {"Name": "OnInsertOnly", "on": "DocListEntry__c", "Status": "Active", "UsageAfterUpdate": False},
            {"Name": "Elsewhere", "on": "Account", "Status": "Active", "UsageAfterUpdate": True},
        ],
        ValidationRule=[{"ValidationName": "Url_Is_Https", "on": "DocListEntry__c", "Active": True}],
        Flow=[
            {
                "MasterLabel": "Mail the owner",
                "ProcessType": "AutoLaunchedFlow",
                "Status": "Active",
                "Metadata": {"start": {"object": "DocListEntry__c", "recordTriggerType": "Update"}},
            },
            {
                "MasterLabel": "On new accounts",
                "ProcessType": "AutoLaunchedFlow",
                "Status": "Active",
                "Metadata": {"start": {"object": "Account", "recordTriggerType": "Create"}},
            },
        ],
    )
    checks = found(corner.engine("doctor", "--json"))
    assert "1 Apex triggers" in checks["triggers"]["what"]
    assert "TellTheVendor" in checks["triggers"]["what"]
    assert "Url_Is_Https" in checks["validation_rules"]["what"]
    assert checks["flows"]["what"].endswith("Mail the owner")
    assert checks["flows"]["level"] == "warn"


def test_what_may_not_be_read_is_unknown_and_stops_nothing(corner: Corner) -> None:
    corner.files(1)
    corner.org("faults", rules=[{"endpoint": "tooling_query", "kind": "query_timeout"}])
    said = corner.engine("doctor", "--json")
    assert said.code == 0, said.everything
    assert found(said)["triggers"]["level"] == "unknown"
    assert found(said)["destination"]["level"] == "ok"
    without = [each["check"] for each in said.json["findings"] if each["level"] != "ok" and not each["fix"]]
    assert without == [], "each finding says what to do"


def test_a_field_that_may_not_be_edited_blocks_a_switch_only(corner: Corner) -> None:
    corner.files(1)
    corner.org("field", object="DocListEntry__c", field="Document__c", updateable=False)
    try:
        assert corner.engine("doctor").code == 0
        said = corner.engine("doctor", "--for", "switch", "--json")
        assert said.code == 4
        assert "field-level security" in found(said)["url_field"]["fix"]
    finally:
        corner.org("field", object="DocListEntry__c", field="Document__c", updateable=True)


@pytest.mark.parametrize(
    ("env", "check"),
    [
        ({"ENGINE_DESTINATION__BUCKET": "no-such-bucket-here"}, "destination"),
        ({"ENGINE_SALESFORCE__CLIENT_SECRET": "wrong"}, "login"),
        ({"ENGINE_SALESFORCE__OBJECT": "Nothing__c"}, "login"),
        ({"ENGINE_SALESFORCE__API_BUDGET": "0.000001"}, ""),
        ({"ENGINE_DESTINATION__KEY_TEMPLATE": "uploads/" + "x" * 250 + "/{record_id}/{file_name}"}, "new_links"),
        ({"ENGINE_SOURCE__ENDPOINT_URL": "http://127.0.0.1:9"}, ""),
        ({"ENGINE_MIGRATION__CONCURRENCY": "4096"}, ""),
    ],
)
def test_a_blocker_ends_with_4_and_names_what_to_change(corner: Corner, env: dict[str, str], check: str) -> None:
    corner.files(2)
    said = corner.engine("doctor", "--json", **env)
    if check:
        assert said.code == 4, said.everything
        assert found(said)[check]["level"] == "block"
    blocked = [each for each in said.json.get("findings", []) if each["level"] == "block"]
    assert all(each["fix"] for each in blocked)
    assert said.code == (4 if blocked or "error" in said.json else 0)


def test_under_dry_run_nothing_is_written_to_the_bucket(corner: Corner) -> None:
    corner.files(1)
    wait(corner.stage.objects.clear_requests())
    said = corner.engine("doctor", "--json", ENGINE_MIGRATION__DRY_RUN="true")
    assert said.code == 0
    assert found(said)["destination"]["level"] == "unknown"
    assert not [each for each in wait(corner.stage.objects.requests()) if each.method not in {"GET", "HEAD"}]


def test_open_permissions_are_told_with_the_command_that_mends_them(corner: Corner) -> None:
    corner.files(1)
    assert corner.engine("run", "backup", "--full").code == 0
    corner.database.chmod(0o644)
    checks = found(corner.engine("doctor", "--json"))
    assert checks["permissions"]["fix"] == f"chmod 600 {corner.database}"


def test_iam_prints_policies_without_asking_anybody(corner: Corner) -> None:
    said = corner.engine("doctor", "--iam", ENGINE_SALESFORCE__LOGIN_URL="http://127.0.0.1:9")
    assert said.code == 0
    assert set(json.loads(said.out)) == {"source", "destination"}

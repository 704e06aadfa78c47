"""The page for a change board: a verdict is never better than its arithmetic."""

from __future__ import annotations

import json
from typing import Any

import pytest

from engine.desk import criteria
from engine.desk.criteria import Criterion

ORG = "00D5e00000SimOrEAJ"
LATE, EARLY = "2026-12-01T12:00:00.000Z", "2026-12-01T10:00:00.000Z"
SWEEP = {
    "org_id": ORG,
    "begun": LATE,
    "watch": False,
    "searched_for": ["vendor.s3", "more"],
    "complete": True,
    "record_count": 0,
    "fields_searched": 9,
    "objects_searched": 3,
}


def facts(**changed: Any) -> dict[str, Any]:
    """A migration of which everything holds."""
    files = {"tracked": 1000, "backed_up": 960, "switched": 0, "rolled_back": 0, "failed": 40, "gone": 0}
    return {
        "files": files,
        "rows": 1000,
        "scope": {"records": 1000, "known": 1000, "complete": True},
        "readiness": {"in_scope": 1000, "not_seen": 0, "switched": 0},
        "errors": [{"failure_class": "archived", "count": 40}],
        "last_verify": {"level": "head", "end_time": LATE, "status": "completed", "whole": 1},
        "last_copy": EARLY,
        "last_switch": EARLY,
        "in_doubt": 0,
        "unproved": 0,
        "audit": {"whole": True, "problem": None, "rows": 10},
        "org_id": ORG,
        "terms": ["vendor.s3"],
        "sweep": SWEEP,
        "doctor": None,
    } | changed


def broken(found: list[Criterion]) -> list[str]:
    return [each.name for each in found if not each.holds]


def test_everything_holds() -> None:
    assert broken(criteria.go(facts())) == []
    switched = facts(readiness={"in_scope": 1000, "not_seen": 0, "switched": 1000})
    assert broken(criteria.cancel(switched)) == []


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"scope": {"records": 2000, "known": 1000, "complete": False}}, "Every record was seen"),
        ({"readiness": {"in_scope": 1000, "not_seen": 1000, "switched": 0}}, "Copied and proved"),
        ({"readiness": {"in_scope": 0, "not_seen": 0, "switched": 0}}, "Copied and proved"),
        ({"errors": [{"failure_class": "internal", "count": 1}]}, "No unexplained error"),
        ({"rows": 999}, "The states add up"),
        ({"last_verify": None}, "Copies were verified, after all that was changed"),
        ({"last_copy": "2026-12-02T00:00:00.000Z"}, "Copies were verified, after all that was changed"),
        ({"in_doubt": 1}, "No link in doubt"),
        ({"unproved": 1}, "No broken link"),
    ],
)
def test_one_thing_that_does_not_hold_is_no_go(changed: dict[str, Any], name: str) -> None:
    assert broken(criteria.go(facts(**changed))) == [name]


def test_a_blocker_that_doctor_found_is_no_go_and_no_certificate() -> None:
    found = {"check": "user_links", "level": "block", "what": "5 of 5 new links cannot be opened"}
    doctor = {"org_id": ORG, "at": LATE, "purpose": "switch", "findings": [found]}

    for asked in (criteria.go, criteria.cancel):
        last = asked(facts(doctor=doctor))[-1]
        assert (last.holds, "5 of 5 new links" in last.why) == (False, True)
        fine = doctor | {"findings": [found | {"level": "warn"}]}
        assert asked(facts(doctor=fine))[-1].holds
        assert not asked(facts(doctor=fine | {"org_id": "00D000000000001AAA"}))[-1].holds
        assert not asked(facts(doctor=fine | {"purpose": "backup"}))[-1].holds


@pytest.mark.parametrize(
    "changed",
    [
        {"org_id": "00D000000000001AAA"},
        {"begun": "2026-12-01T09:00:00.000Z"},
        {"watch": True},
        {"searched_for": ["some-other-vendor.s3"]},
        {"complete": False},
        {"fields_searched": 0},
        {"record_count": 1},
    ],
)
def test_a_sweep_that_proves_nothing_is_no_certificate(changed: dict[str, Any]) -> None:
    switched = {"in_scope": 1000, "not_seen": 0, "switched": 1000}
    found = criteria.cancel(facts(sweep=SWEEP | changed, readiness=switched))
    assert broken(found) == ["Nothing in the org leads to the vendor"]


def test_a_verification_of_some_copies_is_none_of_all() -> None:
    verify = {"level": "deep", "end_time": LATE, "status": "completed", "whole": 0}
    assert len(broken(criteria.go(facts(last_verify=verify)))) == 1
    failed = verify | {"whole": 1, "status": "completed_with_failures"}
    assert len(broken(criteria.go(facts(last_verify=failed)))) == 1


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"readiness": {"in_scope": 1000, "not_seen": 0, "switched": 999}}, "Every link is switched, or waived"),
        ({"audit": {"whole": False, "problem": "row 3 was changed", "rows": 10}}, "The journal is whole"),
        ({"sweep": None}, "Nothing in the org leads to the vendor"),
    ],
)
def test_what_is_missing_keeps_the_vendor(changed: dict[str, Any], name: str) -> None:
    whole = {"readiness": {"in_scope": 1000, "not_seen": 0, "switched": 1000}}
    assert broken(criteria.cancel(facts(**(whole | changed)))) == [name]


def test_what_nobody_knows_is_no_yes() -> None:
    [sweep] = [each for each in criteria.cancel(facts(sweep=None)) if each.name.startswith("Nothing in the org")]
    assert sweep.holds is None
    assert json.loads(json.dumps(sweep.as_json()))["holds"] is None


def test_share_is_more_than_95_and_shows_its_arithmetic() -> None:
    files = facts()["files"] | {"backed_up": 950}
    [share] = [each for each in criteria.go(facts(files=files)) if each.name == "Copied and proved"]
    assert not share.holds
    assert "950 of 1,000" in share.why
    assert "95.00 %" in share.why

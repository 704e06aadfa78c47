"""SOQL text: escaped once, in one place."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from engine.model.errors import Usage
from engine.rehearsal.salesforce import Server
from engine.salesforce import soql
from tests.support.org import OBJECT, QuickClock, connected


def test_a_statement_joins_conditions_and_leaves_out_empty_ones() -> None:
    built = soql.select(
        ["Id", "Name"], "X__c", conditions=["", "A = 1", soql.bracketed("B = 2 OR C = 3")], order=["Id"], limit=5
    )
    assert built == "SELECT Id, Name FROM X__c WHERE A = 1 AND (B = 2 OR C = 3) ORDER BY Id LIMIT 5"


def test_no_conditions_means_no_where() -> None:
    assert soql.select(["COUNT()"], "X__c", conditions=["", ""]) == "SELECT COUNT() FROM X__c"


@pytest.mark.parametrize(
    ("value", "literal"),
    [
        ("plain", "'plain'"),
        ("it's", r"'it\'s'"),
        ("ends with \\", r"'ends with \\'"),
        ("\\' OR Name != '", r"'\\\' OR Name != \''"),
        ("line\nfeed\ttab\r", r"'line\nfeed\ttab\r'"),
        ("100%_", "'100%_'"),
    ],
)
def test_text_is_escaped_backslash_first(value: str, literal: str) -> None:
    assert soql.text_literal(value) == literal


@pytest.mark.parametrize("value", ["\\", "'", "a\\'b", "new\nline", "50%_off", "\\\\''\\", 'quote"d', "tab\t"])
async def test_the_org_reads_back_exactly_the_text_that_was_meant(value: str, org: Server, clock: QuickClock) -> None:
    org.world.load(OBJECT, [{"Name": "other"}, {"Name": "wanted", "Identifier__c": value}])
    condition = soql.compare("Identifier__c", "=", value)
    async with connected(org, clock) as salesforce:
        statement = soql.select(["Name"], OBJECT, conditions=[condition])
        found = [row["Name"] async for _, rows in salesforce.pages.answers(statement) for row in rows]
    assert found == ["wanted"]


def test_text_longer_than_soql_takes_is_refused_before_sending() -> None:
    with pytest.raises(Usage, match="4001"):
        soql.text_literal("x" * 4001)


@pytest.mark.parametrize(
    ("moment", "literal"),
    [
        ("2026-11-22T10:00:00.999Z", "2026-11-22T10:00:00Z"),
        ("2026-11-22T10:00:00+02:00", "2026-11-22T08:00:00Z"),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (datetime(2026, 1, 2, tzinfo=timezone(timedelta(hours=-5))), "2026-01-02T05:00:00Z"),
    ],
)
def test_moments_are_utc_with_z_and_whole_seconds(moment: str | datetime, literal: str) -> None:
    assert soql.moment_literal(moment) == literal


@pytest.mark.parametrize("moment", ["yesterday", "2026-11-22T10:00:00", "1600-01-01T00:00:00Z"])
def test_moments_that_soql_would_misread_are_refused(moment: str) -> None:
    with pytest.raises(Usage):
        soql.moment_literal(moment)


@pytest.mark.parametrize("name", ["", "1x", "Name; DROP", "a.b'", "X__c WHERE", "Näme", "a..b", "Id,Name", "x" * 81])
def test_what_is_no_api_name_never_reaches_a_statement(name: str) -> None:
    with pytest.raises(Usage, match="API name"):
        soql.select(["Id"], name)


def test_a_field_asked_for_twice_in_any_case_is_selected_once() -> None:
    assert len(soql.named(["Id", "Name", "name", "ID"])) == 2

"""Preflight: the right org, a version it serves, an object and fields that exist and fit."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model.errors import Blocked, Transient
from engine.rehearsal.salesforce import Server
from engine.salesforce.shape import check_version, read_shape
from engine.settings import SalesforceSettings
from tests.support.org import OBJECT, QuickClock, Scripted, connected
from tests.support.servers.salesforce import Reply, Seen, problem


async def test_the_shape_tells_length_and_whether_links_can_be_written(org: Server, clock: QuickClock) -> None:
    link = org.world.schema.get(OBJECT).column("Document__c")
    assert link is not None
    async with connected(org, clock) as salesforce:
        shape = await salesforce.shape()
        assert (shape.url_length, shape.url_updateable) == (255, True)
        link.updateable, link.length = False, 100
        shape = await salesforce.shape()
        assert (shape.url_length, shape.url_updateable) == (100, False)


async def test_a_missing_object_is_named_with_the_nearest_one(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock, object="DocListEntries__c") as salesforce:
        with pytest.raises(Blocked, match=r"did you mean DocListEntry__c\?"):
            await salesforce.shape()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url_field": "Documents__c"}, r"field 'Documents__c' \(salesforce.url_field\); did you mean Document__c\?"),
        ({"name_field": "Nmae"}, r"salesforce.name_field\); did you mean Name\?"),
        ({"account_field": "Zzz"}, r"field 'Zzz' \(salesforce.account_field\)$"),
        ({"account_name_field": "Acount__r.Name"}, r"relationship 'Acount__r'.*did you mean Account__r\?"),
    ],
)
async def test_a_missing_field_is_named_with_its_key_and_the_nearest_one(
    changes: dict[str, str], words: str, org: Server, clock: QuickClock
) -> None:
    async with connected(org, clock, **changes) as salesforce:
        with pytest.raises(Blocked, match=words) as caught:
            await salesforce.shape()
    assert "field-level security" in caught.value.hint


async def test_a_resolver_field_is_looked_for_too(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock, ("Identifer__c",)) as salesforce:
        with pytest.raises(Blocked, match=r"source.resolver.url\); did you mean Identifier__c"):
            await salesforce.shape()


async def test_a_field_hidden_from_the_user_counts_as_missing(org: Server, clock: QuickClock) -> None:
    link = org.world.schema.get(OBJECT).column("Document__c")
    assert link is not None
    link.readable = False
    async with connected(org, clock) as salesforce:
        with pytest.raises(Blocked, match="no field 'Document__c'"):
            await salesforce.shape()


def described(**link: Any) -> dict[str, Any]:
    fields = [{"name": "Name"}, {"name": "Account__c", "relationshipName": "Account__r"}]
    base = {"name": "Document__c", "type": "url", "length": 255, "updateable": True}
    return {"name": OBJECT, "queryable": True, "fields": [*fields, {**base, **link}]}


@pytest.mark.parametrize(
    "link", [{"type": "boolean"}, {"type": "reference"}, {"type": "textarea", "htmlFormatted": True}]
)
def test_a_field_that_cannot_hold_a_link_is_refused(link: dict[str, Any]) -> None:
    with pytest.raises(Blocked, match="Document__c"):
        read_shape(described(**link), SalesforceSettings())


def test_a_text_field_may_hold_links() -> None:
    assert read_shape(described(type="string", length=80), SalesforceSettings()).url_length == 80


def test_an_object_that_cannot_be_queried_is_refused() -> None:
    with pytest.raises(Blocked, match="queried"):
        read_shape(described() | {"queryable": False}, SalesforceSettings())


@pytest.mark.parametrize("answer", [None, [], {}, {"fields": None}])
def test_a_describe_that_is_none_is_not_misread(answer: Any) -> None:
    with pytest.raises(Transient):
        read_shape(answer, SalesforceSettings())


async def test_the_pinned_org_is_accepted_in_either_id_length(org: Server, clock: QuickClock) -> None:
    for pin in (org.org.org_id, org.org.org_id[:15]):
        async with connected(org, clock, org_id=pin) as salesforce:
            found = await salesforce.organization()
        assert (found.id, found.name, found.is_sandbox) == (org.org.org_id, "Rehearsal Org", True)


async def test_another_org_than_the_pinned_one_is_refused(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock, org_id="00D000000000001EAA") as salesforce:
        with pytest.raises(Blocked, match=r"Rehearsal Org.*pins 00D000000000001EAA"):
            await salesforce.organization()


async def test_an_org_that_hides_its_name_is_still_known_by_its_login(org: Server, clock: QuickClock) -> None:
    org.world.schema.get("Organization").readable = False
    async with connected(org, clock) as salesforce:
        assert (await salesforce.organization()).id == org.org.org_id
    async with connected(org, clock, org_id="00D000000000001EAA") as salesforce:
        with pytest.raises(Blocked, match="pins"):
            await salesforce.organization()


async def test_an_org_that_cannot_be_told_at_all_blocks(scripted: Scripted) -> None:
    def script(seen: Seen) -> Reply:
        return Reply([{"version": "62.0"}]) if seen.path.endswith("/data/") else problem("INVALID_TYPE", "no", 400)

    async with scripted(script) as (salesforce, _):
        with pytest.raises(Blocked, match="INVALID_TYPE"):
            await salesforce.organization()


async def test_a_version_the_org_does_not_serve_blocks_with_one_that_it_does(org: Server, clock: QuickClock) -> None:
    async with connected(org, clock, api_version="99.0") as salesforce:
        with pytest.raises(Blocked, match=r"version 99\.0") as caught:
            await salesforce.organization()
    assert '"67.0"' in caught.value.hint


@pytest.mark.parametrize("answer", [None, {}, [], ["x"]])
def test_an_unreadable_list_of_versions_refuses_nothing(answer: Any) -> None:
    check_version(answer, "62.0")

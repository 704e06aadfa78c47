"""``engine sweep`` finds what still points at the vendor, and gives no all-clear for what it did not search."""

from __future__ import annotations

import io
import json
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rich.console import Console

from engine.reading.load import load_settings
from engine.rehearsal.salesforce.world import make_id
from engine.runs.shared.screen import Screen
from engine.runs.sweep.sweep import SweepOptions, sweep
from engine.runs.sweep.terms import terms_of
from engine.settings import Settings
from tests.support.corner import Corner, ended, load, org_log, until, wait
from tests.support.org import QuickClock


@pytest.fixture
def org(corner: Corner) -> Iterator[Corner]:
    """A vendor bucket that nobody else in the shared org points at."""
    corner.env["ENGINE_SOURCE__BUCKETS"] = json.dumps([f"old-{corner.tag}"])
    yield corner
    corner.org("field", object="DocListEntry__c", field="Identifier__c", type="string", length=255)
    corner.org("field", object="Account", field="Website", type="url", length=255, readable=True)


def vendor(corner: Corner, key: str = "x/y.pdf") -> str:
    return f"{corner.stage.store.url}/old-{corner.tag}/{key}?X-Amz-Signature=secret"


def account(corner: Corner, **fields: str) -> str:
    name = make_id("001", 800_000 + int(time.monotonic_ns() % 100_000))
    load(corner.stage, [{"type": "Account", "Id": name, "Name": f"Of {corner.tag}", **fields}])
    return name


def places(document: dict[str, Any]) -> dict[tuple[str, str], int]:
    return {(each["object"], each["field"]): each["count"] for each in document["found"]}


def test_an_org_without_a_trace_ends_with_0_and_says_what_was_skipped(org: Corner) -> None:
    said = org.engine("sweep", "--json")
    assert said.code == 0, said.everything
    assert said.json["complete"] is True
    assert said.json["objects_searched"] == 4
    said = org.engine("sweep")
    assert "Nothing that this login can see" in said.out
    assert "next: engine sweep --watch" in said.out


CLOSED = {"FieldDefinition", "RelationshipDomain", "Vote", "ColorDefinition", "UserFieldAccess"}


def test_objects_that_nobody_may_search_are_named_and_outside_the_answer(org: Corner) -> None:
    said = org.engine("sweep", "--json")
    assert (said.code, said.json["not_searched"]) == (0, {})
    assert said.json["set_aside"].keys() == CLOSED
    assert "reified column" in said.json["set_aside"]["FieldDefinition"]
    said = org.engine("sweep")
    assert "set aside: ColorDefinition, FieldDefinition" in said.out
    assert "any more in what was searched" in said.out


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 403, "code": "INSUFFICIENT_ACCESS", "message": "insufficient access"},
        {"status": 400, "code": "INVALID_TYPE", "message": "sObject type 'Account' is not supported."},
        {"status": 400, "code": "INVALID_FIELD", "message": "No such column 'Website' on entity 'Account'"},
    ],
    ids=lambda answer: answer["code"],
)
def test_an_object_that_this_login_may_not_read_keeps_the_all_clear_back_until_it_is_excepted(
    org: Corner, answer: dict[str, Any]
) -> None:
    org.org("faults", rules=[{"kind": "refused", "endpoint": "FROM Account", "params": answer}])
    said = org.engine("sweep", "--json")
    assert said.code == 3, said.everything
    assert list(said.json["not_searched"]) == ["Account"]
    assert "--except NAME" in org.engine("sweep").out
    said = org.engine("sweep", "--except", "account", "--json")
    assert (said.code, said.json["complete"]) == (0, True), said.everything
    assert said.json["set_aside"]["Account"] == "--except"
    assert "set aside by --except: Account" in org.engine("sweep", "--except", "Account").out


def test_an_object_that_only_refuses_the_filter_is_read(org: Corner) -> None:
    account(org, Website=vendor(org))
    refused = {"status": 400, "code": "MALFORMED_QUERY", "message": "Implementation restriction: no LIKE here"}
    org.org("faults", rules=[{"kind": "refused", "endpoint": "FROM Account.*LIKE", "params": refused}])
    said = org.engine("sweep", "--json")
    assert said.code == 6, said.everything
    assert places(said.json) == {("Account", "Website"): 1}
    assert said.json["complete"] is True


@pytest.mark.parametrize("at", ["FROM Account .*ORDER|FROM Account.*LIKE", "FROM DocListEntry__c"])
def test_what_answers_a_plain_question_or_is_the_customers_own_is_never_set_aside(org: Corner, at: str) -> None:
    """A question of ours that is wrong would excuse every object."""
    refused = {"status": 400, "code": "MALFORMED_QUERY", "message": "Implementation restriction: odd"}
    org.org("faults", rules=[{"kind": "refused", "endpoint": at, "params": refused, "after": int("Doc" in at)}])
    said = org.engine("sweep", "--json")
    assert said.code == 3, said.everything
    assert said.json["set_aside"].keys() == CLOSED
    assert len(said.json["not_searched"]) == 1


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--except", "Acount"), "did you mean Account?"),
        (("--except", "Account", "--object", "User"), "--except needs a search of all objects"),
        (("--except", "Account", "--watch"), "--except needs a search of all objects"),
    ],
)
def test_an_exception_without_effect_is_refused(org: Corner, words: tuple[str, ...], told: str) -> None:
    said = org.engine("sweep", *words)
    assert said.code == 2, said.everything
    assert told in said.err


def test_a_search_of_some_objects_gives_no_all_clear(org: Corner) -> None:
    org.records([org.row(url=vendor(org))])
    said = org.engine("sweep", "--object", "Account", "--json")
    assert said.code == 3, said.everything
    assert (said.json["complete"], said.json["restricted_to"]) == (False, ["Account"])
    said = org.engine("sweep", "--object", "Account")
    assert "only Account was searched: this is no all-clear" in said.out
    assert "Nothing that this login can see" not in said.out


@pytest.mark.parametrize("host", ["*.vendor.example", "%", "", "host/path", "ftp://vendor.example", "a b", "me@host"])
def test_what_is_no_host_is_refused_with_the_form_that_is_meant(org: Corner, host: str) -> None:
    said = org.engine("sweep", "--host", host)
    assert said.code == 2, said.everything
    assert "is no host" in said.err
    assert "files.vendor.example" in said.err


@pytest.mark.parametrize("host", ["{tag}.Vendor.example", "https://{tag}.vendor.example/", "{tag}.vendor.example:443"])
@pytest.mark.parametrize("readable", [True, False])
def test_a_host_is_found_with_and_without_its_scheme_and_no_other_that_ends_in_it(
    org: Corner, host: str, readable: bool
) -> None:
    name = f"{org.tag}.vendor.example"
    found = [
        account(org, Website=text.replace("HOST", name))
        for text in ("HOST/a", "see HOST/a", "see (HOST)", "line\nHOST", "https://HOST/a", '<a href="HOST/a">', "HOST")
    ]
    for text in ("notHOST/a", "x.HOST/a", "my-HOST", "https://xHOST"):
        account(org, Website=text.replace("HOST", name))
    if not readable:
        org.org("field", object="Account", field="Website", type="textarea", length=32_000)
    said = org.engine("sweep", "--host", host.replace("{tag}", org.tag), "--json")
    assert said.code == 6, said.everything
    assert places(said.json) == {("Account", "Website"): len(found)}
    assert {each["id"] for each in said.json["found"][0]["examples"]} <= set(found)


def test_more_hosts_than_fit_into_a_query_are_found_too(org: Corner) -> None:
    hosts = [f"files-{n}.{org.tag}.vendor.example" for n in range(40)]
    words = [word for host in hosts for word in ("--host", host)]
    account(org, Website=f"see {hosts[0]}/a and https://{hosts[39]}/b")
    last = org.records([org.row(url=f"https://{hosts[39]}/c")])
    said = org.engine("sweep", *words, "--json")
    assert said.code == 6, said.everything
    assert places(said.json) == {("Account", "Website"): 1, ("DocListEntry__c", "Document__c"): 1}
    assert said.json["complete"] is True
    said = org.engine("sweep", "--watch", "--once", *words, "--json")
    assert [each["id"] for each in said.json["found"][0]["examples"]] == last


def test_every_kind_of_field_is_searched_and_queries_are_never_shown(org: Corner) -> None:
    site = account(org, Website=vendor(org))
    [record] = org.records([org.row() | {"Identifier__c": f"see {vendor(org)} for more"}])
    said = org.engine("sweep", "--json")
    assert said.code == 6
    assert places(said.json) == {("Account", "Website"): 1, ("DocListEntry__c", "Identifier__c"): 1}
    [first, second] = sorted(said.json["found"], key=lambda each: each["object"])
    assert [first["examples"][0]["id"], second["examples"][0]["id"]] == [site, record]
    assert "secret" not in said.everything
    said = org.engine("sweep")
    assert "do not cancel it yet" in said.out
    assert "next: engine status --readiness" in said.out


@pytest.mark.parametrize(
    "link",
    [
        "https://{bucket}.s3.us-west-2.amazonaws.com/a.pdf",
        "https://{bucket}.s3-us-west-2.amazonaws.com/a.pdf",
        "https://s3.us-west-2.amazonaws.com/{bucket}/a.pdf",
        "HTTPS://{bucket}.S3.AMAZONAWS.COM/a.pdf",
        "s3://{bucket}/a.pdf",
    ],
)
def test_links_to_aws_are_found_though_the_settings_name_an_endpoint(org: Corner, link: str) -> None:
    account(org, Website=link.replace("{bucket}", f"old-{org.tag}"))
    assert org.engine("sweep", "--object", "Account").code == 6


def test_long_text_that_cannot_be_filtered_is_read_up_to_the_limit(org: Corner) -> None:
    org.records([org.row() | {"Identifier__c": "nothing here"} for _ in range(5)])
    org.records([org.row() | {"Identifier__c": "x" * 50 + vendor(org)}])
    org.org("field", object="DocListEntry__c", field="Identifier__c", type="textarea", length=32_000)
    said = org.engine("sweep", "--object", "DocListEntry__c", "--json")
    assert said.code == 6
    assert places(said.json) == {("DocListEntry__c", "Identifier__c"): 1}
    clean = json.dumps([f"nowhere-{org.tag}"])
    short = org.engine("sweep", "--object", "DocListEntry__c", "--limit", "1", ENGINE_SOURCE__BUCKETS=clean)
    assert short.code == 3
    assert "NOT SEARCHED DocListEntry__c" in short.out
    assert "no all-clear" in short.out


def test_what_the_org_cannot_search_in_time_is_read_instead(org: Corner) -> None:
    account(org, Website=vendor(org))
    org.org("faults", rules=[{"endpoint": "q=SELECT COUNT", "kind": "query_timeout"}])
    said = org.engine("sweep", "--object", "Account", "--json")
    assert said.code == 6, said.everything
    assert places(said.json) == {("Account", "Website"): 1}


def test_an_object_that_fails_is_named_and_the_rest_goes_on(org: Corner) -> None:
    account(org, Website=vendor(org))
    said = org.engine("sweep", "--object", "Nothing__c", "--object", "Account", "--json")
    assert said.code == 6
    assert list(said.json["not_searched"]) == ["Nothing__c"]
    assert said.json["complete"] is False


def test_the_api_budget_stops_a_sweep_with_5(org: Corner) -> None:
    org.org("settings", daily_max=1000, daily_used=695)
    said = org.engine("sweep", "--json")
    assert said.code == 5
    assert said.json["complete"] is False


def test_a_sweep_only_reads(org: Corner) -> None:
    account(org, Website=vendor(org))
    before = len(org_log(org.stage))
    assert org.engine("sweep").code == 6
    asked = org_log(org.stage)[before:]
    assert {each["method"] for each in asked if "/oauth2/" not in each["path"]} == {"GET"}
    assert not org.database.exists()


def test_a_round_of_the_watch_finds_new_records_only(org: Corner) -> None:
    org.records([org.row(url=vendor(org))])
    assert org.engine("sweep", "--watch", "--once", "--json").code == 6
    later = org.engine("sweep", "--watch", "--once", "--since", "2999-01-01", "--json")
    assert (later.code, later.json["complete"]) == (0, True)
    said = org.engine("sweep", "--watch", "--once", "--since", "2999-01-01")
    assert "no all-clear" in said.out
    assert "--since: what was changed at 2999-01-01T00:00:00.000Z (UTC) or later" in said.err
    assert org.engine("sweep", "--watch", "--once", "--since", "yesterday").code == 2


def test_a_watch_tells_of_each_new_record_once_and_ends_with_a_signal(org: Corner) -> None:
    org.records([org.row(url=vendor(org))])
    process = org.start("sweep", "--watch", "--every", "1s", "--json")
    log = len(org_log(org.stage))
    until(lambda: len(org_log(org.stage)) > log + 12, "a few rounds")
    process.send_signal(signal.SIGTERM)
    said = ended(process)
    assert said.code == 143
    assert places(said.json) == {("DocListEntry__c", "Document__c"): 1}
    assert said.err.count("point at the vendor") == 1


def test_a_signal_before_the_search_ends_it_there(org: Corner) -> None:
    org.org("faults", rules=[{"kind": "slow", "endpoint": "token", "params": {"seconds": 30}}])
    calls = len(org_log(org.stage))
    process = org.start("sweep")
    until(lambda: org.logs.exists(), "it has begun")
    process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    said = ended(process)
    assert said.code == 143, said.everything
    assert time.monotonic() - began < 10
    assert len(org_log(org.stage)) <= calls + 1


def test_terms_never_find_our_own_links() -> None:
    settings = Settings.model_validate(
        {
            "source": {"buckets": ["documents"], "allowed_hosts": ["files.vendor.example"]},
            "destination": {"bucket": "my-documents"},
        }
    )
    terms = terms_of(settings)
    ours = "https://my-documents.s3.us-east-1.amazonaws.com/uploads/a"
    assert not any(term in ours for term in terms)
    for theirs in (
        "https://documents.s3.us-west-2.amazonaws.com/a",
        "https://s3.us-west-2.amazonaws.com/documents/a",
        "s3://documents/a",
        "https://files.vendor.example/a",
    ):
        assert any(term in theirs for term in terms), theirs


def test_an_org_that_falls_silent_stops_a_sweep_resumably(org: Corner) -> None:
    org.org("faults", rules=[{"kind": "500_unknown", "endpoint": "describe_global"}])
    settings = load_settings(org.stage.settings_file, environ=org.env, overrides={})
    screen = Screen(Console(file=io.StringIO()))
    swept = wait(sweep(settings, SweepOptions(), screen, QuickClock()))
    assert swept.exit_code == 5
    assert "Salesforce does not answer" in swept.stopped


def test_tries_per_file_are_no_tries_of_salesforce(org: Corner) -> None:
    org.org("faults", rules=[{"kind": "500_unknown", "endpoint": "describe_global", "count": 1}])
    said = org.engine("sweep", ENGINE_MIGRATION__MAX_ATTEMPTS="1")
    assert said.code == 0, said.everything

"""Planning: the truth table, line by line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import pytest

from engine.model.change import Ours
from engine.model.errors import Refused
from engine.model.facts import Method, ObjectFacts
from engine.model.failures import FailureClass
from engine.model.keys import fill_changed, holds
from engine.model.location import Location
from engine.model.outcome import Looked, Outcome, Status, Touch
from engine.model.plan import Known, Look, Plan
from engine.model.record import Record
from engine.model.urls import identity_hash, parse_url, source_rules
from engine.pipeline.planning import Decision, Filters, Planner
from engine.pipeline.routes import Route, Routes
from engine.pipeline.source_ids import SourceIds, VendorLinks
from tests.support.fakes.stores import FakeSource
from tests.support.planning import COPIED, KEY, LINK, NO_COPY, PLANNER, RECORD, RULES, SOURCE, TARGET

OTHER = "https://docs-bucket.s3.us-west-2.amazonaws.com/acme/report%202.pdf"
SETTLED = [Status.BACKED_UP, Status.SWITCHED, Status.ROLLED_BACK]
OPEN = [Status.PENDING, Status.FAILED, Status.SKIPPED, Status.GONE]


def plan_of(decision: Decision) -> Plan:
    assert isinstance(decision, Plan)
    return decision


def outcome_of(decision: Decision) -> Outcome:
    assert isinstance(decision, Outcome)
    return decision


def test_a_new_record_is_planned_in_full() -> None:
    plan = plan_of(PLANNER.plan(RECORD, None, 7))
    assert plan.record is RECORD
    assert plan.source == parse_url(SOURCE, RULES) == PLANNER.locate(RECORD)
    assert plan.source_id == identity_hash("s3://docs-bucket/acme/report 1.pdf")
    assert (plan.file_name, plan.key, plan.url) == ("report 1.pdf", KEY, LINK)
    assert fill_changed(plan.changed_key, "0" * 32) == KEY.replace(".pdf", "~00000000.pdf")
    assert (plan.page, plan.known, plan.pinned) == (7, None, None)


def test_a_listing_row_and_the_known_row_travel_with_the_plan() -> None:
    listed = COPIED._replace(listed_etag="f" * 32)
    found = ObjectFacts(size=3, etag="f" * 32)
    plan = plan_of(PLANNER.pin(plan_of(PLANNER.plan(RECORD, listed, 0)), found))
    assert plan.pinned is found
    assert plan.known is listed


@pytest.mark.parametrize("status", [Status.BACKED_UP, Status.ROLLED_BACK])
def test_an_unchanged_copy_needs_nothing(status: Status) -> None:
    known = COPIED._replace(status=status)
    assert PLANNER.plan(RECORD, known, 0) is None
    assert PLANNER.plan(RECORD, known._replace(listed_etag="e" * 32), 0) is None
    assert PLANNER.plan(RECORD, known._replace(source_etag="", listed_etag="f" * 32), 0) is None


@pytest.mark.parametrize("status", [Status.BACKED_UP, Status.ROLLED_BACK])
@pytest.mark.parametrize(
    "record",
    [
        replace(RECORD, name="other"),
        replace(RECORD, account_id="other"),
        replace(RECORD, account_name="other"),
        replace(RECORD, modified="other"),
    ],
)
def test_a_renamed_or_moved_record_is_touched_and_keeps_its_key(status: Status, record: Record) -> None:
    assert PLANNER.plan(record, COPIED._replace(status=status), 0) == Touch(record)


def test_our_own_link_keeps_a_switched_row() -> None:
    known = COPIED._replace(status=Status.SWITCHED)
    record = replace(RECORD, url=LINK)
    assert PLANNER.plan(record, known, 0) is None
    stamped = replace(record, modified="2026-11-23T00:00:00.000Z")
    assert PLANNER.plan(stamped, known, 0) == Touch(stamped)


@pytest.mark.parametrize(
    "status", [Status.BACKED_UP, Status.ROLLED_BACK, Status.PENDING, Status.FAILED, Status.SKIPPED]
)
def test_our_own_link_makes_any_other_row_switched_with_what_the_link_has_replaced(status: Status) -> None:
    known, record = COPIED._replace(status=status), replace(RECORD, url=LINK)
    assert PLANNER.plan(record, known, 0) == Touch(record, SOURCE)
    edited = known._replace(url="https://users.test/since")
    assert PLANNER.plan(record, edited, 0, Ours(SOURCE, rewritten=False)) == Touch(record, SOURCE)
    assert PLANNER.plan(record, known._replace(proof=""), 0) is None


@pytest.mark.parametrize("known", [None, *(COPIED._replace(status=status) for status in Status)])
def test_what_the_org_has_made_of_our_link_is_never_copied_and_never_an_original(known: Known | None) -> None:
    record = replace(RECORD, url=f"{LINK}?by=flow")
    outcome = outcome_of(PLANNER.plan(record, known, 0, Ours(SOURCE, rewritten=True)))
    assert (outcome.status, outcome.failure, outcome.record.url) == (Status.FAILED, "rejected", SOURCE)


def test_an_older_link_of_ours_is_planned_as_what_it_has_replaced() -> None:
    known = COPIED._replace(url=OTHER, our_url="https://ours.test/other", our_key="other")
    plan = plan_of(PLANNER.plan(replace(RECORD, url=LINK), known, 0, Ours(SOURCE, rewritten=False)))
    assert (plan.record.url, plan.key, plan.url) == (SOURCE, KEY, LINK)


def test_a_switched_record_whose_original_link_somebody_has_put_back_is_planned_under_its_key() -> None:
    known = COPIED._replace(status=Status.SWITCHED, our_key="where/it/lies.pdf", our_url="https://ours.test/it")
    plan = plan_of(PLANNER.plan(replace(RECORD, name="renamed"), known, 0))
    assert (plan.key, plan.url) == ("where/it/lies.pdf", PLANNER.places.url_of("where/it/lies.pdf"))


def test_a_link_of_ours_that_was_formed_otherwise_stays_as_the_record_has_it() -> None:
    known = COPIED._replace(status=Status.SWITCHED, our_url="https://formed.otherwise.test/it")
    plan = plan_of(PLANNER.plan(replace(RECORD, url=known.our_url), known, 0, force=True))
    assert (plan.key, plan.url) == (known.our_key, "https://formed.otherwise.test/it")


def test_a_switched_record_that_comes_back_from_deletion_is_proved_from_its_original_url() -> None:
    record = replace(RECORD, url=LINK)
    plan = plan_of(PLANNER.plan(record, COPIED._replace(status=Status.GONE), 0))
    assert plan.record is record
    assert plan.source.key == "acme/report 1.pdf"


@pytest.mark.parametrize("status", OPEN)
@pytest.mark.parametrize("known", [COPIED, NO_COPY], ids=["copied once", "never copied"])
def test_an_open_record_is_planned_again(status: Status, known: Known) -> None:
    plan = plan_of(PLANNER.plan(RECORD, known._replace(status=status, failure="network"), 0))
    assert plan.key == KEY


@pytest.mark.parametrize("status", SETTLED)
def test_a_listing_with_another_etag_plans_a_new_copy(status: Status) -> None:
    plan = plan_of(PLANNER.plan(RECORD, COPIED._replace(status=status, listed_etag="f" * 32), 0))
    assert plan.known is not None
    assert plan.known.our_key == plan.key
    assert fill_changed(plan.changed_key, "f" * 32) != plan.key


@pytest.mark.parametrize("status", SETTLED)
def test_an_edited_link_is_planned_as_a_new_copy(status: Status) -> None:
    plan = plan_of(PLANNER.plan(replace(RECORD, url=OTHER), COPIED._replace(status=status), 0))
    assert plan.source.key == "acme/report 2.pdf"
    assert plan.key.endswith("/report 2.pdf")


@pytest.mark.parametrize("url", [SOURCE, LINK])
def test_a_forced_record_is_planned_from_its_source_though_nothing_changed(url: str) -> None:
    plan = plan_of(PLANNER.plan(replace(RECORD, url=url), COPIED, 0, force=True))
    assert plan.source.key == "acme/report 1.pdf"


REFUSED = [
    ("", Status.SKIPPED, FailureClass.NO_URL),
    ("  ", Status.SKIPPED, FailureClass.NO_URL),
    ("report.pdf", Status.FAILED, FailureClass.BAD_URL),
    ("https://docs-bucket.s3.amazonaws.com/folder/", Status.FAILED, FailureClass.BAD_URL),
    ("https://evil.example/a.pdf", Status.FAILED, FailureClass.HOST_NOT_ALLOWED),
    ("https://other.s3.amazonaws.com/a.pdf", Status.FAILED, FailureClass.HOST_NOT_ALLOWED),
    (LINK.replace("001", "002"), Status.SKIPPED, FailureClass.ALREADY_OURS),
    ("https://s3.amazonaws.com/ours/a.pdf", Status.SKIPPED, FailureClass.ALREADY_OURS),
    ("s3://ours/a.pdf", Status.SKIPPED, FailureClass.ALREADY_OURS),
]


@pytest.mark.parametrize(("url", "status", "failure"), REFUSED)
@pytest.mark.parametrize("known", [None, COPIED, NO_COPY._replace(status=Status.FAILED, failure="network")])
def test_a_url_that_cannot_be_copied_ends_with_its_class(
    url: str, status: Status, failure: FailureClass, known: Known | None
) -> None:
    record = replace(RECORD, url=url)
    outcome = outcome_of(PLANNER.plan(record, known, 4))
    assert (outcome.record, outcome.status, outcome.failure) == (record, status, failure)
    assert outcome.message
    assert (outcome.is_new, outcome.page) == (known is None, 4)
    assert (outcome.key, outcome.url) == (("", "") if known is None else (known.our_key, known.our_url))


@pytest.mark.parametrize(("url", "status", "failure"), REFUSED)
def test_a_skip_is_told_once_and_a_failure_each_time(url: str, status: Status, failure: FailureClass) -> None:
    record = replace(RECORD, url=url)
    known = NO_COPY._replace(url=url, status=status, failure=failure.value)
    moved = replace(record, account_name="Other")
    if status is Status.SKIPPED:
        assert PLANNER.plan(record, known, 0) is None
        assert PLANNER.plan(moved, known, 0) == Touch(moved)
        assert outcome_of(PLANNER.plan(record, known._replace(failure="type_filtered"), 0)).failure is failure
    else:
        assert outcome_of(PLANNER.plan(record, known, 0)).failure is failure


def test_messages_never_hold_a_query() -> None:
    for url in ["https://evil.example/a?Signature=canary", "https://docs-bucket.s3.amazonaws.com/?Signature=canary"]:
        assert "canary" not in outcome_of(PLANNER.plan(replace(RECORD, url=url), None, 0)).message


def test_a_custom_link_of_ours_is_recognised_by_its_beginning() -> None:
    target = replace(TARGET, url_template="https://files.example/docs/{key}")
    planner = Planner(RULES, target)
    ours = outcome_of(planner.plan(replace(RECORD, url="https://files.example/docs/a.pdf"), None, 0))
    assert ours.failure is FailureClass.ALREADY_OURS
    assert plan_of(planner.plan(replace(RECORD, url="https://files.example/a.pdf"), None, 0)).source.bucket == ""


def test_a_link_template_that_begins_with_the_key_recognises_nothing_by_its_beginning() -> None:
    planner = Planner(RULES, replace(TARGET, url_template="https://{key}"))
    assert isinstance(planner.plan(replace(RECORD, url="https://files.example/a.pdf"), None, 0), Plan)


def test_our_bucket_is_recognised_at_its_own_endpoint() -> None:
    store = "http://127.0.0.1:9000"
    rules = source_rules(["docs-bucket"], store, "us-east-1", [store])
    planner = Planner(rules, replace(TARGET, endpoint_url=store, url_template=store + "/{bucket}/{key}"))
    assert isinstance(planner.plan(replace(RECORD, url=f"{store}/docs-bucket/a.pdf"), None, 0), Plan)
    ours = outcome_of(planner.plan(replace(RECORD, url=f"{store}/ours/a.pdf"), None, 0))
    assert ours.failure is FailureClass.ALREADY_OURS


def test_records_of_other_accounts_are_out_of_scope() -> None:
    planner = Planner(RULES, TARGET, Filters(account_id="001000000000002AAA"))
    assert planner.plan(RECORD, None, 0) is None
    assert isinstance(planner.plan(replace(RECORD, account_id="001000000000002AAA"), None, 0), Plan)


@pytest.mark.parametrize(("name", "wanted"), [("a.pdf", True), ("a.PDF", True), ("a.docx", False), ("a", False)])
def test_only_wanted_extensions_are_planned(name: str, wanted: bool) -> None:
    planner = Planner(RULES, TARGET, Filters(extensions=frozenset({".pdf"})))
    decision = planner.plan(replace(RECORD, url=f"https://docs-bucket.s3.amazonaws.com/{name}"), None, 0)
    if wanted:
        assert isinstance(decision, Plan)
    else:
        outcome = outcome_of(decision)
        assert (outcome.status, outcome.failure) == (Status.SKIPPED, FailureClass.TYPE_FILTERED)
        assert outcome.file_name == name


@pytest.mark.parametrize(("size", "wanted"), [(100, True), (101, False), (None, True)])
def test_a_listed_size_beyond_the_limit_is_skipped(size: int | None, wanted: bool) -> None:
    planner = Planner(RULES, TARGET, Filters(max_bytes=100))
    decision = planner.pin(plan_of(planner.plan(RECORD, None, 0)), ObjectFacts(size=size))
    if wanted:
        assert isinstance(decision, Plan)
    else:
        assert outcome_of(decision).failure is FailureClass.TOO_LARGE


def test_filters_do_not_reopen_a_copy_that_stands() -> None:
    planner = Planner(RULES, TARGET, Filters(extensions=frozenset({".docx"}), max_bytes=1))
    assert planner.plan(RECORD, COPIED, 0) is None


def test_a_link_longer_than_the_field_fails_before_any_copy() -> None:
    fitting = Planner(RULES, replace(TARGET, url_length=len(LINK)))
    tight = Planner(RULES, replace(TARGET, url_length=len(LINK) - 2))
    assert isinstance(fitting.plan(RECORD, None, 0), Plan)
    outcome = outcome_of(tight.plan(RECORD, None, 0))
    assert (outcome.status, outcome.failure) == (Status.FAILED, FailureClass.URL_TOO_LONG)
    shortest = KEY.replace("report 1", f"~{sha256(b'report 1.pdf').hexdigest()[:8]}")
    assert (outcome.key, outcome.url, outcome.file_name) == (shortest, tight.places.url_of(shortest), "report 1.pdf")
    assert fitting.places.fits(fitting.places.url_of(KEY))
    assert not tight.places.fits(tight.places.url_of(KEY))


@pytest.mark.parametrize("name", ["x" * 190, "ü" * 90, "report with blanks " * 10, "日本" * 30])
@pytest.mark.parametrize("template", [TARGET.key_template, TARGET.key_template.replace("{file_name}", "{stem}{ext}")])
def test_a_name_that_makes_the_link_too_long_is_shortened_before_its_ending(name: str, template: str) -> None:
    planner = Planner(RULES, replace(TARGET, key_template=template))
    records = [replace(RECORD, url=f"s3://docs-bucket/a/{name}{n}.pdf") for n in range(3)]
    plans = [plan_of(planner.plan(record, None, 0)) for record in records]

    for each in plans:
        assert planner.places.fits(each.url)
        assert len(each.url) > 255 - 12, "as much of the name as there is room for"
        assert re.fullmatch(f"{name[:3]}.*~[0-9a-f]{{8}}[.]pdf", each.key.rpartition("/")[2])
        changed = fill_changed(each.changed_key, "f" * 32)
        assert planner.places.fits(planner.places.url_of(changed))
        assert re.fullmatch(f"{name[:3]}.*~[0-9a-f]{{8}}~ffffffff[.]pdf", changed.rpartition("/")[2])
    assert len({each.key for each in plans}) == len(plans)
    assert plan_of(planner.plan(records[0], None, 0)).key == plans[0].key


def test_content_that_changes_again_and_again_under_a_shortened_name_finds_its_keys() -> None:
    record = replace(RECORD, url="s3://docs-bucket/a/" + "x" * 190 + ".pdf")
    first = plan_of(PLANNER.plan(record, None, 0))
    for our_key in (first.key, fill_changed(first.changed_key, "e" * 32)):
        ours = COPIED._replace(url=record.url, our_key=our_key, our_url=PLANNER.places.url_of(our_key))
        again = plan_of(PLANNER.plan(record, ours._replace(listed_etag="f" * 32), 0))
        assert (again.key, again.changed_key) == (first.key, first.changed_key)
        assert holds(our_key, again.key, again.room)


@pytest.mark.parametrize("our_key", [KEY, KEY.replace(".pdf", "~eeeeeeee.pdf")])
def test_changed_content_needs_room_for_its_mark_in_the_field(our_key: str) -> None:
    known = COPIED._replace(our_key=our_key, listed_etag="f" * 32)
    fitting = Planner(RULES, replace(TARGET, url_length=len(LINK) + 9))
    tight = Planner(RULES, replace(TARGET, url_length=len(LINK) + 7))
    assert isinstance(fitting.plan(RECORD, known, 0), Plan)
    assert outcome_of(tight.plan(RECORD, known, 0)).failure is FailureClass.URL_TOO_LONG
    assert isinstance(tight.plan(replace(RECORD, url=OTHER), known, 0), Plan)


def test_a_key_that_cannot_be_built_fails_with_its_class() -> None:
    planner = Planner(RULES, replace(TARGET, key_template="{source_key}/" * 20 + "{record_id}"))
    long = replace(RECORD, url="https://docs-bucket.s3.amazonaws.com/" + "x" * 100)
    assert outcome_of(planner.plan(long, None, 0)).failure is FailureClass.BAD_KEY


def test_two_spellings_of_one_source_have_one_source_id() -> None:
    spellings = [SOURCE, SOURCE.replace("https", "http"), "s3://docs-bucket/acme/report 1.pdf"]
    ids = {plan_of(PLANNER.plan(replace(RECORD, url=url), None, 0)).source_id for url in spellings}
    assert len(ids) == 1


def test_a_record_that_names_no_source_cannot_be_located() -> None:
    assert PLANNER.locate(replace(RECORD, url="https://evil.example/a")) is None


@pytest.mark.parametrize("status", [Status.BACKED_UP, Status.ROLLED_BACK])
def test_a_full_scan_looks_at_what_no_listing_tells_of(status: Status) -> None:
    known = COPIED._replace(status=status)
    assert PLANNER.plan(RECORD, known, 7, look=True) == Look(
        RECORD, parse_url(SOURCE, RULES), identity_hash("s3://docs-bucket/acme/report 1.pdf"), known, 7
    )
    assert PLANNER.plan(RECORD, known._replace(listed_etag="e" * 32), 7, look=True) is None
    assert isinstance(PLANNER.plan(RECORD, known._replace(listed_etag="f" * 32), 7, look=True), Plan)
    ours = replace(RECORD, url=LINK)
    assert PLANNER.plan(ours, known._replace(status=Status.SWITCHED), 7, look=True) is None


def test_a_source_that_may_no_longer_be_read_is_not_called_unchanged() -> None:
    narrow = Planner(source_rules(["another"], None, "us-west-2", []), TARGET)
    seen = narrow.plan(RECORD, COPIED, 7, look=True)
    assert isinstance(seen, Looked)
    assert (seen.unseen, seen.page) == ("host_not_allowed", 7)


@pytest.mark.parametrize(
    ("source_etag", "found", "expected"),
    [
        ("e", ObjectFacts(9, "e", last_modified="2027-01-01T00:00:00.000Z"), ""),
        ("e", ObjectFacts(3, "f", last_modified="2020-01-01T00:00:00.000Z"), "changed"),
        ("e", ObjectFacts(4), "changed"),
        ("", ObjectFacts(4, "f"), "changed"),
        ("", ObjectFacts(3, "f"), "no_validator"),
        ("", ObjectFacts(3), "no_validator"),
        ("", ObjectFacts(3, last_modified="2026-01-08T00:00:00.000Z"), ""),
        ("", ObjectFacts(None, last_modified="2026-01-08T00:00:00.000Z"), ""),
        ("", ObjectFacts(3, last_modified="2026-01-09T12:00:00.000Z"), "changed"),
        ("", ObjectFacts(3, last_modified="2026-02-01T00:00:00.000Z"), "changed"),
    ],
)
def test_what_a_look_finds_decides(source_etag: str, found: ObjectFacts, expected: str) -> None:
    """A date within a day of the copy may be of another clock: such a file is read again."""
    known = COPIED._replace(source_etag=source_etag, size=3, copied_at="2026-01-10T00:00:00.000Z")
    look = PLANNER.plan(RECORD, known, 7, look=True)
    assert isinstance(look, Look)
    decision = PLANNER.looked(look, found)
    if expected == "changed":
        assert plan_of(decision).pinned is found
        assert plan_of(decision).known is known
    else:
        assert isinstance(decision, Looked)
        assert (decision.unseen, decision.news) == (expected, bool(expected))


PAGE = "https://files.example/viewer"
ASKING = replace(RECORD, url=PAGE, extra=(("Number__c", "7"),))
BY_LINK = COPIED._replace(url=PAGE, source_id=1_007, extra='{"Number__c": "7"}')


async def by_link(method: Method = Method.HTTP) -> Planner:
    """A planner where a vendor's API is asked for the number of each record; buckets are read by ``method``."""

    def asked(record: Record) -> int:
        if not dict(record.extra)["Number__c"]:
            raise Refused(FailureClass.RESOLVER_FAILED, "the record has no number")
        return 1_000 + int(dict(record.extra)["Number__c"])

    async def resolve(record: Record) -> Location:
        raise AssertionError("planning asks for nothing")

    async def probe(bucket: str, samples: Sequence[Location]) -> Route:
        return web if not bucket else Route(method, FakeSource(), "test")

    web = Route(Method.HTTP, FakeSource(), "test")
    routes = Routes(probe)
    planner = Planner(RULES, TARGET, sources=SourceIds(VendorLinks(asked, resolve, web), routes))
    await routes.learn(planner.undecided([ASKING, RECORD], {}))
    return planner


async def test_a_source_is_what_a_vendors_api_is_asked_for_wherever_files_travel_by_http() -> None:
    planner = await by_link()
    plan = plan_of(planner.plan(ASKING, None, 0))
    assert (plan.source_id, plan.by_link) == (1_007, True)
    plan = plan_of(planner.plan(replace(ASKING, url=SOURCE), None, 0))
    assert (plan.source_id, plan.by_link) == (1_007, True)
    plan = plan_of((await by_link(Method.STREAM)).plan(replace(ASKING, url=SOURCE), None, 0))
    assert (plan.source_id, plan.by_link) == (identity_hash("s3://docs-bucket/acme/report 1.pdf"), False)
    missing = outcome_of(planner.plan(replace(ASKING, extra=(("Number__c", ""),)), None, 0))
    assert (missing.status, missing.failure) == (Status.FAILED, FailureClass.RESOLVER_FAILED)


@pytest.mark.parametrize(
    ("row", "stands"),
    [
        (BY_LINK, True),
        (BY_LINK._replace(duplicate=True), True),
        (BY_LINK._replace(source_id=1_008), False),
        (BY_LINK._replace(listed_etag="f" * 32), True),
        # made by an engine that knew sources by their URLs, or by reading the URL itself
        (BY_LINK._replace(source_id=identity_hash(PAGE)), True),
        (BY_LINK._replace(source_id=identity_hash(PAGE), extra=""), True),
        (BY_LINK._replace(source_id=identity_hash(PAGE), extra='{"Number__c": "8"}'), False),
        (BY_LINK._replace(source_id=identity_hash(PAGE), duplicate=True), False),
    ],
)
async def test_a_copy_stands_while_the_api_is_asked_for_the_same(row: Known, stands: bool) -> None:
    planner = await by_link()
    decision = planner.plan(ASKING, row, 0)
    assert decision is None if stands else plan_of(decision).source_id == 1_007
    look = planner.plan(ASKING, row, 0, look=True)
    assert (look.source_id, look.by_link) == (1_007, True) if isinstance(look, Look) else not stands


async def test_a_copy_behind_a_link_does_not_stand_for_the_object_that_the_url_names() -> None:
    row = COPIED._replace(source_id=1_007)
    planner = await by_link(Method.STREAM)
    record = replace(RECORD, extra=ASKING.extra)
    assert isinstance(planner.plan(record, row, 0), Plan)
    assert (
        planner.plan(record, COPIED._replace(source_id=identity_hash("s3://docs-bucket/acme/report 1.pdf")), 0) is None
    )

"""Automation of the org changes what we write: the switch ends at the first of it, and every link can go back."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator

import pytest

from tests.support.commands import (
    BACKUP,
    ROLLBACK,
    SWITCH,
    backed_up,
    incremental,
    kill_within_a_switch,
    links,
    lose_the_database,
    said_so,
)
from tests.support.corner import Corner, org_log

FIELD, OBJECT = "Document__c", "DocListEntry__c"
AT_ONCE = {"ENGINE_SWITCH__WAVES": '["100%"]'}
CHANGED = "written, but the org changed it"


@pytest.fixture
def flow(corner: Corner) -> Iterator[Corner]:
    """An org whose administrators have built something on the object."""
    start = {"start": {"object": OBJECT, "recordTriggerType": "Update"}}
    flow = {"MasterLabel": "Tidy links", "ProcessType": "AutoLaunchedFlow", "Status": "Active", "Metadata": start}
    trigger = {"Name": "LinkGuard", "Status": "Active", "UsageBeforeUpdate": True, "on": OBJECT}
    corner.org("tooling", Flow=[flow], ApexTrigger=[trigger])
    yield corner
    corner.org("tooling", Flow=[{**flow, "Status": "Draft"}])


def on(corner: Corner, make: str, ids: list[str] | None = None, **more: str) -> None:
    corner.org("rewriting", field=FIELD, make=make, ids=ids or [], **more)


def off(corner: Corner) -> None:
    corner.org("rewriting")


def put_back(corner: Corner, before: dict[str, str], *words: str) -> None:
    """All originals are there, and a second time there is nothing to do."""
    said_so(corner.engine(*(words or ROLLBACK)), 0, "put back")
    assert links(corner, list(before)) == before
    said_so(corner.engine(*(words or ROLLBACK)), 0, "already so")


@pytest.mark.parametrize("make", ["append", "lower", "trim", "clear"])
def test_the_canary_ends_the_run_and_its_link_goes_back(flow: Corner, make: str) -> None:
    ids = backed_up(flow, 40)
    before = links(flow, ids)
    on(flow, make)
    said = said_so(flow.engine(*SWITCH), 6, f"40 links: 1 {CHANGED}", "LinkGuard", "Tidy links", "an undo would do")
    assert "edited by others" not in said.everything
    now = links(flow, ids)
    [canary] = [each for each in ids if now[each] != before[each]]
    row = flow.rows()[canary]
    assert f"written {row['your_s3_url']}, found {now[canary] or 'nothing'}" in said.out
    assert (row["status"], row["failure_class"], row["original_url"]) == ("failed", "rejected", before[canary])
    for words in (("--incremental",), ("--full",)):
        said_so(flow.engine("run", "backup", *words, "--no-progress"), 3 if words[0] == "--full" else flow_code(flow))
        row = flow.rows()[canary]
        assert (row["status"], row["failure_class"], row["original_url"]) == ("failed", "rejected", before[canary])
    said_so(
        flow.engine("run", "backup", "--incremental", "--no-progress", "--retry-class", "rejected"), flow_code(flow)
    )
    assert flow.rows()[canary]["status"] == "failed"
    assert len([key for key in flow.held() if key.startswith("uploads/")]) == 40
    assert flow.status()["files"]["failed"] == 1
    off(flow)
    put_back(flow, before)
    assert flow.rows()[canary]["status"] == "rolled_back"
    said_so(flow.engine(*SWITCH), 0, "40 switched")


def flow_code(corner: Corner) -> int:
    """Of an incremental backup: it looks back by some minutes, so it meets the record once more."""
    return 3 if corner.runs()[-1]["failed_files"] else 0


@pytest.mark.parametrize("words", [(), ("--strict",)])
def test_four_hundred_links_at_once_all_go_back(flow: Corner, words: tuple[str, ...]) -> None:
    ids = backed_up(flow, 400)
    before = links(flow, ids)
    on(flow, "append")
    said = flow.engine(*SWITCH, *words, "--json", **AT_ONCE)
    assert said.code == 6, said.everything
    records = said.json["records"]
    now = links(flow, ids)
    moved = [each for each in ids if now[each] != before[each]]
    assert 0 < len(moved) == records["rewritten"]
    assert (records["switched"], records["edited"], records["open"]) == (0, 0, 0)
    assert all(now[each].endswith("?by=flow") for each in moved)
    mine = moved[0]
    flow.edit([mine], Document__c="https://users.test/later.pdf")
    before[mine] = "https://users.test/later.pdf"
    off(flow)
    said_so(flow.engine("run", "rollback", "--from-database"), 0, f"{len(moved) - 1} would be put back")
    put_back(flow, before, *ROLLBACK, *words)
    said_so(flow.engine("audit"), 0, "The journal is whole")


def test_a_flow_that_puts_the_old_link_back_is_counted_apart(flow: Corner) -> None:
    ids = backed_up(flow, 40)
    before = links(flow, ids)
    on(flow, "revert")
    said_so(flow.engine(*SWITCH), 6, f"1 {CHANGED}")
    assert links(flow, ids) == before
    [row] = [row for row in flow.rows().values() if row["status"] == "failed"]
    assert (row["failure_class"], row["original_url"]) == ("rejected", before[row["doclist_entry_id"]])
    last = flow.query("SELECT event, link_state, detail FROM url_changes ORDER BY id DESC LIMIT 1")[0]
    assert (last["event"], last["link_state"]) == ("settled", "original")
    off(flow)
    said_so(flow.engine(*SWITCH, "--retry-class", "rejected"), 0, "40 switched")


def test_it_goes_back_from_the_file_too_without_the_database(flow: Corner) -> None:
    ids = backed_up(flow, 40)
    before = links(flow, ids)
    on(flow, "append")
    assert flow.engine(*SWITCH, **AT_ONCE).code == 6
    assert links(flow, ids) != before
    off(flow)
    lose_the_database(flow)
    [file] = flow.directory.glob("*.rollback-*.ndjson")
    put_back(flow, before, "run", "rollback", "--rollback-file", str(file), "--execute", "--yes", "--no-progress")


@pytest.mark.parametrize("make", ["append", "revert"])
def test_what_the_org_makes_of_an_undo_is_counted_apart_and_goes_back_too(flow: Corner, make: str) -> None:
    ids = backed_up(flow, 10)
    before = links(flow, ids)
    assert flow.engine(*SWITCH).code == 0
    on(flow, make, ids[:4])
    said_so(flow.engine(*ROLLBACK), 6, "6 put back", f"4 {CHANGED}", "LinkGuard")
    rows = flow.rows()
    assert [rows[each]["status"] for each in ids] == [*["switched" if make == "revert" else "failed"] * 4,
                                                      *["rolled_back"] * 6]  # fmt: skip
    assert {rows[each]["original_url"] for each in ids} == set(before.values())
    run = next(each["id"] for each in flow.runs() if each["run_type"] == "switch")
    for words in ((), ("--run", str(run))):
        said_so(flow.engine(*ROLLBACK, *words), 6, f"4 {CHANGED}", "6 already so")
    off(flow)
    put_back(flow, before)
    assert flow.status()["files"]["rolled_back"] == 10


def test_some_accounts_only_and_the_other_slices_end_as_usual(flow: Corner) -> None:
    accounts = [flow.account(f"Account {n}") for n in range(4)]
    groups = [flow.files(30, account=account) for account in accounts]
    ids = [each for group in groups for each in group]
    assert flow.engine(*BACKUP).code == 0
    before = links(flow, ids)
    on(flow, "append", groups[0])
    org_log(flow.stage, "clear=1")
    said = flow.engine(*SWITCH, "--json", **AT_ONCE)
    assert said.code == 6, said.everything
    records = said.json["records"]
    assert records["rewritten"] == 30
    statuses = [row["status"] for row in flow.rows().values()]
    assert statuses.count("switched") == records["switched"]
    assert statuses.count("failed") == 30
    assert flow.query("SELECT count(*) AS n FROM url_changes WHERE event = 'intended'")[0]["n"] >= 30
    off(flow)
    put_back(flow, before)
    incremental(flow)


@pytest.mark.parametrize("make", ["append", "revert", "clear"])
def test_what_a_user_does_within_our_round_trip_is_never_undone(corner: Corner, make: str) -> None:
    ids = backed_up(corner, 20)
    before = links(corner, ids)
    on(corner, make, ids[:3], when="behind", user="colleague")
    said = corner.engine(*SWITCH, "--json", **AT_ONCE)
    assert said.code == 0, said.everything
    records = said.json["records"]
    assert (records["switched"], records["edited"], records["rewritten"]) == (17, 3, 0)
    [note] = [note for note in said.json["notes"] if "right behind our write" in note]
    assert f"{ids[0]}: written {corner.rows()[ids[0]]['your_s3_url']}, found" in note
    assert corner.runs()[-1]["total_files_processed"] == 20
    theirs = {each: links(corner, ids)[each] for each in ids[:3]}
    rows = corner.rows()
    assert {rows[each]["status"] for each in theirs} == {"rolled_back" if make == "revert" else "pending"}
    off(corner)
    said_so(corner.engine(*ROLLBACK), 0, "17 put back")
    assert links(corner, ids) == {**before, **theirs}
    said_so(corner.engine("audit", "--record", ids[0]), 0, "0055e")


def test_a_token_of_unknown_origin_asks_once_whose_it_is(corner: Corner) -> None:
    ids = backed_up(corner, 20)
    form = b"grant_type=client_credentials&client_id=rehearsal&client_secret=rehearsal-secret"
    with urllib.request.urlopen(f"{corner.stage.salesforce_url}/services/oauth2/token", form) as answer:
        token = json.load(answer)["access_token"]
    corner.env |= {
        "ENGINE_SALESFORCE__AUTH": "access_token",
        "ENGINE_SALESFORCE__ACCESS_TOKEN": token,
        "ENGINE_SALESFORCE__INSTANCE_URL": corner.stage.salesforce_url,
    }
    on(corner, "append", ids[:3])
    org_log(corner.stage, "clear=1")
    said_so(corner.engine(*SWITCH, **AT_ONCE), 6, f"3 {CHANGED}")
    assert [entry["name"] for entry in org_log(corner.stage)].count("resources") == 1


@pytest.mark.parametrize("user", ["", "colleague"])
@pytest.mark.parametrize("make", ["append", "lower", "revert"])
def test_what_automation_does_minutes_later_is_named_and_never_written_over(
    corner: Corner, make: str, user: str
) -> None:
    """Long after we have looked: its own user, or ours."""
    ids = backed_up(corner, 12)
    before = links(corner, ids)
    on(corner, make, ids[:3], when="later", user=user)
    said_so(corner.engine(*SWITCH), 0, "12 switched")
    corner.org("later")
    theirs = {each: links(corner, ids)[each] for each in ids[:3]}
    said_so(corner.engine("verify", "--no-progress"), 0, "12 of 12 copies checked")
    incremental(corner)
    classes = {corner.rows()[each]["failure_class"] for each in theirs}
    assert classes == ({None} if make == "revert" else {"already_ours"})
    told = () if make == "revert" else ("3 of the edited links look like one of ours", f"for example {ids[0]}, which")
    said_so(corner.engine("run", "rollback", "--from-database"), 0, "9 would be put back", *told)
    said_so(corner.engine(*ROLLBACK), 0, "9 put back", *told)
    assert links(corner, ids) == {**before, **theirs}
    said_so(corner.engine("audit", "--record", ids[0], "--json"), 0, before[ids[0]], *(("by 0055e",) if told else ()))
    said_so(corner.engine(*ROLLBACK), 0, "9 already so" if told else "12 already so", *told)
    assert links(corner, ids) == {**before, **theirs}


@pytest.mark.parametrize("user", ["", "colleague"])
def test_what_the_org_made_of_a_link_whose_run_was_killed_goes_back_and_an_edit_stays(
    corner: Corner, user: str
) -> None:
    ids = backed_up(corner, 10)
    before = links(corner, ids)
    on(corner, "append", when="behind" if user else "within", user=user)
    corner.same_time()
    kill_within_a_switch(corner, ids)
    moved = {each: link for each, link in links(corner, ids).items() if link != before[each]}
    assert moved
    off(corner)
    said_so(
        corner.engine(*ROLLBACK, ENGINE_SWITCH__SETTLE_AFTER="1s"), 0, f"{len(moved)} links that an earlier run left"
    )
    assert links(corner, ids) == (before | moved if user else before)

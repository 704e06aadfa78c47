"""``run rollback`` by jobs of Bulk API 2.0, as an operator meets it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.command.corner import Corner, ended, until
from tests.command.test_switching import ROLLBACK, SWITCH, backed_up, links, ours, said_so

ALWAYS = {"ENGINE_SWITCH__BULK_ROLLBACK_FROM": "0"}


def asked(corner: Corner, name: str) -> int:
    return sum(entry["name"] == name for entry in corner.calls())


def switched(corner: Corner, count: int = 5) -> tuple[list[str], dict[str, str]]:
    """Records that hold our links, and what they held before; the org's log begins anew."""
    ids = backed_up(corner, count)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    corner.forget_calls()
    return ids, before


@pytest.fixture(autouse=True)
def as_it_was(corner: Corner) -> Any:
    yield
    corner.org("settings", bulk_polls_until_done=2, bulk_rows_per_s=None, bulk_queue_s=0)


def test_a_rollback_by_jobs_restores_byte_for_byte_keeps_edits_and_is_a_no_op_the_second_time(corner: Corner) -> None:
    ids, before = switched(corner)
    corner.edit([ids[2]], Document__c="https://users.test/mine.pdf")
    said = said_so(
        corner.engine(*ROLLBACK, **ALWAYS),
        0,
        "4 put back",
        "1 edited",
        "4 went through 1 job of Bulk API 2.0",
        "would have been overwritten (--strict",
    )
    assert links(corner, ids) == before | {ids[2]: "https://users.test/mine.pdf"}
    assert (asked(corner, "ingest_create"), asked(corner, "collections_update")) == (1, 0)
    assert corner.status()["files"]["rolled_back"] == 4
    corner.forget_calls()
    steps = corner.query("SELECT count(*) AS n FROM url_changes")
    said = said_so(corner.engine(*ROLLBACK, **ALWAYS), 0, "4 already so")
    assert "Bulk" not in said.out
    assert asked(corner, "ingest_create") == 0
    assert corner.query("SELECT count(*) AS n FROM url_changes") == steps
    said_so(corner.engine(*SWITCH), 0, "4 switched")
    said_so(corner.engine("audit"), 0, "The journal is whole")


@pytest.mark.parametrize(
    ("env", "words", "jobs"),
    [
        ({}, (), 0),
        ({"ENGINE_SWITCH__BULK_ROLLBACK_FROM": "5"}, (), 0),
        ({"ENGINE_SWITCH__BULK_ROLLBACK_FROM": "4"}, (), 1),
        ({"ENGINE_SWITCH__BULK_ROLLBACK_FROM": "null"}, (), 0),
        (ALWAYS, ("--strict",), 0),
        (ALWAYS, ("--limit", "3"), 1),
    ],
)
def test_jobs_are_used_for_more_links_than_the_setting_says(
    corner: Corner, env: dict[str, str], words: tuple[str, ...], jobs: int
) -> None:
    ids, before = switched(corner)
    assert corner.engine(*ROLLBACK, *words, **env).code == 0
    assert asked(corner, "ingest_create") == jobs
    now = links(corner, ids)
    assert sum(now[record] == before[record] for record in ids) == (3 if "--limit" in words else 5)


def test_a_dry_run_says_which_way_it_would_go_and_makes_no_job(corner: Corner) -> None:
    ids, _ = switched(corner)
    words = ("run", "rollback", "--from-database")
    said_so(corner.engine(*words, **ALWAYS), 0, "5 would be put back", "would go through Bulk API 2.0")
    assert "Bulk" not in corner.engine(*words).out
    assert asked(corner, "ingest_create") == 0
    assert links(corner, ids) == ours(corner)


def test_where_the_org_refuses_jobs_it_says_so_and_goes_on(corner: Corner) -> None:
    ids, before = switched(corner)
    params = {"status": 400, "code": "EXCEEDEDQUOTA", "message": "ApiBatchItems Limit exceeded."}
    corner.org("faults", rules=[{"kind": "refused", "endpoint": "ingest_create", "params": params}])
    said = corner.engine(*ROLLBACK, **ALWAYS)
    said_so(said, 0, "5 put back", "takes no bulk job", "ApiBatchItems Limit exceeded", "goes through collections")
    assert links(corner, ids) == before


def test_a_rollback_from_the_file_goes_by_jobs_too(corner: Corner) -> None:
    ids, before = switched(corner)
    [file] = corner.directory.glob("*.rollback-*.ndjson")
    words = ("run", "rollback", "--rollback-file", str(file), "--execute", "--yes", "--no-progress")
    said_so(corner.engine(*words, **ALWAYS), 0, "5 put back", "Bulk API 2.0")
    assert links(corner, ids) == before


@pytest.mark.parametrize("next_one", ["backup", "rollback"])
def test_a_kill_under_a_job_that_goes_on_is_settled_once_the_job_has_ended(corner: Corner, next_one: str) -> None:
    ids, before = switched(corner, 30)
    corner.org("settings", bulk_rows_per_s=1_000_000, bulk_queue_s=4)
    run = corner.start(*ROLLBACK, **ALWAYS)
    until(lambda: asked(corner, "ingest_info") > 0, "the job is closed")
    run.kill()
    ended(run)
    assert links(corner, ids) == ours(corner), "it has not begun"
    if next_one == "backup":
        said = said_so(corner.engine("run", "backup", "--incremental", "--no-progress"), 0, "30 link changes")
        assert "30 the original" in said.out, "it was waited for"
        assert asked(corner, "ingest_change") == 1, "a backup writes nothing to Salesforce"
    else:
        said = said_so(corner.engine(*ROLLBACK, **ALWAYS), 0, "30 links that an earlier run left in doubt", "30 ours")
        assert "30 put back" in said.out
        assert asked(corner, "ingest_change") == 3, "close; abort, before anything was read; close"
    assert links(corner, ids) == before
    assert corner.status()["files"]["rolled_back"] == 30
    said_so(corner.engine("audit"), 0, "The journal is whole")


def test_a_job_that_does_not_end_keeps_its_links_open_for_a_backup(corner: Corner) -> None:
    ids, before = switched(corner)
    corner.org(
        "faults", rules=[{"kind": "refused", "endpoint": "ingest_change", "params": {"code": "X", "status": 503}}]
    )
    run = corner.start(*ROLLBACK, **ALWAYS)
    until(lambda: asked(corner, "ingest_change") > 0, "a close was tried")
    run.kill()
    ended(run)
    corner.org("faults", rules=[])
    said = corner.engine("run", "backup", "--incremental", "--no-progress")
    said_so(said, 0, "left open stay so", "is still Open", "next switch or rollback")
    assert corner.query("SELECT event FROM url_changes ORDER BY id DESC LIMIT 1") == [{"event": "undo_intended"}]
    said_so(corner.engine(*ROLLBACK, **ALWAYS), 0, "5 links that an earlier run left in doubt", "5 put back")
    assert links(corner, ids) == before


def test_a_stop_aborts_the_job_and_the_same_command_goes_on(corner: Corner) -> None:
    ids, before = switched(corner)
    corner.org("settings", bulk_rows_per_s=1_000_000, bulk_queue_s=600)
    run = corner.start(*ROLLBACK, **ALWAYS)
    until(lambda: asked(corner, "ingest_info") > 0, "the job is closed")
    run.terminate()
    said = ended(run)
    said_so(said, 143, "goes on where it stopped")
    assert "in doubt" not in said.out
    assert links(corner, ids) == ours(corner)
    corner.org("settings", bulk_queue_s=0)
    said_so(corner.engine(*ROLLBACK, **ALWAYS), 0, "5 put back")
    assert links(corner, ids) == before


def test_a_stop_that_may_not_wait_leaves_doubt_that_the_next_start_settles(corner: Corner) -> None:
    ids, before = switched(corner)
    corner.org("settings", bulk_rows_per_s=1_000_000, bulk_queue_s=600)
    run = corner.start(*ROLLBACK, **ALWAYS, ENGINE_MIGRATION__DRAIN_SECONDS="0")
    until(lambda: asked(corner, "ingest_info") > 0, "the job is closed")
    run.terminate()
    said = ended(run)
    said_so(said, 143, "was cut; the next start reads it first", "5 in doubt")
    said = corner.engine(*ROLLBACK)
    said_so(said, 0, "is UploadComplete: it is aborted before anything is read", "5 put back")
    assert links(corner, ids) == before

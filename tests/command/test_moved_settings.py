"""Settings that change between runs: another bucket, other links; and an object that somebody overwrote."""

from __future__ import annotations

import pytest

from engine.rehearsal.side_door import Seeded
from tests.support.commands import BACKUP, ROLLBACK, SWITCH, backed_up, links, ours, said_so
from tests.support.corner import Corner, wait

FORM = "https://files.example.test/{bucket}/{key}?from={region}"
LONG = f"https://files.example.test/{'x' * 400}/{{key}}"


@pytest.mark.parametrize("words", [BACKUP, SWITCH, ROLLBACK, ("verify",), ("run", "switch", "--dry-run")])
def test_copies_of_one_bucket_are_not_looked_for_in_another(corner: Corner, words: tuple[str, ...]) -> None:
    ids = backed_up(corner)
    before, rows = links(corner, ids), corner.rows()
    other = f"{corner.bucket}-other"
    wait(corner.stage.objects.create_buckets(other))
    said = corner.engine(*words, ENGINE_DESTINATION__BUCKET=other)
    said_so(said, 4, f"destination.bucket: {corner.bucket}", other, "tracking.database")
    assert (links(corner, ids), corner.rows()) == (before, rows)
    said_so(corner.engine(*SWITCH), 0, "5 switched")


def test_a_bucket_that_holds_no_copy_yet_may_be_changed(corner: Corner) -> None:
    corner.records([corner.row(url=corner.url(f"{corner.tag}/missing.pdf"))])
    assert corner.engine(*BACKUP).code == 3
    other = f"{corner.bucket}-other"
    wait(corner.stage.objects.create_buckets(other))
    corner.put(f"{corner.tag}/missing.pdf")
    assert corner.engine(*BACKUP, ENGINE_DESTINATION__BUCKET=other).code == 0


def test_links_follow_a_changed_template_once_a_backup_has_formed_them_anew(corner: Corner) -> None:
    ids = backed_up(corner)
    before, held = links(corner, ids), corner.held()
    corner.env["ENGINE_DESTINATION__URL_TEMPLATE"] = FORM
    for words in (SWITCH, ("run", "switch", "--dry-run")):
        said_so(corner.engine(*words), 4, "destination.url_template", "engine run backup --incremental")
    assert links(corner, ids) == before
    said_so(corner.engine("run", "backup", "--incremental", "--no-progress"), 0, "5 links to copies were formed anew")
    assert corner.held() == held, "nothing was copied for that"
    said_so(corner.engine(*SWITCH), 0, "5 switched")
    assert set(links(corner, ids).values()) == {
        f"https://files.example.test/{corner.bucket}/{row['your_s3_key'].replace(' ', '%20')}?from=us-east-1"
        for row in corner.rows().values()
    }
    assert links(corner, ids) == ours(corner)


def test_links_that_users_have_keep_their_form_and_get_the_new_one_after_a_rollback(corner: Corner) -> None:
    ids = backed_up(corner)
    assert corner.engine(*SWITCH).code == 0
    old = links(corner, ids)
    corner.env["ENGINE_DESTINATION__URL_TEMPLATE"] = FORM
    said = corner.engine(*BACKUP)
    assert (said.code, "formed anew" in said.everything) == (0, False)
    assert links(corner, ids) == ours(corner) == old
    said_so(corner.engine(*ROLLBACK), 0, "5 put back")
    said_so(corner.engine(*SWITCH), 4, "engine run backup --incremental")
    said_so(corner.engine("run", "backup", "--incremental", "--no-progress"), 0, "5 links to copies were formed anew")
    said_so(corner.engine(*SWITCH), 0, "5 switched")
    assert all(link.startswith("https://files.example.test/") for link in links(corner, ids).values())


def test_a_new_form_that_does_not_fit_the_field_fails_by_name_and_mends_itself(corner: Corner) -> None:
    ids = backed_up(corner)
    said_so(corner.engine(*BACKUP, ENGINE_DESTINATION__URL_TEMPLATE=LONG), 3, "url_too_long")
    assert {row["failure_class"] for row in corner.rows().values()} == {"url_too_long"}
    assert corner.status()["files"]["failed"] == 5
    said_so(corner.engine(*SWITCH, ENGINE_DESTINATION__URL_TEMPLATE=LONG), 0, "0 links")
    assert corner.engine("run", "backup", "--incremental", "--no-progress").code == 0
    said_so(corner.engine(*SWITCH), 0, "5 switched")
    assert links(corner, ids) == ours(corner)


def test_an_object_that_was_overwritten_behind_a_switched_link_is_no_success(corner: Corner) -> None:
    ids = backed_up(corner)
    assert corner.engine(*SWITCH).code == 0
    key = corner.rows()[ids[2]]["your_s3_key"]
    wait(corner.stage.objects.load(corner.bucket, [Seeded(key, 77, seed="9")]))
    assert corner.engine("verify").code == 6
    for _ in range(2):
        said = corner.engine("run", "backup", "--incremental", "--no-progress")
        said_so(said, 3, "key_conflict")
        assert len([key for key in corner.held() if key.startswith("uploads/")]) == 5, "nothing was copied beside it"
    assert corner.rows()[ids[2]]["status"] == "switched"
    said_so(corner.engine("status", "--errors"), 0, "BROKEN      1 switched", "engine status --recent-errors 20")
    said_so(corner.engine("status", "--recent-errors", "20"), 0, ids[2], "key_conflict", "with a rollback")

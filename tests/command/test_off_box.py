"""The journal in the bucket: there before a link is sent, so that a lost machine takes no way back with it (I17)."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import (
    BACKUP,
    ROLLBACK,
    SWITCH,
    backed_up,
    content_of,
    kill_within_a_switch,
    links,
    ours,
    remove,
    replace,
    said_so,
)
from tests.support.corner import Corner, wait

NEVER = {"ENGINE_SWITCH__OFF_BOX": "never"}
DRY_UNDO = ("run", "rollback", "--from-database")


def batches(corner: Corner) -> list[str]:
    return [key for key in corner.held() if key.startswith(".engine/journal/") and key.endswith(".ndjson")]


def rows_in_bucket(corner: Corner) -> list[dict[str, Any]]:
    found = [content_of(corner, key).splitlines() for key in batches(corner)]
    return [json.loads(line) for lines in found for line in lines[1:]]


def deny_batches(corner: Corner, **more: Any) -> None:
    corner.misbehave(
        **{"kind": "access_denied", "method": "PUT", "path": f"{corner.bucket}/.engine/journal/.*ndjson"} | more
    )


def test_every_row_is_in_the_bucket_as_it_is_in_the_journal(corner: Corner) -> None:
    backed_up(corner)
    assert corner.engine(*SWITCH).code == 0
    assert corner.engine(*ROLLBACK).code == 0
    assert rows_in_bucket(corner) == corner.query("SELECT * FROM url_changes ORDER BY id")
    names = [int(key.rpartition("/")[2].partition(".")[0]) for key in batches(corner)]
    assert names == sorted(names)
    assert names[0] == 1
    header = json.loads(content_of(corner, batches(corner)[0]).splitlines()[0])
    assert (header["object"], header["field"], header["bucket"]) == ("DocListEntry__c", "Document__c", corner.bucket)
    assert header["org"].startswith("00D")


def test_what_the_bucket_does_not_take_is_not_sent(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    deny_batches(corner)
    told = ("could not be put into the bucket", "s3:PutObject", "engine run switch --execute")
    said_so(corner.engine(*SWITCH), 5, *told)
    assert links(corner, ids) == before
    corner.misbehave()
    assert batches(corner) == []
    said_so(corner.engine(*SWITCH, ENGINE_SWITCH__SETTLE_AFTER="1s"), 0, "5 switched")
    assert rows_in_bucket(corner) == corner.query("SELECT * FROM url_changes ORDER BY id")


def test_a_put_whose_answer_is_lost_is_no_failure(corner: Corner) -> None:
    ids = backed_up(corner)
    deny_batches(corner, kind="reset", when="after", nth=(1,))
    said_so(corner.engine(*SWITCH), 0, "5 switched")
    assert links(corner, ids) == ours(corner)
    assert rows_in_bucket(corner) == corner.query("SELECT * FROM url_changes ORDER BY id")


def test_never_is_said_by_every_run_and_dry_run_and_made_up_for_later(corner: Corner) -> None:
    backed_up(corner)
    said_so(corner.engine("run", "switch", **NEVER), 0, "switch.off_box is never")
    said_so(corner.engine(*SWITCH, **NEVER), 0, "switch.off_box is never")
    said_so(corner.engine(*DRY_UNDO, **NEVER), 0, "switch.off_box is never")
    assert batches(corner) == []
    assert "off_box" not in said_so(corner.engine(*ROLLBACK), 0, "5 put back").everything
    assert rows_in_bucket(corner) == corner.query("SELECT * FROM url_changes ORDER BY id")


def test_a_directory_restored_from_within_a_wave_is_refused(corner: Corner) -> None:
    ids = backed_up(corner, 30)
    kill_within_a_switch(corner, ids)
    kept = copied(corner)
    assert corner.engine(*SWITCH, ENGINE_SWITCH__SETTLE_AFTER="1s").code == 0
    restore(corner, kept)
    for path in corner.directory.glob("*.journal-head.json"):
        assert path.exists()
    sent = links(corner, ids)
    told = ("this DB is an older copy", "db rebuild --from-bucket")
    said_so(corner.engine(*ROLLBACK), 6, *told)
    said_so(corner.engine(*SWITCH), 6, *told)
    said_so(corner.engine("run", "switch"), 0, "--execute would be refused", *told)
    assert links(corner, ids) == sent


def copied(corner: Corner) -> Path:
    """The box as it is now."""
    kept = corner.directory / "kept"
    kept.mkdir()
    for path in corner.directory.glob("tracking.db*"):
        shutil.copy2(path, kept)
    return kept


def restore(corner: Corner, kept: Path) -> None:
    for path in corner.directory.glob("tracking.db*"):
        path.unlink()
    for path in kept.iterdir():
        shutil.copy2(path, corner.directory)


@pytest.mark.parametrize("body", [b"", b"{}\n", b"x" * 5_000])
def test_what_others_put_in_the_way_of_a_batch_stops_nothing(corner: Corner, body: bytes) -> None:
    ids = backed_up(corner)
    assert corner.engine(*SWITCH, "--limit", "1").code == 0
    folder = batches(corner)[0].rpartition("/")[0]
    rows = len(corner.query("SELECT id FROM url_changes"))
    replace(corner, corner.bucket, f"{folder}/{rows + 1:012d}.ndjson", body)
    said_so(corner.engine(*SWITCH), 0, "4 switched", "do not carry our HMAC")
    assert links(corner, ids) == ours(corner)
    said_so(corner.engine(*ROLLBACK), 0, "5 put back")


# the way back without the box

FROM_BUCKET = ("run", "rollback", "--from-bucket", "--execute", "--yes", "--no-progress")
SOON = {"ENGINE_SWITCH__SETTLE_AFTER": "1s"}


def lose_the_box(corner: Corner, *, key: bool = True) -> None:
    """A new machine, with the settings and perhaps the key."""
    for path in corner.directory.glob("tracking.db*"):
        if not (key and path.name.endswith("journal-key")):
            path.unlink()


def lost_within_a_wave(corner: Corner, count: int = 30) -> tuple[list[str], dict[str, str]]:
    """The machine is lost while a wave is under way; its links as they were before."""
    ids = backed_up(corner, count)
    before = links(corner, ids)
    assert corner.engine(*SWITCH, "--limit", "9").code == 0
    kill_within_a_switch(corner, ids)
    lose_the_box(corner)
    return ids, before


def test_a_box_lost_within_a_wave_loses_no_way_back(corner: Corner) -> None:
    ids, before = lost_within_a_wave(corner)
    moved = sum(link != before[record] for record, link in links(corner, ids).items())
    assert moved
    said_so(corner.engine(*FROM_BUCKET[:3], **SOON), 0, f"{moved} would be put back", "nothing was written")
    said_so(corner.engine(*FROM_BUCKET, **SOON), 0, f"{moved} put back")
    assert links(corner, ids) == before
    said_so(corner.engine(*FROM_BUCKET, **SOON), 0, "already so")
    assert corner.engine("audit", "--bucket").code == 0


def test_an_edit_after_the_loss_survives(corner: Corner) -> None:
    ids, before = lost_within_a_wave(corner)
    corner.edit([ids[0]], Document__c="https://users.test/mine.pdf")
    said_so(corner.engine(*FROM_BUCKET, **SOON), 0, "1 edited by others and left alone")
    assert links(corner, ids) == {**before, ids[0]: "https://users.test/mine.pdf"}


def test_without_the_key_it_takes_force(corner: Corner) -> None:
    ids, before = lost_within_a_wave(corner)
    lose_the_box(corner, key=False)
    said_so(corner.engine(*FROM_BUCKET, **SOON), 4, "key", "is missing", "--force")
    assert links(corner, ids) != before
    deny_batches(corner)  # what it has put back by then is what the next one finds
    assert corner.engine(*FROM_BUCKET, "--force", **SOON).code == 5
    corner.misbehave()
    said_so(corner.engine(*FROM_BUCKET, **SOON), 4, "no rows of a journal with this key", "--force")
    said_so(corner.engine(*FROM_BUCKET, "--force", **SOON), 0, "put back", "was not verified")
    assert links(corner, ids) == before


@pytest.mark.parametrize("how", ["changed", "deleted", "cut"])
def test_a_batch_that_was_tampered_with_is_missed(corner: Corner, how: str) -> None:
    ids, before = lost_within_a_wave(corner)
    key = batches(corner)[1]
    content = content_of(corner, key)
    if how == "deleted":
        remove(corner, corner.bucket, key)
    else:
        evil = content.replace(b"https://", b"https;//") if how == "changed" else content[: len(content) // 2]
        replace(corner, corner.bucket, key, evil)
    sent = links(corner, ids)
    said_so(corner.engine(*FROM_BUCKET, **SOON), 6, "lacks the rows", "--force")
    assert links(corner, ids) == sent
    said_so(corner.engine(*FROM_BUCKET, "--force", **SOON), 0, "are missing in the bucket")
    now = links(corner, ids)
    assert sum(now[record] == before[record] for record in ids) > sum(sent[record] == before[record] for record in ids)


def test_a_last_batch_that_was_deleted_is_missed_by_the_tip(corner: Corner) -> None:
    ids = backed_up(corner)
    assert corner.engine(*SWITCH).code == 0
    lose_the_box(corner)
    remove(corner, corner.bucket, batches(corner)[-1])
    said_so(corner.engine(*FROM_BUCKET), 6, "lacks the rows")
    assert set(links(corner, ids).values()) != {""}


def test_what_others_put_among_the_batches_is_named_and_passed_over(corner: Corner) -> None:
    ids, before = lost_within_a_wave(corner)
    first = batches(corner)[0]
    folder = first.rpartition("/")[0]
    second = content_of(corner, batches(corner)[1])
    for name, body in (("999999999999", b"{}"), ("000000000004.3", b"x"), ("000000000001.5", second)):
        replace(corner, corner.bucket, f"{folder}/{name}.ndjson", body)
    said_so(corner.engine(*FROM_BUCKET, **SOON), 0, "3 objects of the journal's folder", "passed over")
    assert links(corner, ids) == before


def test_links_of_another_field_are_not_touched(corner: Corner) -> None:
    ids, before = lost_within_a_wave(corner)
    sent = links(corner, ids)
    elsewhere = {"ENGINE_SALESFORCE__URL_FIELD": "Identifier__c"}
    said = corner.engine(*FROM_BUCKET, **SOON, **elsewhere)
    assert said.code == 4, said.everything
    assert links(corner, ids) == sent != before
    said_so(corner.engine(*FROM_BUCKET, "--journal", "nothing", **SOON), 2, "--journal nothing", "there are:")


def test_a_rollback_from_the_bucket_heeds_run_and_wave(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    run = corner.runs()[-1]["id"]
    lose_the_box(corner)
    said_so(corner.engine(*FROM_BUCKET, "--run", "99"), 2, "--run 99", f"switches in the bucket: {run}")
    said_so(corner.engine(*FROM_BUCKET, "--run", str(run), "--wave", "1"), 0, "1 put back")
    assert sum(links(corner, ids)[record] == before[record] for record in ids) == 1
    said_so(corner.engine(*FROM_BUCKET, "--since", "2020-01-01"), 0, "4 put back", "1 already so")
    assert links(corner, ids) == before


# the tracking DB made anew

REBUILD = ("db", "rebuild", "--from-bucket")


def rows_of(corner: Corner) -> list[dict[str, Any]]:
    return corner.query("SELECT * FROM url_changes ORDER BY id")


def test_a_directory_restored_from_within_a_wave_is_rebuilt_and_undone(corner: Corner) -> None:
    ids = backed_up(corner, 30)
    before = links(corner, ids)
    kill_within_a_switch(corner, ids)
    kept = copied(corner)
    assert corner.engine(*SWITCH, **SOON).code == 0
    assert corner.engine(*ROLLBACK, "--limit", "3").code == 0
    rows, states = rows_of(corner), {name: row["status"] for name, row in corner.rows().items()}
    counts = [(run["id"], run["run_type"], run["updated_files"]) for run in corner.runs()]
    restore(corner, kept)
    said_so(corner.engine(*ROLLBACK), 6, "db rebuild --from-bucket")
    said = said_so(corner.engine(*REBUILD), 0, "added", "of run 3, 4")
    assert "not proved yet" not in said.out
    assert rows_of(corner) == rows
    assert {name: row["status"] for name, row in corner.rows().items()} == states
    assert [(run["id"], run["run_type"], run["updated_files"]) for run in corner.runs()] == counts
    assert corner.status()["files"]["switched"] == 27
    again = corner.engine(*REBUILD, "--json").json
    assert (again["added"], again["rows"], again["exit_code"]) == (0, len(rows), 0)
    said_so(corner.engine(*ROLLBACK), 0, "27 put back")
    assert links(corner, ids) == before
    said_so(corner.engine("audit", "--bucket"), 0, "The journal is whole")


@pytest.mark.parametrize("scanned", [False, True])
def test_a_lost_db_is_rebuilt_and_the_next_backup_proves_its_copies(corner: Corner, scanned: bool) -> None:
    ids, before = lost_within_a_wave(corner)
    if scanned:
        told = ("know of earlier switches", "db rebuild --from-bucket")
        said_so(corner.engine(*BACKUP), 0, *told)  # it finds links that it knows nothing about
        said_so(corner.engine(*SWITCH), 6, "journal of this tracking DB is empty", "db rebuild --from-bucket")
    else:
        said_so(corner.engine(*SWITCH), 4, "db rebuild --from-bucket")
    said = said_so(corner.engine(*REBUILD), 0, "are known again by their links")
    assert "run backup --full" in said.out
    assert corner.rows()[ids[0]]["original_url"] == before[ids[0]]
    said_so(corner.engine(*BACKUP, **SOON), 0)
    now, rows = links(corner, ids), corner.rows()
    for record, row in rows.items():
        assert row["original_url"] == before[record]
        assert row["status"] == ("switched" if now[record] != before[record] else "backed_up")
        assert row["proof"] in {"etag", "checksum"}
        assert row["verified_at"]
    assert len([key for key in corner.held() if key.startswith("uploads/")]) == len(ids), "copied again"
    said_so(corner.engine("verify"), 0)
    said_so(corner.engine(*SWITCH), 0)
    assert links(corner, ids) == ours(corner)
    said_so(corner.engine(*ROLLBACK), 0, "30 put back")
    assert links(corner, ids) == before


def test_what_is_missing_in_the_bucket_is_not_rebuilt(corner: Corner) -> None:
    lost_within_a_wave(corner)
    remove(corner, corner.bucket, batches(corner)[2])
    said_so(corner.engine(*REBUILD), 6, "lacks the rows")
    said_so(corner.engine(*REBUILD[:2]), 2, "Give --from-bucket")


def test_a_rebuild_of_which_nothing_can_be_read_says_so(corner: Corner) -> None:
    """As when the first batch of all was damaged on its way, nothing was sent, and then the machine is lost."""
    backed_up(corner)
    assert corner.engine(*SWITCH, "--limit", "1").code == 0
    for key in corner.held():
        if key.startswith(".engine/"):
            replace(corner, corner.bucket, key, b"spoilt")
    lose_the_box(corner)
    said_so(corner.engine(*REBUILD), 6, "no row that carries our HMAC", "switch.journal_key_file")
    assert corner.engine(*BACKUP).code == 0
    said_so(corner.engine(*SWITCH), 6, "switch.journal_key_file")
    another = {"ENGINE_SWITCH__JOURNAL_KEY_FILE": str(corner.directory / "another-key")}
    said_so(corner.engine(*SWITCH, **another), 0, "4 switched")


def test_a_tip_that_is_left_of_an_unreadable_journal_is_named_with_the_key(corner: Corner) -> None:
    """Only the DB is lost, and nothing of the journal in the bucket can be read."""
    backed_up(corner)
    assert corner.engine(*SWITCH, "--limit", "1").code == 0
    for key in corner.held():
        if key.startswith(".engine/"):
            replace(corner, corner.bucket, key, b"spoilt")
    for end in ("", "-wal", "-shm"):
        Path(f"{corner.database}{end}").unlink(missing_ok=True)
    said_so(corner.engine(*REBUILD), 6, "switch.journal_key_file", ".journal-head.json", "move it away")
    assert corner.engine(*BACKUP).code == 0

    Path(f"{corner.database}.journal-head.json").rename(corner.directory / "old-tip.json")
    another = {"ENGINE_SWITCH__JOURNAL_KEY_FILE": str(corner.directory / "another-key")}
    said_so(corner.engine(*SWITCH, **another), 0, "4 switched")


def test_a_rebuild_of_another_bucket_or_org_is_refused(corner: Corner) -> None:
    lost_within_a_wave(corner)
    elsewhere = f"{corner.bucket}-other"
    wait(corner.stage.objects.create_buckets(elsewhere))
    for key in batches(corner):
        replace(corner, elsewhere, key, content_of(corner, key))
    said_so(corner.engine(*REBUILD, ENGINE_DESTINATION__BUCKET=elsewhere), 4, "is of DocListEntry__c.Document__c")
    assert corner.engine(*REBUILD, ENGINE_SALESFORCE__ORG_ID="00D000000000001AAA").code == 4
    lose_the_box(corner, key=False)
    said_so(corner.engine(*REBUILD), 4, "journal's key", "is missing")


def test_of_several_journals_one_is_to_be_named(corner: Corner) -> None:
    ids, before = lost_within_a_wave(corner)
    name = batches(corner)[0].split("/")[2]
    assert corner.engine(*FROM_BUCKET, "--limit", "3", **SOON).code == 0
    lose_the_box(corner)
    said_so(corner.engine(*REBUILD), 2, "holds 2 journals of this key", name, "--journal")
    said_so(corner.engine(*REBUILD, "--journal", name), 0, "are known again")
    said_so(corner.engine(*ROLLBACK, **SOON), 0, "put back")
    assert links(corner, ids) == before


def test_batches_that_were_deleted_further_back_are_there_again_after_the_next_start(corner: Corner) -> None:
    """Eight batches are read at a start; of the others, their names tell."""
    backed_up(corner, 40)
    assert corner.engine(*SWITCH, ENGINE_MIGRATION__BATCH_SIZE="2", ENGINE_MIGRATION__CONCURRENCY="1").code == 0
    names = batches(corner)
    assert len(names) > 15
    for place in (0, 3, 4, len(names) - 10):
        remove(corner, corner.bucket, names[place])
    said_so(corner.engine(*ROLLBACK), 0, "40 put back", "rows of the journal were missing in the bucket", "lifecycle")
    assert set(names) <= set(batches(corner))
    assert sorted(row["id"] for row in rows_in_bucket(corner)) == list(range(1, len(rows_in_bucket(corner)) + 1))
    said = said_so(corner.engine(*ROLLBACK), 0)
    assert "were missing" not in said.everything


def test_a_journal_that_was_put_there_later_lacks_nothing(corner: Corner) -> None:
    backed_up(corner, 40)
    assert corner.engine(*SWITCH, ENGINE_MIGRATION__BATCH_SIZE="2", **NEVER).code == 0
    assert batches(corner) == []
    said = said_so(corner.engine(*ROLLBACK, ENGINE_MIGRATION__BATCH_SIZE="2"), 0)
    assert "were missing" not in said.everything
    there = batches(corner)
    said_so(corner.engine(*ROLLBACK), 0, "40 already so")
    assert batches(corner)[: len(there)] == there

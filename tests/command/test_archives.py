"""Copies that lie in an archive class: no link is moved to one, and ``verify`` names them."""

from __future__ import annotations

from urllib.request import Request, urlopen

import pytest

from engine.rehearsal.content import content_of
from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.side_door import Seeded
from tests.support.commands import BACKUP, ROLLBACK, SWITCH, backed_up, links, ours, said_so
from tests.support.corner import Corner, wait

ALL_AT_ONCE = {"ENGINE_SWITCH__WAVES": '["100%"]', "ENGINE_MIGRATION__ERROR_BUDGET": "1"}


def freeze(corner: Corner, record: str, storage_class: str, **headers: str) -> None:
    """A lifecycle rule moves its copy to another class; the bytes stay."""
    row = corner.rows()[record]
    source = row["original_url"].partition(".com/")[2]
    seeded = Seeded(
        row["your_s3_key"],
        body=content_of(source, row["file_size_bytes"]),
        storage_class=storage_class,
        headers=headers,
    )
    wait(corner.stage.objects.load(corner.bucket, [seeded]))


def restore(corner: Corner, record: str) -> None:
    """Somebody restores it for some days."""
    body = b"<RestoreRequest><Days>5</Days></RestoreRequest>"
    key = corner.rows()[record]["your_s3_key"]
    request = Request(f"{corner.stage.store.url}/{corner.bucket}/{key}?restore", body, method="POST")
    request.add_header("Authorization", "AWS4-HMAC-SHA256 Credential=rehearsal/20261122/us-east-1/s3/aws4_request")
    request.add_header("Content-Type", "application/xml")
    with urlopen(request) as answer:
        assert answer.status in {200, 202}


@pytest.mark.parametrize(
    ("storage_class", "headers"),
    [
        ("GLACIER", {}),
        ("DEEP_ARCHIVE", {}),
        ("GLACIER", {"x-amz-restore": 'ongoing-request="true"'}),
        ("INTELLIGENT_TIERING", {"x-amz-archive-status": "ARCHIVE_ACCESS"}),
        ("INTELLIGENT_TIERING", {"x-amz-archive-status": "DEEP_ARCHIVE_ACCESS"}),
    ],
)
def test_no_link_is_moved_to_a_copy_that_nobody_can_open(
    corner: Corner, storage_class: str, headers: dict[str, str]
) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    freeze(corner, ids[2], storage_class, **headers)
    said = said_so(corner.engine(*SWITCH, **ALL_AT_ONCE), 3, "4 switched", "1 whose copy cannot be opened")
    assert "--retry-class archived" in said.out
    assert links(corner, [ids[2]])[ids[2]] == before[ids[2]]
    row = corner.rows()[ids[2]]
    assert (row["status"], row["failure_class"]) == ("failed", "archived")
    assert storage_class in row["error_message"]
    assert corner.status()["readiness"]["reasons"] == {"archived": 1}
    said_so(corner.engine(*SWITCH), 0, "0 links")
    retry = ("run", "backup", "--incremental", "--retry-class", "archived", "--no-progress")
    assert corner.engine(*retry).code == 3, "it is there, and still cannot be opened"

    freeze(corner, ids[2], "STANDARD")
    assert corner.engine(*retry).code == 0
    said_so(corner.engine(*SWITCH), 0, "1 switched")
    assert links(corner, ids) == ours(corner)


@pytest.mark.parametrize("storage_class", ["GLACIER_IR", "STANDARD_IA", "INTELLIGENT_TIERING"])
def test_a_link_is_moved_to_a_copy_of_any_class_that_opens_at_once(corner: Corner, storage_class: str) -> None:
    ids = backed_up(corner)
    freeze(corner, ids[2], storage_class)
    said_so(corner.engine("verify"), 0, "5 as recorded")
    said_so(corner.engine(*SWITCH), 0, "5 switched")


def test_a_restored_copy_is_no_place_for_a_link_that_stays(corner: Corner) -> None:
    ids = backed_up(corner)
    freeze(corner, ids[2], "GLACIER")
    restore(corner, ids[2])
    said_so(corner.engine(*SWITCH, **ALL_AT_ONCE), 3, "4 switched", "1 whose copy cannot be opened")
    assert "its restored copy opens until 20" in corner.rows()[ids[2]]["error_message"]


def test_a_wave_that_lists_the_bucket_sees_archives_too(corner: Corner) -> None:
    ids = backed_up(corner, 2_000, size=1)
    freeze(corner, ids[2], "GLACIER")
    freeze(corner, ids[3], "INTELLIGENT_TIERING", **{"x-amz-archive-status": "ARCHIVE_ACCESS"})
    freeze(corner, ids[4], "INTELLIGENT_TIERING")
    corner.forget_requests()
    said_so(corner.engine(*SWITCH, **ALL_AT_ONCE), 3, "1,998 switched", "2 whose copy cannot be opened")
    asked = [each for each in wait(corner.stage.objects.requests()) if each.method == "HEAD"]
    heads = [each for each in asked if f"/{corner.bucket}/uploads/" in each.path]
    assert len(heads) <= 6, "only what may lie in an archive is asked for"


@pytest.mark.parametrize("level", ["list", "head", "deep"])
def test_verify_names_copies_that_nobody_can_open(corner: Corner, level: str) -> None:
    ids = backed_up(corner)
    assert corner.engine(*SWITCH, "--limit", "1").code == 0
    switched = next(name for name, row in corner.rows().items() if row["status"] == "switched")
    other = next(name for name in ids if name != switched)
    freeze(corner, switched, "DEEP_ARCHIVE")
    freeze(corner, other, "INTELLIGENT_TIERING", **{"x-amz-archive-status": "ARCHIVE_ACCESS"})
    said = said_so(
        corner.engine("verify", "--level", level),
        6,
        "* 2 differ (2 archived: they cannot be opened)",
        "1 of them are SWITCHED",
    )
    assert "an archive tier of INTELLIGENT_TIERING" in said.out
    assert "copies again what is missing" not in said.out, "a backup does not help"
    assert "objects that differ" not in said.out, "nor does deleting them"
    rows = corner.rows()
    assert (rows[switched]["status"], rows[other]["status"]) == ("switched", "failed")
    assert rows[other]["failure_class"] == "archived"
    found = corner.engine("verify", "--level", level, "--json").json
    assert (found["archived_copies"], found["broken_links"], found["counts"]["differ"]) == (1, 1, 1)


def test_a_backup_into_an_archive_class_works_and_doctor_says_what_it_means(corner: Corner) -> None:
    corner.files(2)
    env = {"ENGINE_DESTINATION__STORAGE_CLASS": "GLACIER"}
    assert corner.engine(*BACKUP, **env).code == 0
    assert corner.engine("verify", **env).code == 0, "they are where they are meant to be"
    found = {each["check"]: each for each in corner.engine("doctor", "--json", **env).json["findings"]}
    assert found["storage_class"]["level"] == "warn"
    assert "no link can be moved" in found["storage_class"]["what"]
    said = corner.engine("doctor", "--for", "switch", "--json", **env)
    found = {each["check"]: each for each in said.json["findings"]}
    assert (said.code, found["storage_class"]["level"]) == (4, "block")
    assert found["destination"]["level"] == "ok", "it can be written; that it cannot be read is told once"


def lifecycle(corner: Corner, prefix: str, does: str) -> None:
    rule = f"<Rule><ID>cold</ID><Status>Enabled</Status><Filter><Prefix>{prefix}</Prefix></Filter>{does}</Rule>"
    body = f"<LifecycleConfiguration>{rule}</LifecycleConfiguration>".encode()
    request = Request(f"{corner.stage.store.url}/{corner.bucket}?lifecycle", body, method="PUT")
    request.add_header("Content-Type", "application/xml")
    with urlopen(request) as answer:
        assert answer.status == 200


ARCHIVES = "<Transition><Days>30</Days><StorageClass>GLACIER</StorageClass></Transition>"
EXPIRES = "<Expiration><Days>90</Days></Expiration>"


def test_doctor_warns_of_a_lifecycle_rule_that_archives(corner: Corner) -> None:
    corner.files(1)
    lifecycle(corner, "", ARCHIVES)
    found = {each["check"]: each for each in corner.engine("doctor", "--json").json["findings"]}
    assert found["archiving"]["level"] == "warn"
    assert "GLACIER" in found["archiving"]["what"]


@pytest.mark.parametrize(
    ("prefix", "does", "told"),
    [
        ("", ARCHIVES, "move to GLACIER objects"),
        (".engine/", EXPIRES, "delete objects"),
        (".engine/journal/0", ARCHIVES + EXPIRES, "move to GLACIER and delete objects"),
        ("uploads/", EXPIRES, ""),
        (".engine/doctor-", EXPIRES, ""),
    ],
)
def test_a_lifecycle_rule_that_takes_the_journal_away_blocks_a_switch(
    corner: Corner, prefix: str, does: str, told: str
) -> None:
    corner.files(1)
    lifecycle(corner, prefix, does)
    for purpose, level in (("backup", "warn"), ("switch", "block")):
        findings = corner.engine("doctor", "--json", "--for", purpose).json["findings"]
        found = [(each["level"], told in each["what"]) for each in findings if each["check"] == "journal_rules"]
        assert found == ([(level, True)] if told else [])
    never = corner.engine("doctor", "--json", "--for", "switch", ENGINE_SWITCH__OFF_BOX="never")
    assert "journal_rules" not in never.out


def test_old_links_to_archived_objects_stop_a_rollback_unless_forced(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    keys = [link.partition(".com/")[2] for link in before.values()]
    wait(corner.stage.objects.load(VENDOR_BUCKET, [Seeded(key, 400, storage_class="GLACIER") for key in keys[:2]]))
    said_so(corner.engine(*ROLLBACK), 4, "2 of 5 old links that were tried are dead", "lies in GLACIER", "--force")
    assert links(corner, ids) == ours(corner)
    said_so(corner.engine(*ROLLBACK, "--force"), 0, "5 put back")

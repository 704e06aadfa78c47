"""The journal's tips in the bucket: what others put there blocks nothing, and what is missing there is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from engine.rehearsal.side_door import Seeded
from tests.support.commands import ROLLBACK, SWITCH, backed_up, links, lose_the_database, remove, said_so
from tests.support.corner import Corner, wait

PASSED = "do not carry our HMAC"
NO_WITNESS = "does not witness"


def kept(corner: Corner) -> list[str]:
    """What our bucket holds of journals."""
    return [key for key in corner.held() if key.startswith(".engine/journal/")]


def tips(corner: Corner) -> list[str]:
    return [key for key in kept(corner) if key.endswith(".json")]


def plant(corner: Corner, *objects: Seeded) -> None:
    wait(corner.stage.objects.load(corner.bucket, objects))


def beside(corner: Corner) -> Path:
    """The tip beside the DB."""
    return Path(f"{corner.database}.journal-head.json")


def test_what_others_put_among_the_tips_is_named_and_blocks_nothing(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    said = corner.engine("audit")
    assert PASSED not in said.out
    folder = tips(corner)[0].rpartition("/")[0]
    plant(
        corner,
        Seeded(f"{folder}/999999999999.json", body=b"[" * 4_000),
        Seeded(f"{folder}/999999999998.json", body=beside(corner).read_bytes()),  # ours, under another name
        Seeded(f"{folder}/999999999997.json", size=400_000_000),
        Seeded(f"{folder}/zzz", size=400_000_000),
        Seeded(f"{folder}/999999999996.json"),
    )
    corner.forget_requests()
    said_so(
        corner.engine("audit"),
        0,
        "The journal is whole",
        "in the bucket",
        "up to row 10",
        "5 objects of",
        PASSED,
        folder,
    )
    assert corner.engine("audit", "--json").json["bucket"]["passed_over"] == 5
    said = said_so(corner.engine(*ROLLBACK), 0, "5 put back", "5 objects of", PASSED)
    assert NO_WITNESS not in said.out
    assert links(corner, ids) == before
    read = {each.path for each in wait(corner.stage.objects.requests()) if each.method == "GET"}
    assert not any(path.endswith(("zzz", "999999999997.json")) for path in read), "too large to be one, and read"


def test_a_tip_of_ours_that_knows_more_still_stops_whatever_lies_above_it(corner: Corner) -> None:
    ids = backed_up(corner, 12)
    assert corner.engine(*SWITCH, "--limit", "3").code == 0
    older(corner)
    folder = tips(corner)[0].rpartition("/")[0]
    plant(corner, *(Seeded(f"{folder}/9999999999{number}.json", body=b"{}") for number in range(10, 40)))
    sent = links(corner, ids)
    said_so(corner.engine(*ROLLBACK), 6, "this DB is an older copy")
    assert links(corner, ids) == sent


def older(corner: Corner) -> None:
    """The DB, and the tip beside it, of a moment ago; links have moved since."""
    copy, tip = corner.directory / "older.db", beside(corner)
    assert corner.engine("db", "snapshot", str(copy)).code == 0
    before = tip.read_bytes()
    assert corner.engine(*SWITCH).code == 0
    lose_the_database(corner)
    shutil.copy(copy, corner.database)
    tip.write_bytes(before)


def test_tips_that_were_deleted_beside_an_older_db_are_missed_by_every_run(corner: Corner) -> None:
    backed_up(corner, 12)
    assert corner.engine(*SWITCH, "--limit", "3").code == 0
    older(corner)
    for key in kept(corner):
        remove(corner, corner.bucket, key)
    said_so(corner.engine("run", "rollback", "--from-database"), 0, NO_WITNESS, "it was deleted")
    said_so(corner.engine(*ROLLBACK), 0, "3 put back", NO_WITNESS, "it was deleted")


def test_an_empty_journal_beside_one_of_its_key_is_refused(corner: Corner) -> None:
    """As when a copy of before the first switch is brought back, and the key lies elsewhere."""
    backed_up(corner)
    corner.env["ENGINE_SWITCH__JOURNAL_KEY_FILE"] = str(corner.directory / "elsewhere.key")
    copy, tip = corner.directory / "older.db", beside(corner)
    assert corner.engine("db", "snapshot", str(copy)).code == 0
    assert "knows of no link" not in said_so(corner.engine(*SWITCH), 0, "5 switched").out
    lose_the_database(corner)
    shutil.copy(copy, corner.database)
    tip.unlink()
    told = ("journal of this tracking DB is empty", ".engine/journal/", "holds rows", "db rebuild --from-bucket")
    said_so(corner.engine(*ROLLBACK), 6, *told, "a key of its own")
    said_so(corner.engine("run", "rollback", "--from-database"), 6, *told)
    said_so(corner.engine("run", "switch"), 0, "--execute would be refused", *told)
    said_so(corner.engine(*SWITCH), 6, *told)
    corner.env["ENGINE_SWITCH__JOURNAL_KEY_FILE"] = str(corner.directory / "of-its-own.key")
    said_so(corner.engine(*SWITCH), 0)


@pytest.mark.parametrize("more", [0, 1])
def test_a_tip_whose_place_is_taken_is_not_called_exported(corner: Corner, more: int) -> None:
    backed_up(corner)
    assert corner.engine(*SWITCH, "--limit", "1").code == 0
    [tip] = tips(corner)
    taken = f"{tip.rpartition('/')[0]}/{6:012d}.json"
    plant(corner, Seeded(taken, body=b"x" * (beside(corner).stat().st_size + more)))
    said_so(corner.engine(*SWITCH, "--limit", "2"), 0, "2 switched", f"into the bucket: {taken} is taken")

"""A row of the tracking DB that somebody has changed: its link never reaches Salesforce, and every command names it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.commands import BACKUP, ROLLBACK, SWITCH, backed_up, links, ours, said_so
from tests.support.corner import Corner

EVIL = "https://evil.example.test/uploads/x.pdf"
DRY = ("run", "switch", "--dry-run")


def tamper(corner: Corner, record: str, link: str = EVIL) -> None:
    with closing(sqlite3.connect(corner.database)) as db:
        db.execute("UPDATE file_migrations SET your_s3_url = ? WHERE doclist_entry_id = ?", (link, record))
        db.commit()


def forged(plan: Path, **changed: str) -> Path:
    """The same plan with other values in its first line, and a sum that fits."""
    head, line, *rest, last = plan.read_bytes().splitlines(keepends=True)
    body = head + json.dumps({**json.loads(line), **changed}, separators=(",", ":")).encode() + b"\n" + b"".join(rest)
    other = plan.with_name("forged.ndjson")
    end = {"end": True, "count": json.loads(last)["count"], "sha256": hashlib.sha256(body).hexdigest()}
    other.write_bytes(body + json.dumps(end, separators=(",", ":")).encode() + b"\n")
    return other


@pytest.mark.parametrize("kind", ["elsewhere", "another of our keys"])
def test_a_row_that_brings_a_link_of_its_own_is_left_alone_and_named(corner: Corner, kind: str) -> None:
    ids = backed_up(corner)
    before, rows = links(corner, ids), corner.rows()
    tamper(corner, ids[1], EVIL if kind == "elsewhere" else rows[ids[2]]["your_s3_url"])
    told = said_so(corner.engine(*DRY), 6, "4 would be switched", ids[1], "engine run backup --full")
    assert EVIL not in told.everything
    said_so(corner.engine(*SWITCH), 6, "4 switched", ids[1], "changed by other hands")
    assert links(corner, ids) == {**{name: row["your_s3_url"] for name, row in rows.items()}, ids[1]: before[ids[1]]}
    said_so(corner.engine(*BACKUP), 0, ids[1], "formed anew")
    assert ours(corner)[ids[1]] == rows[ids[1]]["your_s3_url"]
    said_so(corner.engine(*SWITCH), 0, "1 switched")
    assert links(corner, ids) == ours(corner)


@pytest.mark.parametrize("words", [("verify",), ("audit",), ("status", "--readiness")], ids=lambda words: words[0])
def test_every_look_names_such_a_row(corner: Corner, words: tuple[str, ...]) -> None:
    ids = backed_up(corner)
    assert "other hands" not in said_so(corner.engine(*words), 0).everything
    tamper(corner, ids[1])
    code = 0 if words[0] == "status" else 6
    said_so(corner.engine(*words), code, ids[1], "changed by other hands")
    document = said_so(corner.engine(*words, "--json"), code).json
    assert (document.get("readiness") or document)["foreign_links"] in (1, {"count": 1, "examples": [ids[1]]})


def test_a_row_that_says_of_a_switch_what_the_journal_does_not_is_named(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*SWITCH).code == 0
    said_so(corner.engine("audit"), 0)
    tamper(corner, ids[3])
    said_so(corner.engine("audit"), 6, ids[3], "changed by other hands")
    said_so(corner.engine("verify"), 6, ids[3])
    said_so(corner.engine(*ROLLBACK), 0, "5 put back")
    assert links(corner, ids) == before, "the journal knows what was there, whatever the row says"


def test_a_plan_that_brings_a_link_of_its_own_is_refused_though_its_sum_and_its_row_fit(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*DRY).code == 0
    [plan] = corner.directory.glob("*.plan-*.ndjson")
    tamper(corner, ids[0])
    other = forged(plan, new=EVIL)
    said_so(corner.engine(*SWITCH, "--plan", str(other)), 6, "is refused", ids[0], "nothing was written to Salesforce")
    assert links(corner, ids) == before


def test_a_row_that_changes_between_plan_and_switch_is_named(corner: Corner) -> None:
    ids = backed_up(corner)
    before = links(corner, ids)
    assert corner.engine(*DRY).code == 0
    [plan] = corner.directory.glob("*.plan-*.ndjson")
    tamper(corner, ids[4])
    said_so(
        corner.engine(*SWITCH, "--plan", str(plan)), 6, "4 switched", "1 changed since the plan", ids[4], "other hands"
    )
    assert links(corner, ids)[ids[4]] == before[ids[4]]


def test_a_link_of_an_earlier_form_is_no_foreign_one_and_a_foreign_one_is_not_called_outdated(corner: Corner) -> None:
    ids = backed_up(corner)
    corner.env["ENGINE_DESTINATION__URL_TEMPLATE"] = "https://files.example.test/{key}"
    for words in (("verify",), ("audit",), ("status", "--readiness")):
        assert "other hands" not in said_so(corner.engine(*words), 0).everything
    tamper(corner, ids[0])
    said_so(corner.engine(*DRY), 4, "destination.url_template")
    said = corner.engine("run", "backup", "--incremental", "--no-progress")
    said_so(said, 0, "4 links to copies were formed anew", ids[0], "other hands")
    assert all(link.startswith("https://files.example.test/") for link in ours(corner).values())


def test_doctor_opens_no_link_that_a_row_brings_along(corner: Corner) -> None:
    ids = backed_up(corner, 1)
    tamper(corner, ids[0])
    assert "evil" not in corner.engine("doctor", "--for", "switch").everything

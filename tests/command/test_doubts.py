"""Salesforce goes on with a write whose client is gone: what a later run, or the same one, may say of such links."""

from __future__ import annotations

import json
import urllib.request

from engine.rehearsal.generator import VENDOR_BUCKET
from tests.support.commands import ROLLBACK, SWITCH, backed_up, links, ours, said_so
from tests.support.corner import Corner, ended, org_log, until

ALL_AT_ONCE = {"ENGINE_SWITCH__WAVES": '["100%"]', "ENGINE_SWITCH__SETTLE_AFTER": "6s"}
LATE_S = 4.0


def fired(corner: Corner) -> int:
    """How often the fault has happened."""
    with urllib.request.urlopen(f"{corner.stage.salesforce_url}/__sim__/faults") as answer:
        return sum(rule["fired"] for rule in json.load(answer))


def killed_with_writes_in_flight(corner: Corner) -> None:
    """Salesforce has the writes, and carries them out some seconds after their client was killed."""
    corner.org("faults", rules=[{"kind": "slow", "endpoint": "collections_update", "params": {"seconds": LATE_S}}])
    run = corner.start(*SWITCH)
    until(lambda: corner.query("SELECT count(*) AS n FROM url_changes")[0]["n"] > 0, "links are about to be written")
    until(lambda: fired(corner) == 4, "their writes are under way")
    run.kill()
    ended(run)
    corner.org("faults", rules=[])


def test_a_rollback_right_after_a_kill_waits_for_what_salesforce_still_does(corner: Corner) -> None:
    ids = backed_up(corner, 20)
    corner.env |= ALL_AT_ONCE
    before = links(corner, ids)
    killed_with_writes_in_flight(corner)
    assert links(corner, ids) == before
    said_so(corner.engine(*ROLLBACK), 0, "20 in doubt until", "waiting until", "20 put back")
    assert links(corner, ids) == before
    assert {row["status"] for row in corner.rows().values()} == {"rolled_back"}
    assert len([e for e in org_log(corner.stage) if set(e["ids_written"]) & set(ids)]) >= 2


def test_a_stop_while_it_waits_says_until_when(corner: Corner) -> None:
    ids = backed_up(corner, 20)
    corner.env |= ALL_AT_ONCE
    before = links(corner, ids)
    killed_with_writes_in_flight(corner)
    said_so(
        corner.engine(*ROLLBACK, "--max-duration", "1s", ENGINE_SWITCH__SETTLE_AFTER="10m"),
        5,
        "20 links in doubt until",
        "the next start reads them first",
    )
    until(lambda: VENDOR_BUCKET not in "".join(links(corner, ids).values()), "Salesforce has written all")
    said_so(corner.engine(*ROLLBACK), 0)
    assert links(corner, ids) == before


def test_a_write_after_a_broken_connection_is_no_settled_link(corner: Corner) -> None:
    """Salesforce commits seconds after the connection broke: an edit before that is nobody's to overwrite twice."""
    ids = backed_up(corner, 20)
    corner.env |= ALL_AT_ONCE
    late = {"kind": "cut_then_commit", "endpoint": "collections_update", "nth": 1, "params": {"seconds": LATE_S}}
    corner.org("faults", rules=[late])
    said = corner.engine(*SWITCH, "--json")
    assert said.code == 0, said.everything
    assert "waiting until" in said.err
    assert links(corner, ids) == ours(corner)
    assert said.json["unseen_ms"] >= 1000 * LATE_S
    assert sum(len(e["ids_written"]) for e in org_log(corner.stage) if set(e["ids_written"]) & set(ids)) == 20


def test_a_proxys_page_after_the_write_settles_nothing(corner: Corner) -> None:
    ids = backed_up(corner, 8)
    corner.env |= ALL_AT_ONCE
    corner.org("faults", rules=[{"kind": "commit_then_page", "endpoint": "collections_update", "nth": 1}])
    said_so(corner.engine(*SWITCH), 0, "8 switched")
    assert links(corner, ids) == ours(corner)
    events = corner.query("SELECT DISTINCT event FROM url_changes")
    assert {each["event"] for each in events} == {"intended", "applied", "settled"}

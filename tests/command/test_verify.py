"""``engine verify`` finds what is not as recorded, says so, and leaves it to the next backup to repair."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

import pytest

from engine.model.sums import multipart_etag
from engine.rehearsal.content import content_of
from engine.rehearsal.generator import VENDOR_BUCKET
from engine.rehearsal.side_door import Seeded
from tests.support.commands import remove, replace
from tests.support.corner import Corner, wait


def make_switched(corner: Corner, record: str) -> None:
    """As if a switch had moved its link, in the DB and in the org."""
    row = corner.rows()[record]
    with closing(sqlite3.connect(corner.database)) as db:
        db.execute(
            "UPDATE file_migrations SET status = 'switched', salesforce_updated = 1, last_modified_sf = ?"
            " WHERE doclist_entry_id = ?",
            ("2020-01-01T00:00:00.000+0000", record),  # the switch's own write has stamped the record anew
        )
        db.execute("UPDATE counters SET files = files - 1, bytes = bytes - 400 WHERE status = 'backed_up'")
        db.execute("INSERT INTO counters VALUES ('switched', '', ?, 1, 400)", (row["proof"],))
        db.commit()
    corner.edit([record], Document__c=row["your_s3_url"])


@pytest.fixture
def backed_up(corner: Corner) -> Corner:
    corner.files(12)
    assert corner.engine("run", "backup", "--full").code == 0
    return corner


@pytest.mark.parametrize("level", ["list", "head", "deep"])
def test_copies_as_recorded_end_with_0_and_a_fresh_date(backed_up: Corner, level: str) -> None:
    before = {row["verified_at"] for row in backed_up.rows().values()}
    said = backed_up.engine("verify", "--level", level, "--source", "--json")
    assert said.code == 0, said.everything
    assert said.json["counts"]["match"] == said.json["copies"] == said.json["checked"] == 12
    assert min(row["verified_at"] for row in backed_up.rows().values()) > max(before)
    assert backed_up.runs()[-1]["run_type"] == "verify"
    assert backed_up.runs()[-1]["status"] == "completed"


def test_a_listing_asks_once_for_all_copies(backed_up: Corner) -> None:
    wait(backed_up.stage.objects.clear_requests())
    assert backed_up.engine("verify").code == 0
    asked = [
        each for each in wait(backed_up.stage.objects.requests()) if each.path.strip("/").startswith(backed_up.bucket)
    ]
    assert [each.method for each in asked if "list-type=2" in each.query] == ["GET"]
    assert not [each for each in asked if "/uploads/" in each.path]


@pytest.mark.parametrize("level", ["list", "head", "deep"])
def test_what_is_not_as_recorded_has_its_sign_and_is_repaired_by_the_next_backup(
    backed_up: Corner, tmp_path: Path, level: str
) -> None:
    rows = list(backed_up.rows().values())
    lost, foreign, changed, gone = rows[:4]
    source = [row["original_url"].rpartition("/")[2] for row in rows]
    remove(backed_up, backed_up.bucket, lost["your_s3_key"])
    replace(backed_up, backed_up.bucket, foreign["your_s3_key"], b"somebody else's")
    replace(backed_up, VENDOR_BUCKET, f"{backed_up.tag}/{source[2]}", b"a newer edition")
    remove(backed_up, VENDOR_BUCKET, f"{backed_up.tag}/{source[3]}")

    report = tmp_path / "report.txt"
    said = backed_up.engine("verify", "--level", level, "--source", "--report", str(report), "--json")

    assert said.code == 6
    assert said.json["counts"] == {
        "match": 8,
        "differ": 2,
        "missing_at_destination": 1,
        "missing_at_source": 1,
        "error": 0,
    }
    assert said.json["changed_sources"] == 1
    lines = [line.split("\t") for line in report.read_text().splitlines()]
    assert {record: sign for sign, record, *_ in lines} == {
        lost["doclist_entry_id"]: "-",
        foreign["doclist_entry_id"]: "*",
        changed["doclist_entry_id"]: "*",
        gone["doclist_entry_id"]: "+",
    }
    after = backed_up.rows()
    assert [
        (after[r["doclist_entry_id"]]["status"], after[r["doclist_entry_id"]]["failure_class"]) for r in rows[:4]
    ] == [
        ("pending", "copy_missing"),
        ("failed", "key_conflict"),
        ("pending", "source_changed"),
        ("backed_up", None),
    ]
    assert backed_up.status()["files"]["pending"] == 2

    assert backed_up.engine("run", "backup", "--incremental").code == 0
    repaired = backed_up.rows()
    assert repaired[lost["doclist_entry_id"]]["status"] == "backed_up"
    assert lost["your_s3_key"] in backed_up.held()
    assert "~" in repaired[changed["doclist_entry_id"]]["your_s3_key"]
    assert backed_up.held()[foreign["your_s3_key"]].size == len(b"somebody else's")

    remove(backed_up, backed_up.bucket, foreign["your_s3_key"])
    assert backed_up.engine("run", "backup", "--incremental", "--retry-class", "key_conflict").code == 0
    assert backed_up.engine("verify", "--level", level).code == 0
    assert {row["status"] for row in backed_up.rows().values()} == {"backed_up"}


def test_a_switched_link_into_nothing_is_told_loudly_and_gets_its_object_back(backed_up: Corner) -> None:
    victim = next(iter(backed_up.rows().values()))
    record, key = victim["doclist_entry_id"], victim["your_s3_key"]
    make_switched(backed_up, record)
    remove(backed_up, backed_up.bucket, key)

    said = backed_up.engine("verify")
    assert said.code == 6
    assert "SWITCHED" in said.out
    assert backed_up.rows()[record]["status"] == "switched"
    assert backed_up.rows()[record]["verified_at"] is None

    assert backed_up.engine("run", "backup", "--incremental").code == 0
    row = backed_up.rows()[record]
    assert (row["status"], row["original_url"], row["your_s3_key"]) == ("switched", victim["original_url"], key)
    assert row["verified_at"] is not None
    assert key in backed_up.held()
    assert backed_up.engine("verify").code == 0
    assert backed_up.status()["files"]["switched"] == 1


def test_deep_raises_a_proof_by_size_and_keeps_the_hash(backed_up: Corner) -> None:
    with closing(sqlite3.connect(backed_up.database)) as db:
        db.execute("UPDATE file_migrations SET proof = 'size', source_etag = 'aa-2', file_hash = NULL, checksum = NULL")
        db.execute("UPDATE counters SET proof = 'size' WHERE status = 'backed_up'")
        db.commit()
    said = backed_up.engine("verify", "--level", "deep", "--json")
    assert said.code == 6, "the source's ETag is not what was copied"
    with closing(sqlite3.connect(backed_up.database)) as db:
        db.execute("UPDATE file_migrations SET source_etag = NULL, status = 'backed_up', failure_class = NULL")
        db.execute("DELETE FROM counters")
        db.execute("INSERT INTO counters VALUES ('backed_up', '', 'size', 12, 4800)")
        db.commit()
    said = backed_up.engine("verify", "--level", "deep", "--json")
    assert said.code == 0, said.everything
    assert said.json["proofs_raised"] == 12
    held = backed_up.held()
    for row in backed_up.rows().values():
        assert row["proof"] == "etag"  # the bytes' MD5 is the source's; it states no other sum
        assert row["file_hash"] == held[row["your_s3_key"]].sha256
    assert backed_up.status()["proofs"] == {"checksum": 0, "etag": 12, "received": 0, "size": 0}


@pytest.mark.parametrize("level", ["head", "deep"])
def test_no_level_finds_a_copy_well_that_another_finds_to_differ_from_its_source(backed_up: Corner, level: str) -> None:
    row = next(iter(backed_up.rows().values()))
    wrong = b"x" * row["file_size_bytes"]
    etag, digest = hashlib.md5(wrong).hexdigest(), hashlib.sha256(wrong).hexdigest()
    wait(backed_up.stage.objects.load(backed_up.bucket, [Seeded(row["your_s3_key"], body=wrong, etag=etag)]))
    with closing(sqlite3.connect(backed_up.database)) as db:  # as an engine that believed itself recorded it
        db.execute(
            "UPDATE file_migrations SET destination_etag = ?, file_hash = ?, checksum = ? WHERE id = ?",
            (etag, digest, f"sha256:{digest}", row["id"]),
        )
        db.commit()
    said = backed_up.engine("verify", "--level", level, "--source", "--json")
    assert said.code == 6, said.everything
    assert said.json["counts"] == {**dict.fromkeys(said.json["counts"], 0), "differ": 1, "match": 11}


@pytest.mark.parametrize("true", [True, False])
def test_a_deep_look_holds_the_bytes_against_an_etag_made_of_parts(backed_up: Corner, true: bool) -> None:
    row = next(iter(backed_up.rows().values()))
    key = unquote(urlsplit(row["original_url"]).path).lstrip("/")
    body = content_of(key, row["file_size_bytes"]) if true else b"x" * row["file_size_bytes"]
    backed_up.put(key, body=body, part_bytes=100)
    etag = multipart_etag(hashlib.md5(body[at : at + 100]).digest() for at in range(0, len(body), 100))
    with closing(sqlite3.connect(backed_up.database)) as db:  # as if it had been copied while nobody told of its parts
        db.execute("UPDATE file_migrations SET proof = 'received', source_etag = ? WHERE id = ?", (etag, row["id"]))
        db.commit()
    said = backed_up.engine("verify", "--level", "deep", "--source", "--json")
    after = backed_up.rows()[row["doclist_entry_id"]]
    assert (said.code, after["proof"]) == ((0, "etag") if true else (6, "received")), said.everything


def test_bytes_that_rot_under_an_unchanged_etag_are_found_by_reading_them(backed_up: Corner) -> None:
    row = next(iter(backed_up.rows().values()))
    etag = row["destination_etag"]
    wait(
        backed_up.stage.objects.load(
            backed_up.bucket, [Seeded(row["your_s3_key"], body=b"x" * row["file_size_bytes"], etag=etag)]
        )
    )
    assert backed_up.engine("verify", "--level", "head").code == 0
    said = backed_up.engine("verify", "--level", "deep")
    assert said.code == 6
    assert backed_up.rows()[row["doclist_entry_id"]]["failure_class"] == "key_conflict"


def test_a_sample_says_how_sure_it_makes(backed_up: Corner) -> None:
    said = backed_up.engine("verify", "--level", "head", "--sample", "25%", "--json")
    assert said.code == 0
    assert said.json["checked"] == 3
    assert any("95 % confidence" in note for note in said.json["notes"])


def test_a_silent_store_is_an_error_and_no_verdict(backed_up: Corner) -> None:
    key = next(iter(backed_up.rows().values()))["your_s3_key"]
    backed_up.misbehave(path=key, kind="access_denied")
    said = backed_up.engine("verify", "--level", "head", "--json")
    assert said.code == 3, said.everything
    assert said.json["counts"]["error"] == 1
    assert {row["status"] for row in backed_up.rows().values()} == {"backed_up"}


def test_a_dry_run_setting_lets_verify_look_but_not_write(backed_up: Corner) -> None:
    remove(backed_up, backed_up.bucket, next(iter(backed_up.rows().values()))["your_s3_key"])
    said = backed_up.engine("verify", ENGINE_MIGRATION__DRY_RUN="true")
    assert said.code == 6
    assert {row["status"] for row in backed_up.rows().values()} == {"backed_up"}
    assert backed_up.runs()[-1]["run_type"] == "backup"


def lose_a_switched_copy(corner: Corner) -> tuple[str, str, str]:
    """Really switched, so that its journal knows the way back; its record, our key and the vendor's key."""
    assert corner.engine("run", "switch", "--execute", "--yes", "--no-progress").code == 0
    victim = corner.rows()[min(corner.rows())]
    remove(corner, corner.bucket, victim["your_s3_key"])
    source = urlsplit(victim["original_url"]).path.lstrip("/")
    return victim["doclist_entry_id"], victim["your_s3_key"], source


def test_a_switched_copy_that_is_lost_while_its_source_has_changed_is_named_with_the_way_out(backed_up: Corner) -> None:
    """Its link keeps its key, and other content never goes under that: the way out leads back to the vendor first."""
    record, key, source = lose_a_switched_copy(backed_up)
    replace(backed_up, VENDOR_BUCKET, source, b"a later version")

    for level in ("list", "head"):
        said = backed_up.engine("verify", "--level", level)
        assert said.code == 6
        assert f"- {record}  {key}" in said.out
        assert "no backup can make it again: its source has changed since" in said.out
        assert "1 switched links lead to nothing" in said.out
        assert "rollback --from-database --ids FILE --execute" in said.out
        assert "copies again what is missing" not in said.out, "it would not help"
    found = backed_up.engine("verify", "--json").json
    assert found["broken_beyond_backup"] == {"changed": 1, "gone": 0}

    said = backed_up.engine("status")
    assert "1 switched links lead to no copy" in said.out
    assert "engine verify   lists them" in said.out

    # it says what is so: a backup neither repairs it nor makes it worse
    assert backed_up.engine("run", "backup", "--incremental").code in {0, 3}
    assert key not in backed_up.held()
    assert backed_up.rows()[record]["status"] == "switched"

    # what it says to type next
    report, ids = backed_up.directory / "report.tsv", backed_up.directory / "ids.txt"
    assert backed_up.engine("verify", "--report", str(report)).code == 6
    ids.write_text("".join(f"{line.split(chr(9))[1]}\n" for line in report.read_text().splitlines()))
    rollback = ("run", "rollback", "--from-database", "--ids", str(ids), "--execute", "--yes", "--no-progress")
    assert "1 put back" in backed_up.engine(*rollback).out
    assert backed_up.rows()[record]["failure_class"] == "copy_missing", "a rollback takes no lost copy for a good one"
    assert backed_up.engine("verify").code == 0
    assert backed_up.engine("run", "backup", "--incremental").code == 0
    said = backed_up.engine("run", "switch", "--execute", "--yes", "--no-progress")
    assert "1 switched" in said.out, said.everything
    assert backed_up.held()[backed_up.rows()[record]["your_s3_key"]].size == len(b"a later version")
    assert backed_up.engine("verify", "--source").code == 0
    assert "BROKEN" not in backed_up.engine("status").out


def test_a_switched_copy_that_is_lost_with_its_source_is_told_apart(backed_up: Corner) -> None:
    record, _, source = lose_a_switched_copy(backed_up)
    remove(backed_up, VENDOR_BUCKET, source)
    backed_up.forget_requests()  # ours, not the engine's: others count what the vendor's bucket was asked
    said = backed_up.engine("verify")
    assert said.code == 6
    assert "no backup can make it again: its source is gone too" in said.out
    assert record in said.out
    assert "If the bucket keeps versions" in said.out
    assert "rollback" not in said.out, "the old link is dead"


class Onward(BaseHTTPRequestHandler):
    """Passes everything on to the store behind it; but its listings say that more follows, and not where."""

    protocol_version = "HTTP/1.1"
    behind = ""

    def pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        client = HTTPConnection(self.behind)
        client.request(self.command, self.path, body, dict(self.headers))
        answer = client.getresponse()
        told = answer.read().replace(b"<IsTruncated>false<", b"<IsTruncated>true<")
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in {"content-length", "transfer-encoding", "connection", "date", "server"}:
                self.send_header(name, value)
        length = answer.getheader("content-length", "0") if self.command == "HEAD" else str(len(told))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(told)
        client.close()

    do_GET = do_HEAD = do_PUT = pass_on  # noqa: N815 - as the standard library calls them

    def log_message(self, *_: object) -> None:
        pass


def test_copies_are_asked_for_one_by_one_where_a_listing_goes_on_nowhere(backed_up: Corner) -> None:
    lost, *_ = backed_up.rows().values()
    remove(backed_up, backed_up.bucket, lost["your_s3_key"])
    handler = type("Handler", (Onward,), {"behind": urlsplit(backed_up.stage.store.url).netloc})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever).start()
        try:
            backed_up.env["ENGINE_DESTINATION__ENDPOINT_URL"] = f"http://127.0.0.1:{server.server_address[1]}"
            said = backed_up.engine("verify", "--json")
        finally:
            server.shutdown()
    assert said.code == 6, said.everything
    assert (said.json["counts"]["match"], said.json["counts"]["missing_at_destination"]) == (11, 1)
    assert "could not be listed" in said.out

"""Behind ``source.resolver`` a source is what the vendor's API is asked for, whatever the URL text says."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from hashlib import md5, sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote

import pytest

from engine.model.urls import identity_hash
from tests.support.commands import BACKUP, hours_later, incremental, replace, said_so
from tests.support.corner import Corner


class Vendor(ThreadingHTTPServer):
    """An API that gives a link per file, other ones each time, and the files: all of one length."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.versions: dict[str, str] = {}

    def handle_error(self, *_: object) -> None:
        pass  # whoever asks may hang up

    def body(self, name: str) -> bytes:
        """The file of that name."""
        return f"%PDF-1.7 {name} {self.versions.get(name, '')}".ljust(400, ".").encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Vendor

    def do_GET(self) -> None:
        kind, _, name = self.path.strip("/").partition("/")
        name = unquote(name.partition("?")[0])
        status, body, etag = 403, b"<html>sign in</html>", ""
        if kind == "api" and name != "unknown":
            self.server.asked[name] += 1
            link = f"{self.server.url}/bytes/{name}?token={self.server.asked.total()}"
            status, body = 200, json.dumps({"url": link}).encode()
        elif kind == "api":
            status = 404
        elif kind == "bytes":
            status, body = 200, self.server.body(name)
            etag = md5(body).hexdigest()
            self.server.read[name] += self.command == "GET"
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json" if kind == "api" else "application/pdf")
        if etag:
            self.send_header("ETag", f'"{etag}"')
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET  # noqa: N815 - as the standard library calls it

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def vendor(corner: Corner) -> Iterator[Vendor]:
    with Vendor() as server:
        Thread(target=server.serve_forever).start()
        corner.env |= {
            "ENGINE_SOURCE__ALLOWED_HOSTS": json.dumps([server.url]),
            "ENGINE_SOURCE__RESOLVER__URL": server.url + "/api/{Identifier__c}",
        }
        yield server
        server.shutdown()


def records(corner: Corner, vendor: Vendor, *names: str, bucket: bool = False) -> list[str]:
    """Records with one URL text; the names are what the API is asked for."""
    url = corner.url(f"{corner.tag}/nothing.pdf") if bucket else f"{vendor.url}/viewer.pdf"
    if bucket:
        corner.env["ENGINE_SOURCE__ACCESS"] = "http"
    return corner.records([corner.row(url=url) | {"Identifier__c": name} for name in names])


def files(corner: Corner, vendor: Vendor) -> dict[str, str]:
    """Whose bytes each record's copy holds, by record."""
    names = {md5(vendor.body(name)).hexdigest(): name for name in (*"abcdefg", *vendor.versions)}
    held = corner.held()
    return {
        name: names.get(held[row["your_s3_key"]].etag.strip('"'), "something else")
        for name, row in corner.rows().items()
    }


@pytest.mark.parametrize("bucket", [False, True], ids=["a plain link", "a link into a bucket"])
def test_records_with_one_url_get_the_file_that_each_of_them_asks_for(
    corner: Corner, vendor: Vendor, bucket: bool
) -> None:
    ids = records(corner, vendor, *"abcd", bucket=bucket)
    said_so(corner.engine(*BACKUP), 0)
    assert files(corner, vendor) == dict(zip(ids, "abcd", strict=True))
    digests = {row["file_hash"] for row in corner.rows().values()}
    assert digests == {sha256(vendor.body(name)).hexdigest() for name in "abcd"}
    assert vendor.read == dict.fromkeys("abcd", 1)
    # nor do later records get what was copied before from the same URL text
    hours_later(corner)
    (late,) = records(corner, vendor, "e", bucket=bucket)
    incremental(corner)
    assert files(corner, vendor)[late] == "e"


def test_records_that_ask_for_the_same_are_read_once(corner: Corner, vendor: Vendor) -> None:
    ids = records(corner, vendor, *"aabb")
    said_so(corner.engine(*BACKUP), 0)
    assert files(corner, vendor) == dict(zip(ids, "aabb", strict=True))
    assert vendor.read == {"a": 1, "b": 1}
    hours_later(corner)
    (late,) = records(corner, vendor, "a")
    incremental(corner)
    assert files(corner, vendor)[late] == "a"
    assert corner.rows()[late]["method"] == "twin"
    assert vendor.read["a"] == 1


@pytest.mark.parametrize("full", [False, True], ids=["incremental", "full"])
def test_a_record_that_asks_for_another_file_by_now_is_copied_again(corner: Corner, vendor: Vendor, full: bool) -> None:
    ids = records(corner, vendor, *"abc")
    said_so(corner.engine(*BACKUP), 0)
    before = corner.rows()[ids[1]]["your_s3_key"]
    hours_later(corner)
    corner.edit([ids[1]], Identifier__c="d")
    for _ in range(2):
        said_so(corner.engine("run", "backup", "--full" if full else "--incremental"), 0)
        assert files(corner, vendor) == dict(zip(ids, "adc", strict=True))
        assert (vendor.read["a"], vendor.read["b"], vendor.read["c"]) == (1, 1, 1)
    assert corner.held()[before].etag.strip('"') == md5(vendor.body("b")).hexdigest()


def test_one_that_asks_for_nothing_or_for_what_the_vendor_does_not_know_fails_alone(
    corner: Corner, vendor: Vendor
) -> None:
    ids = records(corner, vendor, "unknown", "a", "", "b")
    said_so(corner.engine(*BACKUP), 3)
    rows = corner.rows()
    assert [rows[name]["failure_class"] for name in ids] == ["resolver_failed", None, "resolver_failed", None]
    assert "no value in Identifier__c" in rows[ids[2]]["error_message"]
    assert "knows no such file" in rows[ids[0]]["error_message"]


def test_a_file_that_was_replaced_is_found_by_a_full_scan_and_by_verify(corner: Corner, vendor: Vendor) -> None:
    ids = records(corner, vendor, *"abcd")
    said_so(corner.engine(*BACKUP), 0)
    said_so(corner.engine("verify", "--source"), 0)
    said_so(corner.engine("verify", "--level", "deep", "--source"), 0)
    vendor.versions["b"] = "second"
    said_so(corner.engine(*BACKUP), 0)
    assert files(corner, vendor) == dict(zip(ids, "abcd", strict=True))
    vendor.versions["d"] = "second"
    said = said_so(corner.engine("verify", "--source", "--json"), 6)
    assert (said.json["counts"]["match"], said.json["changed_sources"]) == (3, 1)
    said_so(corner.engine("run", "backup", "--incremental"), 0)
    assert files(corner, vendor) == dict(zip(ids, "abcd", strict=True))


def test_what_an_engine_that_knew_sources_by_their_urls_took_from_another_record_is_copied_anew(
    corner: Corner, vendor: Vendor
) -> None:
    ids = records(corner, vendor, *"abc")
    said_so(corner.engine(*BACKUP), 0)
    wrong, plain = vendor.body("a"), identity_hash(f"{vendor.url}/viewer.pdf")
    rows = corner.rows()
    keys = [rows[name]["your_s3_key"] for name in ids]
    with closing(sqlite3.connect(corner.database)) as db:
        db.execute("UPDATE file_migrations SET source_id = ?", (plain,))
        for name, key in zip(ids[1:], keys[1:], strict=True):
            replace(corner, corner.bucket, key, wrong)
            first = rows[ids[0]]
            db.execute(
                "UPDATE file_migrations SET method = 'twin', source_etag = ?, destination_etag = ?, checksum = ?,"
                " file_hash = ? WHERE doclist_entry_id = ?",
                (*(first[column] for column in ("source_etag", "destination_etag", "checksum", "file_hash")), name),
            )
        db.commit()
    vendor.read.clear()
    said_so(corner.engine(*BACKUP), 0)
    assert files(corner, vendor) == dict(zip(ids, "abc", strict=True))
    assert not vendor.read["a"]
    assert {corner.held()[key].etag.strip('"') for key in keys} == {md5(wrong).hexdigest()}, "nothing is overwritten"


def test_an_analysis_counts_what_is_asked_for(corner: Corner, vendor: Vendor) -> None:
    records(corner, vendor, *"abca")
    document = said_so(corner.engine("analyze", "--json"), 0).json
    assert document["files"]["distinct"] == 3, document["files"]

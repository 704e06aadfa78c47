"""Whatever strangers write is read in time that grows with its length, up to a megabyte, however it was made up.

Measured is CPU time, so that a busy machine changes nothing. The bounds are twenty times and more of what the slowest
reader takes; one that starts over at each piece would take hundreds of times as long, and is stopped by a signal.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.model import keys, suggest, text, urls
from engine.model.errors import EngineError
from engine.model.location import Location, Origin
from engine.model.object_headers import content_of
from engine.model.record import Record
from engine.reading.findings import shown
from engine.redaction import Redactor
from engine.s3.api import listing, xml
from engine.s3.api.answers import StoreError
from engine.s3.transfer.facts import facts_of, request_headers
from engine.s3.transfer.our_keys import shape_of
from engine.salesforce import faults, limits, login_faults, search, sf_cli
from engine.web import error_page, headers, resolver
from engine.web import faults as web_faults
from tests.support.fakes.clock import ManualClock

SIZE, CPU_S = 40_000, 1.0
LARGE, LARGE_CPU_S = 1_000_000, 10.0

RULES = urls.source_rules(["docs"], None, "us-west-2", ["files.example.test"])
WEB = Location(Origin("https", "files.example.test", 443), "https://files.example.test/a.pdf")
NOW = ManualClock().now()
ROW = "<Contents><Key>{}</Key><LastModified>x</LastModified><ETag>{}</ETag><Size>1</Size></Contents>"
SECRETS = ["s3cret-value", "another=secret&value", "x" * 2_000]

READERS: dict[str, Callable[[str], Any]] = {
    "redaction": Redactor(SECRETS).text,
    "redaction of an event": Redactor(SECRETS).plain,
    "redaction of an error": lambda t: Redactor(SECRETS).exception(ValueError(t)),
    "redaction of a traceback": lambda t: Redactor(SECRETS).traceback(ValueError(t)),
    "printable": text.printable,
    "csv_safe": text.csv_safe,
    "bare_urls": text.bare_urls,
    "json": text.json_in,
    "URL": lambda t: urls.parse_url(t, RULES),
    "URL of a bucket": lambda t: urls.parse_url(f"https://docs.s3.us-west-2.amazonaws.com/{t}", RULES),
    "URL with a query": lambda t: urls.parse_url(f"https://files.example.test/a?{t}", RULES),
    "URL with a host": lambda t: urls.parse_url(f"https://{t}/a.pdf", RULES),
    "s3 URL": lambda t: urls.parse_url(f"s3://docs/{t}", RULES),
    "key": lambda t: keys.destination_key(
        "u/{account_name}/{record_id}/{source_key}/{stem}{ext}",
        Record("a0X5e000000KyjoEAC", t, "https://x/", "001", t, "2026"),
        t,
        Location(Origin("https", "x", 443), "https://x/", "docs", t),
    ),
    "extension": keys.extension_of,
    "changed key": lambda t: keys.fill_changed(keys.changed_template(t), "etag"),
    "XML": lambda t: xml.flat(f"<Error><Code>{t}</Code></Error>".encode()),
    "XML as it comes": lambda t: xml.flat(t.encode("utf-8", "replace")),
    "S3 error": lambda t: xml.error_of(400, {}, f"<Error><Code>{t}</Code><Message>{t}</Message></Error>".encode()),
    "S3 success": lambda t: xml.success_of(200, {}, f"<C><ETag>{t}</ETag></C>".encode(), root="C"),
    "listing": lambda t: listing.parse(f"<ListBucketResult>{ROW.format(t, t)}</ListBucketResult>".encode()),
    "listing as it comes": lambda t: listing.parse(f"{t}</ListBucketResult>".encode()),
    "key of an upload": shape_of("u/{account_name}/{record_id}/{record_name}-{stem}{ext}", "ours")[1],
    "facts of S3": lambda t: facts_of({"etag": t, "last-modified": t, "content-length": t, "x-amz-version-id": t}),
    "content headers of S3": lambda t: request_headers(
        content_of({"content-disposition": f'a; filename="{t}', "content-type": t})
    ),
    "Salesforce error": lambda t: faults.from_answer(400, {}, t.encode()),
    "Salesforce message": lambda t: faults.shortened(t),
    "Salesforce answer": lambda t: faults.parsed(t.encode(), {}, host="x"),
    "Salesforce limits": limits.limits_in,
    "login": lambda t: login_faults.granted(t.encode()),
    "sf": sf_cli.first_object,
    "long text searched": lambda t: list(search.finder(["//files.example.test", "docs"]).finditer(t)),
    "resolver": lambda t: resolver.link_in(t.encode(), "/url"),
    "resolver's pointer": lambda t: resolver.at([[1]], "/" + t),
    "page": lambda t: error_page.looks_like_error_page("text/html", t.encode(), t),
    "http error": lambda t: web_faults.from_status(403, {}, t.encode(), WEB, NOW),
    "content headers": lambda t: content_of({"content-disposition": t, "x-amz-meta-a": t}),
    "length": lambda t: (headers.length_in({"Content-Length": t}), headers.whole_length_in({"Content-Range": t})),
    "file name": lambda t: headers.file_name(WEB, {"Content-Disposition": t}),
    "setting shown": shown,
    "suggestion": lambda t: suggest.nearest(t, ["salesforce.object", "url_field"], cutoff=0),
}

# what the scanners look for, and what may stand between: repeated and mixed, these make a careless one start over
PIECES = [
    "&", "?", "#", "=", "@", "/", ":", "://", "a://", "a.", ".", "..", "../", "%", "%2", "%41", "+", "-", "_", "~", " ",
    "\t", "\n", "\r\n", "'", '"', "\\", "\\\"", "<", ">", "<a>", "</a>", "<a/>", "<!--", "-->", "<?xml", "?>", "<html",
    "<Error>", "<Error ", "<Code>", "<Code> ", "<Contents>", "<Key>", "</Contents>", "&amp;", "&quot;", "&#", "&#65;",
    "[", "]", "{", "}", "[[", '{"a":', ",", ";", "0", "9", "a", "A", "é", "€", "\x00", "\x1b", "\x1b[", "\x1b]", "\x9b",
    "\x9d", "\x90", "\x9c", "\u202e", "https://", "https://u:p@h/", "http://a?b ", "&X-Amz-", "X-Amz-Signature=",
    "sig=", "token=", "password", "password=", "password = ", "authorization", "authorization:", "bearer ", "eyJ",
    "-eyJ", "eyJabcdefgh", "eyJabcdefgh.", "00D", "00Daaaaaaaaaaaa", "00Daaaaaaaaaaaa!", "5Aep", "AKIA", "FwoG",
    ".FwoG", "-----BEGIN ", "-----BEGIN PRIVATE KEY-----", "PRIVATE ", "s3cret-value", "s3cret", "filename=",
    'filename="', "?versionId=", "api-usage=", "api-usage=1/", "bytes 0-1/", ".pdf", ".html", "~1", "~0", "aa-", "-a",
]  # fmt: skip


SCANNERS = {name for name in READERS if "redaction" in name} | {"bare_urls", "Salesforce message", "setting shown"}
WAKING = "a=1 b?c d@e password bearer eyJ x-amz- "
"""Scanners look closer where there is a sign of a secret."""


class TooLong(Exception):
    """The reader took more than it may."""


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    """Ends the block when this process has worked on it for so long."""

    def over(_number: int, _frame: FrameType | None) -> None:
        raise TooLong

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def read(reader: str, unit: str, *, start: str = "", size: int = SIZE, seconds: float = CPU_S) -> None:
    """Read the unit over and over, whatever that comes to; only errors that have a name are allowed."""
    written = start + unit * (size // len(unit))
    try:
        with at_most(seconds), contextlib.suppress(EngineError, StoreError, ValueError):
            READERS[reader](written)
    except TooLong:
        pytest.fail(f"{reader}: {len(written):,} characters that begin {written[:60]!r} take too long", pytrace=False)


@pytest.mark.parametrize("reader", READERS)
def test_each_piece_over_and_over(reader: str) -> None:
    for piece in PIECES:
        read(reader, piece, start=WAKING if reader in SCANNERS else "")


@pytest.mark.parametrize("reader", READERS)
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(start=st.sampled_from([WAKING, *PIECES]), pieces=st.lists(st.sampled_from(PIECES), min_size=2, max_size=4))
def test_any_mixture_of_them(reader: str, start: str, pieces: list[str]) -> None:
    read(reader, "".join(pieces), start=start)


@pytest.mark.parametrize("reader", READERS)
def test_a_megabyte(reader: str) -> None:
    for unit in ("a.=&", "\n&amp;<x/>", "[", "é\x9d"):
        read(reader, unit, start=WAKING if reader in SCANNERS else "", size=LARGE, seconds=LARGE_CPU_S)


@pytest.mark.parametrize("reader", READERS)
def test_brackets_that_never_close(reader: str) -> None:
    for bracket in ("[", '{"a":', "<a>", "{"):
        read(reader, bracket, size=200_000 * len(bracket), seconds=LARGE_CPU_S)

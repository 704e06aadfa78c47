"""Headers to facts and back."""

from __future__ import annotations

import base64
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.limiting.backoff import retry_after_s
from engine.model.facts import ContentHeaders
from engine.model.object_headers import content_of
from engine.s3.api.answers import text, unquoted
from engine.s3.transfer.facts import facts_of, iso_date, request_headers, sum_header

MD5 = "5d41402abc4b2a76b9719d911017c592"
SUM = base64.b64encode(hashlib.sha256(b"hello").digest()).decode()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"etag": f'"{MD5}"'}, True),
        ({"etag": f'"{MD5}-3"'}, False),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "AES256"}, True),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms"}, False),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption": "aws:kms:dsse"}, False),
        ({"etag": f'"{MD5}"', "x-amz-server-side-encryption-customer-algorithm": "AES256"}, False),
        ({"etag": f'W/"{MD5}"'}, False),
        ({}, False),
    ],
)
def test_an_etag_is_an_md5_only_where_nothing_speaks_against_it(fields: dict[str, str], expected: bool) -> None:
    assert facts_of(fields).etag_is_md5 is expected


@pytest.mark.parametrize(
    ("fields", "archived"),
    [
        ({}, False),
        ({"x-amz-storage-class": "STANDARD_IA"}, False),
        ({"x-amz-storage-class": "GLACIER_IR"}, False),
        ({"x-amz-storage-class": "GLACIER"}, True),
        ({"x-amz-storage-class": "DEEP_ARCHIVE", "x-amz-restore": 'ongoing-request="true"'}, True),
        ({"x-amz-storage-class": "GLACIER", "x-amz-restore": 'ongoing-request="false", expiry-date="x"'}, False),
        ({"x-amz-storage-class": "INTELLIGENT_TIERING"}, False),
        ({"x-amz-storage-class": "INTELLIGENT_TIERING", "x-amz-archive-status": "ARCHIVE_ACCESS"}, True),
    ],
)
def test_archived_means_that_a_read_would_be_refused(fields: dict[str, str], archived: bool) -> None:
    assert facts_of(fields).archived is archived


def test_full_object_checksums_become_hex() -> None:
    fields = {"x-amz-checksum-sha256": SUM, "x-amz-checksum-type": "FULL_OBJECT", "x-amz-checksum-crc32": "AAAAAQ=="}
    assert facts_of(fields).checksums == (("crc32", "00000001"), ("sha256", hashlib.sha256(b"hello").hexdigest()))


def test_a_content_md5_speaks_of_the_body_that_it_comes_with() -> None:
    digest = hashlib.md5(b"hello").digest()
    fields = {"content-md5": base64.b64encode(digest).decode()}
    assert facts_of(fields).checksums == (("md5", digest.hex()),)
    assert facts_of({**fields, "content-range": "bytes 0-4/9"}).checksums == ()
    assert facts_of({"content-md5": SUM}).checksums == facts_of({"content-md5": "?"}).checksums == ()


def test_a_composite_checksum_never_poses_as_one_of_the_bytes() -> None:
    fields = {"x-amz-checksum-sha256": f"{SUM}-3", "x-amz-checksum-type": "COMPOSITE"}
    digest = hashlib.sha256(b"hello").hexdigest()
    assert facts_of(fields).checksums == ()
    assert facts_of({"x-amz-checksum-sha256": f"{SUM}-3"}).checksums == ()
    assert facts_of({**fields, "x-amz-checksum-sha256": SUM}).checksums == ()
    assert facts_of(fields, composites=True).checksums == (("sha256-composite", f"{digest}-3"),)


def test_sizes_versions_and_dates() -> None:
    facts = facts_of(
        {
            "content-length": "12",
            "x-amz-version-id": "v1",
            "last-modified": "Sun, 22 Nov 2026 10:29:58 GMT",
            "x-amz-checksum-md5": "???",
        }
    )
    assert (facts.size, facts.version_id, facts.last_modified) == (12, "v1", "2026-11-22T10:29:58.000Z")
    assert facts.checksums == ()
    assert facts_of({"x-amz-version-id": "null"}).version_id is None
    assert facts_of({}).size is None
    assert iso_date("yesterday") == "yesterday"


def test_user_metadata_comes_back_by_plain_name() -> None:
    headers = content_of(
        {"x-amz-meta-b": "2", "x-amz-meta-a": "1", "content-type": "text/plain", "x-amz-missing-meta": "1"}
    )
    assert headers == ContentHeaders("text/plain", metadata=(("a", "1"), ("b", "2")))


def test_aws_chunked_is_no_encoding_of_the_object() -> None:
    assert content_of({"content-encoding": "aws-chunked"}).content_encoding == ""
    assert content_of({"content-encoding": "aws-chunked, gzip"}).content_encoding == "gzip"


def test_an_rfc_2047_word_goes_back_as_it_came() -> None:
    word = "=?UTF-8?Q?Caf=C3=A9?="
    assert request_headers(content_of({"x-amz-meta-place": word})) == {"x-amz-meta-place": word}


def test_metadata_beyond_ascii_goes_out_as_an_rfc_2047_word() -> None:
    sent = request_headers(ContentHeaders(metadata=(("place", "Café"),)))
    assert sent == {"x-amz-meta-place": "=?UTF-8?B?Q2Fmw6k=?="}


def test_a_file_name_beyond_ascii_goes_out_by_rfc_5987() -> None:
    sent = request_headers(ContentHeaders(content_disposition='attachment; filename="Café \\"x\\".pdf"'))
    assert sent["content-disposition"] == (
        "attachment; filename=\"Caf_ _x_.pdf\"; filename*=UTF-8''Caf%C3%A9%20%22x%22.pdf"
    )
    assert request_headers(ContentHeaders(content_disposition="é"))["content-disposition"] == "inline"


def test_header_bytes_are_read_in_either_encoding() -> None:
    assert text("Café".encode()) == text("Café".encode("latin-1")) == "Café"


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_whatever_a_source_says_can_travel(kind: str, disposition: str, note: str) -> None:
    try:
        (kind + disposition + note).encode()
    except UnicodeEncodeError:
        return
    headers = ContentHeaders(content_type=kind, content_disposition=disposition, metadata=(("note", note),))
    for value in request_headers(headers).values():
        assert value.isascii()
        assert "\r" not in value
        assert "\n" not in value


def test_small_print() -> None:
    assert sum_header("sha256", hashlib.sha256(b"hello").digest()) == ("x-amz-checksum-sha256", SUM)
    assert (unquoted('"a"'), unquoted('W/"a"'), unquoted("a")) == ("a", "", "a")
    assert [retry_after_s(v) for v in ("7", "x", "99999", "")] == [7.0, None, 300.0, None]

"""The documents of multipart uploads, against what S3's reference shows and what servers may send instead."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote
from xml.etree import ElementTree as ET

import pytest

from engine.s3.api.answers import OpenUpload, Part, StoreError, UploadsPage
from engine.s3.api.uploads import completion, open_uploads
from tests.support.s3_double import facing
from tests.support.servers.capture import Recorded, Reply

HEAD = '<?xml version="1.0"?><ListMultipartUploadsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
UPLOAD = (
    "<Upload><Key>a%2Fb+c%26.pdf</Key><UploadId>id&amp;1</UploadId><Initiator><ID>arn</ID></Initiator>"
    "<Owner><ID>other</ID></Owner><Initiated>2026-11-22T10:00:00.000Z</Initiated></Upload>"
)
END = "</ListMultipartUploadsResult>"


def test_a_completion_names_each_part_with_its_etag_and_checksum() -> None:
    tree = ET.fromstring(completion([Part(1, "aa<&", ("sha256", "q+/=")), Part(2, "bb")]))
    rows = [{child.tag.rpartition("}")[2]: child.text for child in row} for row in tree]
    assert rows == [
        {"PartNumber": "1", "ETag": '"aa<&"', "ChecksumSHA256": "q+/="},
        {"PartNumber": "2", "ETag": '"bb"'},
    ]


def test_open_uploads_are_read_with_their_own_ids_and_decoded_keys() -> None:
    page = open_uploads(f"{HEAD}<EncodingType>url</EncodingType>{UPLOAD}<IsTruncated>false</IsTruncated>{END}".encode())
    assert page == UploadsPage([OpenUpload("a/b c&.pdf", "id&1", 1795341600.0)])


def test_keys_that_are_not_encoded_stay_as_they_are() -> None:
    page = open_uploads(f"{HEAD}{UPLOAD}<IsTruncated>false</IsTruncated>{END}".encode())
    assert page.rows[0].key == "a%2Fb+c%26.pdf"


def test_a_cut_listing_says_where_to_go_on() -> None:
    more = "<NextKeyMarker>k</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker><IsTruncated>true</IsTruncated>"
    page = open_uploads(f"{HEAD}{more}{END}".encode())
    assert (page.rows, page.key_marker, page.id_marker) == ([], "k", "u")


@pytest.mark.parametrize(
    "body",
    [
        f"{HEAD}{UPLOAD.replace('2026-11-22', 'never')}{END}",
        f"{HEAD}<Upload><Key>k</Key><Initiated>2026-11-22T10:00:00Z</Initiated></Upload>{END}",
        "<ListBucketResult/>",
        f"{HEAD}{UPLOAD}",
        "",
    ],
    ids=["no time", "no id", "another document", "cut short", "empty"],
)
def test_a_listing_that_cannot_be_relied_on_is_refused(body: str) -> None:
    with pytest.raises(StoreError) as refused:
        open_uploads(body.encode())
    assert refused.value.code == "BadAnswer"


class Encoding:
    """A store that lists keys percent-encoded and does not say so, and knows an upload by its true key alone."""

    def __init__(self, key: str, *, stubborn: bool = False) -> None:
        self.open = {"id-1": key}
        self._stubborn = stubborn

    def __call__(self, request: Recorded) -> Reply:
        path, _, query = request.target.partition("?")
        if request.method == "DELETE":
            upload, key = query.partition("uploadId=")[2], unquote(path).removeprefix("/ours/")
            if self.open.get(upload) != key:
                return Reply(404, {}, b"<Error><Code>NoSuchUpload</Code></Error>")
            if not self._stubborn:
                del self.open[upload]
            return Reply(204)
        rows = "".join(
            f"<Upload><Key>{quote(key, safe='')}</Key><UploadId>{upload}</UploadId>"
            "<Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>"
            for upload, key in self.open.items()
        )
        return Reply(200, {}, f"{HEAD}{rows}<IsTruncated>false</IsTruncated>{END}".encode())


KEY = "uploads/001000000000001AAA/a0B000000000001AAA/x y+z.pdf"


@pytest.mark.parametrize("transport", ["fast", "sdk"])
async def test_uploads_that_are_listed_under_another_name_are_aborted_under_their_own(transport: Any) -> None:
    store = Encoding(KEY)
    async with facing(transport, otherwise=store) as (s3, _):
        assert await s3.sweep() == 1
        assert s3.destination.remarks() == []
    assert store.open == {}


@pytest.mark.parametrize("transport", ["fast", "sdk"])
async def test_an_upload_that_is_still_there_is_not_called_aborted(transport: Any) -> None:
    async with facing(transport, otherwise=Encoding(KEY, stubborn=True)) as (s3, _):
        assert await s3.sweep() == 0
        (remark,) = s3.destination.remarks()
    assert "1 multipart upload" in remark

"""The listing parser against expat, and against documents that lie."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.s3.api.answers import Fields, Listed, ListingPage, StoreError
from engine.s3.api.listing import pages, parse

NS = "{http://s3.amazonaws.com/doc/2006-03-01/}"
rows = st.lists(
    st.tuples(
        st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Cn"]), min_size=1, max_size=20),
        st.integers(0, 1 << 45),
    ),
    max_size=8,
)


def document(contents: Sequence[tuple[str, int]], more: str = "") -> bytes:
    body = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-01-02T03:04:05.000Z</LastModified>"
        f"<ETag>&quot;e{number}&quot;</ETag><Size>{size}</Size><Owner><ID>x</ID></Owner>"
        f"<StorageClass>GLACIER</StorageClass></Contents>"
        for number, (key, size) in enumerate(contents)
    )
    head = f'<?xml version="1.0"?>\n<ListBucketResult xmlns="{NS[1:-1]}"><Name>b</Name>'
    return f"{head}{more or '<IsTruncated>false</IsTruncated>'}{body}</ListBucketResult>".encode()


@given(rows)
def test_rows_are_those_that_expat_reads(contents: list[tuple[str, int]]) -> None:
    body = document(contents)
    page = parse(body)
    expected = [
        (row.findtext(f"{NS}Key"), int(row.findtext(f"{NS}Size") or -1))
        for row in ET.fromstring(body).iter(f"{NS}Contents")
    ]
    assert [(row.key, row.size) for row in page.rows] == expected == contents
    assert [row.etag for row in page.rows] == [f"e{n}" for n in range(len(contents))]
    assert all(row.storage_class == "GLACIER" for row in page.rows)


def test_encoded_keys_are_decoded_once() -> None:
    more = "<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>"
    assert parse(document([("a%2520b+c%2Bd", 1)], more)).rows[0].key == "a%20b c+d"


def test_a_truncated_page_names_the_next() -> None:
    more = "<IsTruncated>true</IsTruncated><NextContinuationToken>t&amp;u=</NextContinuationToken>"
    assert parse(document([("a", 1)], more)).token == "t&u="


def test_dates_without_milliseconds_get_them() -> None:
    body = document([("a", 1)]).replace(b"05.000Z", b"05Z")
    assert parse(body).rows == [Listed("a", 1, "e0", "GLACIER", "2026-01-02T03:04:05.000Z")]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<Error><Code>x</Code></Error>",
        document([("a", 1)])[:-5],
        document([("a", 1)]).replace(b"<Size>1</Size>", b""),
        document([("a", 1)]).replace(b"<Size>1<", b"<Size>one<"),
        document([("a", 1)]).replace(b'<?xml version="1.0"?>', b"<!DOCTYPE x>"),
        document([("a", 1)]).replace(b"<Key>a", b"<Key>\xff"),
        document([("a", 1)]).replace(b"<Key>a", b"<Key>&#1114112;"),
        document([("a", 1)]).replace(b"<Key>a", b"<Key>&#xD800;"),
        document([("a", 1)]).replace(b"<Key>a", b"<Key>&#" + b"9" * 5_000 + b";"),
        document([("a", 1)]).replace(b"<Size>1<", b"<Size>" + b"1" * 5_000 + b"<"),
    ],
)
def test_a_listing_that_cannot_be_trusted_is_a_bad_answer(body: bytes) -> None:
    with pytest.raises(StoreError, match="BadAnswer"):
        parse(body)


class Stuck:
    """A store whose listing never advances."""

    async def list_objects(self, bucket: str, prefix: str, token: str, headers: Fields) -> ListingPage:
        return ListingPage([Listed("a", 1, "", "STANDARD", "")], "same")


async def test_a_listing_that_never_advances_ends_with_an_error() -> None:
    with pytest.raises(StoreError, match="BadListing"):
        async for _ in pages(Stuck(), "b", "", {}):  # type: ignore[arg-type]
            pass


@given(rows, st.booleans())
def test_rows_in_the_usual_order_are_read_the_same_way_at_once_as_one_by_one(
    contents: list[tuple[str, int]], encoded: bool
) -> None:
    usual = document(contents).replace(b"<Owner><ID>x</ID></Owner>", b"")
    usual = usual.replace(b"<Size>", b"<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>\n<Size>")
    if encoded:
        usual = usual.replace(b"<IsTruncated>", b"<EncodingType>url</EncodingType><IsTruncated>")
    other = usual.replace(b"</Contents>", b"<Owner><ID>x</ID></Owner></Contents>")
    assert parse(usual) == parse(other)
    assert len(parse(usual).rows) == len(contents)


def test_a_truncation_mark_between_the_rows_is_not_overlooked() -> None:
    mark = b"<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
    body = document([("a", 1), ("b", 2)]).replace(b"<Owner><ID>x</ID></Owner>", b"")
    body = body.replace(b"<IsTruncated>false</IsTruncated>", b"").replace(
        b"</Contents><Contents>", b"</Contents>" + mark + b"<Contents>"
    )
    assert parse(body).token == "t"

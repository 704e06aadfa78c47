"""CSV for bulk jobs: any link that may travel comes back as it was."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.salesforce.bulk_csv import fits, read, written

LINKS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60).filter(fits)


@given(st.lists(LINKS, max_size=20))
def test_what_is_written_is_read_back(links: list[str]) -> None:
    rows = [[str(place), link] for place, link in enumerate(links)]
    text = written(["Id", "Document__c"], rows).decode()
    assert read(text) == [{"Id": number, "Document__c": link} for number, link in rows]


def test_every_cell_is_quoted_lines_end_in_lf_and_nothing_is_no_empty_cell() -> None:
    body = written(["Id", "L__c"], [["1", 'a,"b"'], ["2", "two\nlines"], ["3", ""], ["4", "ü😀"]])
    assert body == '"Id","L__c"\n"1","a,""b"""\n"2","two\nlines"\n"3","#N/A"\n"4","ü😀"\n'.encode()
    assert not body.startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize("link", ["#N/A", "a\rb", "a\r\nb", "nul\x00", "\x1b", "lone \ud800"])
def test_what_csv_would_spoil_does_not_travel(link: str) -> None:
    assert not fits(link)


@pytest.mark.parametrize(
    "link", ["", "#N/A ", "#n/a", "https://a.test/?b=c,d", '"', "a\nb", "a\tb", "=1+1", "😀", "\x85"]
)
def test_everything_else_does(link: str) -> None:
    assert fits(link)


def test_rows_that_were_cut_are_left_out_and_what_is_no_csv_is_told() -> None:
    assert read('"Id","E"\n"1","x"\n"2"\n') == [{"Id": "1", "E": "x"}]
    assert read('"Id","E"\n') == []
    for text in ("", '"Id","E"\n"1","x', '"' + "x" * (csv.field_size_limit() + 1) + '"\n'):
        with pytest.raises(ValueError, match="CSV"):
            read(text)


def test_a_strict_parser_agrees() -> None:
    text = written(["Id"], [["a\nb"], ['"']]).decode()
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == [["Id"], ["a\nb"], ['"']]

"""Text from strangers, on its way to a terminal, a spreadsheet or a log."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.text import bare_urls, csv_safe, printable


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("contract.pdf", "contract.pdf"),
        ("a\x1b[31mred\x1b[0m.pdf", "ared.pdf"),
        ("x\x1b]0;new title\x07y", "xy"),
        ("x\x1b]8;;http://evil\x1b\\link", "xlink"),
        ("\x9b2Jgone", "gone"),
        ("a\tb\r\nc", "a b  c"),
        ("evil\u202efdp.exe", "evilfdp.exe"),
        ("\x1b\x1b[2J", ""),
        ("Müller 文件 👩\u200d👧.pdf", "Müller 文件 👩\u200d👧.pdf"),
        ("lone \ud800 surrogate", "lone  surrogate"),
    ],
)
def test_escape_codes_and_controls_never_reach_a_terminal(name: str, shown: str) -> None:
    assert printable(name) == shown


@given(st.text())
def test_printable_text_holds_no_control_whatever_came_in(text: str) -> None:
    assert not [c for c in printable(text) if unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"}]


@given(st.text())
def test_printable_text_stays_as_it_is(text: str) -> None:
    assert printable(printable(text)) == printable(text)


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
@pytest.mark.parametrize("before", ["", " ", '"', "'", "\u00a0", "\ufeff", "\x00"])
def test_a_cell_never_starts_a_formula(sign: str, before: str) -> None:
    cell = f"{before}{sign}cmd|' /C calc'!A0"

    assert csv_safe(cell) == "'" + cell


@pytest.mark.parametrize("text", ["", "contract.pdf", "a=b", "1-2", "Ärger", " plain"])
def test_harmless_cells_stay_as_they_are(text: str) -> None:
    assert csv_safe(text) == text


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ("GET https://h/k?X-Amz-Signature=abc&X-Amz-Date=1 failed", "GET https://h/k?… failed"),
        ("https://user:pa55@h/k", "https://…@h/k"),
        ("https://user:p@55@h/k?x", "https://…@h/k?…"),
        ("/bucket/a key.pdf?AWSAccessKeyId=A&Signature=b", "/bucket/a key.pdf?…"),
        ("https://h/a b.pdf?X-Amz-Credential=1", "https://h/a b.pdf?…"),
        ("https://h/cb#access_token=zzz", "https://h/cb?…"),
        ("where is it? ask a@b.example", "where is it? ask a@b.example"),
        ("https://h/a%20b.pdf#page=2", "https://h/a%20b.pdf#page=2"),
    ],
)
def test_urls_lose_credentials_and_queries(text: str, bare: str) -> None:
    assert bare_urls(text) == bare

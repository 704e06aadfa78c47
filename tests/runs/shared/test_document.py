"""JSON on stdout: the same document for a program, and nothing that a terminal would obey."""

from __future__ import annotations

import json

from engine.runs.shared.answer import document_text


def test_a_document_survives_with_everything_that_a_terminal_might_obey_escaped() -> None:
    names = [
        "\x9b31m",
        "\x7f",
        "\u202egnp.exe",
        "\ud800 alone",
        "\u2028",
        "Zoë & 株式会社",
        'quote " and \\ and \x1b[2J',
    ]
    text = document_text({"names": names})
    assert json.loads(text) == {"names": names}
    assert not set(text) & {"\x9b", "\x7f", "\u202e", "\ud800", "\u2028", "\x1b"}
    assert "Zoë & 株式会社" in text
    text.encode("utf-8")

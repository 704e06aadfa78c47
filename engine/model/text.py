"""Text from outside, made safe for a terminal, a spreadsheet, or a log line.

Record and file names are written by strangers. Escape codes in them can repaint a terminal, a leading ``=`` becomes
a formula in a spreadsheet, and the query of a presigned URL is a password. Such text may be long, and written to be
slow to process: every function here takes time in proportion to its length.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any

_OPENERS = r"\x9d\x90\x98\x9e\x9f"
_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor moves
    rf"|(?:\x1b[\]PX^_]|[{_OPENERS}])[^\x07\x1b\x9c{_OPENERS}]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS and others, ended
    r"|\x1b[ -/]*[0-~]"  # two-byte and charset escapes
)
_JOINERS = "\u200c\u200d"  # invisible, harmless, and part of how Persian and emoji are spelt
_FORMULA_STARTS = frozenset("=+-@\t\r\n＝＋－＠")  # OWASP's list, with the full-width forms

_WORD = re.compile(r"[^\s\"'<>]+")
_USERINFO = re.compile(r"://[^/?#]*@")
_BORDER = re.compile(r"[?#&]")
_SIGNED = re.compile(r"X-Amz-|Signature=|AWSAccessKeyId=|(?:access_|refresh_|id_)?token=|sig=|sid=", re.IGNORECASE)
_STUB = re.compile(r"(?<![^\s\"'<>&])[^\s\"'<>&]{1,64}\Z")


def printable(text: str) -> str:
    """``text`` on one line without escape sequences, control characters, and marks that reverse the writing direction.

    Tabs and line ends become spaces. Letters of every script stay as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(_one(character) for character in _SEQUENCES.sub("", text))


def _one(character: str) -> str:
    if character in "\t\n\r\v\f\u0085\u2028\u2029":
        return " "
    if unicodedata.category(character) in {"Cc", "Cf", "Cs"} and character not in _JOINERS:
        return ""
    return character


def csv_safe(text: str) -> str:
    """``text`` as a spreadsheet cell that is never a formula: an apostrophe goes before ``= + - @``, TAB, CR and LF.

    Blanks, quotes and control characters in front do not hide the sign, as some spreadsheets skip them. For text
    only: a number belongs in the cell unchanged.
    """
    visible = text.lstrip(" \u00a0\u3000\ufeff\"'\x00")
    return "'" + text if visible[:1] in _FORMULA_STARTS and visible else text


def bare_urls(text: str) -> str:
    """``text`` without the user names, passwords and queries of its URLs, and without signatures anywhere."""
    if "?" not in text and "@" not in text and "=" not in text:
        return text
    return _WORD.sub(_bare, text)


def _bare(match: re.Match[str]) -> str:
    word = match[0]
    host = word.find("://")
    if host >= 0:
        word = _USERINFO.sub("://…@", word)
        query = word.find("?", host)
        if query >= 0:
            return f"{word[:query]}?…"
    first = _BORDER.search(word)
    if first is None or (signed := _SIGNED.search(word, first.end())) is None:
        return word
    cut = max(word.rfind("?", first.start(), signed.start()), word.rfind("#", first.start(), signed.start()))
    return f"{word[: cut if cut >= 0 else first.start()]}?…"


def beginning(text: str, length: int) -> str:
    """The first ``length`` characters, or a few less: half a token at the end would not be recognised as a secret."""
    if len(text) <= length:
        return text
    return text[: length - 65] + _STUB.sub("", text[length - 65 : length]) if length > 65 else text[:length]


def storable(text: str) -> str:
    """``text`` as SQLite takes it, which holds Unicode only: half a character becomes ``?``."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def readable(value: object) -> str:
    """A value of any SQLite column as storable text, empty for None. Bytes are taken for UTF-8."""
    return "" if value is None else storable(str(value, "utf-8", "replace") if isinstance(value, bytes) else str(value))


def json_in(text: str | bytes, *, strict: bool = True) -> Any:
    """The value of a JSON text. Raises ValueError for any other text, and for JSON that is nested too deep."""
    try:
        return json.loads(text, strict=strict)
    except RecursionError:
        raise ValueError("nested too deep") from None

"""Text from outside, made safe for where it goes: a terminal, a spreadsheet, a log line.

Record and file names are written by strangers. Escape codes in them can repaint a terminal, a leading ``=`` becomes
a formula in a spreadsheet, and the query of a presigned URL is a password.
"""

from __future__ import annotations

import re
import unicodedata

_SEQUENCES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor moves
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # OSC, DCS and other strings, ended
    r"|\x1b[ -/]*[0-~]"  # two-byte and charset escapes
)
_JOINERS = "\u200c\u200d"  # invisible, harmless, and part of how Persian and emoji are spelt
_FORMULA_STARTS = frozenset("=+-@\t\r\n＝＋－＠")  # OWASP's list, with the full-width forms

_QUERY = re.compile(r"(?P<before>\b[a-z][a-z0-9+.-]*://[^\s?#\"'<>]*)\?[^\s\"'<>]*", re.IGNORECASE)
_SIGNED = re.compile(
    r"[?#&][^\s?#\"'<>]*(?:X-Amz-|Signature=|AWSAccessKeyId=|(?:access_|refresh_|id_)?token=|sig=|sid=)[^\s\"'<>]*",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"(?P<scheme>\b[a-z][a-z0-9+.-]*://)[^\s/?#\"'<>]*@", re.IGNORECASE)


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
    """``text`` with user names, passwords and queries cut out of every URL in it; signatures go even without a host."""
    if "?" not in text and "@" not in text and "=" not in text:
        return text
    text = _USERINFO.sub(r"\g<scheme>…@", text)
    text = _QUERY.sub(r"\g<before>?…", text)
    return _SIGNED.sub("?…", text)

"""Salesforce record ids: fifteen case-sensitive base-62 characters, or the same plus a three-letter case checksum.

Each checksum letter stands for five characters of the id: bit k is set when character k is an upper-case letter, and
the five-bit number picks from ``A..Z0..5``. All API answers carry the long form, and only that is stored.
"""

from __future__ import annotations

from functools import lru_cache

_CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_CASES = "".join("1" if "A" <= chr(code) <= "Z" else "0" for code in range(128))


def to18(text: str) -> str:
    """The 18-character form of a 15- or 18-character id.

    Raises ValueError when the text has another length or alphabet, or when its checksum does not fit its case.
    """
    if len(text) not in (15, 18) or not (text.isascii() and text.isalnum()):
        raise ValueError(f"not a Salesforce id: {text!r}")
    core = text[:15]
    suffix = _suffix(core.translate(_CASES))
    if len(text) == 18 and text[15:] != suffix:
        raise ValueError(f"the checksum of Salesforce id {text!r} does not fit: its letters have changed case")
    return core + suffix


def is_id(text: str) -> bool:
    """Whether ``to18`` would accept the text."""
    try:
        to18(text)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=1 << 15)
def _suffix(cases: str) -> str:
    """The checksum for fifteen zeros and ones, where a one is an upper-case letter. Few different ones occur."""
    return "".join(_CHECKSUM[int(cases[start : start + 5][::-1], 2)] for start in (0, 5, 10))

"""Percent-encoding of object keys by RFC 3986: everything but ``A-Z a-z 0-9 - _ . ~`` and the slash, once."""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote

_RESERVED = re.compile(r"[^A-Za-z0-9/_.~-]")
_ONE = {chr(number): f"%{number:02X}" for number in range(128)}


@lru_cache(maxsize=16_384)
def quoted(key: str) -> str:
    """The key as it stands in a URL path. Raises UnicodeEncodeError for a lone surrogate.

    Cached: a key is needed more than once, in its link and in its request.
    """
    if key.isascii():  # several times faster than quote, with the same result
        return _RESERVED.sub(_two_digits, key)
    return quote(key, safe="/-_.~")


def _two_digits(match: re.Match[str]) -> str:
    return _ONE[match[0]]

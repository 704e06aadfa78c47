"""What keys of ours look like, from ``destination.key_template``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

_ID = "[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?"
_SHAPES = {"record_id": _ID, "account_id": "[^/]*", "account_name": "[^/]*"}


def shape_of(template: str, bucket: str) -> tuple[str, Callable[[str], bool]]:
    """The prefix that all keys of a template share, and a test whether a key may be one of them."""
    prefix = ""
    pattern = ""
    for number, piece in enumerate(re.split(r"\{([^{}]*)\}", template)):
        if number % 2 == 0:
            pattern += re.escape(piece)
            prefix = piece if number == 0 else prefix
        else:
            pattern += re.escape(bucket) if piece == "bucket" else _SHAPES.get(piece, ".*")
    compiled = re.compile(pattern, re.DOTALL)
    return prefix, lambda key: compiled.fullmatch(key) is not None

"""What our keys look like, from ``destination.key_template``. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.model.keys import MAX_KEY_BYTES

_ID = "[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?"
_SHAPES = {"record_id": _ID, "account_id": "[^/]*", "account_name": "[^/]*"}
_ANYTHING = ".*"


def shape_of(template: str, bucket: str) -> tuple[str, Callable[[str], bool]]:
    """The prefix that all keys of a template share, and a test for whether a key may be one of them."""
    prefix = ""
    pattern = ""
    for number, piece in enumerate(re.split(r"\{([^{}]*)\}", template)):
        if number % 2 == 0:
            pattern += re.escape(piece)
            prefix = piece if number == 0 else prefix
        else:
            # {stem}{ext} match as one, not as two
            shape = re.escape(bucket) if piece == "bucket" else _SHAPES.get(piece, _ANYTHING)
            pattern += "" if shape == _ANYTHING and pattern.endswith(_ANYTHING) else shape
    compiled = re.compile(pattern, re.DOTALL)
    return prefix, lambda key: len(key) <= MAX_KEY_BYTES and compiled.fullmatch(key) is not None

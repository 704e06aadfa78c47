"""Checksums that an answer's headers state of a whole object. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

HEADER = "x-amz-checksum-"
_MD5_HEX = 32
_NOT_SUMS = frozenset({"type", "algorithm", "mode"})


def stated_sums(fields: Mapping[str, str], *, composites: bool = False) -> tuple[tuple[str, str], ...]:
    """Full-object checksums as (algorithm, hex), from headers by lower-case name.

    A composite one (``…-N``) says nothing without the parts' sizes: only where it is wanted it comes as
    ``sha256-composite``, with ``-N`` behind the hex.
    """
    names = [name for name in fields if name.startswith(HEADER)]
    # of a part of the file where the answer is one (RFC 1864: of the body that it comes with)
    whole_md5 = None if "content-range" in fields else fields.get("content-md5")
    if not names and not whole_md5:
        return ()
    whole = fields.get("x-amz-checksum-type", "").upper() != "COMPOSITE"
    sums = []
    for name in names:
        algorithm, value = name[len(HEADER) :], fields[name]
        if algorithm in _NOT_SUMS:
            continue
        plain, _, parts = value.partition("-")
        if (digest := hex_of(plain)) is None:
            continue
        if whole and not parts:
            sums.append((algorithm, digest))
        elif composites and parts.isdecimal():
            sums.append((f"{algorithm}-composite", f"{digest}-{parts}"))
    if whole_md5 and (digest := hex_of(whole_md5)) is not None and len(digest) == _MD5_HEX:
        sums.append(("md5", digest))
    return tuple(sorted(sums))


def hex_of(value: str) -> str | None:
    """A digest in base64 as hex; None where it is none."""
    try:
        return base64.b64decode(value, validate=True).hex()
    except (binascii.Error, ValueError):
        return None

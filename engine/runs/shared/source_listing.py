"""When listing a source bucket pays, and the refusal where a listing is required and fails."""

from __future__ import annotations

from engine.model.errors import Blocked

FEW_RECORDS = 2_000
"""With fewer, listing is not worth it: what a HEAD each costs is soon spent on a bucket of unknown size."""
TOO_MANY = 20
"""Objects per record from which on listing goes on for too long for what it is worth: a page is a thousand HEADs."""


def cannot_be_listed(name: str, why: str) -> Blocked:
    """Where ``source.inventory`` is ``always``."""
    return Blocked(
        f"{name} cannot be listed: {why}",
        hint="grant s3:ListBucket on it, or set source.inventory to auto: each file is then checked by HEAD",
    )

"""The step that brings claims of older engines down to what they rest on.

``received`` becomes a proof of its own, and a copy whose MD5 is not its source's is to be proved anew.
"""

from __future__ import annotations

from engine.tracking.db.counters import RECOUNT
from engine.tracking.db.widening import widened

# an MD5 on both sides, of which a plain web server's ETag is none
_TWO_MD5S = (
    "method <> 'http' AND length(source_etag) = 32 AND source_etag NOT GLOB '*[^0-9a-f]*'"
    " AND length(destination_etag) = 32 AND destination_etag NOT GLOB '*[^0-9a-f]*'"
)
# by the store itself, or by comparing what both sides stated: everything else was compared with our own digest only
_OWN_DIGEST = "(proof = 'checksum' AND method IN ('stream', 'http', 'twin'))"
_SAME_ETAG = "(method <> 'http' AND source_etag <> '' AND source_etag = destination_etag)"

# what a newer engine found in the claims of an older one
_UPGRADES = """
CREATE TABLE upgrades (
    version INTEGER PRIMARY KEY,
    at TEXT NOT NULL,
    to_prove_anew INTEGER NOT NULL,
    now_received INTEGER NOT NULL
) STRICT
"""


def honest_claims(step: int, copied: str, check: str, wider: str) -> tuple[str, ...]:
    """The statements, as step ``step``. ``copied``: the condition of a row that claims a copy; ``check`` is the text of
    the table's condition that becomes ``wider``."""
    contradicted = f"({copied} AND {_TWO_MD5S} AND source_etag <> destination_etag)"
    return (
        _UPGRADES,
        f"""
        INSERT INTO upgrades SELECT {step}, strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), coalesce(sum({contradicted}), 0),
            coalesce(sum({_OWN_DIGEST} AND {_SAME_ETAG} IS NOT TRUE AND {contradicted} IS NOT TRUE), 0)
        FROM file_migrations
        """,
        "ALTER TABLE file_migrations ADD COLUMN failed_write TEXT",
        *widened("file_migrations", check, wider),
        f"""
        UPDATE file_migrations SET proof = CASE WHEN {_SAME_ETAG} THEN 'etag' ELSE 'received' END
        WHERE {_OWN_DIGEST} AND {contradicted} IS NOT TRUE
        """,
        f"UPDATE file_migrations SET verified_at = NULL, proof = 'size' WHERE status = 'switched' AND {contradicted}",
        f"""
        UPDATE file_migrations SET status = 'pending', failure_class = 'checksum_mismatch', verified_at = NULL,
            proof = NULL, error_message = 'the MD5s of source and copy differ: the copy is to be proved anew'
        WHERE status <> 'switched' AND {contradicted}
        """,
        *RECOUNT,
    )

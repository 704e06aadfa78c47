"""Failure classes: stable words for why a record did not end as hoped.

They are contract: scripts group by them, ``--retry-class`` takes them, and they never change meaning.
"""

from __future__ import annotations

from enum import StrEnum


class FailureClass(StrEnum):
    """Why a record failed or was skipped. The value is what the tracking DB and every report show."""

    # the record or its URL
    NO_URL = "no_url"
    BAD_URL = "bad_url"
    HOST_NOT_ALLOWED = "host_not_allowed"
    ALREADY_OURS = "already_ours"
    URL_TOO_LONG = "url_too_long"
    BAD_KEY = "bad_key"
    # filters
    TYPE_FILTERED = "type_filtered"
    TOO_LARGE = "too_large"
    # the source
    SOURCE_MISSING = "source_missing"
    SOURCE_DENIED = "source_denied"
    SOURCE_CHANGED = "source_changed"
    ARCHIVED = "archived"
    EXPIRED_LINK = "expired_link"
    HTML_INSTEAD_OF_FILE = "html_instead_of_file"
    REDIRECTED = "redirected"
    RESOLVER_FAILED = "resolver_failed"
    # the destination
    DESTINATION_DENIED = "destination_denied"
    KEY_CONFLICT = "key_conflict"
    CHECKSUM_MISMATCH = "checksum_mismatch"
    COPY_MISSING = "copy_missing"
    # the way between
    THROTTLED = "throttled"
    NETWORK = "network"
    REJECTED = "rejected"
    # the life of a record
    DRIFTED = "drifted"
    DELETED = "deleted"
    INTERRUPTED = "interrupted"
    UNPROVED = "unproved"
    # ours
    INTERNAL = "internal"


#: Classes that say "the environment is unwell"; only these count against ``migration.error_budget``.
BUDGETED: frozenset[FailureClass] = frozenset(
    {
        FailureClass.NETWORK,
        FailureClass.THROTTLED,
        FailureClass.SOURCE_DENIED,
        FailureClass.DESTINATION_DENIED,
        FailureClass.CHECKSUM_MISMATCH,
    }
)

#: Classes of records that are left out on purpose: they are skipped, and not failed.
SKIP_CLASSES: frozenset[FailureClass] = frozenset(
    {FailureClass.NO_URL, FailureClass.ALREADY_OURS, FailureClass.TYPE_FILTERED, FailureClass.TOO_LARGE}
)

#: Classes that an incremental run tries again by itself: another day may well end differently.
WORTH_ANOTHER_TRY: frozenset[FailureClass] = BUDGETED | {
    FailureClass.SOURCE_CHANGED,
    FailureClass.EXPIRED_LINK,
    FailureClass.RESOLVER_FAILED,
    FailureClass.INTERRUPTED,
    FailureClass.INTERNAL,
}

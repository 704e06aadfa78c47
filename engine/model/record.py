"""Record: one Salesforce row; Page: what one step of a scan brings."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.model.value import value


@value
class Record:
    """One Salesforce row. ``id`` has 18 characters; ``url`` is the field's value as stored, ``""`` when empty."""

    id: str
    name: str
    url: str
    account_id: str
    account_name: str
    modified: str
    """SystemModstamp, UTC, ``2026-11-22T10:00:00.000Z``."""
    extra: tuple[tuple[str, str], ...] = ()
    """Further fields, by name: those in the resolver's URL template."""


@value
class Page:
    """Up to 2,000 records in the server's Id order."""

    records: list[Record]
    last_id: str
    """The Id of the last row received, where a scan resumes. The server's order counts."""
    deleted: bool = False
    """True for a page of soft-deleted rows (``queryAll``)."""
    range: int = 0
    """Number of the range it was read from; 0: the scan has no ranges."""
    ends: bool = False
    """Its range ends here. Such a page may hold no records."""


@dataclass(frozen=True, slots=True)
class IdRange:
    """Records behind ``after`` up to and including ``until``, in the server's order; None: no bound on that side."""

    after: str | None = None
    until: str | None = None
    number: int = 0
    """Its name within a scan, from 1."""
    last: str | None = None
    """The last Id it held when it was cut: how far it may reach, where there is no ``until``."""


@value
class Scope:
    """Which records a scan asks for. Empty means all of the object (and ``salesforce.where``)."""

    account_id: str | None = None
    since: str | None = None
    """Lower bound (inclusive) on SystemModstamp, UTC ISO with ``Z``."""
    after_id: str | None = None
    """Keyset checkpoint: only rows behind this Id."""
    until_id: str | None = None
    """Only rows up to and including this Id."""
    deleted: bool = False
    """Soft-deleted rows instead of live ones."""


@dataclass(frozen=True, slots=True)
class ObjectShape:
    """What Salesforce's describe call says of the object that holds the links."""

    name: str
    url_field: str
    url_length: int
    """Longest value the URL field takes, in characters."""
    url_updateable: bool
    fields: frozenset[str] = field(default_factory=frozenset)

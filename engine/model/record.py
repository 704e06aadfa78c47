"""Record: one Salesforce row as we understand it; Page: what one step of a scan brings."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
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
    """Further fields, by name: those that the resolver's URL template asks for."""


@dataclass(frozen=True, slots=True)
class Page:
    """Up to 2,000 records in the server's Id order."""

    records: list[Record]
    last_id: str
    """The Id of the last row received: where a scan resumes. The server's order is authoritative."""
    deleted: bool = False
    """True for a page of soft-deleted rows (``queryAll``)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which records a scan asks for. Empty means all of the object (and ``salesforce.where``)."""

    account_id: str | None = None
    since: str | None = None
    """Lower bound (inclusive) on SystemModstamp, UTC ISO with ``Z``."""
    after_id: str | None = None
    """Keyset checkpoint: only rows behind this Id."""
    deleted: bool = False
    """Soft-deleted rows instead of live ones."""


@dataclass(frozen=True, slots=True)
class ObjectShape:
    """What describe says of the object that holds the links."""

    name: str
    url_field: str
    url_length: int
    """Longest value the URL field takes, in characters."""
    url_updateable: bool
    fields: frozenset[str] = field(default_factory=frozenset)

"""What an org holds and hears: records and their history, requests and replies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = Any


@dataclass(frozen=True, slots=True)
class Change:
    """One value of one link, who set it, and when."""

    at: float
    value: str | None
    """None: the record was deleted, or hidden."""
    who: str
    """``load``, ``user``, ``api``, ``flow``."""
    request: int = 0


@dataclass(slots=True)
class Entry:
    """A record."""

    id: str
    name: str
    account: str
    url: str
    modified: float
    deleted: bool = False
    hidden: bool = False
    history: list[Change] = field(default_factory=list)

    @property
    def seen(self) -> bool:
        return not (self.deleted or self.hidden)

    @property
    def last(self) -> Change:
        return self.history[-1]


@dataclass(slots=True)
class Request:
    """What a client has sent. ``life``: which process."""

    number: int
    life: int
    method: str
    path: str
    query: dict[str, list[str]]
    body: Json
    token: str
    sent: float
    writes: list[tuple[str, str, str]] = field(default_factory=list)
    """(record, link, If-Unmodified-Since)."""
    intents: dict[str, Any] = field(default_factory=dict)
    """What the journal held of each when it arrived; for the oracles."""
    done: float | None = None
    given_up: bool = False
    """Nobody listens to its answer any more."""

    @property
    def is_write(self) -> bool:
        return bool(self.writes)


@dataclass(slots=True)
class Reply:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

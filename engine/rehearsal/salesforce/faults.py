"""Faults on demand: rules that say where, how often and what goes wrong, reproducible by their seed.

A rule is JSON: ``{"endpoint": "query_more", "kind": "503_html", "nth": 3}``.

* ``endpoint``: a route name (``routes.py``), or a regular expression searched in ``METHOD path?query``; default all.
* ``rate``: chance per matching call, drawn from ``seed``; ``nth``: one or several call numbers, counted from 1 from the
  moment the rule was set; ``after``: calls to let pass first; ``count``: how often it may happen at all.
  Without any of these it happens on every matching call.
* ``params``: see KINDS.
"""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

KINDS: dict[str, str] = {
    "session_expired": "401; the token used dies",
    "burst_401": "401; all tokens die, so that calls in flight fail too",
    "uncurable_401": "401 no refresh cures: not valid for use with the REST API",
    "refresh_fails": "400 invalid_grant at the token endpoint; params error, description",
    "new_instance_url": "the token answer names another instance; params url",
    "daily_limit": "403 TotalRequests; the usage header shows the maximum",
    "concurrent_limit": "403 ConcurrentPerOrgLongTxn",
    "503_json": "503 SERVER_UNAVAILABLE",
    "503_html": "503 with a maintenance page; params retry_after",
    "502_html": "502 edge page",
    "500_unknown": "500 UNKNOWN_EXCEPTION with an ErrorId",
    "420": "420 edge text",
    "429": "429; params retry_after, in seconds",
    "html_200": "200 with a login page instead of JSON",
    "query_timeout": "400 QUERY_TIMEOUT",
    "locator_lost": "400 INVALID_QUERY_LOCATOR; the locator is gone",
    "slow": "wait before working; params seconds",
    "slow_after": "work and commit, then wait before answering; params seconds",
    "cut_then_commit": "drop the connection at once, work and commit later; params seconds",
    "commit_then_503": "work and commit, then answer 503",
    "commit_then_page": "work and commit, then answer 403 with a proxy's page",
    "commit_then_cut": "work and commit, then drop the connection without an answer",
    "cut_mid_body": "work, then drop the connection in the middle of the body",
    "truncated_json": "work, then send half of the JSON as if it were whole",
    "reset": "reset the connection before working",
    "lock_row": "UNABLE_TO_LOCK_ROW per row; rate is the share of rows; params tries: attempts until a row is free (1)",
    "short_pages": "pages of random length; params min (1), max (the page size)",
    "empty_nonfinal_page": "a page without records that is not the last",
    "approximate_total": "totalSize is only roughly right; params factor (0.9)",
    "fls_removed": "the user loses a field before this call; params object, field, mode: hidden or read_only",
    "field_shortened": "a field becomes shorter before this call; params object, field, length",
    "refused": "an error of your choice; params status (400), code, message",
    "edit": "a person edits rows before this call; params ids, set",
    "delete": "a person deletes rows before this call; params ids",
    "insert": "a person adds rows before this call; params object, records",
}
REFUSING = (
    "reset",
    "refresh_fails",
    "session_expired",
    "burst_401",
    "uncurable_401",
    "daily_limit",
    "concurrent_limit",
    "503_json",
    "503_html",
    "502_html",
    "500_unknown",
    "420",
    "429",
    "html_200",
    "query_timeout",
    "locator_lost",
    "refused",
)
SLOWING = ("slow", "cut_then_commit")
CHANGING = ("fls_removed", "field_shortened", "edit", "delete", "insert")
ANSWERING = ("slow_after", "commit_then_503", "commit_then_page", "commit_then_cut", "cut_mid_body", "truncated_json")


@dataclass(slots=True)
class Rule:
    """One rule and how often it has happened."""

    kind: str
    endpoint: str = ""
    rate: float | None = None
    nth: frozenset[int] | None = None
    count: int | None = None
    after: int = 0
    seed: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    matched: int = 0
    fired: int = 0
    _chance: random.Random = field(default_factory=random.Random)

    def applies(self, name: str, target: str) -> bool:
        """Whether the rule speaks about this call."""
        return not self.endpoint or self.endpoint == name or re.search(self.endpoint, target) is not None

    def strikes(self) -> bool:
        """Count one matching call, and say whether the fault happens on it."""
        self.matched += 1
        if self.matched <= self.after or (self.count is not None and self.fired >= self.count):
            return False
        if self.nth is not None:
            struck = self.matched in self.nth
        else:
            struck = self.rate is None or self._chance.random() < self.rate
        self.fired += struck
        return struck

    def integer(self, least: int, most: int) -> int:
        """A whole number drawn from the rule's own seed, both ends included."""
        return self._chance.randint(least, max(least, most))

    def describe(self) -> dict[str, Any]:
        """The rule as JSON, with its counters."""
        return {
            "kind": self.kind,
            "endpoint": self.endpoint,
            "rate": self.rate,
            "nth": sorted(self.nth) if self.nth is not None else None,
            "count": self.count,
            "after": self.after,
            "seed": self.seed,
            "params": dict(self.params),
            "matched": self.matched,
            "fired": self.fired,
        }


def rule_from(data: Mapping[str, Any]) -> Rule:
    """A rule out of JSON; raises ValueError for a kind or key nobody knows."""
    unknown = data.keys() - {"kind", "endpoint", "rate", "nth", "count", "after", "seed", "params"}
    if unknown or data.get("kind") not in KINDS:
        raise ValueError(f"not a fault rule: kind {data.get('kind')!r}, unknown keys {sorted(unknown)}")
    nth = data.get("nth")
    seed = int(data.get("seed", 0))
    endpoint = str(data.get("endpoint", ""))
    try:
        re.compile(endpoint)
    except re.error as error:
        raise ValueError(f"endpoint {endpoint!r} is not a regular expression: {error}") from error
    return Rule(
        kind=data["kind"],
        endpoint=endpoint,
        rate=data.get("rate"),
        nth=None if nth is None else frozenset([nth] if isinstance(nth, int) else nth),
        count=data.get("count"),
        after=int(data.get("after", 0)),
        seed=seed,
        params=dict(data.get("params", {})),
        _chance=random.Random(seed),
    )


class FaultBook:
    """The rules in force."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self._tries: dict[tuple[int, str], int] = {}

    def set(self, rules: list[Rule]) -> None:
        """Replace all rules."""
        self.rules = rules
        self._tries.clear()

    def strike(self, kinds: Collection[str], name: str, target: str) -> Rule | None:
        """The first rule of these kinds that strikes this call; the others do not count it."""
        for rule in self.rules:
            if rule.kind in kinds and rule.applies(name, target) and rule.strikes():
                return rule
        return None

    def strikes(self, kinds: Collection[str], name: str, target: str) -> list[Rule]:
        """All rules of these kinds that strike this call."""
        return [rule for rule in self.rules if rule.kind in kinds and rule.applies(name, target) and rule.strikes()]

    def row_locked(self, name: str, target: str, row_id: str) -> bool:
        """Whether somebody else holds this row now. Which rows are contended depends only on the seed and the id."""
        for place, rule in enumerate(self.rules):
            if rule.kind != "lock_row" or not rule.applies(name, target):
                continue
            if rule.count is not None and rule.fired >= rule.count:
                continue
            share = zlib.crc32(f"{rule.seed}:{row_id}".encode()) / 2**32
            tries = self._tries.get((place, row_id), 0)
            if share < (1.0 if rule.rate is None else rule.rate) and tries < int(rule.params.get("tries", 1)):
                self._tries[place, row_id] = tries + 1
                rule.fired += 1
                return True
        return False

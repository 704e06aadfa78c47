"""A census of records: what the planner would do with each, and what its link says. Nothing is copied or requested.

Pages go in, rows for a scratch table come out. What needs no table, such as the longest link, is counted here.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from engine.model.analyzed import DONE, TO_COPY, AnalyzedRecord
from engine.model.errors import Refused
from engine.model.failures import FailureClass
from engine.model.hosts import origin_of
from engine.model.keys import extension_of
from engine.model.location import Location
from engine.model.outcome import COPIED_STATES, Outcome
from engine.model.plan import Known, Plan
from engine.model.record import Record
from engine.model.urls import identity_hash
from engine.pipeline.planning import Planner

NO_HOST = "(no host)"
_SAMPLES = 8
_REACHABLE = frozenset({FailureClass.URL_TOO_LONG, FailureClass.TYPE_FILTERED, FailureClass.BAD_KEY})
"""Classes of records whose file could be copied with other settings."""


@dataclass(slots=True)
class LinkCounts:
    """The length of the links that records have, or would get, against the field's length."""

    field_length: int
    longest: int = 0
    longest_record: str = ""
    too_long: int = 0

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "field_length": self.field_length,
            "longest": self.longest,
            "longest_record_id": self.longest_record or None,
            "longest_record": self.longest_record or None,
            "too_long": self.too_long,
            "excess": max(0, self.longest - self.field_length),
        }

    def measure(self, record: str, url: str) -> None:
        """Take in one link; Salesforce counts UTF-16 units."""
        length = len(url) if url.isascii() else len(url.encode("utf-16-le", "surrogatepass")) // 2
        self.too_long += length > self.field_length
        if length > self.longest:
            self.longest, self.longest_record = length, record


class Census:
    """Takes pages. ``samples`` holds a few sources of each bucket (``""``: plain http)."""

    def __init__(self, planner: Planner, url_length: int) -> None:
        self._planner = planner
        self.links = LinkCounts(url_length)
        self.records = 0
        self.samples: dict[str, list[Location]] = {}

    def take(self, records: Sequence[Record], known: Mapping[str, Known]) -> Iterator[AnalyzedRecord]:
        """The rows of a page."""
        for record in records:
            row = known.get(record.id)
            decision = self._planner.plan(record, row, 0)
            self.records += 1
            extra = json.dumps(record.extra) if record.extra else ""
            if isinstance(decision, Plan):
                self._sample(decision.source)
                self.links.measure(record.id, decision.url)
                yield AnalyzedRecord(
                    record.id, record.account_id, host_of(record.url), TO_COPY, "",
                    extension_of(decision.file_name), decision.source_id, decision.source.bucket,
                    identity_hash(decision.key), identity_hash(decision.key.casefold()), decision.record.url, extra,
                )  # fmt: skip
            else:
                yield AnalyzedRecord._make((*self._settled(record, row, decision), extra))

    def _settled(self, record: Record, row: Known | None, decision: object) -> tuple[Any, ...]:
        """A record that would not be copied now."""
        head = (record.id, record.account_id, host_of(record.url))
        if isinstance(decision, Outcome):
            failure = decision.failure or FailureClass.INTERNAL
            if failure is FailureClass.URL_TOO_LONG:
                self.links.measure(record.id, decision.url)
            source = self._planner.locate(record) if failure in _REACHABLE else None
            reason = decision.message if failure is FailureClass.BAD_URL else ""
            return (*head, failure.value, reason, *self._file(record, source, decision.file_name), 0, 0, record.url)
        if row is None or row.status not in COPIED_STATES:
            fate = row.failure if row is not None and row.failure else FailureClass.ALREADY_OURS.value
            return (*head, fate, "", "", 0, "", 0, 0, record.url)
        self.links.measure(record.id, row.our_url)
        source = self._planner.locate(replace(record, url=row.url))
        keys = (identity_hash(row.our_key), identity_hash(row.our_key.casefold()))
        return (*head, DONE, "", *self._file(record, source, row.our_key.rpartition("/")[2]), *keys, row.url)

    def _file(self, record: Record, source: Location | None, name: str) -> tuple[str, int, str]:
        if source is None:
            return "", 0, ""
        self._sample(source)
        return extension_of(name), self._planner.source_id(record, source), source.bucket

    def _sample(self, source: Location) -> None:
        held = self.samples.setdefault(source.bucket, [])
        if len(held) < _SAMPLES:
            held.append(source)


def host_of(url: str) -> str:
    """The host that a URL names, as written but in its normal form, with a port that is not the usual one."""
    scheme, found, rest = url.strip().partition("://")
    if not found:
        return NO_HOST if url.strip() else ""
    for mark in "/?#":
        rest = rest.partition(mark)[0]
    return _host(scheme.lower(), rest.rpartition("@")[2])


@lru_cache(maxsize=4096)
def _host(scheme: str, authority: str) -> str:
    if scheme == "s3":
        return f"s3://{authority}"
    if scheme not in {"http", "https"}:
        return NO_HOST
    try:
        return str(origin_of(scheme, authority)).partition("://")[2]
    except Refused:
        return "(unreadable)"

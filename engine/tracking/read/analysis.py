"""The figures of an analysis, computed from its scratch DB. docs/analyze.md describes the keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from engine.model.estimate import METHOD, Interval, Stratum, share, total
from engine.model.failures import FailureClass
from engine.model.urls import SourceRules, parse_url
from engine.tracking.db.scratch import Scratch

ROWS = 50
"""Rows of a breakdown in ``--json``; ``--export`` has them all."""
LARGEST = 20

_CLASSES = (
    (0, "empty"),
    (10_000, "up to 10 kB"),
    (100_000, "up to 100 kB"),
    (1_000_000, "up to 1 MB"),
    (10_000_000, "up to 10 MB"),
    (100_000_000, "up to 100 MB"),
    (1_000_000_000, "up to 1 GB"),
    (5_000_000_000, "up to 5 GB"),
)
_LIMITS = " ".join(f"WHEN size <= {limit} THEN '{name}'" for limit, name in _CLASSES)
_SIZE_CLASS = f"CASE {_LIMITS} ELSE 'over 5 GB' END"
_ANSWERED = "state IN ('seen', 'source_missing')"


@dataclass(slots=True)
class Measured:
    """How the sizes were found. ``listed``: buckets that were listed completely, with their objects."""

    listed: dict[str, int] = field(default_factory=dict)
    listed_objects: int = 0
    heads: int = 0
    strata: dict[str, int] = field(default_factory=dict)
    """Files whose size no listing gave."""
    notes: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Bytes:
    """The files' bytes in three views. None: unknown."""

    all: Interval | None
    """Every distinct file that a record names."""
    to_copy: Interval | None
    """The distinct files among them that a backup would read now."""
    to_store: Interval | None
    """What it would write: each record has a copy of its own."""


class AnalysisFigures:
    """``max_bytes``: the settings leave larger files out."""

    def __init__(self, scratch: Scratch, measured: Measured, max_bytes: int | None) -> None:
        self._ask = scratch.ask
        self._stream = scratch.stream
        self._rows = scratch.rows
        self._measured = measured
        self._max = max_bytes if max_bytes is not None else (1 << 62)
        self.wanted = f"(todo > 0 AND coalesce(size, 0) <= {int(self._max)} AND state <> 'source_missing')"
        answered = {row[0] for row in self._ask(f"SELECT DISTINCT stratum FROM file WHERE {_ANSWERED}")}
        self._answered = {name: count for name, count in measured.strata.items() if name in answered}
        self.unknown_files = sum(measured.strata.values()) - sum(self._answered.values())

    @cached_property
    def basis(self) -> str:
        """``exact``, ``sample`` or ``unknown``."""
        if not self.files:
            return "exact"
        if self.unknown_files == self.files:
            return "unknown"
        sampled = self._ask("SELECT 1 FROM file WHERE weight > 0 AND weight <> 1 LIMIT 1")
        return "sample" if sampled or self.unknown_files else "exact"

    @cached_property
    def files(self) -> int:
        """Distinct files that records name."""
        return int(self._ask("SELECT count(*) FROM file")[0][0])

    def estimate(self, value: str) -> Interval | None:
        """The sum of a value over all files of known or estimated size. None where nothing is known."""
        ((listed, count),) = self._ask(f"SELECT coalesce(sum({value}), 0), count(*) FROM file WHERE state = 'listed'")
        if not self._answered:
            return Interval.exactly(listed) if count or not self.files else None
        strata = {name: Stratum(population) for name, population in self._answered.items()}
        for name, amount in self._stream(
            f"SELECT stratum, coalesce({value}, 0) FROM file WHERE stratum IS NOT NULL AND {_ANSWERED}"
        ):
            strata[name].add(amount)
        found = total(list(strata.values()))
        return None if found is None else found + listed

    def bytes(self, where: str = "1") -> Bytes:
        """The three views, of the files that fulfil a condition."""
        return Bytes(
            self.estimate(f"size * ({where})"),
            self.estimate(f"size * {self.wanted} * ({where})"),
            self.estimate(f"size * todo * {self.wanted} * ({where})"),
        )

    def weighed(self, value: str, where: str = "1") -> float:
        """The weighted sum of a value: a point estimate where files were sampled. Unknown ones do not count."""
        return float(self._ask(f"SELECT coalesce(sum(weight * ({value})), 0) FROM file WHERE {where}")[0][0])

    def weighed_unknown(self, where: str) -> float:
        """Files to copy in strata of which nothing is known."""
        rows = self._ask(
            f"SELECT stratum, count(*) FROM file WHERE stratum IS NOT NULL AND {where} AND todo > 0 GROUP BY 1"
        )
        return float(sum(count for name, count in rows if name not in self._answered))

    def counted(self, trait: str) -> Interval:
        """How many files have a trait that only a listing or a HEAD shows."""
        ((exact,),) = self._ask(f"SELECT count(*) FROM file WHERE state = 'listed' AND {trait}")
        ((checked, hits),) = self._ask(
            f"SELECT count(*), coalesce(sum({trait}), 0) FROM file WHERE stratum IS NOT NULL AND state <> ''"
        )
        population = sum(self._measured.strata.values())
        if not population:
            return Interval(exact, exact, exact)
        return share(population, checked, hits) + int(exact)

    def document(self, rules: SourceRules) -> dict[str, Any]:
        """All that is known."""
        return {
            "records": self._records(),
            "files": self._files(),
            "sizes": self._sizes(),
            "collisions": self._collisions(),
            "problems": self._problems(),
            "by": self._by(),
            "largest": self._largest(rules),
        }

    def _records(self) -> dict[str, Any]:
        fates = dict(self._ask("SELECT fate, count(*) FROM record GROUP BY 1 ORDER BY 2 DESC"))
        ((no_account,),) = self._ask("SELECT count(*) FROM record WHERE account = ''")
        records = sum(fates.values())
        to_copy, done = fates.pop("to_copy", 0), fates.pop("done", 0)
        return {
            "total": records,
            "to_copy": to_copy,
            "done": done,
            "left_out": fates,
            "without_account": no_account,
            "without_url": fates.get(FailureClass.NO_URL.value, 0),
        }

    def _files(self) -> dict[str, Any]:
        ((shared, sharing, saved),) = self._ask(
            "SELECT count(*), coalesce(sum(records), 0), sum((records - 1) * coalesce(size, 0) * weight)"
            " FROM file WHERE records > 1"
        )
        return {
            "distinct": self.files,
            "to_copy": int(self._ask("SELECT count(*) FROM file WHERE todo > 0")[0][0]),
            "shared": shared,
            "records_sharing": sharing,
            "reads_saved": sharing - shared,
            "bytes_saved": None if self.basis == "unknown" else round(saved or 0),
        }

    def _sizes(self) -> dict[str, Any]:
        measured, found = self._measured, self.bytes()
        heads = "FROM file WHERE stratum IS NOT NULL AND state <> ''"
        states = dict(self._ask(f"SELECT state, count(*) {heads} GROUP BY 1"))
        exact = self.basis == "exact"
        unread = {name: count for name, count in states.items() if name not in {"seen", "source_missing"}}
        return {
            "basis": self.basis,
            "method": "listings and HEADs of every file" if exact else METHOD,
            "confidence": None if exact else 0.95,
            "bytes": _json(found.all),
            "bytes_to_copy": _json(found.to_copy),
            "bytes_to_store": _json(found.to_store),
            "files_of_unknown_size": self.unknown_files,
            "listed_buckets": measured.listed,
            "listed_objects": measured.listed_objects,
            "heads": measured.heads,
            "heads_refused": unread,
            "archived": self.counted("archived = 1").as_json(),
            "archived_bytes": round(self.weighed("size", "archived = 1 AND size IS NOT NULL")),
            "missing": self.counted("state = 'source_missing'").as_json(),
            "too_large": round(self.weighed("1", f"todo > 0 AND size > {int(self._max)}")),
            "objects_without_record": self._orphans(),
        }

    def _orphans(self) -> dict[str, int] | None:
        """Objects of the listed buckets that no record names."""
        if not self._measured.listed:
            return None
        ((objects, size),) = self._ask("SELECT count(*), coalesce(sum(size), 0) FROM listed")
        ((named, named_size),) = self._ask("SELECT count(*), coalesce(sum(size), 0) FROM file WHERE state = 'listed'")
        return {"objects": objects - named, "bytes": size - named_size}

    def _collisions(self) -> dict[str, Any]:
        """Whoever shares a key shares it without case as well: most often one look is enough."""
        groups = "FROM record WHERE key_hash <> 0 GROUP BY folded_hash HAVING count(*) > 1"
        ((folded,),) = self._ask(
            f"SELECT coalesce(sum(differ), 0) FROM (SELECT min(key_hash) < max(key_hash) AS differ {groups})"
        )
        ((exact,),) = self._ask(
            f"SELECT count(*) FROM (SELECT 1 FROM record WHERE folded_hash IN (SELECT folded_hash {groups})"
            " GROUP BY key_hash HAVING count(*) > 1)"
        )
        return {"exact": exact, "case_insensitive": folded}

    def _problems(self) -> dict[str, Any]:
        def of(column: str, fate: str) -> list[dict[str, Any]]:
            return self._rows(
                f"SELECT {column}, count(*) AS records, min(record_id) AS example_record_id, min(record_id) AS example"
                f" FROM record WHERE fate = '{fate}'"
                " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 500"
            )

        return {"bad_urls": of("reason", "bad_url"), "foreign_hosts": of("host", "host_not_allowed")}

    def _by(self) -> dict[str, list[dict[str, Any]]]:
        files = "CAST(round(sum(weight)) AS INTEGER) AS files"
        sizes = "NULL" if self.basis == "unknown" else "CAST(round(sum(weight * coalesce(size, 0))) AS INTEGER)"
        own_sizes = "sum(f.size)" if self.basis == "exact" else "NULL"
        of_known_size = "FROM file WHERE weight > 0 AND state IN ('listed', 'seen') GROUP BY 1"
        return {
            "account": self._rows(
                "SELECT r.account AS account_id, a.name AS account_name, count(*) AS records,"
                " sum(r.fate = 'to_copy') AS to_copy, sum(r.source_id <> 0) AS with_file,"
                f" {own_sizes} AS bytes FROM record r LEFT JOIN file f ON f.source_id = r.source_id"
                " LEFT JOIN account a ON a.id = r.account GROUP BY r.account ORDER BY 3 DESC, 1"
            ),
            "extension": self._rows(
                f"SELECT extension, count(*) AS files, sum(records) AS records, {sizes} AS bytes FROM file"
                " GROUP BY 1 ORDER BY 2 DESC, 1"
            ),
            "size_class": self._rows(
                f"SELECT {_SIZE_CLASS} AS size_class, {files}, {sizes} AS bytes {of_known_size} ORDER BY min(size)"
            ),
            "storage_class": self._rows(
                f"SELECT storage_class, {files}, {sizes} AS bytes {of_known_size} ORDER BY 2 DESC"
            ),
            "host": self._rows(
                "SELECT host, count(*) AS records, sum(fate = 'to_copy') AS to_copy, sum(fate = 'done') AS done"
                " FROM record GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10000"
            ),
        }

    def _largest(self, rules: SourceRules) -> list[dict[str, Any]]:
        rows = self._rows(
            "SELECT f.size AS bytes, f.storage_class, f.records, r.record_id, r.url AS source FROM"
            f" (SELECT * FROM file WHERE size IS NOT NULL ORDER BY size DESC LIMIT {LARGEST}) AS f"
            " JOIN record r ON r.rowid = f.example ORDER BY f.size DESC"
        )
        return [{**row, "source": _shown(row["source"], rules)} for row in rows]

    def archived(self, rules: SourceRules) -> Iterable[dict[str, Any]]:
        """The known archived objects, one by one."""
        for size, kind, records, record, url in self._stream(
            "SELECT f.size, f.storage_class, f.records, r.record_id, r.url FROM file f"
            " JOIN record r ON r.rowid = f.example WHERE f.archived = 1 ORDER BY f.source_id"
        ):
            at = parse_url(url, rules)
            yield {
                "bucket": at.bucket,
                "key": at.key or at.shown,
                "version_id": at.version_id,
                "bytes": size,
                "storage_class": kind or None,
                "records": records,
                "example_record": record,
            }


def shortened(document: dict[str, Any]) -> dict[str, Any]:
    """The document with the first rows of each breakdown, and how many there are."""
    by = document["by"]
    return {
        **document,
        "by": {name: rows[:ROWS] for name, rows in by.items()},
        "by_rows": {name: len(rows) for name, rows in by.items()},
    }


def _shown(url: str, rules: SourceRules) -> str:
    at = parse_url(url, rules)
    return f"s3://{at.bucket}/{at.key}" if at.in_s3 else at.shown


def _json(value: Interval | None) -> dict[str, Any] | None:
    return None if value is None else value.as_json()

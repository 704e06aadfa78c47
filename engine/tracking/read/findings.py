"""What an analysis has found, asked of its scratch table. The keys are described in docs/analyze.md."""

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
_OVER = "over 5 GB"
_SIZE_CLASS = "CASE " + " ".join(f"WHEN size <= {limit} THEN {n}" for n, (limit, _) in enumerate(_CLASSES)) + " END"
_ANSWERED = "state IN ('seen', 'source_missing')"


@dataclass(slots=True)
class Measured:
    """How the sizes were told. ``listed``: buckets listed to their end, with their objects."""

    listed: dict[str, int] = field(default_factory=dict)
    listed_objects: int = 0
    heads: int = 0
    strata: dict[str, int] = field(default_factory=dict)
    """Files whose size no listing told."""
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


class Findings:
    """Asks the scratch table. ``max_bytes``: larger files are left out by the settings."""

    def __init__(self, scratch: Scratch, measured: Measured, max_bytes: int | None) -> None:
        self._ask = scratch.ask
        self._stream = scratch.stream
        self._measured = measured
        self._max = max_bytes if max_bytes is not None else (1 << 62)
        self.wanted = f"(todo > 0 AND coalesce(size, 0) <= {int(self._max)} AND state <> 'source_missing')"
        answered = {row[0] for row in self._ask(f"SELECT DISTINCT stratum FROM file WHERE {_ANSWERED}")}
        self._answered = {name: count for name, count in measured.strata.items() if name in answered}
        self.unknown_files = sum(measured.strata.values()) - sum(self._answered.values())

    @cached_property
    def sampled(self) -> bool:
        """Some files stand for others."""
        return any(weight != 1 for (weight,) in self._ask("SELECT DISTINCT weight FROM file WHERE weight > 0"))

    @cached_property
    def basis(self) -> str:
        """``exact``, ``sample`` or ``unknown``."""
        if not self.files:
            return "exact"
        if self.unknown_files == self.files:
            return "unknown"
        return "sample" if self.sampled or self.unknown_files else "exact"

    @cached_property
    def files(self) -> int:
        """Distinct files that records name."""
        return int(self._ask("SELECT count(*) FROM file")[0][0])

    def estimate(self, value: str) -> Interval | None:
        """The sum of a value over all files whose size can be told. None where nothing can be told."""
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
        """The weighed sum of a value: a point estimate where files were sampled. Unknown ones count for nothing."""
        return float(self._ask(f"SELECT coalesce(sum(weight * ({value})), 0) FROM file WHERE {where}")[0][0])

    def weighed_unknown(self, where: str) -> float:
        """Files to copy of strata of which nothing could be told."""
        told = " AND ".join(["stratum IS NOT NULL", where, "todo > 0"])
        rows = self._ask(f"SELECT stratum, count(*) FROM file WHERE {told} GROUP BY 1")
        return float(sum(count for name, count in rows if name not in self._answered))

    def counted(self, trait: str) -> Interval:
        """How many files have a trait that only a look tells."""
        ((exact,),) = self._ask(f"SELECT count(*) FROM file WHERE state = 'listed' AND {trait}")
        ((looked, hits),) = self._ask(
            f"SELECT count(*), coalesce(sum({trait}), 0) FROM file WHERE stratum IS NOT NULL AND state <> ''"
        )
        population = sum(self._measured.strata.values())
        if not population:
            return Interval(exact, exact, exact)
        return share(population, looked, hits) + int(exact)

    def document(self, rules: SourceRules) -> dict[str, Any]:
        """All that the table knows."""
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
        return {
            "bad_urls": self._pairs("reason", "fate = 'bad_url'", "reason", "records"),
            "foreign_hosts": self._pairs("host", "fate = 'host_not_allowed'", "host", "records"),
        }

    def _pairs(self, column: str, where: str, name: str, count: str) -> list[dict[str, Any]]:
        rows = self._ask(
            f"SELECT {column}, count(*), min(record_id) FROM record WHERE {where}"
            " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 500"
        )
        return [{name: value, count: number, "example": example} for value, number, example in rows]

    def _by(self) -> dict[str, list[dict[str, Any]]]:
        known = self.basis != "unknown"
        size = "round(sum(weight * coalesce(size, 0)))" if known else "NULL"
        seen = "FROM file WHERE weight > 0 AND state IN ('listed', 'seen') GROUP BY 1"
        accounts = (
            "SELECT r.account, a.name, count(*), sum(r.fate = 'to_copy'), sum(r.source_id <> 0),"
            f" {'sum(f.size)' if self.basis == 'exact' else 'NULL'} FROM record r"
            " LEFT JOIN file f ON f.source_id = r.source_id LEFT JOIN account a ON a.id = r.account"
            " GROUP BY r.account ORDER BY 3 DESC, 1"
        )
        names = ("account_id", "account_name", "records", "to_copy", "with_file", "bytes")
        return {
            "account": _named(names, self._ask(accounts)),
            "extension": _named(
                ("extension", "files", "records", "bytes"),
                self._ask(f"SELECT extension, count(*), sum(records), {size} FROM file GROUP BY 1 ORDER BY 2 DESC, 1"),
            ),
            "size_class": [
                {"size_class": _OVER if n is None else _CLASSES[n][1], "files": round(files), "bytes": size_}
                for n, files, size_ in sorted(
                    self._ask(f"SELECT {_SIZE_CLASS}, sum(weight), {size} {seen}"),
                    key=lambda row: len(_CLASSES) if row[0] is None else row[0],
                )
            ],
            "storage_class": _named(
                ("storage_class", "files", "bytes"),
                self._ask(f"SELECT storage_class, round(sum(weight)), {size} {seen} ORDER BY 2 DESC"),
            ),
            "host": _named(
                ("host", "records", "to_copy", "done"),
                self._ask(
                    "SELECT host, count(*), sum(fate = 'to_copy'), sum(fate = 'done') FROM record"
                    " GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10000"
                ),
            ),
        }

    def _largest(self, rules: SourceRules) -> list[dict[str, Any]]:
        rows = self._ask(
            "SELECT f.size, f.storage_class, f.records, r.record_id, r.url FROM ("
            f"SELECT * FROM file WHERE size IS NOT NULL ORDER BY size DESC LIMIT {LARGEST}"
            ") AS f JOIN record r ON r.rowid = f.example ORDER BY f.size DESC"
        )
        names = ("bytes", "storage_class", "records", "record_id", "source")
        return [dict(zip(names, (*row[:-1], _shown(row[-1], rules)), strict=True)) for row in rows]

    def archived(self, rules: SourceRules) -> Iterable[dict[str, Any]]:
        """The archived objects that are known, one by one."""
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


def _named(names: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
    return [
        {name: int(value) if isinstance(value, float) else value for name, value in zip(names, row, strict=True)}
        for row in rows
    ]


def _json(value: Interval | None) -> dict[str, Any] | None:
    return None if value is None else value.as_json()

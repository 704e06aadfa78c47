"""How long a backup will take, how many requests it sends to Salesforce and S3, and what they cost. Pure arithmetic.

The time is the longest of three: for reading the records, for the number of files, for their bytes. The rates are those
of earlier runs in the tracking DB; without such runs, they are stated assumptions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.model.byte_units import GIB
from engine.model.estimate import Interval, added
from engine.model.facts import Method
from engine.model.prices import Prices

PAGE = 2000
"""Records per page of a Salesforce query."""
UPDATE = 200
"""Records per call of a switch: one call reads them, another writes them."""
LISTED = 1000
"""Objects per LIST."""


@dataclass(frozen=True, slots=True)
class Throughput:
    """Files and bytes per second, and where the numbers come from."""

    files_s: float
    bytes_s: float | None
    """None: the bytes do not pass through this machine."""
    basis: str
    measured: bool = False


ASSUMED: Mapping[Method, Throughput] = {
    Method.SERVER_COPY: Throughput(
        1500, None, "assumed: 1,500 server-side copies/s (S3 takes up to 3,500/s per prefix), whatever their size"
    ),
    Method.STREAM: Throughput(500, 100e6, "assumed: 500 files/s and 100 MB/s through this machine"),
    Method.HTTP: Throughput(100, 50e6, "assumed: 100 files/s and 50 MB/s from a plain web server"),
}


@dataclass(frozen=True, slots=True)
class Work:
    """What is left to do by one method."""

    method: Method
    files: float
    """Distinct files to be read."""
    duplicates: float
    """Further records of the same files: copied within the destination."""
    bytes: Interval | None
    """Of the distinct files; None: unknown."""
    stored: Interval | None = None
    """Of all copies in the destination, duplicates included."""
    large: float = 0.0
    """Files that are copied in parts, and the number of these parts."""
    parts: float = 0.0
    listed: bool = False
    """Their sizes are known from a listing: no HEAD is needed."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What else counts: the org, the region, limits."""

    records: int
    listed_objects: int = 0
    scan_records_s: float | None = None
    bandwidth: float | None = None
    """Bytes per second at most."""
    same_region: bool = True
    kms: bool = False
    switchable: int = 0
    """Records whose links can be switched, once they are copied."""
    api_calls_a_day: float | None = None
    """What the settings allow of the org's daily calls; None: not known."""


@dataclass(slots=True)
class Forecast:
    """``seconds`` is None where the bytes are unknown."""

    seconds: Interval | None
    because: str
    bases: list[str]
    salesforce_calls: dict[str, int]
    api_share: float | None
    requests: dict[str, int]
    costs: dict[str, Interval | None] = field(default_factory=dict)
    monthly: Interval | None = None
    outside: Interval | None = None
    """What the bytes cost on their way out of AWS, if this machine is outside."""
    prices: Prices = field(default_factory=Prices)

    @property
    def total_cost(self) -> Interval | None:
        return added(self.costs.values())

    def as_json(self) -> dict[str, Any]:
        """Plain values; money in the prices' currency, rounded to cents."""
        return {
            "seconds": _json(self.seconds, 0),
            "because": self.because,
            "bases": self.bases,
            "salesforce_calls": self.salesforce_calls,
            "share_of_daily_calls": self.api_share,
            "s3_requests": self.requests,
            "cost": {
                "currency": self.prices.currency,
                "prices_as_of": self.prices.as_of,
                "prices_from": self.prices.source,
                "once": {name: _json(value) for name, value in self.costs.items()},
                "once_total": _json(self.total_cost),
                "if_this_machine_is_outside_aws": _json(self.outside),
                "storage_per_month": _json(self.monthly),
            },
        }


def forecast(work: list[Work], around: Surroundings, measured: Mapping[Method, Throughput], prices: Prices) -> Forecast:
    """``measured``: throughputs of earlier runs; a method without one goes by ``ASSUMED``."""
    chosen = {each.method: measured.get(each.method, ASSUMED[each.method]) for each in work if each.files}
    seconds, because = _time(work, around, chosen)
    requests = _requests(work, around)
    bases = [f"{method.value}: {rate.basis}" for method, rate in chosen.items()]
    calls = {
        "backup": -(-around.records // PAGE) + 5,
        "switch": 2 * -(-around.switchable // UPDATE),
    }
    share = round(sum(calls.values()) / around.api_calls_a_day, 4) if around.api_calls_a_day else None
    made = Forecast(seconds, because, bases, calls, share, requests, prices=prices)
    _price(made, work, around, prices)
    return made


def _time(work: list[Work], around: Surroundings, rates: Mapping[Method, Throughput]) -> tuple[Interval | None, str]:
    scan = around.records / around.scan_records_s if around.scan_records_s else 0.0
    by_files, by_bytes = 0.0, Interval.exactly(0)
    unknown = False
    for each in work:
        if not each.files:
            continue
        rate = rates[each.method]
        by_files += (each.files + each.duplicates) / rate.files_s
        limits = [rate.bytes_s]
        if each.method is not Method.SERVER_COPY:
            limits.append(around.bandwidth)
        slowest = min((limit for limit in limits if limit), default=None)
        if slowest is None:
            continue
        if each.bytes is None:
            unknown = True
        else:
            by_bytes += each.bytes / slowest
    if unknown:
        return None, "the bytes are unknown, and they pass through this machine"
    slowest_part = max(
        (by_bytes.estimate, "the bytes decide"),
        (by_files, "the number of files decides"),
        (scan, "reading the records decides"),
    )
    return by_bytes.at_least(max(scan, by_files)), slowest_part[1]


def _requests(work: list[Work], around: Surroundings) -> dict[str, int]:
    asks = dict.fromkeys(("LIST", "HEAD", "GET", "COPY", "PUT", "POST"), 0.0)
    asks["LIST"] = -(-around.listed_objects // LISTED)
    for each in work:
        single = each.files - each.large
        asks["HEAD"] += each.duplicates
        asks["COPY"] += each.duplicates
        asks["POST"] += 2 * each.large  # a multipart upload is opened and completed
        if each.method is Method.SERVER_COPY:
            asks["HEAD"] += (0 if each.listed else each.files) + each.large
            asks["COPY"] += single + each.parts
        else:
            asks["GET"] += each.files
            asks["PUT"] += single + each.parts
    return {name: round(count) for name, count in asks.items() if count}


def _price(made: Forecast, work: list[Work], around: Surroundings, prices: Prices) -> None:
    asks = made.requests
    writes = sum(asks.get(name, 0) for name in ("COPY", "PUT", "POST"))
    reads = sum(asks.get(name, 0) for name in ("GET", "HEAD"))
    made.costs["requests"] = Interval.exactly(
        (writes * prices.put + reads * prices.get + asks.get("LIST", 0) * prices.list) / 1000
    )
    if around.kms:
        made.costs["kms"] = Interval.exactly((writes + reads) * prices.kms / 1000)
    used = [each for each in work if each.files]
    if not around.same_region:
        moved = added(each.bytes for each in used)
        made.costs["transfer between regions"] = None if moved is None else moved * (prices.transfer / GIB)
    through = [each for each in used if each.method is not Method.SERVER_COPY]
    if through and (out := added(each.bytes for each in through)) is not None:
        made.outside = out * (prices.internet / GIB)
    stored = added(each.stored for each in used)
    made.monthly = None if stored is None else stored * (prices.storage / GIB)


def _json(value: Interval | None, digits: int = 2) -> dict[str, Any] | None:
    return None if value is None else value.as_json(digits)
